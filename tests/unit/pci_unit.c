/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pci.h"

#include <criterion/criterion.h>

#include "util.h"

Test(pci, an_address_is_what_the_kernel_writes)
{
	static const char *const valid[] = {
		"0000:00:00.0", "0000:65:1f.7", "ffff:ff:1f.7", "10000:e1:00.0", "7fffffff:00:00.0",
	};
	static const char *const invalid[] = {
		"",
		"00:00.0",
		"000:00:00.0",
		"123456789:00:00.0",
		"0000:00:00.8",
		"0000:00:00.",
		"0000:00:00.00",
		"0000:00:0.0",
		"0000:0:00.0",
		"0000:00:00-0",
		"0000:00:00.0/",
		"../0:00:00.0",
		"0000:0/:00.0",
		"000A:00:00.0",
		"0000:00:00.0 ",
		"0000:000:00.0",
	};

	for (size_t i = 0; i < ARRAY_SIZE(valid); i++)
		cr_expect(pci_bdf_valid(valid[i]), "%s", valid[i]);
	for (size_t i = 0; i < ARRAY_SIZE(invalid); i++)
		cr_expect_not(pci_bdf_valid(invalid[i]), "%s", invalid[i]);
}

#define EMPTY "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"

Test(pci, bars_are_read_from_the_resource_file)
{
	static const char text[] =
		"0x00000000febf1000 0x00000000febf10ff 0x0000000000040200\n" EMPTY
		"0x000000e000000000 0x000000e000ffffff 0x000000000014220c\n" EMPTY
		"0x000000000000c000 0x000000000000c03f 0x0000000000040101\n"
		"0x0000000000000000 0x0000000000000fff 0x0000000020040200\n"
		"0x00000000000c0000 0x00000000000dffff 0x0000000000046200\n";
	struct pci_bar bars[PCI_BARS];

	cr_assert_eq(pci_parse_resource(text, bars), 0);
	cr_expect_eq(bars[0].kind, PCI_BAR_MEMORY);
	cr_expect_eq(bars[0].length, 256);
	cr_expect_eq(bars[1].kind, PCI_BAR_NONE);
	cr_expect_eq(bars[2].kind, PCI_BAR_MEMORY);
	cr_expect_eq(bars[2].length, 16 << 20);
	cr_expect_eq(bars[3].kind, PCI_BAR_NONE);
	cr_expect_eq(bars[4].kind, PCI_BAR_IO);
	cr_expect_eq(bars[4].length, 64);
	cr_expect_eq(bars[5].kind, PCI_BAR_UNASSIGNED);
}

Test(pci, a_resource_file_that_makes_no_sense_is_refused)
{
	static const char *const cases[] = {
		"",
		EMPTY EMPTY EMPTY EMPTY EMPTY,
		EMPTY EMPTY EMPTY EMPTY EMPTY "0x0 0x0 0x0",
		"0x1000 0x0 0x200\n" EMPTY EMPTY EMPTY EMPTY EMPTY,
		"0x0 0xffffffffffffffff 0x200\n" EMPTY EMPTY EMPTY EMPTY EMPTY,
		"0x0 0x1ffffffffffffffff 0x200\n" EMPTY EMPTY EMPTY EMPTY EMPTY,
		"0 0 0\n" EMPTY EMPTY EMPTY EMPTY EMPTY,
		"0x0 0x0\n" EMPTY EMPTY EMPTY EMPTY EMPTY,
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pci_bar bars[PCI_BARS] = { { .length = 42 } };

		cr_expect_eq(pci_parse_resource(cases[i], bars), -EBADMSG, "case %zu", i);
		cr_expect_eq(bars[0].length, 42);
	}
}
