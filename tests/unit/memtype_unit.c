/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memtype.h"

#include <criterion/criterion.h>

#include "util.h"

static const char list[] = "PAT memtype list:\n"
			   "PAT: [mem 0x00000000fd000000-0x00000000fd010000] uncached-minus\n"
			   "PAT: [mem 0x00000000fd010000-0x00000000fd110000] write-combining\n"
			   "PAT: [mem 0x00000000fd010000-0x00000000fd020000] write-combining\n"
			   "PAT: [mem 0x00000000fd110000-0x00000000fd200000] write-combining\n"
			   "PAT: [mem 0x00000000fd300000-0x00000000fd301000] write-combining\n"
			   "PAT: [mem 0x000000e000000000-0x000000e100000000] write-combining\n"
			   "PAT: [mem 0xe2-0xe1 write-combining\n"
			   "PAT: [mem 0x00000000ff000000-0x00000000ff001000]\n"
			   "\n";

static int find(const char *text, uint64_t start, uint64_t length,
		char type[static MEMTYPE_NAME_SIZE])
{
	_cleanup_fclose_ FILE *stream = fmemopen((void *)text, strlen(text), "r");

	return memtype_find(stream, start, length, type);
}

Test(memtype, a_range_has_the_type_of_what_covers_it)
{
	char type[MEMTYPE_NAME_SIZE];

	cr_assert_eq(find(list, 0xfd000000, 0x10000, type), 0);
	cr_expect_str_eq(type, "uncached-minus");
	cr_assert_eq(find(list, 0xfd010000, 0x1000, type), 0);
	cr_expect_str_eq(type, "write-combining");
	cr_assert_eq(find(list, 0xe000000000, 0x100000000, type), 0);
	cr_expect_str_eq(type, "write-combining");
}

Test(memtype, ranges_side_by_side_cover_one_across_them)
{
	char type[MEMTYPE_NAME_SIZE];

	cr_assert_eq(find(list, 0xfd010000, 0x1f0000, type), 0);
	cr_expect_str_eq(type, "write-combining");
}

Test(memtype, a_part_that_is_not_recorded_or_is_otherwise_is_told)
{
	char type[MEMTYPE_NAME_SIZE];

	cr_expect_eq(find(list, 0xfd010000, 0x2f1000, type), -ENOENT); /* a gap */
	cr_expect_eq(find(list, 0xfd1ff000, 0x2000, type), -ENOENT);   /* behind */
	cr_expect_eq(find(list, 0xfd2ff000, 0x2000, type), -ENOENT);   /* before */
	cr_expect_eq(find(list, 0xfe000000, 0x1000, type), -ENOENT);   /* all of it */
	cr_expect_eq(find(list, 0xfd00f000, 0x2000, type), -ENOTUNIQ);
	cr_expect_eq(find(list, 0xff000000, 0x1000, type), -ENOENT); /* without a type */
	cr_expect_eq(find("PAT", 0xff000000, 0x1000, type), -ENOENT);
}
