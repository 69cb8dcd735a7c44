/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process has a BAR mapped, by /proc/PID/maps, or a device open, by /proc/PID/fd. */
#ifndef SHIM_HOLDER_H
#define SHIM_HOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pci.h"

struct holder {
	pid_t pid;
	char name[16]; /* of the process; fit for a message */
	char file[16]; /* that is mapped, "resourceN" or "resourceN_wc"; else "" */
};

/*
 * Finds a process that has a character device open, by the device's number: whatever path it was
 * opened by.
 * @proc: "/proc"
 * @path: of its node
 * @except: @n processes that are not meant
 * Returns 0, -ENOENT if there is none or none that can be seen, or -errno.
 */
int holder_find_open(const char *proc, const char *path, const pid_t except[], size_t n,
		     struct holder *ret);

/*
 * Likewise one whose node is gone, and whose number tells nothing any more.
 * @head: how its path went on behind /dev, up to the digits at its end: "/vfio/devices/vfio"
 */
int holder_find_open_unlinked(const char *proc, const char *head, const pid_t except[], size_t n,
			      struct holder *ret);

/* A part of a BAR that a process has mapped, by whatever means. */
struct holder_mapping {
	pid_t pid;
	char name[16]; /* of the process; fit for a message */
	/* "resourceN", "resourceN_wc", or the VFIO device, "vfioN" for example */
	char file[32];
	unsigned int bar;
	uint64_t offset; /* bytes from the BAR's start */
	uint64_t size;	 /* bytes */
};

/* The device whose mappings are wanted. */
struct holder_device {
	const char *bdf;
	const char *vfio_name; /* sysfs_vfio_name(), or NULL */
	struct pci_bar bars[PCI_BARS];
};

/* A range of a BAR that is to have an alias. */
struct holder_claim {
	unsigned int bar;
	bool wc;	 /* else uncached */
	uint64_t offset; /* bytes from the BAR's start */
	uint64_t length; /* bytes */
	/* sysfs_bar_inode() of "resourceN" and of "resourceN_wc" */
	ino_t inodes[2];
	/*
	 * Write-combining mappings of the rest of the BAR count, too. The kernel maps that
	 * uncached, but takes the pages of those away when it requests the BAR. It does not if it
	 * lets anybody map what a driver has requested (iomem=relaxed, or without
	 * CONFIG_IO_STRICT_DEVMEM).
	 */
	bool rest;
};

/*
 * Finds a process whose mapping keeps the kernel from making an alias, for it has another memory
 * type.
 *
 * The file may have been opened by whatever path: the last two components of what the kernel shows
 * are compared, and the inode, so that no other file of that name is meant. The device of the
 * inode is not compared: sysfs has one for each network namespace. So a process can still pass
 * for one that is in the way, if it has a file system whose inodes it numbers itself.
 * @proc: "/proc"
 * @device: its BARs are known
 * Returns 0, -ENOENT if there is none or none that can be seen, or -errno.
 */
int holder_find_mapping(const char *proc, const struct holder_device *device,
			const struct holder_claim *claim, struct holder *ret);

struct holder_list {
	struct holder_mapping *mappings; /* those of a process are together; to be freed */
	size_t n;
	/* Processes that have mapped a VFIO device by its group: the kernel does not tell which */
	size_t n_unnamed;
	size_t n_unseen; /* processes that the caller may not look into */
};

/*
 * Finds all mappings of a device.
 * @proc: "/proc"
 * Returns 0 or -errno.
 */
int holder_list(const char *proc, const struct holder_device *device, struct holder_list *ret);

#endif
