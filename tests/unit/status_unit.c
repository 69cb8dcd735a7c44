/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "status.h"

#include <linux/vfio_alias.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#include "scratch.h"

TestSuite(status, .init = scratch_make, .fini = scratch_remove);

static struct status_alias aliases[] = {
	{
		.bar = 2,
		.offset = 0x10000,
		.size = UINT64_C(1) << 40,
		.type_wanted = "wc",
		.type_in_effect = "wc",
		.file = "/sys/bus/pci/devices/0000:00:10.0/resource2_wc",
		.state = "published",
	},
	{
		.bar = 0,
		.size = 4096,
		.type_wanted = "uc",
		.state = "waiting",
		.reason = "BAR 0: \"quoted\", and a line\nend",
	},
};

static const struct status example = {
	.bdf = "0000:00:10.0",
	.state = "waiting",
	.reason = "BAR 0: busy",
	.driver = "vfio-pci",
	.group = 7,
	.bound_by_service = true,
	.previous_driver = "e1000e",
	.aliases = aliases,
	.n_aliases = ARRAY_SIZE(aliases),
};

static void expect_text(const char *found, const char *expected)
{
	cr_expect(streq(found, expected), "%s, and not %s", found ?: "null", expected ?: "null");
}

Test(status, what_is_written_is_read_back)
{
	_cleanup_status_ struct status status = {};
	struct stat st;

	cr_assert_eq(status_write(scratch_fd, &example), 0);
	cr_assert_eq(status_read(scratch_fd, example.bdf, &status), 0);
	expect_text(status.bdf, example.bdf);
	expect_text(status.state, example.state);
	expect_text(status.reason, example.reason);
	expect_text(status.driver, example.driver);
	expect_text(status.previous_driver, example.previous_driver);
	expect_text(status.previous_override, NULL);
	cr_expect_eq(status.group, 7);
	cr_expect(status.bound_by_service);
	cr_assert_eq(status.n_aliases, example.n_aliases);
	for (size_t i = 0; i < status.n_aliases; i++) {
		cr_expect_eq(status.aliases[i].bar, aliases[i].bar);
		cr_expect_eq(status.aliases[i].offset, aliases[i].offset);
		cr_expect_eq(status.aliases[i].size, aliases[i].size);
		expect_text(status.aliases[i].type_wanted, aliases[i].type_wanted);
		expect_text(status.aliases[i].type_in_effect, aliases[i].type_in_effect);
		expect_text(status.aliases[i].file, aliases[i].file);
		expect_text(status.aliases[i].state, aliases[i].state);
		expect_text(status.aliases[i].reason, aliases[i].reason);
	}

	cr_assert_eq(fstatat(scratch_fd, "0000:00:10.0.json", &st, 0), 0);
	cr_expect_eq(st.st_mode & 0444, 0444, "everybody may read it");
	cr_expect_eq(faccessat(scratch_fd, "0000:00:10.0.json.new", F_OK, 0), -1);
}

Test(status, all_are_read_in_the_order_of_addresses)
{
	static const char *const order[] = { "0000:00:10.0", "0000:65:00.0", "10000:00:00.0" };
	struct status status = example, *all;
	size_t n, unread;

	for (size_t i = ARRAY_SIZE(order); i-- > 0;) {
		status.bdf = (char *)order[i];
		cr_assert_eq(status_write(scratch_fd, &status), 0);
	}
	scratch_file("0000:00:11.0.json.new", "{");
	scratch_file("0000:00:12.0.json", "{");
	scratch_file("lock", "");

	cr_assert_eq(status_read_all(scratch_fd, &all, &n, &unread), 0);
	cr_assert_eq(n, ARRAY_SIZE(order));
	cr_expect_eq(unread, 1);
	for (size_t i = 0; i < n; i++)
		cr_expect_str_eq(all[i].bdf, order[i]);
	status_free_all(all, n);

	status_remove(scratch_fd, order[0]);
	cr_assert_eq(status_read_all(scratch_fd, &all, &n, NULL), 0);
	cr_expect_eq(n, ARRAY_SIZE(order) - 1);
	status_free_all(all, n);
}

Test(status, what_was_not_finished_is_removed_and_nothing_else)
{
	static const char *const kept[] = { "0000:00:10.0.json", "0000:00:11.0.new", "lock" };

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		scratch_file(kept[i], "");
	scratch_file("0000:00:10.0.json.new", "");
	scratch_file("10000:00:10.0.json.new", "{");
	for (size_t i = 0; i < 2; i++) { /* nor is it an error if there is nothing to remove */
		status_remove_unfinished(scratch_fd);
		cr_expect_eq(faccessat(scratch_fd, "0000:00:10.0.json.new", F_OK, 0), -1);
		cr_expect_eq(faccessat(scratch_fd, "10000:00:10.0.json.new", F_OK, 0), -1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		cr_expect_eq(faccessat(scratch_fd, kept[i], F_OK, 0), 0, "%s", kept[i]);
	status_remove_unfinished(-EBADF);
}

#define DEVICE(aliases)                                                                 \
	"{\"bdf\":\"0000:00:10.0\",\"state\":\"open\",\"reason\":null,\"driver\":null," \
	"\"previous_driver\":null,\"previous_override\":null,\"group\":1,"              \
	"\"bound_by_service\":false,\"aliases\":" aliases "}"
#define ALIAS(bar, size)                                                          \
	"{\"bar\":" bar ",\"offset\":0,\"size\":" size ",\"type_wanted\":\"wc\"," \
	"\"type_in_effect\":null,\"file\":null,\"state\":\"waiting\",\"reason\":null}"

Test(status, a_file_that_makes_no_sense_is_refused)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{ DEVICE("[]"), 0 },
		{ DEVICE("[" ALIAS("0", "18446744073709551615") "]"), 0 },
		{ DEVICE("[" ALIAS("6", "4096") "]"), -EBADMSG },
		{ DEVICE("[" ALIAS("-1", "4096") "]"), -EBADMSG },
		{ DEVICE("[" ALIAS("0", "\"4096\"") "]"), -EBADMSG },
		{ DEVICE("[{}]"), -EBADMSG },
		{ DEVICE("[null]"), -EBADMSG },
		{ DEVICE("null"), -EBADMSG },
		{ "", -EBADMSG },
		{ "{}", -EBADMSG },
		{ "{\"aliases\":[],\"group\":1,\"bound_by_service\":false}", -EBADMSG },
		{ "{\"aliases\":[],\"group\":1,\"bound_by_service\":false,\"bdf\":1}", -EBADMSG },
		{ "[]", -EBADMSG },
		{ "null", -EBADMSG },
		{ "{\"bdf\":", -EBADMSG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_status_ struct status status = {};

		scratch_file("0000:00:10.0.json", cases[i].text);
		cr_expect_eq(status_read(scratch_fd, "0000:00:10.0", &status), cases[i].r, "%s",
			     cases[i].text);
	}
	cr_expect_eq(status_read(scratch_fd, "0000:00:11.0", &(struct status){}), -ENOENT);
}

Test(status, what_cannot_be_written_leaves_nothing)
{
	struct stat st;

	cr_expect_eq(status_write(-EBADF, &example), -EBADF);
	scratch_file("0000:00:10.0.json/is-a-directory", "");
	cr_expect_eq(status_write(scratch_fd, &example), -EISDIR);
	cr_expect_eq(fstatat(scratch_fd, "0000:00:10.0.json.new", &st, 0), -1);
}

Test(status, a_directory_that_is_not_there_is_an_error)
{
	struct status *all;
	size_t n;

	cr_expect_eq(status_read_all(-EBADF, &all, &n, NULL), -EBADF);
}

Test(status, a_file_under_the_name_of_another_device_is_refused)
{
	scratch_file("0000:00:11.0.json", DEVICE("[]"));
	cr_expect_eq(status_read(scratch_fd, "0000:00:11.0", &(struct status){}), -EBADMSG);
}

Test(status, a_lock_is_seen_without_opening_the_file)
{
	_cleanup_free_ char *path = NULL, *other = NULL;
	_cleanup_close_ int fd = -EBADF, shared = -EBADF;

	cr_assert_gt(asprintf(&path, "%s/lock", scratch), 0);
	cr_assert_gt(asprintf(&other, "%s/other", scratch), 0);
	cr_expect_eq(status_is_locked("/proc/locks", path), 0); /* not there */
	scratch_file("lock", "");
	scratch_file("other", "");
	cr_expect_eq(status_is_locked("/proc/locks", path), 0);

	/* What others may do with a file is not what the daemon does. */
	shared = openat(scratch_fd, "lock", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(flock(shared, LOCK_SH), 0);
	cr_expect_eq(status_is_locked("/proc/locks", path), 0);
	cr_assert_eq(flock(shared, LOCK_UN), 0);

	fd = openat(scratch_fd, "lock", O_RDWR | O_CLOEXEC);
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	cr_assert_eq(fchmod(fd, 0), 0);
	cr_expect_eq(status_is_locked("/proc/locks", path), 1);
	cr_expect_eq(status_is_locked("/proc/locks", other), 0);
	fd = close_fd(fd);
	cr_expect_eq(status_is_locked("/proc/locks", path), 0);
	cr_expect_eq(status_is_locked("/proc/no-such-file", path), -ENOENT);
}

Test(status, who_waits_for_a_lock_has_it_not)
{
	_cleanup_free_ char *path = NULL, *lock = NULL, *waiting = NULL;
	struct stat st;

	scratch_file("lock", "");
	cr_assert_eq(fstatat(scratch_fd, "lock", &st, 0), 0);
	cr_assert_gt(asprintf(&waiting, "1: -> FLOCK  ADVISORY  WRITE 12 %02x:%02x:%lu 0 EOF\n",
			      major(st.st_dev), minor(st.st_dev), st.st_ino),
		     0);
	scratch_file("locks", waiting);
	cr_assert_gt(asprintf(&path, "%s/locks", scratch), 0);
	cr_assert_gt(asprintf(&lock, "%s/lock", scratch), 0);
	cr_expect_eq(status_is_locked(path, lock), 0);
	memcpy(waiting, "1:   ", 5);
	scratch_file("locks", waiting);
	cr_expect_eq(status_is_locked(path, lock), 1);
}

Test(status, what_a_dead_daemon_said_is_told_as_that_and_the_kernel_has_the_word)
{
	static const struct sysfs_alias kernel[] = {
		{ .bar = 2, .offset = 0x10000, .size = 4096, .type = VFIO_ALIAS_MEMORY_UC },
		{ .bar = 2, .offset = 0x10000, .size = UINT64_C(1) << 40 }, /* of no type */
	};
	struct status status;

	cr_assert_eq(status_write(scratch_fd, &example), 0);
	cr_assert_eq(status_read(scratch_fd, example.bdf, &status), 0);
	cr_assert_eq(status_disown(&status, STATUS_SERVICE_ENDED, kernel, ARRAY_SIZE(kernel)), 0);
	cr_expect_str_eq(status.state, "unknown");
	cr_expect_str_eq(status.reason, "the daemon has ended; it said last: waiting, BAR 0: busy");
	cr_expect_str_eq(status.aliases[0].state, "unknown");
	cr_expect_str_eq(status.aliases[0].reason, "the daemon has ended; it said last: published");
	cr_expect_str_eq(status.aliases[0].type_in_effect, "other");
	cr_expect_str_eq(status.aliases[0].file, aliases[0].file);
	cr_assert_eq(status_disown(&status, STATUS_SERVICE_UNKNOWN, NULL, 0), 0);
	cr_expect_null(status.aliases[0].type_in_effect);
	cr_expect_null(status.aliases[0].file);
	cr_expect(strstr(status.reason, "whether the daemon runs is not known; it said last: "));
	status_clear(&status);
}
