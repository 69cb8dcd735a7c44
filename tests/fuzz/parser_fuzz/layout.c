/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ranges of a BAR, of numbers that the kernel tells, and the picture of them. An input is how
 * the picture is to be, the BAR, the configuration space behind its length, and aliases.
 */
#include "layout.h"

#include <linux/vfio_alias.h>

#include "fuzz.h"
#include "picture.h"

#define ALIASES_MAX 8

struct bar {
	struct pci_bar bar;
	unsigned int index;
	struct pci_msix msix;
	bool has_msix;
	struct sysfs_alias aliases[ALIASES_MAX];
	size_t n;
};

static uint64_t take_u64(struct input *input)
{
	uint64_t value;

	take_bytes(input, &value, sizeof(value));
	return value;
}

/* Mostly a multiple of the page size, as all numbers of an alias are. */
static uint64_t take_length(struct input *input)
{
	uint8_t byte = take_byte(input);

	return byte < 0xf0 ? (uint64_t)byte * page_size() : take_u64(input);
}

static void check_msix(struct input *input, struct bar *bar)
{
	_cleanup_free_ uint8_t *config = NULL;
	struct pci_msix msix = { .bar = 4711 };
	uint16_t length;
	size_t left;
	int r;

	take_bytes(input, &length, sizeof(length));
	left = (size_t)(input->end - input->p);
	length %= PCI_CONFIG_SIZE + 1;
	if (length > left)
		length = (uint16_t)left;
	config = malloc(length ?: 1);
	check(config);
	take_bytes(input, config, length);
	r = pci_find_msix(config, length, &msix);
	bar->has_msix = r == 0;
	if (r < 0) {
		check(r == -ENOENT || r == -ENODATA || r == -EBADMSG);
		check(r != -ENODATA || length < PCI_CONFIG_SIZE);
		check(msix.bar == 4711);
		return;
	}
	check(msix.bar < PCI_BARS);
	check(msix.offset % 8 == 0 && msix.offset <= UINT32_MAX);
	check(msix.size % 16 == 0 && msix.size >= 16 && msix.size <= 2048 * 16);
	bar->msix = msix;
}

static int compare_aliases(const void *a, const void *b)
{
	const struct sysfs_alias *left = a, *right = b;

	if (left->bar != right->bar)
		return left->bar < right->bar ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static void take_bar(struct input *input, struct bar *bar)
{
	bar->bar.kind = take_byte(input) % 4;
	bar->bar.length = bar->bar.kind == PCI_BAR_NONE ? 0 : (take_length(input) ?: 1);
	bar->index = take_byte(input) % PCI_BARS;
	check_msix(input, bar);
	for (; bar->n < ALIASES_MAX && input->p < input->end; bar->n++) {
		struct sysfs_alias *alias = &bar->aliases[bar->n];
		uint8_t byte = take_byte(input);

		alias->type = byte % 4;
		alias->flags = byte >> 2 & 3;
		alias->bar = byte & 0x80 ? byte >> 4 & 7U : bar->index;
		alias->offset = take_length(input);
		alias->size = take_length(input);
		if (alias->size > UINT64_MAX - alias->offset) /* sysfs_read_aliases() refuses it */
			alias->size = 0;
	}
	if (bar->n > 0)
		qsort(bar->aliases, bar->n, sizeof(*bar->aliases), compare_aliases);
}

/* How many bytes of the BAR are those of an alias, if no two meet; else of one at least. */
static uint64_t claimed(const struct bar *bar)
{
	uint64_t sum = 0, end = 0;

	for (size_t i = 0; i < bar->n; i++) {
		const struct sysfs_alias *alias = &bar->aliases[i];
		uint64_t from = alias->offset > end ? alias->offset : end,
			 to = alias->offset + alias->size;

		if (alias->bar != bar->index)
			continue;
		if (to > bar->bar.length)
			to = bar->bar.length;
		if (from >= to)
			continue;
		sum += to - from;
		end = to;
	}
	return sum;
}

static void check_range(const struct bar *bar, const struct layout_range *range)
{
	const struct sysfs_alias *alias = range->alias;
	uint64_t page = page_size();

	check(range->size > 0);
	check((bar->bar.kind == PCI_BAR_MEMORY) == (range->kind != LAYOUT_UNMAPPABLE));
	check(!alias == (range->kind == LAYOUT_PLAIN || range->kind == LAYOUT_MSIX ||
			 range->kind == LAYOUT_UNMAPPABLE));
	if (alias) {
		check(alias->bar == bar->index);
		check(range->offset >= alias->offset &&
		      range->offset + range->size <= alias->offset + alias->size);
		check((range->kind == LAYOUT_WC || range->kind == LAYOUT_WC_SHARED) ==
		      (alias->type == VFIO_ALIAS_MEMORY_WC));
	}
	if (range->kind == LAYOUT_MSIX) {
		check(bar->has_msix && bar->msix.bar == bar->index);
		check(range->offset + page > bar->msix.offset);
		check(range->offset + range->size < bar->msix.offset + bar->msix.size + page);
	}
}

static void check_ranges(const struct bar *bar, const struct layout_range *ranges, size_t n)
{
	uint64_t end = 0, of_aliases = 0;

	for (size_t i = 0; i < n; i++) {
		check(ranges[i].offset == end);
		check(ranges[i].size <= bar->bar.length - end);
		end += ranges[i].size;
		if (ranges[i].alias)
			of_aliases += ranges[i].size;
		check_range(bar, &ranges[i]);
	}
	check(end == bar->bar.length);
	check(of_aliases == (bar->bar.kind == PCI_BAR_MEMORY ? claimed(bar) : 0));
}

/* Each row is as wide as the BAR is. */
static void check_pictures(struct picture *picture, const struct bar *bar,
			   const struct layout_range *ranges, size_t n)
{
	_cleanup_free_ char *text = NULL;
	struct picture_part parts[ALIASES_MAX];
	uint64_t cell, cells;
	size_t size;

	cell = picture_cell(picture, bar->bar.length);
	cells = (bar->bar.length - 1) / cell + 1;
	check(cell >= page_size() && cells <= picture->width);
	check(cell == page_size() || cells > picture->width / 2);
	for (size_t i = 0; i < bar->n; i++) /* of what processes map, nobody checks the sense */
		parts[i] = (struct picture_part){ bar->aliases[i].offset, bar->aliases[i].size };

	picture->stream = open_memstream(&text, &size);
	check(picture->stream);
	picture_ranges(picture, bar->bar.length, ranges, n);
	check(fflush(picture->stream) == 0 && size == cells);
	check(strspn(text, ".WwUu?x") == size);
	picture_parts(picture, bar->bar.length, parts, bar->n);
	check(fclose(picture->stream) == 0 && size == 2 * cells);
	check(strspn(text + cells, "= ") == cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	struct picture picture = { .width = 2U + take_byte(&input) };
	_cleanup_free_ struct layout_range *ranges = NULL;
	struct bar bar = {};
	size_t n = 4711;

	take_bar(&input, &bar);
	check(layout_of_bar(&bar.bar, bar.index, bar.has_msix ? &bar.msix : NULL, bar.aliases,
			    bar.n, &ranges, &n) == 0);
	check_ranges(&bar, ranges, n);
	if (bar.bar.kind != PCI_BAR_NONE)
		check_pictures(&picture, &bar, ranges, n);
	return 0;
}
