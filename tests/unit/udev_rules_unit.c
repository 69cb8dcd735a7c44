/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "udev-rules.h"

#include "scratch.h"

TestSuite(udev_rules, .init = scratch_make, .fini = scratch_remove);

static const struct udev_rules_device device = { "0000:00:10.0", 0x1af4, 0x1110 };

/* The line of the rule, or 0. */
static unsigned int find(const char *text)
{
	_cleanup_fclose_ FILE *stream = fmemopen((void *)text, strlen(text), "r");
	unsigned int line = 0;

	return udev_rules_find(stream, &device, &line) == 0 ? line : 0;
}

#define IDS "ATTR{vendor}==\"0x1AF4\", ATTR{device}==\"0x1110\""
#define SET "ENV{VFIO_ALIAS}=\"2:wc\""

Test(udev_rules, a_rule_is_found_by_ids_or_by_address)
{
	cr_expect_eq(find(IDS ", " SET "\n"), 1);
	cr_expect_eq(find("\n# " IDS ", " SET "\n\nKERNEL==\"0000:00:10.0\", " SET), 4);
	cr_expect_eq(find("SUBSYSTEM==\"pci\"\n" IDS ", ENV{VFIO_ALIAS} := \"2:wc\"\n"), 2);
	cr_expect_eq(find("X==\"1\", \\\n  Y==\"2\"\n" IDS ", \\\n  " SET "\n"), 3);
}

Test(udev_rules, what_does_not_set_the_mark_of_this_device_is_passed_over)
{
	cr_expect_eq(find(""), 0);
	cr_expect_eq(find(IDS ", ENV{VFIO_ALIAS}==\"2:wc\"\n"), 0);
	cr_expect_eq(find(IDS ", ENV{VFIO_ALIAS}!=\"2:wc\"\n"), 0);
	cr_expect_eq(find(IDS ", ENV{VFIO_ALIAS_GROUP}=\"fpga\"\n"), 0);
	cr_expect_eq(find(IDS "\n" SET "\n"), 0); /* two rules */
	cr_expect_eq(find("ATTR{vendor}==\"0x1af4\", ATTR{device}==\"0x1111\", " SET "\n"), 0);
	cr_expect_eq(find("ATTR{vendor}==\"0x1af5\", ATTR{device}==\"0x1110\", " SET "\n"), 0);
	cr_expect_eq(find("KERNEL==\"0000:00:11.0\", " SET "\n"), 0);
	cr_expect_eq(find("  # " IDS ", " SET "\n"), 0);
	cr_expect_eq(find("\\\n"), 0);
}

Test(udev_rules, only_files_of_rules_are_read_and_in_order)
{
	_cleanup_free_ char *where = NULL, *expected = NULL;

	cr_expect_eq(udev_rules_search(scratch, &device, &where), -ENOENT);
	scratch_file("etc/udev/rules.d/80-fpga.rules.disabled", IDS ", " SET "\n");
	cr_expect_eq(udev_rules_search(scratch, &device, &where), -ENOENT);
	scratch_file("usr/lib/udev/rules.d/10-vendor.rules", IDS ", " SET "\n");
	scratch_file("etc/udev/rules.d/90-b.rules", IDS ", " SET "\n");
	scratch_file("etc/udev/rules.d/80-a.rules", "\n" IDS ", " SET "\n");
	cr_assert_eq(udev_rules_search(scratch, &device, &where), 0);
	cr_assert(asprintf(&expected, "%s/etc/udev/rules.d/80-a.rules:2", scratch) > 0);
	cr_expect_str_eq(where, expected);
}
