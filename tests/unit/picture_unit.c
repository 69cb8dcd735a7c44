/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "picture.h"

#include <criterion/criterion.h>

#define K UINT64_C(1024)
#define M (K * K)

/* What @draw prints; to be freed. */
#define DRAWN(draw, ...)                                          \
	({                                                        \
		char *_text = NULL;                               \
		size_t _size;                                     \
		struct picture _p = { .width = 16, __VA_ARGS__ }; \
		_p.stream = open_memstream(&_text, &_size);       \
		const struct picture *p = &_p;                    \
		draw;                                             \
		fclose(_p.stream);                                \
		_text;                                            \
	})

static const struct layout_range ranges[] = {
	{ 0, 64 * K, LAYOUT_UC, NULL },
	{ 64 * K, 64 * K, LAYOUT_WC_SHARED, NULL },
	{ 128 * K, 256 * K, LAYOUT_WC, NULL },
	{ 384 * K, 4 * K, LAYOUT_MSIX, NULL },
	{ 388 * K, M - 388 * K, LAYOUT_PLAIN, NULL },
};

Test(picture, a_cell_is_a_power_of_two_and_at_least_a_page)
{
	static const struct {
		uint64_t length;
		unsigned int width;
		uint64_t cell;
	} cases[] = {
		{ 1, 16, 4 * K },
		{ 4 * K, 16, 4 * K },
		{ 64 * K, 16, 4 * K },
		{ 68 * K, 16, 8 * K },
		{ M, 16, 64 * K },
		{ M, 31, 64 * K },
		{ M, 32, 32 * K },
		{ M, 200, 8 * K },
		{ 16 * M, 64, 256 * K },
		{ UINT64_MAX, 16, UINT64_C(1) << 60 },
		{ UINT64_MAX, 2, UINT64_C(1) << 63 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct picture picture = { .width = cases[i].width };

		cr_expect_eq(picture_cell(&picture, cases[i].length), cases[i].cell, "case %zu", i);
	}
}

Test(picture, each_kind_has_its_cell_and_the_smallest_range_is_not_lost)
{
	_cleanup_free_ char *ascii = DRAWN(picture_ranges(p, M, ranges, ARRAY_SIZE(ranges)), );
	_cleanup_free_ char *unicode =
		DRAWN(picture_ranges(p, M, ranges, ARRAY_SIZE(ranges)), .unicode = true);

	cr_expect_str_eq(ascii, "UwWWWWx.........");
	cr_expect_str_eq(unicode, "▒▓████×░░░░░░░░░");
}

Test(picture, colour_changes_with_the_kind_and_ends)
{
	_cleanup_free_ char *text = DRAWN(picture_ranges(p, 128 * K, ranges, 2), .colour = true);

	/* 16 cells of 8K */
	cr_expect_str_eq(text, "\033[0m\033[33mUUUUUUUU\033[0m\033[32mwwwwwwww\033[0m");
}

Test(picture, a_small_bar_is_one_cell)
{
	static const struct layout_range small = { 0, 256, LAYOUT_PLAIN, NULL };
	_cleanup_free_ char *text = DRAWN(picture_ranges(p, 256, &small, 1), );
	_cleanup_free_ char *none = DRAWN(picture_ranges(p, 256, NULL, 0), );

	cr_expect_str_eq(text, ".");
	cr_expect_str_eq(none, "");
}

Test(picture, what_is_mapped_is_marked)
{
	static const struct picture_part parts[] = {
		{ 0, 4 * K },
		{ 60 * K, 8 * K },     /* of two cells */
		{ M - 1, UINT64_MAX }, /* past the end */
		{ UINT64_MAX, 1 },
		{ 512 * K, 0 } /* nowhere */
	};
	_cleanup_free_ char *ascii = DRAWN(picture_parts(p, M, parts, ARRAY_SIZE(parts)), );
	_cleanup_free_ char *unicode = DRAWN(picture_parts(p, M, parts, 1), .unicode = true);

	cr_expect_str_eq(ascii, "==             =");
	cr_expect_str_eq(unicode, "━               ");
}

Test(picture, every_kind_is_explained)
{
	for (enum layout_kind kind = 0; kind < LAYOUT_KINDS; kind++) {
		_cleanup_free_ char *text = DRAWN(picture_legend(p, kind), );

		cr_expect_gt(strlen(text), 5);
		cr_expect_eq(text[1], ' ');
		cr_expect_eq(text[strlen(text) - 1], '\n');
	}
}
