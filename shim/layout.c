/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "layout.h"

#include <linux/vfio_alias.h>

struct layout {
	struct layout_range *ranges;
	size_t n;
	uint64_t end; /* of the last */
};

/* What is shown of a range by the kernel ends with the BAR. */
static uint64_t range_end(uint64_t offset, uint64_t size, uint64_t limit)
{
	uint64_t end;

	return __builtin_add_overflow(offset, size, &end) || end > limit ? limit : end;
}

/* Adds what lies between the last range and @end. Returns 0 or -ENOMEM. */
static int extend(struct layout *layout, uint64_t end, enum layout_kind kind,
		  const struct sysfs_alias *alias)
{
	struct layout_range *more;

	if (end <= layout->end)
		return 0;
	more = reallocarray(layout->ranges, layout->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	layout->ranges = more;
	more[layout->n++] = (struct layout_range){
		.offset = layout->end,
		.size = end - layout->end,
		.kind = kind,
		.alias = alias,
	};
	layout->end = end;
	return 0;
}

/* Adds what has no alias up to @end. */
static int extend_unclaimed(struct layout *layout, uint64_t end, const struct pci_msix *msix)
{
	int r;

	if (msix) {
		uint64_t start, past;

		pci_msix_pages(msix, &start, &past);
		r = extend(layout, start < end ? start : end, LAYOUT_PLAIN, NULL);
		if (r < 0)
			return r;
		r = extend(layout, past < end ? past : end, LAYOUT_MSIX, NULL);
		if (r < 0)
			return r;
	}
	return extend(layout, end, LAYOUT_PLAIN, NULL);
}

static enum layout_kind kind_of(const struct sysfs_alias *alias)
{
	bool shared = alias->flags & VFIO_ALIAS_FLAG_SHARED;

	switch (alias->type) {
	case VFIO_ALIAS_MEMORY_WC:
		return shared ? LAYOUT_WC_SHARED : LAYOUT_WC;
	case VFIO_ALIAS_MEMORY_UC:
		return shared ? LAYOUT_UC_SHARED : LAYOUT_UC;
	default:
		return LAYOUT_OTHER;
	}
}

static int divide(struct layout *layout, const struct pci_bar *bar, unsigned int index,
		  const struct pci_msix *msix, const struct sysfs_alias *aliases, size_t n)
{
	int r;

	if (bar->kind == PCI_BAR_NONE)
		return 0;
	if (bar->kind != PCI_BAR_MEMORY)
		return extend(layout, bar->length, LAYOUT_UNMAPPABLE, NULL);

	for (size_t i = 0; i < n; i++) {
		const struct sysfs_alias *alias = &aliases[i];

		if (alias->bar != index)
			continue;
		r = extend_unclaimed(layout, range_end(alias->offset, 0, bar->length), msix);
		if (r < 0)
			return r;
		r = extend(layout, range_end(alias->offset, alias->size, bar->length),
			   kind_of(alias), alias);
		if (r < 0)
			return r;
	}
	return extend_unclaimed(layout, bar->length, msix);
}

int layout_of_bar(const struct pci_bar *bar, unsigned int index, const struct pci_msix *msix,
		  const struct sysfs_alias *aliases, size_t n, struct layout_range **ret,
		  size_t *ret_n)
{
	struct layout layout = {};
	int r;

	r = divide(&layout, bar, index, msix && msix->bar == index ? msix : NULL, aliases, n);
	if (r < 0) {
		free(layout.ranges);
		return r;
	}
	*ret = layout.ranges;
	*ret_n = layout.n;
	return 0;
}
