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
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "pci.h"

#define SYSFS_PCI_DEVICES "/sys/bus/pci/devices"

/* @bdf: pci_bdf_valid(). Returns the directory's descriptor; -ENOENT without such a device. */
int sysfs_open_device(const char *bdf);

/* The addresses of all PCI devices, to be freed; in no order. */
int sysfs_list_devices(char (**ret)[PCI_BDF_SIZE], size_t *ret_n);

/* The ids that the device was made with: vendor and device. */
int sysfs_read_ids(int fd, uint16_t *ret_vendor, uint16_t *ret_device);

/* Where the MSI-X table is; errors as pci_find_msix(). -ENODATA if the caller may not see it. */
int sysfs_find_msix(int fd, struct pci_msix *ret);

/*
 * The power state that the kernel knows the device to be in, "D0" for example, to be freed
 * (Documentation/ABI/testing/sysfs-bus-pci). Without a driver it can be "unknown".
 */
int sysfs_power_state(int fd, char **ret);

/*
 * Whether the device answers to the addresses of its BARs of memory, by PCI_COMMAND: 1 or 0, or
 * -ENODATA if that is not shown.
 */
int sysfs_decodes_memory(int fd);

/* Has the kernel send an event "change" of the device; @uuid comes back in it as SYNTH_UUID. */
int sysfs_trigger(int fd, const char *uuid);

/* An alias region, as the kernel tells of it: aliases/INDEX/ of the VFIO device. */
struct sysfs_alias {
	unsigned int index; /* region index */
	unsigned int bar;
	uint64_t offset;   /* bytes from the BAR's start */
	uint64_t size;	   /* bytes */
	uint32_t type;	   /* VFIO_ALIAS_MEMORY_x in effect; 0 if it is not what was asked for */
	uint32_t flags;	   /* VFIO_ALIAS_FLAG_x */
	uint64_t mappings; /* live ones, or SYSFS_MAPPINGS_UNSEEN: the kernel tells root */
};

#define SYSFS_MAPPINGS_UNSEEN UINT64_MAX

/*
 * Reads them, in the order of BARs and offsets.
 * @ret: to be freed
 * Returns 0, -ENOENT if the device is not VFIO's, -EBADMSG for an answer without sense. One
 * that goes away meanwhile is left out.
 */
int sysfs_read_aliases(int fd, struct sysfs_alias **ret, size_t *ret_n);

/* The name of the device's VFIO device, "vfio0" for example, to be freed; -ENOENT without it. */
int sysfs_vfio_name(int fd, char **ret);

/* The lengths and kinds of a device's BARs. */
int sysfs_read_bars(int fd, struct pci_bar ret[static PCI_BARS]);

/* The name of the driver that has the device, to be freed; NULL if none has. */
int sysfs_driver(int fd, char **ret);

/*
 * A disk or a network interface that the device carries, itself or by what is behind it, to be
 * freed; -ENOENT if there is none. An interface that was moved to another network namespace is
 * not seen.
 */
int sysfs_find_carried(int fd, char **ret);

/* Whether the device has virtual functions (Documentation/ABI/testing/sysfs-bus-pci, virtfnN). */
bool sysfs_has_vfs(int fd);

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

/*
 * The name of the device's own character device, "vfioN", to be freed; -ENOENT if it has none
 * (Documentation/ABI/testing/sysfs-devices-vfio-dev).
 */
int sysfs_vfio_cdev(int fd, char **ret);

/*
 * Whether VFIO has the device's IOMMU group: a device of it is bound to VFIO, or being unbound.
 * Where the kernel's VFIO has no groups (CONFIG_VFIO_GROUP), it may have.
 */
bool sysfs_group_has_vfio(int fd);

/*
 * Finds a device of the same IOMMU group whose driver keeps VFIO out of it.
 * @except: the address of the device itself, whose driver is not meant
 * @ret_bdf, @ret_driver: to be freed
 * Returns 0, or -ENOENT if there is none.
 */
int sysfs_iommu_group_obstacle(int fd, const char *except, char **ret_bdf, char **ret_driver);

#define SYSFS_CDEV_SIZE sizeof("vfio4294967295")

/*
 * Lists the character devices of all devices of the IOMMU group, "vfioN" each.
 * @ret: to be freed
 */
int sysfs_list_group_cdevs(int fd, char (**ret)[SYSFS_CDEV_SIZE], size_t *ret_n);

/*
 * Lists the other devices of the IOMMU group, each with its driver, for a message.
 * @bdf: of the device itself
 * @ret: to be freed; empty if it is alone
 */
int sysfs_describe_group(int fd, const char *bdf, char **ret);

/* Whether the device's IOMMU group is one that VFIO has made for no-IOMMU mode. */
bool sysfs_group_is_noiommu(int fd);

/*
 * How far the kernel is locked down, "none" if it is not, to be freed; -ENOENT if it cannot be,
 * -ENODATA if securityfs, which tells, is not mounted.
 */
int sysfs_lockdown(char **ret);

enum sysfs_iommu {
	SYSFS_IOMMU_NONE,
	SYSFS_IOMMU_INTEL, /* VT-d */
	SYSFS_IOMMU_AMD,   /* AMD-Vi */
};

/* The IOMMU that the firmware describes, by its ACPI table DMAR or IVRS. */
enum sysfs_iommu sysfs_firmware_iommu(void);

/* Opens the kernel's record of memory types, see memtype.h. -ENOENT without debugfs or PAT. */
int sysfs_open_memtypes(FILE **ret);

#define SYSFS_BAR_FILE_SIZE sizeof("resource0_wc")

/* The name of the file that shows a BAR, "resourceN" or "resourceN_wc". Returns @buffer. */
const char *sysfs_bar_file(char buffer[static SYSFS_BAR_FILE_SIZE], unsigned int bar, bool wc);

/* The inode of that file, as in /proc/PID/maps; 0 without it. */
ino_t sysfs_bar_inode(int fd, unsigned int bar, bool wc);

/* A descriptor to watch the file @name of the device by, without opening it. */
int sysfs_open_path(int fd, const char *name);

/* Gives the file @name of the device an owner, a group and a mode. -ENOENT without it. */
int sysfs_set_access(int fd, const char *name, uid_t owner, gid_t group, mode_t mode);

#endif
