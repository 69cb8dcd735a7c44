/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An IOMMU group: who has it. Either one process has a group's devices, or nobody. */
#ifndef SHIM_GROUP_H
#define SHIM_GROUP_H

#include "holder.h"
#include "vfio.h"

/*
 * Finds a process that has the group of a device open, or, by its own character device, any
 * device of the group; or, if the device is not with VFIO, one that waits to be unbound.
 * @fd: the device's directory, by sysfs_open_device()
 * @except: @n processes that are not meant
 * @ret_path: what it has open, fit for a message
 * Returns 0, -ENOENT if there is none or none that can be seen, or -errno.
 */
int group_find_user(int fd, const pid_t except[], size_t n, struct holder *ret,
		    char ret_path[static VFIO_PATH_SIZE]);

#endif
