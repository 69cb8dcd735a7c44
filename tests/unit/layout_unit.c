/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "layout.h"

#include <criterion/criterion.h>
#include <linux/vfio_alias.h>

#define K UINT64_C(1024)
#define M (K * K)

static const struct pci_bar memory = { .kind = PCI_BAR_MEMORY, .length = M };

struct expected {
	uint64_t offset, size;
	enum layout_kind kind;
};

static void expect_layout(const struct pci_bar *bar, const struct pci_msix *msix,
			  const struct sysfs_alias *aliases, size_t n,
			  const struct expected *expected, size_t n_expected)
{
	_cleanup_free_ struct layout_range *ranges = NULL;
	size_t n_ranges;

	cr_assert_eq(layout_of_bar(bar, 2, msix, aliases, n, &ranges, &n_ranges), 0);
	cr_assert_eq(n_ranges, n_expected, "%zu ranges and not %zu", n_ranges, n_expected);
	for (size_t i = 0; i < n_ranges; i++) {
		cr_expect_eq(ranges[i].offset, expected[i].offset, "range %zu", i);
		cr_expect_eq(ranges[i].size, expected[i].size, "range %zu", i);
		cr_expect_eq(ranges[i].kind, expected[i].kind, "range %zu", i);
	}
}

#define EXPECT(bar, msix, aliases, n, ...)                                             \
	expect_layout(bar, msix, aliases, n, (const struct expected[]){ __VA_ARGS__ }, \
		      ARRAY_SIZE(((const struct expected[]){ __VA_ARGS__ })))

Test(layout, a_bar_without_anything_is_one_range)
{
	static const struct pci_bar small = { .kind = PCI_BAR_MEMORY, .length = 256 };

	EXPECT(&memory, NULL, NULL, 0, { 0, M, LAYOUT_PLAIN });
	EXPECT(&small, NULL, NULL, 0, { 0, 256, LAYOUT_PLAIN });
}

Test(layout, what_cannot_be_mapped_is_told)
{
	static const struct pci_bar ports = { .kind = PCI_BAR_IO, .length = 64 },
				    unassigned = { .kind = PCI_BAR_UNASSIGNED, .length = M },
				    none = {};
	_cleanup_free_ struct layout_range *ranges = NULL;
	size_t n;

	EXPECT(&ports, NULL, NULL, 0, { 0, 64, LAYOUT_UNMAPPABLE });
	EXPECT(&unassigned, NULL, NULL, 0, { 0, M, LAYOUT_UNMAPPABLE });
	cr_assert_eq(layout_of_bar(&none, 2, NULL, NULL, 0, &ranges, &n), 0);
	cr_expect_eq(n, 0);
}

Test(layout, aliases_and_what_is_between_them)
{
	static const struct sysfs_alias aliases[] = {
		{ .bar = 0, .size = M, .type = VFIO_ALIAS_MEMORY_WC },
		{ .bar = 2, .offset = 0, .size = 64 * K, .type = VFIO_ALIAS_MEMORY_UC },
		{ .bar = 2,
		  .offset = 64 * K,
		  .size = 4 * K,
		  .type = VFIO_ALIAS_MEMORY_WC,
		  .flags = VFIO_ALIAS_FLAG_SHARED | VFIO_ALIAS_FLAG_SYSFS },
		{ .bar = 2, .offset = 128 * K, .size = 4 * K, .type = VFIO_ALIAS_MEMORY_WC },
		{ .bar = 2,
		  .offset = 132 * K,
		  .size = 4 * K,
		  .type = VFIO_ALIAS_MEMORY_UC,
		  .flags = VFIO_ALIAS_FLAG_SHARED },
		{ .bar = 2, .offset = 136 * K, .size = M - 136 * K, .type = 0 },
	};
	_cleanup_free_ struct layout_range *ranges = NULL;
	size_t n;

	EXPECT(&memory, NULL, aliases, ARRAY_SIZE(aliases), { 0, 64 * K, LAYOUT_UC },
	       { 64 * K, 4 * K, LAYOUT_WC_SHARED }, { 68 * K, 60 * K, LAYOUT_PLAIN },
	       { 128 * K, 4 * K, LAYOUT_WC }, { 132 * K, 4 * K, LAYOUT_UC_SHARED },
	       { 136 * K, M - 136 * K, LAYOUT_OTHER });
	cr_assert_eq(layout_of_bar(&memory, 2, NULL, aliases, ARRAY_SIZE(aliases), &ranges, &n), 0);
	cr_expect_eq(ranges[0].alias, &aliases[1]);
	cr_expect_null(ranges[2].alias);
}

Test(layout, the_msix_table_has_whole_pages)
{
	static const struct pci_msix inside = { .bar = 2, .offset = 8 * K + 16, .size = 4 * K },
				     at_end = { .bar = 2, .offset = M - 32, .size = 32 },
				     at_start = { .bar = 2, .size = 16 },
				     elsewhere = { .bar = 4, .offset = 8 * K, .size = 4 * K },
				     outside = { .bar = 2, .offset = 2 * M, .size = 4 * K };
	static const struct sysfs_alias alias = {
		.bar = 2, .offset = 64 * K, .size = 64 * K, .type = VFIO_ALIAS_MEMORY_WC
	};

	EXPECT(&memory, &inside, &alias, 1, { 0, 8 * K, LAYOUT_PLAIN },
	       { 8 * K, 8 * K, LAYOUT_MSIX }, { 16 * K, 48 * K, LAYOUT_PLAIN },
	       { 64 * K, 64 * K, LAYOUT_WC }, { 128 * K, M - 128 * K, LAYOUT_PLAIN });
	EXPECT(&memory, &at_end, &alias, 1, { 0, 64 * K, LAYOUT_PLAIN },
	       { 64 * K, 64 * K, LAYOUT_WC }, { 128 * K, M - 132 * K, LAYOUT_PLAIN },
	       { M - 4 * K, 4 * K, LAYOUT_MSIX });
	EXPECT(&memory, &at_start, NULL, 0, { 0, 4 * K, LAYOUT_MSIX },
	       { 4 * K, M - 4 * K, LAYOUT_PLAIN });
	EXPECT(&memory, &elsewhere, NULL, 0, { 0, M, LAYOUT_PLAIN });
	EXPECT(&memory, &outside, NULL, 0, { 0, M, LAYOUT_PLAIN });
}

/* What sysfs says is not to be relied on: ranges stay in the BAR, in order and without gaps. */
Test(layout, aliases_without_sense_do_not_break_the_order)
{
	static const struct sysfs_alias aliases[] = {
		{ .bar = 2, .offset = 4 * K, .size = 8 * K, .type = VFIO_ALIAS_MEMORY_WC },
		{ .bar = 2, .offset = 8 * K, .size = 8 * K, .type = VFIO_ALIAS_MEMORY_UC },
		{ .bar = 2, .offset = 9 * K, .size = 0, .type = VFIO_ALIAS_MEMORY_UC },
		{ .bar = 2,
		  .offset = 32 * K,
		  .size = UINT64_MAX - 32 * K,
		  .type = VFIO_ALIAS_MEMORY_WC },
		{ .bar = 2,
		  .offset = UINT64_MAX,
		  .size = UINT64_MAX,
		  .type = VFIO_ALIAS_MEMORY_WC },
	};

	EXPECT(&memory, NULL, aliases, ARRAY_SIZE(aliases), { 0, 4 * K, LAYOUT_PLAIN },
	       { 4 * K, 8 * K, LAYOUT_WC }, { 12 * K, 4 * K, LAYOUT_UC },
	       { 16 * K, 16 * K, LAYOUT_PLAIN }, { 32 * K, M - 32 * K, LAYOUT_WC });
}
