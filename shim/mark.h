/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mark: what the udev properties of a device say about its aliases.
 *
 *	VFIO_ALIAS         space-separated items BAR:TYPE[@OFFSET+LENGTH][,shared]
 *	VFIO_ALIAS_BIND    auto (default), force or never
 *	VFIO_ALIAS_OWNER   user, GROUP group (names or numbers) and MODE (octal) of the files
 *	VFIO_ALIAS_NOIOMMU 1 to accept a device without an IOMMU
 *
 * TYPE is wc or uc; OFFSET and LENGTH are bytes, see parse_size(). Without a range an item is
 * for the whole BAR. The grammar's manual is vfio-alias-shim.rules(5).
 */
#ifndef SHIM_MARK_H
#define SHIM_MARK_H

#include <linux/vfio_alias.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pci.h"
#include "util.h"

#define MARK_ITEMS_MAX VFIO_ALIAS_MAX

enum mark_property {
	MARK_ALIAS, /* a device is marked if it has this one */
	MARK_BIND,
	MARK_OWNER,
	MARK_GROUP,
	MARK_MODE,
	MARK_NOIOMMU,
	MARK_PROPERTIES,
};

extern const char *const mark_property_names[MARK_PROPERTIES];

/* The values of the properties as udev has them; NULL for one that is not set. */
struct mark_text {
	char *value[MARK_PROPERTIES];
};

enum mark_bind {
	MARK_BIND_AUTO,	 /* bind the device if no driver has it */
	MARK_BIND_FORCE, /* take it from its driver */
	MARK_BIND_NEVER, /* wait until somebody else has bound it */
};

struct mark_item {
	const char *text; /* as written: a span of the mark's own copy */
	size_t text_length;
	unsigned int bar;
	uint32_t type;	 /* VFIO_ALIAS_MEMORY_x */
	uint64_t offset; /* bytes from the BAR's start */
	uint64_t length; /* bytes; 0 is the whole BAR, until mark_check() puts its length */
	bool shared;
};

struct mark {
	char *text;
	struct mark_item items[MARK_ITEMS_MAX + 1]; /* the last is to name one too many */
	size_t n_items;
	enum mark_bind bind;
	uid_t owner;
	gid_t group;
	mode_t mode;
	bool noiommu;
};

/* Replaces @text by a copy of @from. Returns 0 or -ENOMEM. */
int mark_text_copy(struct mark_text *text, const struct mark_text *from);
bool mark_text_equal(const struct mark_text *a, const struct mark_text *b);
void mark_text_clear(struct mark_text *text);

/*
 * Reads a mark, all or nothing.
 * @text: its value[MARK_ALIAS] is set
 * @ret_message: on -EINVAL what is wrong, where, and what would mend it; to be freed
 * Returns 0 and a mark to be freed, -EINVAL for a mark that is refused, or -errno.
 */
int mark_parse(const struct mark_text *text, struct mark **ret, char **ret_message);

/*
 * Compares a mark with the BARs of its device and puts the length of the BAR where an item
 * is for the whole BAR.
 * Returns as mark_parse() does; the mark is unchanged then.
 */
int mark_check(struct mark *mark, const struct pci_bar bars[static PCI_BARS], char **ret_message);

/*
 * The first item of the mark that meets the pages of the MSI-X table, in which the kernel makes no
 * alias, or NULL.
 * @ret_message: what is wrong, if there is one; to be freed, or NULL for lack of memory
 */
const struct mark_item *mark_find_msix(const struct mark *mark, const struct pci_msix *msix,
				       char **ret_message);

struct mark *mark_free(struct mark *mark);
DEFINE_CLEANUP(struct mark *, mark_free)
#define _cleanup_mark_ _cleanup_(mark_freep)

/* "uc" or "wc", or NULL for what is no VFIO_ALIAS_MEMORY_x. */
const char *mark_type_name(uint32_t type);

#endif
