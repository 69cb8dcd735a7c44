/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything below /sys: a PCI device's directory and the PCI bus's files, as
 * Documentation/ABI/testing/sysfs-bus-pci and sysfs-kernel-iommu_groups describe them.
 *
 * @fd is a device's directory, by sysfs_open_device(). All return 0 or more, or -errno.
 */
#ifndef SHIM_SYSFS_H
#define SHIM_SYSFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pci.h"

#define SYSFS_PCI_DEVICES "/sys/bus/pci/devices"

/* @bdf: pci_bdf_valid(). Returns the directory's descriptor; -ENOENT without such a device. */
int sysfs_open_device(const char *bdf);

/* The lengths and kinds of a device's BARs. */
int sysfs_read_bars(int fd, struct pci_bar ret[static PCI_BARS]);

/* The name of the driver that has the device, to be freed; NULL if none has. */
int sysfs_driver(int fd, char **ret);

/* Whether the driver that has the device is one of VFIO's, vfio-pci or a variant. */
bool sysfs_has_vfio(int fd);

/* Which driver alone may bind to the device, to be freed; NULL if any may. */
int sysfs_driver_override(int fd, char **ret);

/* @driver: NULL to let any bind to it again */
int sysfs_set_driver_override(int fd, const char *driver);

/* Takes the device from its driver. Returns once the driver has let go of it. */
int sysfs_unbind(int fd, const char *bdf);

/* Offers the device to the drivers. That none takes it need not be an error. */
int sysfs_probe(const char *bdf);

/* The number of the device's IOMMU group; -ENOENT if it has none. */
int sysfs_iommu_group(int fd, unsigned int *ret);

#define SYSFS_NOIOMMU_MODE "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

/* Whether VFIO takes devices without an IOMMU: 1 or 0, or -ENOENT if this kernel's cannot. */
int sysfs_noiommu_mode(void);

/* Whether that group is one that VFIO has made for a device without an IOMMU. */
bool sysfs_iommu_group_is_noiommu(int fd);

/*
 * The name of the device's own character device, "vfioN", to be freed; -ENOENT if it has none
 * (Documentation/ABI/testing/sysfs-devices-vfio-dev).
 */
int sysfs_vfio_cdev(int fd, char **ret);

/*
 * Finds a device of the same IOMMU group whose driver keeps VFIO out of it.
 * @ret_bdf, @ret_driver: to be freed
 * Returns 0, or -ENOENT if there is none.
 */
int sysfs_iommu_group_obstacle(int fd, char **ret_bdf, char **ret_driver);

#define SYSFS_BAR_FILE_SIZE sizeof("resource0_wc")

/* The name of the file that shows a BAR, "resourceN" or "resourceN_wc". Returns @buffer. */
const char *sysfs_bar_file(char buffer[static SYSFS_BAR_FILE_SIZE], unsigned int bar, bool wc);

/* A descriptor to watch the file @name of the device by, without opening it. */
int sysfs_open_path(int fd, const char *name);

/* Gives the file @name of the device an owner, a group and a mode. -ENOENT without it. */
int sysfs_set_access(int fd, const char *name, uid_t owner, gid_t group, mode_t mode);

#endif
