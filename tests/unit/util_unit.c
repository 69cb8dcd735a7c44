/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>

Test(util, sizes_are_decimal_or_hexadecimal_with_a_binary_suffix)
{
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "0x10000", 0, 65536 },
		{ "0xfF", 0, 255 },
		{ "64K", 0, 65536 },
		{ "0x10K", 0, 16384 },
		{ "16M", 0, UINT64_C(16) << 20 },
		{ "8G", 0, UINT64_C(8) << 30 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "0xffffffffffffffff", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "17179869184G", -ERANGE, 0 },
		{ "99999999999999999999x", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "0xK", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1k", -EINVAL, 0 },
		{ "1KK", -EINVAL, 0 },
		{ "1T", -EINVAL, 0 },
		{ "0X10", -EINVAL, 0 },
		{ "1f", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 42;

		cr_expect_eq(parse_size(cases[i].text, strlen(cases[i].text), &value), cases[i].r,
			     "%s", cases[i].text);
		cr_expect_eq(value, cases[i].r == 0 ? cases[i].value : 42, "%s: %" PRIu64,
			     cases[i].text, value);
	}
}

Test(util, a_formatted_size_is_exact_and_reads_back)
{
	static const struct {
		uint64_t value;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "1" },
		{ 1023, "1023" },
		{ 4096, "4K" },
		{ 4097, "4097" },
		{ UINT64_C(16) << 20, "16M" },
		{ UINT64_C(4) << 40, "4096G" },
		{ UINT64_MAX, "18446744073709551615" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buffer[FORMAT_SIZE_MAX];
		uint64_t value;

		cr_expect_str_eq(format_size(buffer, cases[i].value), cases[i].text);
		cr_expect_eq(parse_size(buffer, strlen(buffer), &value), 0);
		cr_expect_eq(value, cases[i].value);
	}
}

Test(util, foreign_text_in_a_message_is_printable_and_short)
{
	_cleanup_free_ char *text = printable("2:wc\n\033[31m\xff", 11);
	_cleanup_free_ char *whole = NULL, *cut = NULL;
	char many[81];

	cr_expect_str_eq(text, "2:wc??[31m?");
	memset(many, 'x', sizeof(many));
	whole = printable(many, 80);
	cr_expect_eq(strlen(whole), 80);
	cut = printable(many, 81);
	cr_expect_eq(strlen(cut), 83);
	cr_expect_str_eq(cut + 80, "...");
}

Test(util, a_file_that_does_not_end_is_refused)
{
	char *text = NULL;

	cr_expect_eq(read_file_at(AT_FDCWD, "/dev/zero", &text), -EFBIG);
	cr_expect_null(text);
}
