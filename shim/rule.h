/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules files that "vfio-alias mark" writes: one for each device, or for each kind of
 * device, see udev(7). That of a device sorts behind that of its kind, and so wins.
 */
#ifndef SHIM_RULE_H
#define SHIM_RULE_H

#include "mark.h"

#define RULE_DIRECTORY "/etc/udev/rules.d"
#define RULE_RUNTIME_DIRECTORY "/run/udev/rules.d" /* until the next boot */

/* What a rule marks. */
struct rule_target {
	bool by_ids;
	char bdf[PCI_BDF_SIZE];	 /* unless by_ids */
	uint16_t vendor, device; /* if by_ids */
};

/*
 * Reads BDF, as pci_parse_bdf() does, or VENDOR:DEVICE, four hexadecimal digits each.
 * Returns 0 or -EINVAL.
 */
int rule_parse_target(const char *text, struct rule_target *ret);

#define RULE_TARGET_SIZE PCI_BDF_SIZE /* "ffff:ffff" is shorter */

/* Writes it as rule_parse_target() reads it. Returns @buffer. */
const char *rule_format_target(char buffer[static RULE_TARGET_SIZE],
			       const struct rule_target *target);

#define RULE_NAME_SIZE sizeof("81-vfio-alias-00000000:00:00.0.rules")

/* The name of the file. Returns @buffer. */
const char *rule_name(char buffer[static RULE_NAME_SIZE], const struct rule_target *target);

/*
 * The longest value of a property, in bytes: udev ignores the assignment of a longer one
 * (UDEV_NAME_SIZE in udev-rules.c), and goes on with the others of the rule.
 */
#define RULE_VALUE_MAX ((size_t)511)

/*
 * The text of the file. It sets all properties of a mark, so that none is left of a rule
 * before it.
 * @ret_message: on -EINVAL, which value cannot be in a rule, and why; to be freed
 * Returns 0 and a string to be freed, -EINVAL, or -ENOMEM.
 */
int rule_format(const struct rule_target *target, const struct mark_text *mark, char **ret,
		char **ret_message);

/*
 * Puts a file @name with that text into @directory, which is made if it is not there. A file
 * that is there is replaced as a whole, and what is there after a crash, or after two that
 * write at once, is one or the other.
 * Returns 0 or -errno.
 */
int rule_write(const char *directory, const char *name, const char *text);

/* Returns 0, -ENOENT without such a file, or -errno. */
int rule_remove(const char *directory, const char *name);

#endif
