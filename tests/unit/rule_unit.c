/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rule.h"

#include <signal.h>
#include <sys/wait.h>

#include "scratch.h"

TestSuite(rule, .init = scratch_make, .fini = scratch_remove);

Test(rule, a_target_is_an_address_or_ids)
{
	static const struct {
		const char *text, *target, *file;
	} cases[] = {
		{ "0000:65:00.0", "0000:65:00.0", "81-vfio-alias-0000:65:00.0.rules" },
		{ "10000:E1:00.0", "10000:e1:00.0", "81-vfio-alias-10000:e1:00.0.rules" },
		{ "65:00.0", "0000:65:00.0", "81-vfio-alias-0000:65:00.0.rules" },
		{ "7fffffff:65:00.0", "7fffffff:65:00.0", "81-vfio-alias-7fffffff:65:00.0.rules" },
		{ "00000:65:00.0", "0000:65:00.0", "81-vfio-alias-0000:65:00.0.rules" },
		{ "1AF4:1110", "1af4:1110", "80-vfio-alias-1af4:1110.rules" },
		{ "0000:0000", "0000:0000", "80-vfio-alias-0000:0000.rules" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char target_text[RULE_TARGET_SIZE], name[RULE_NAME_SIZE];
		struct rule_target target;

		cr_assert_eq(rule_parse_target(cases[i].text, &target), 0, "%s", cases[i].text);
		cr_expect_str_eq(rule_format_target(target_text, &target), cases[i].target);
		cr_expect_str_eq(rule_name(name, &target), cases[i].file);
	}
}

Test(rule, what_is_neither_is_refused)
{
	static const char *const cases[] = {
		"",	     "0x1af4:0x1110", "1af4:111",      "1af4:11100",	 "1af4 1110",
		"1af4:111g", "../../../etc",  "0000:65:00.8",  "0000:65:00.0/x", "65:00",
		"*",	     "1af4:*",	      "0000:65:00.0 ", "0000:65:00.0\n", "0000:65:0\".0",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rule_target target = { .vendor = 42 };

		cr_expect_eq(rule_parse_target(cases[i], &target), -EINVAL, "%s", cases[i]);
		cr_expect_eq(target.vendor, 42);
	}
}

static const struct rule_target device = { .bdf = "0000:65:00.0" };

Test(rule, all_properties_are_set_so_that_none_is_left_of_a_rule_before)
{
	const struct mark_text mark = { .value = {
						[MARK_ALIAS] = "0:uc@0+64K 0:wc@64K+960K,shared",
						[MARK_GROUP] = "fpga-users",
					} };
	_cleanup_free_ char *text = NULL, *message = NULL;

	cr_assert_eq(rule_format(&device, &mark, &text, &message), 0);
	cr_expect_null(message);
	cr_expect_str_eq(text,
			 "# Made by \"vfio-alias mark\"; \"vfio-alias unmark\" removes it.\n"
			 "ACTION!=\"remove\", SUBSYSTEM==\"pci\", KERNEL==\"0000:65:00.0\", \\\n"
			 "    ENV{VFIO_ALIAS}=\"0:uc@0+64K 0:wc@64K+960K,shared\", \\\n"
			 "    ENV{VFIO_ALIAS_BIND}=\"\", \\\n"
			 "    ENV{VFIO_ALIAS_OWNER}=\"\", \\\n"
			 "    ENV{VFIO_ALIAS_GROUP}=\"fpga-users\", \\\n"
			 "    ENV{VFIO_ALIAS_MODE}=\"\", \\\n"
			 "    ENV{VFIO_ALIAS_NOIOMMU}=\"\"\n");
}

Test(rule, a_kind_of_device_is_matched_by_its_ids)
{
	static const struct rule_target kind = { .by_ids = true,
						 .vendor = 0xaf4,
						 .device = 0x1110 };
	const struct mark_text mark = { .value = { [MARK_ALIAS] = "2:wc" } };
	_cleanup_free_ char *text = NULL, *message = NULL;

	cr_assert_eq(rule_format(&kind, &mark, &text, &message), 0);
	cr_expect_not_null(
		strstr(text, "ATTR{vendor}==\"0x0af4\", ATTR{device}==\"0x1110\", \\\n"));
	cr_expect_null(strstr(text, "KERNEL"));
}

Test(rule, no_value_gets_out_of_its_quotes)
{
	static const char *const hostile[] = {
		"2:wc\", RUN+=\"/bin/sh",
		"2:wc\\",
		"2:wc\n",
		"2:wc\r",
		"2:wc\t",
		"$env{PATH}",
		"%k",
		"`id`",
		"a*",
		"a|b",
		"\xc3\xa9",
		"a'b",
		"user$",
		"#",
		"{x}",
		"\033[0m",
		"a\x7f",
	};

	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		for (size_t property = 0; property < MARK_PROPERTIES; property++) {
			struct mark_text mark = { .value = { [MARK_ALIAS] = "2:wc" } };
			_cleanup_free_ char *text = NULL, *message = NULL;

			mark.value[property] = (char *)hostile[i];
			cr_expect_eq(rule_format(&device, &mark, &text, &message), -EINVAL,
				     "%s of property %zu", hostile[i], property);
			cr_expect_null(text);
			cr_assert_not_null(message);
			cr_expect_eq(strncmp(message, mark_property_names[property],
					     strlen(mark_property_names[property])),
				     0);
			for (const char *p = message; *p; p++)
				cr_expect(*p >= ' ' && *p <= '~');
		}
	}
}

Test(rule, a_value_that_udev_would_not_take_is_refused)
{
	char value[RULE_VALUE_MAX + 2];

	for (size_t property = 0; property < MARK_PROPERTIES; property++) {
		struct mark_text mark = { .value = { [MARK_ALIAS] = "2:wc" } };
		_cleanup_free_ char *text = NULL, *longer = NULL, *message = NULL;

		memset(value, '0', sizeof(value));
		mark.value[property] = value;
		value[RULE_VALUE_MAX] = '\0';
		cr_assert_eq(rule_format(&device, &mark, &text, &message), 0);
		cr_expect_not_null(strstr(text, value));

		value[RULE_VALUE_MAX] = '0';
		value[RULE_VALUE_MAX + 1] = '\0';
		cr_assert_eq(rule_format(&device, &mark, &longer, &message), -EINVAL);
		cr_expect_null(longer);
		cr_expect_not_null(strstr(message, "it has 512 bytes, and udev takes 511 at most"));
	}
}

/* The names in the scratch directory's directory @path, sorted. */
static int count_entries(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, NULL);

	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	return n - 2;
}

Test(rule, a_file_is_replaced_as_a_whole_and_removed)
{
	static const char *const made[] = { "etc", "etc/udev", "etc/udev/rules.d" };
	_cleanup_free_ char *directory = NULL, *text = NULL;
	struct stat st;

	cr_assert_gt(asprintf(&directory, "%s/etc/udev/rules.d", scratch), 0);
	umask(077);
	cr_assert_eq(rule_write(directory, "80-a.rules", "a long text\n"), 0);
	cr_assert_eq(rule_write(directory, "80-a.rules", "short\n"), 0);
	cr_assert_eq(read_file_at(scratch_fd, "etc/udev/rules.d/80-a.rules", &text), 0);
	cr_expect_str_eq(text, "short\n");
	cr_expect_eq(count_entries(directory), 1);
	cr_assert_eq(fstatat(scratch_fd, "etc/udev/rules.d/80-a.rules", &st, 0), 0);
	cr_expect_eq(st.st_mode & 07777, 0644);
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		cr_assert_eq(fstatat(scratch_fd, made[i], &st, 0), 0);
		cr_expect_eq(st.st_mode & 07777, 0755, "%s", made[i]);
	}

	cr_expect_eq(rule_remove(directory, "80-b.rules"), -ENOENT);
	cr_expect_eq(rule_remove(directory, "80-a.rules"), 0);
	cr_expect_eq(count_entries(directory), 0);
}

/* Writes texts of one letter each, of growing length, as long as @fd is open at its other end. */
static void write_letters(int fd, char letter)
{
	for (size_t i = 1; write(fd, "", 1) == 1; i++) {
		char text[4096];
		size_t length = 1 + i % (sizeof(text) - 1);

		memset(text, letter, length);
		text[length] = '\0';
		if (rule_write(scratch, "80-a.rules", text) < 0)
			_exit(1);
	}
	_exit(0);
}

Test(rule, of_two_that_write_at_once_one_is_there_as_a_whole)
{
	int pipes[2], status;
	pid_t writers[2];

	cr_assert_eq(pipe(pipes), 0);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		writers[i] = fork();
		cr_assert_geq(writers[i], 0);
		if (writers[i] == 0) {
			close_fd(pipes[0]);
			write_letters(pipes[1], "ab"[i]);
		}
	}
	close_fd(pipes[1]);
	for (size_t i = 0; i < 1000; i++) {
		_cleanup_free_ char *text = NULL;
		char byte;

		cr_assert_eq(read(pipes[0], &byte, 1), 1, "a writer has failed");
		if (read_file_at(scratch_fd, "80-a.rules", &text) == -ENOENT)
			continue; /* the first is still at it */
		cr_expect(*text && strspn(text, *text == 'a' ? "a" : "b") == strlen(text));
	}
	close_fd(pipes[0]);
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		cr_assert_eq(waitpid(writers[i], &status, 0), writers[i]);
		cr_expect_eq(status, 0);
	}
	cr_expect_eq(count_entries(scratch), 1);
}

Test(rule, a_directory_that_is_there_keeps_its_mode)
{
	struct stat st;

	cr_assert_eq(fchmod(scratch_fd, 0700), 0);
	cr_assert_eq(rule_write(scratch, "80-a.rules", "a\n"), 0);
	cr_assert_eq(fstat(scratch_fd, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0700);
}

Test(rule, a_link_in_the_way_is_not_followed)
{
	_cleanup_free_ char *text = NULL;

	scratch_file("precious", "precious\n");
	scratch_link("80-b.rules", "precious");
	cr_expect_eq(rule_write(scratch, "80-b.rules", "b\n"), 0);
	cr_assert_eq(read_file_at(scratch_fd, "precious", &text), 0);
	cr_expect_str_eq(text, "precious\n");
}
