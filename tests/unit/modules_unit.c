/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "modules.h"

#include <criterion/criterion.h>

#include "util.h"

static int find(const char *text, const char *const names[], size_t n, bool found[])
{
	_cleanup_fclose_ FILE *stream = fmemopen((void *)text, strlen(text), "r");

	return modules_find_symbols(stream, names, n, found);
}

Test(modules, symbols_are_found_by_their_whole_name)
{
	static const char text[] =
		"0000000000000000 A fixed_percpu_data\n"
		"ffffffff81000000 T _stext\n"
		"0000000000000000 t __pfx_vfio_pci_alias_feature\t[vfio_pci_core]\n"
		"0000000000000000 t vfio_pci_core_enable\t[vfio_pci_core]\n"
		"0000000000000000 t vfio_pci_alias_feature.cold\t[vfio_pci_core]\n";
	static const char *const names[] = { "vfio_pci_core_enable", "vfio_pci_alias_feature",
					     "_stext", "[vfio_pci_core]", "" };
	bool found[ARRAY_SIZE(names)] = { false, true, false, true, true };

	cr_assert_eq(find(text, names, ARRAY_SIZE(names), found), 0);
	cr_expect(found[0]);
	cr_expect_not(found[1]);
	cr_expect(found[2]);
	cr_expect_not(found[3]);
	cr_expect_not(found[4]);
}

Test(modules, a_file_without_symbols_tells_nothing)
{
	static const char *const names[] = { "x" };
	bool found[1];

	cr_expect_eq(find("\n", names, 1, found), -ENODATA);
	cr_expect_eq(find("x\nx x\nffff  x\n\xff\xff\n", names, 1, found), -ENODATA);
	cr_expect_not(found[0]);
	cr_expect_eq(find("0 t x", names, 1, found), 0); /* no line's end */
	cr_expect(found[0]);
}
