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
	/* The last one counts. */
	cr_expect_eq(find(IDS ", " SET "\n" IDS ", ENV{VFIO_ALIAS}=\"2:uc\"\n#\n"), 2);
	/* A comment is passed over wherever it is, and is not continued. */
	cr_expect_eq(find("X==\"1\", \\\n# \n" IDS ", \\\n" SET "\n"), 1);
	cr_expect_eq(find("# \\\n" IDS ", " SET "\n"), 2);
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
	cr_expect_eq(find("KERNEL==\"10000:00:10.0\", " SET "\n"), 0);
	cr_expect_eq(find("KERNEL==\"10000:00:10.0|0000:00:10.0\", " SET "\n"), 1);
	cr_expect_eq(find("  # " IDS ", " SET "\n"), 0);
	cr_expect_eq(find("\\\n"), 0);
}

/* @where: below the scratch directory; NULL if no rule is found, by @error */
static void expect_search(const char *where, int error)
{
	_cleanup_free_ char *found = NULL;

	cr_expect_eq(udev_rules_search(scratch, &device, &found), error);
	if (where)
		cr_expect_str_eq(found ? found + strlen(scratch) : NULL, where);
	else
		cr_expect_null(found);
}

Test(udev_rules, the_last_rule_of_all_directories_is_found)
{
	expect_search(NULL, -ENOENT);
	scratch_file("etc/udev/rules.d/80-fpga.rules.disabled", IDS ", " SET "\n");
	expect_search(NULL, -ENOENT);

	scratch_file("etc/udev/rules.d/80-a.rules", "\n" IDS ", " SET "\n");
	expect_search("/etc/udev/rules.d/80-a.rules:2", 0);
	scratch_file("usr/lib/udev/rules.d/10-vendor.rules", IDS ", " SET "\n");
	expect_search("/etc/udev/rules.d/80-a.rules:2", 0);
	scratch_file("run/udev/rules.d/90-b.rules", IDS ", " SET "\n");
	expect_search("/run/udev/rules.d/90-b.rules:1", 0);
	/* The earlier directory hides the file of the later one. */
	scratch_file("etc/udev/rules.d/90-b.rules", "");
	expect_search("/etc/udev/rules.d/80-a.rules:2", 0);
	scratch_file("usr/lib/udev/rules.d/80-a.rules", "\n\n\n" IDS ", " SET "\n");
	expect_search("/etc/udev/rules.d/80-a.rules:2", 0);
	/* A directory has no rules, whatever its name is. */
	scratch_file("etc/udev/rules.d/95-old.rules/80-c.rules", IDS ", " SET "\n");
	expect_search("/etc/udev/rules.d/80-a.rules:2", 0);
}

/* As whoever owns nothing */
static void drop_privileges(void)
{
	cr_assert_eq(chmod(scratch, 0755), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
}

static void public_file(const char *path, const char *text, mode_t mode)
{
	scratch_file(path, text);
	cr_assert_eq(fchmodat(scratch_fd, path, mode, 0), 0);
}

Test(udev_rules, a_file_that_may_not_be_read_could_have_the_last_word)
{
	public_file("etc/udev/rules.d/80-a.rules", IDS ", " SET "\n", 0644);
	public_file("etc/udev/rules.d/70-secret.rules", IDS ", " SET "\n", 0);
	drop_privileges();
	expect_search("/etc/udev/rules.d/80-a.rules:1", 0);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	public_file("etc/udev/rules.d/90-secret.rules", "", 0);
	drop_privileges();
	expect_search(NULL, -EACCES);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0); /* to remove them */
}
