/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <criterion/criterion.h>
#include <fcntl.h>

#define ID_LENGTH 32

/* The file @path of the source. */
static char *read_source(const char *path)
{
	_cleanup_close_ int top = open(TOP_SRCDIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *text = NULL;

	cr_assert_eq(read_file_at(top, path, &text), 0);
	return text;
}

static const struct log_entry *find_entry(const char *id)
{
	for (size_t i = 0; i < MESSAGES; i++)
		if (strncmp(log_table[i].id, id, ID_LENGTH) == 0)
			return &log_table[i];
	return NULL;
}

Test(log, every_message_has_an_id_of_its_own)
{
	for (size_t i = 0; i < MESSAGES; i++) {
		cr_assert_not_null(log_table[i].id, "%zu", i);
		cr_expect_eq(strspn(log_table[i].id, "0123456789abcdef"), ID_LENGTH);
		cr_expect_eq(strlen(log_table[i].id), ID_LENGTH);
		cr_expect_eq(find_entry(log_table[i].id), &log_table[i], "%zu", i);
	}
}

Test(log, every_message_is_in_the_catalog_and_no_other_is)
{
	_cleanup_free_ char *catalog = read_source("shim/vfio-alias-shim.catalog");
	size_t n = 0;

	for (const char *p = catalog; (p = strstr(p, "\n-- ")); n++) {
		p += strlen("\n-- ");
		cr_expect_not_null(find_entry(p), "%.32s", p);
		cr_expect_eq(strncmp(p + ID_LENGTH, "\nSubject: ", 10), 0, "%.32s", p);
	}
	cr_expect_eq(n, MESSAGES);
	for (size_t i = 0; i < MESSAGES; i++)
		cr_expect_not_null(strstr(catalog, log_table[i].id), "%zu", i);
}

/* @BDF@ and @BAR@ of the catalog are words in the manual. */
static void put_words(char *subject)
{
	static const char *const words[][2] = { { "@BDF@", "BDF" }, { "@BAR@", "N" } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		char *at;

		while ((at = strstr(subject, words[i][0]))) {
			size_t length = strlen(words[i][1]);

			memcpy(at, words[i][1], length);
			memmove(at + length, at + 5, strlen(at + 5) + 1);
		}
	}
}

Test(log, every_message_is_in_the_manual)
{
	_cleanup_free_ char *catalog = read_source("shim/vfio-alias-shim.catalog");
	_cleanup_free_ char *manual = read_source("man/vfio-alias-shim.8");

	for (const char *p = catalog; (p = strstr(p, "\nSubject: "));) {
		_cleanup_free_ char *subject = NULL;
		char heading[256];

		p += strlen("\nSubject: ");
		subject = strndup(p, strcspn(p, "\n"));
		put_words(subject);
		snprintf(heading, sizeof(heading), "\n.TP\n.B %s\n", subject);
		cr_expect_not_null(strstr(manual, heading), "%s", subject);
	}
}

Test(log, a_device_that_flaps_is_limited_and_heard_again)
{
	struct log_limit limit = {};
	const uint64_t begin = 42;

	for (unsigned int i = 0; i < LOG_LIMIT_BURST; i++)
		cr_expect(log_limit_pass(&limit, begin + i));
	for (unsigned int i = 0; i < 1000; i++)
		cr_expect_not(log_limit_pass(&limit, begin + LOG_LIMIT_BURST));
	cr_expect_eq(limit.suppressed, 1000);
	cr_expect_not(log_limit_pass(&limit, begin + LOG_LIMIT_USEC - 1));

	cr_expect(log_limit_pass(&limit, begin + LOG_LIMIT_USEC));
	cr_expect_eq(limit.suppressed, 1001, "it is for the caller to tell and forget");
	for (unsigned int i = 1; i < LOG_LIMIT_BURST; i++)
		cr_expect(log_limit_pass(&limit, begin + LOG_LIMIT_USEC + i));
	cr_expect_not(log_limit_pass(&limit, begin + LOG_LIMIT_USEC * 2 - 1));
}

Test(log, a_message_hands_its_error_on)
{
	struct log_limit limit = {};
	const struct log_about about = { .bdf = "0000:00:10.0", .limit = &limit, .bar = -1 };

	for (unsigned int i = 0; i <= LOG_LIMIT_BURST; i++)
		cr_expect_eq(log_message(MESSAGE_FAILED, -EIO, &about, "%m"), -EIO);
	cr_expect_eq(limit.suppressed, 1);
	cr_expect_eq(log_error(-ENOMEM, "%m"), -ENOMEM);
}

/* A terminal's shell may have got it from the service that started it. */
Test(log, what_is_not_the_journal_is_written_to)
{
	_cleanup_fclose_ FILE *file = tmpfile();
	char line[128] = "";

	cr_assert_eq(setenv("JOURNAL_STREAM", "1:2", true), 0);
	cr_assert_geq(dup2(fileno(file), STDERR_FILENO), 0);
	(void)log_error(-EIO, "cannot: %m");
	rewind(file);
	cr_assert_not_null(fgets(line, sizeof(line), file));
	cr_expect_str_eq(line, "vfio-alias-shim: cannot: Input/output error\n");
}
