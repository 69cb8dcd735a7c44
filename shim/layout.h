/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the pages of a BAR are, range by range. */
#ifndef SHIM_LAYOUT_H
#define SHIM_LAYOUT_H

#include "pci.h"
#include "sysfs.h"
#include "util.h"

enum layout_kind {
	LAYOUT_PLAIN, /* no alias: uncached, in VFIO's own mapping */
	LAYOUT_WC,
	LAYOUT_WC_SHARED, /* the BAR's own VFIO region may map it as well */
	LAYOUT_UC,
	LAYOUT_UC_SHARED,
	LAYOUT_OTHER,	   /* an alias whose type in effect is not what was asked for */
	LAYOUT_MSIX,	   /* pages of the MSI-X table: no alias is possible */
	LAYOUT_UNMAPPABLE, /* the kernel has no address for the BAR, or it is I/O ports */
	LAYOUT_KINDS,
};

struct layout_range {
	uint64_t offset; /* bytes from the BAR's start */
	uint64_t size;	 /* bytes, more than 0 */
	enum layout_kind kind;
	const struct sysfs_alias *alias; /* NULL if it is none */
};

/*
 * Divides BAR @index into ranges, in their order and without gaps.
 * @msix: NULL if there is no table or it cannot be seen
 * @aliases: of all BARs, in the order of sysfs_read_aliases(); @ret points to them
 * @ret: to be freed; none for a BAR that is not there
 * Returns 0 or -ENOMEM.
 */
int layout_of_bar(const struct pci_bar *bar, unsigned int index, const struct pci_msix *msix,
		  const struct sysfs_alias *aliases, size_t n, struct layout_range **ret,
		  size_t *ret_n);

#endif
