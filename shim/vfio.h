/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VFIO: every ioctl of <linux/vfio.h> and <linux/vfio_alias.h>.
 *
 * A session is one device's descriptor. Which way it is reached is seen in sysfs:
 *
 *	by the device's own character device, bound to an iommufd, which all sessions share;
 *	by its IOMMU group and a container with the type1 backend, which the devices of a group
 *	share, for it can be opened once only;
 *	likewise without an IOMMU, in no-IOMMU mode.
 *
 * Sessions outlive the daemon by the store.
 */
#ifndef SHIM_VFIO_H
#define SHIM_VFIO_H

#include <linux/vfio.h>
#include <linux/vfio_alias.h>
#include <stddef.h>
#include <stdint.h>

#include "pci.h"
#include "util.h"

struct vfio_owner;
struct vfio_session;

/* Starts as zeroes. */
struct vfio {
	struct vfio_owner *owners; /* the groups and the iommufd that are open */
	bool leaving;		   /* the next run of the daemon goes on with the sessions */
};

/* How to reach a device. */
struct vfio_way {
	const char *cdev;   /* "vfioN", or NULL: by the group */
	unsigned int group; /* of the IOMMU */
	bool noiommu;	    /* the group has none */
};

/* The file that is opened. Returns @buffer. */
#define VFIO_PATH_SIZE 64
const char *vfio_path(char buffer[static VFIO_PATH_SIZE], const struct vfio_way *way);

struct vfio_alias {
	uint32_t index; /* region index; set by the kernel */
	unsigned int bar;
	uint32_t type;	 /* VFIO_ALIAS_MEMORY_x; from the kernel: in effect */
	uint32_t flags;	 /* VFIO_ALIAS_FLAG_x */
	uint64_t offset; /* bytes from the BAR's start */
	uint64_t size;	 /* bytes */
};

/*
 * Opens device @bdf, which resets it where it can be reset; or goes on with the session that
 * the run before has left.
 * Returns 0, or
 *   -EBUSY       another process has the device or its group
 *   -ENOTUNIQ    the group is not viable: a device in it belongs to another driver or process
 *   -EOPNOTSUPP  the IOMMU does not keep the device's interrupts apart
 *   -EPERM       this process may not open the file
 *   -EPROTO      the kernel's VFIO is of another API version or without type1 IOMMUs
 *   -errno       of what failed
 */
int vfio_session_open(struct vfio *vfio, const struct vfio_way *way, const char *bdf,
		      struct vfio_session **ret);

/* Whether the run before has left a session of the device that nobody has gone on with yet. */
bool vfio_session_is_stored(const char *bdf);

/* Ends that session, if there is one. */
void vfio_session_discard(const char *bdf);

/* Closes the groups that the run before has left and no session uses: once all were opened. */
void vfio_settle(struct vfio *vfio);

/* Leaves the session to the next run, should this one end without closing it. Returns 0 or -errno.
 */
int vfio_session_keep(struct vfio_session *session);

/* Ends the session; if vfio->leaving, only for this run. */
struct vfio_session *vfio_session_close(struct vfio_session *session);
DEFINE_CLEANUP(struct vfio_session *, vfio_session_close)
#define _cleanup_vfio_session_ _cleanup_(vfio_session_closep)

/* Has the kernel signal @eventfd when it wants the device back. Returns 0 or -errno. */
int vfio_session_set_request_eventfd(struct vfio_session *session, int eventfd);

/* Whether the kernel has alias regions. Returns 0, or -ENOTTY if it has not, or -errno. */
int vfio_session_probe_aliases(struct vfio_session *session);

/*
 * What is possible on BAR @bar.
 * @ret_types: the bit 1 << VFIO_ALIAS_MEMORY_x for each memory type
 * @ret_flags: VFIO_ALIAS_FLAG_x
 */
int vfio_session_get_possible(struct vfio_session *session, unsigned int bar, uint32_t *ret_types,
			      uint32_t *ret_flags);

/* Finds the MSI-X table. Returns as pci_find_msix() does, or -errno. */
int vfio_session_find_msix(struct vfio_session *session, struct pci_msix *ret);

/* Makes an alias, or finds that it is there. Errors: those of VFIO_ALIAS_CREATE. */
int vfio_session_create_alias(struct vfio_session *session, const struct vfio_alias *alias);

/* Takes away the alias of this region index, and its mappings' pages. Returns 0 or -errno. */
int vfio_session_remove_alias(struct vfio_session *session, uint32_t index);

/*
 * Asks the kernel which aliases the device has.
 * Returns 0 and an array to be freed, -EBADMSG for an answer without sense, or -errno.
 */
int vfio_session_list_aliases(struct vfio_session *session, struct vfio_alias **ret, size_t *ret_n);

/*
 * Finds a capability in the answer to VFIO_DEVICE_GET_REGION_INFO.
 * @size: bytes that may be read from @info
 * @id, @length: of the capability, with its header
 * @ret: room for @length bytes
 * Returns 0, -ENOENT if it is not there, -EBADMSG for a chain that leaves the answer or has
 * no end.
 */
int vfio_find_capability(const struct vfio_region_info *info, size_t size, uint16_t id,
			 size_t length, void *ret);

#endif
