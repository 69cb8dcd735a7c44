/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which rule marks a device, as far as its text tells: for a message. Whether udev applies it
 * depends on conditions that only udev can evaluate.
 */
#ifndef SHIM_UDEV_RULES_H
#define SHIM_UDEV_RULES_H

#include <stdio.h>

#include "pci.h"

/* How a rule can name a device. */
struct udev_rules_device {
	char bdf[PCI_BDF_SIZE];
	uint16_t vendor, device;
};

/*
 * Finds the last rule that sets VFIO_ALIAS and has in its text the device's address, or its
 * vendor and device in four hexadecimal digits each: a later one replaces what an earlier one
 * has set.
 * @ret_line: its (first) line, counted from 1
 * Returns 0, -ENOENT if there is none, or another -errno if they cannot be read.
 */
int udev_rules_find(FILE *rules, const struct udev_rules_device *device, unsigned int *ret_line);

/*
 * Looks likewise through the files of udev's directories of rules, in the order in which udev
 * reads them: by their names, of which the one in the first directory counts; see udev(7).
 * @root: "" or the directory in place of /
 * @ret_where: "FILE:LINE", to be freed
 * Returns 0, -ENOENT if there is no such rule, or another -errno: -EACCES, for one, if the last
 * one could be in a file that the caller may not read.
 */
int udev_rules_search(const char *root, const struct udev_rules_device *device, char **ret_where);

#endif
