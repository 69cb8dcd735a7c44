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
		"00000:65:00.0",
		"0000ffff:65:00.0",
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
	cr_expect_eq(bars[2].start, 0xe000000000);
	cr_expect(bars[2].prefetchable);
	cr_expect_not(bars[0].prefetchable);
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

Test(pci, an_address_can_be_written_as_people_do)
{
	static const struct {
		const char *text, *bdf;
	} good[] = {
		{ "0000:65:00.0", "0000:65:00.0" },
		{ "65:00.0", "0000:65:00.0" },
		{ "E1:1F.7", "0000:e1:1f.7" },
		{ "10000:E1:00.0", "10000:e1:00.0" },
		{ "00000:65:00.0", "0000:65:00.0" },
		{ "00010000:e1:00.0", "10000:e1:00.0" },
		{ "000000000000:65:00.0", "0000:65:00.0" },
	};
	static const char *const bad[] = {
		"",
		"65",
		"65:00",
		"5:00.0",
		"65:00.8",
		":65:00.0",
		"65:00.0 ",
		"123456789:65:00.0",
		"0000:65:00.0/../0000:66:00.0",
	};
	char bdf[PCI_BDF_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cr_assert_eq(pci_parse_bdf(good[i].text, bdf), 0, "%s", good[i].text);
		cr_expect_str_eq(bdf, good[i].bdf);
	}
	strcpy(bdf, "untouched");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(pci_parse_bdf(bad[i], bdf), -EINVAL, "%s", bad[i]);
	cr_expect_str_eq(bdf, "untouched");
}

/* A configuration space with the capability list at 0x40: PM, and at 0x50 MSI-X. */
static const uint8_t config[PCI_CONFIG_SIZE] = {
	[0x06] = 0x10, [0x34] = 0x40, [0x40] = 0x01, [0x41] = 0x50,
	[0x50] = 0x11, [0x52] = 0x1f, [0x53] = 0x80, /* 32 vectors, enabled */
	[0x54] = 0x02, [0x55] = 0x30,		     /* BAR 2, 0x3000 */
};

Test(pci, the_msix_table_is_found)
{
	struct pci_msix msix;

	cr_assert_eq(pci_find_msix(config, sizeof(config), &msix), 0);
	cr_expect_eq(msix.bar, 2);
	cr_expect_eq(msix.offset, 0x3000);
	cr_expect_eq(msix.size, 32 * 16);
}

Test(pci, what_is_not_shown_of_the_configuration_is_not_guessed)
{
	struct pci_msix msix;
	uint8_t copy[PCI_CONFIG_SIZE];

	/* Everybody but root sees 64 bytes. */
	for (size_t length = 0; length < 0x50 + 12; length++)
		cr_expect_eq(pci_find_msix(config, length, &msix), -ENODATA, "%zu", length);
	memcpy(copy, config, sizeof(copy));
	copy[0x06] = 0; /* no list */
	cr_expect_eq(pci_find_msix(copy, 64, &msix), -ENOENT);
	memcpy(copy, config, sizeof(copy));
	copy[0x41] = 0; /* it ends before MSI-X */
	cr_expect_eq(pci_find_msix(copy, sizeof(copy), &msix), -ENOENT);
}

Test(pci, a_list_of_capabilities_without_sense_is_refused)
{
	static const struct {
		size_t at;
		uint8_t value;
	} cases[] = {
		{ 0x41, 0x40 },			/* points to itself */
		{ 0x41, 0x10 },			/* into the header */
		{ 0x34, 0x3c }, { 0x54, 0x06 }, /* BAR 6 */
		{ 0x54, 0x07 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t copy[PCI_CONFIG_SIZE];
		struct pci_msix msix;

		memcpy(copy, config, sizeof(copy));
		copy[cases[i].at] = cases[i].value;
		cr_expect_eq(pci_find_msix(copy, sizeof(copy), &msix), -EBADMSG, "case %zu", i);
	}
}

Test(pci, an_msix_capability_that_does_not_fit_is_refused)
{
	uint8_t copy[PCI_CONFIG_SIZE];
	struct pci_msix msix;

	memcpy(copy, config, sizeof(copy));
	copy[0x41] = 0xfc;
	copy[0xfc] = 0x11;
	cr_expect_eq(pci_find_msix(copy, sizeof(copy), &msix), -EBADMSG);
	copy[0xfc] = 0x12; /* a short one fits, and is the last */
	cr_expect_eq(pci_find_msix(copy, sizeof(copy), &msix), -ENOENT);
}
