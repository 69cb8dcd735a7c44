/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * VFIO alias regions: a range of a PCI BAR under a memory type of its own
 *
 * An alias claims a page-aligned range of one BAR for one memory type. A page
 * has at most one claim, and while the claim stands a fault on the page through
 * any view but the alias is SIGBUS. The alias is a region of its own, with an
 * index and an mmap offset, and says what it is in a capability of
 * VFIO_DEVICE_GET_REGION_INFO.
 *
 * With VFIO_ALIAS_FLAG_SHARED the BAR's own region may map the page as well. On
 * x86 it then has the memory type of the alias, on arm64 its own.
 *
 * The feature number and the capability id are provisional. They are far from
 * the sequences in <linux/vfio.h>, so that they cannot meet a later upstream
 * number; find out by VFIO_DEVICE_FEATURE_PROBE whether a kernel has them.
 */
#ifndef _UAPI_LINUX_VFIO_ALIAS_H
#define _UAPI_LINUX_VFIO_ALIAS_H

#include <linux/types.h>
#include <linux/vfio.h>

/* Memory types of an alias. Zero is not a type. */
#define VFIO_ALIAS_MEMORY_UC	1	/* uncached, as VFIO maps a BAR: UC- on x86 */
#define VFIO_ALIAS_MEMORY_WC	2	/* write-combining: Normal-NC on arm64 */

/* Flags of an alias */
#define VFIO_ALIAS_FLAG_SYSFS	(1 << 0)	/* also a file in the device's directory */
#define VFIO_ALIAS_FLAG_SHARED	(1 << 1)	/* the BAR's own region may map it, too */

/* The operations of VFIO_DEVICE_FEATURE_SET. Zero is not an operation. */
#define VFIO_ALIAS_CREATE	1
#define VFIO_ALIAS_REMOVE	2

/* Aliases that one device can have at a time */
#define VFIO_ALIAS_MAX		64

/*
 * VFIO_DEVICE_FEATURE_SET with @op VFIO_ALIAS_CREATE makes an alias of the bytes
 * [@offset, @offset + @size) of the region @region_index, which must be a BAR
 * that can be mapped, and returns @alias_index and @alias_offset. The same range,
 * memory type and flags again return the alias that is there.
 *
 * VFIO_DEVICE_FEATURE_SET with @op VFIO_ALIAS_REMOVE takes the alias @alias_index
 * away, everything else being zero. Its mappings lose their pages. They are for a
 * BAR and a memory type: should another alias claim such a page for the same type,
 * they reach it again, unless they were made through a file that has gone since.
 *
 * Fields that are for output, and @reserved, are zero on input.
 *
 * Errors of SET:
 *   EINVAL      an unknown @op, @memory_type or flag; a field that is not zero and
 *               should be; a region that is not a BAR of memory or cannot be
 *               mapped; an offset or size that is not a multiple of the page size
 *               (of the host's, and for the size except at the BAR's end); a range
 *               past the end of the BAR or over the pages of the MSI-X table
 *   EEXIST      the range meets an alias that is not the same
 *   EBUSY       something else has the range, or a part of it, under another memory
 *               type, or the rest of the BAR not uncached; or the kernel uses its
 *               mapping of the range (an ioeventfd) or of the BAR (a variant driver);
 *               or the BAR itself could not be requested
 *   EOPNOTSUPP  this platform cannot give the memory type
 *   EPERM       VFIO_ALIAS_FLAG_SYSFS without CAP_SYS_RAWIO, or in no-IOMMU mode under
 *               lockdown
 *   ENOENT      VFIO_ALIAS_REMOVE of an index that is no alias
 *   ENOSPC      the device has VFIO_ALIAS_MAX aliases
 *   ENODEV      the device is being taken from its driver
 *   ENOTTY      the device's driver has an mmap() of its own, which may hide a part
 *               of a BAR; likewise of GET and PROBE
 *   EINTR       killed while waiting
 *   ENOMEM, ENFILE  out of memory, of files
 *
 * VFIO_DEVICE_FEATURE_GET answers for the region @region_index, everything else
 * being zero: @memory_types has the bit 1 << VFIO_ALIAS_MEMORY_x set for each type
 * that is possible, 0 for a region that cannot have an alias, and @flags has the
 * flags that SET knows.
 *
 * The num_regions of VFIO_DEVICE_GET_INFO covers the aliases. An index among them
 * that is free has no region: VFIO_DEVICE_GET_REGION_INFO of it is EINVAL.
 */
struct vfio_device_feature_alias_region {
	__u32 op;		/* SET, in: VFIO_ALIAS_CREATE or _REMOVE */
	__u32 region_index;	/* in: VFIO_PCI_BAR0_REGION_INDEX and up */
	__u32 memory_type;	/* SET, in: VFIO_ALIAS_MEMORY_x */
	__u32 flags;		/* SET, in: VFIO_ALIAS_FLAG_x; GET, out */
	__aligned_u64 offset;	/* SET, in: bytes from the BAR's start */
	__aligned_u64 size;	/* SET, in: bytes, 0 for all from @offset */
	__aligned_u64 alias_offset;	/* SET, out: of the alias on the device fd */
	__u32 alias_index;	/* region index; CREATE, out; REMOVE, in */
	__u32 memory_types;	/* GET, out: 1 << VFIO_ALIAS_MEMORY_x */
	__aligned_u64 reserved;
};

#define VFIO_DEVICE_FEATURE_ALIAS_REGION	0xa11a

/*
 * The capability of an alias in VFIO_DEVICE_GET_REGION_INFO: what it is an alias
 * of, and the memory type that is in effect.
 */
#define VFIO_REGION_INFO_CAP_ALIAS		0xa11a

struct vfio_region_info_cap_alias {
	struct vfio_info_cap_header header;
	__u32 region_index;	/* the aliased region */
	__u32 memory_type;	/* VFIO_ALIAS_MEMORY_x, in effect */
	__aligned_u64 offset;	/* bytes from the aliased region's start */
	__u32 flags;		/* VFIO_ALIAS_FLAG_x */
	__u32 reserved;
};

#endif /* _UAPI_LINUX_VFIO_ALIAS_H */
