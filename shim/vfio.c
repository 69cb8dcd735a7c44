/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vfio.h"

#include <fcntl.h>
#include <stdalign.h>
#include <sys/ioctl.h>

#include "pci.h"
#include "store.h"

/* <linux/vfio.h> has them since Linux 6.6. */
#ifndef VFIO_DEVICE_BIND_IOMMUFD
struct vfio_device_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#endif

#define CONTAINER_PATH "/dev/vfio/vfio"
#define IOMMUFD_PATH "/dev/iommu"

/* More regions, and more bytes about one, than any kernel has. */
#define REGIONS_MAX 4096
#define REGION_INFO_SIZE_MAX ((size_t)64 << 10)

#define STORE_NAME_SIZE 64

/* What a device must be bound to before it can be used, and devices share: a group, the iommufd */
struct vfio_owner {
	struct vfio_owner *next;
	char name[STORE_NAME_SIZE]; /* in the store */
	unsigned int users;	    /* sessions, and vfio_settle() if it came from the store */
	bool kept;		    /* in the store */
	bool unsettled;		    /* vfio_settle() is one of the users */
	int fd;
};

struct vfio_session {
	struct vfio *vfio;
	struct vfio_owner *owner;
	char name[STORE_NAME_SIZE]; /* as the owner's */
	bool kept;
	int fd;
};

const char *vfio_path(char buffer[static VFIO_PATH_SIZE], const struct vfio_way *way)
{
	if (way->cdev)
		snprintf(buffer, VFIO_PATH_SIZE, "/dev/vfio/devices/%s", way->cdev);
	else
		snprintf(buffer, VFIO_PATH_SIZE, "/dev/vfio/%s%u", way->noiommu ? "noiommu-" : "",
			 way->group);
	return buffer;
}

static struct vfio_owner *owner_free(struct vfio_owner *owner)
{
	if (owner)
		close_fd(owner->fd); /* a group leaves its container, too, which ends with it */
	free(owner);
	return NULL;
}
DEFINE_CLEANUP(struct vfio_owner *, owner_free)

/* The best backend that there is for a container, or -EPROTO. */
static int choose_backend(int container, bool noiommu)
{
	static const int backends[] = { VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU };

	if (ioctl(container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return -EPROTO;
	if (noiommu)
		return VFIO_NOIOMMU_IOMMU;
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++)
		if (ioctl(container, VFIO_CHECK_EXTENSION, backends[i]) > 0)
			return backends[i];
	return -EPROTO;
}

/* The group holds its container; nobody needs the descriptor after this. */
static int set_container(int group_fd, bool noiommu)
{
	_cleanup_close_ int container = open(CONTAINER_PATH, O_RDWR | O_CLOEXEC);
	int backend;

	if (container < 0)
		return -errno;
	backend = choose_backend(container, noiommu);
	if (backend < 0)
		return backend;

	/* This is where the kernel claims the group's DMA: refused while another driver has it. */
	if (ioctl(group_fd, VFIO_GROUP_SET_CONTAINER, &container) < 0)
		return errno == EBUSY || errno == EPERM ? -ENOTUNIQ : -errno;
	if (ioctl(container, VFIO_SET_IOMMU, backend) < 0)
		return errno == EPERM ? -EOPNOTSUPP : -errno;
	return 0;
}

/* Returns the descriptor of a group with a container. */
static int open_group(const struct vfio_way *way)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	_cleanup_close_ int fd = -EBADF;
	char path[VFIO_PATH_SIZE];
	int r;

	fd = open(vfio_path(path, way), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status) < 0)
		return -errno;
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return -ENOTUNIQ;
	r = set_container(fd, way->noiommu);
	return r < 0 ? r : TAKE_FD(fd);
}

static int open_iommufd(void)
{
	int fd = open(IOMMUFD_PATH, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int owner_open(const struct vfio_way *way, const char *name, struct vfio_owner **ret)
{
	_cleanup_(owner_freep) struct vfio_owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return -ENOMEM;
	snprintf(owner->name, sizeof(owner->name), "%s", name);
	owner->fd = store_take(name);
	owner->kept = owner->unsettled = owner->fd >= 0;
	owner->users = owner->unsettled;
	if (!owner->kept)
		owner->fd = way->cdev ? open_iommufd() : open_group(way);
	if (owner->fd < 0)
		return owner->fd;
	*ret = TAKE_PTR(owner);
	return 0;
}

/* The owner that is open already, or a new one. */
static int owner_get(struct vfio *vfio, const struct vfio_way *way, struct vfio_owner **ret)
{
	char name[STORE_NAME_SIZE] = "iommufd";
	struct vfio_owner *owner;
	int r;

	if (!way->cdev)
		snprintf(name, sizeof(name), "group-%u", way->group);
	for (owner = vfio->owners; owner; owner = owner->next)
		if (streq(owner->name, name))
			break;
	if (!owner) {
		r = owner_open(way, name, &owner);
		if (r < 0)
			return r;
		owner->next = vfio->owners;
		vfio->owners = owner;
	}
	owner->users++;
	*ret = owner;
	return 0;
}

/*
 * Before this process closes its own: who closes a device last waits for its reset, and that is
 * not to be systemd.
 */
static void forget_stored(const char *name)
{
	store_drop(name);
	(void)store_sync(); /* if it is late, the kernel waits for it */
}

static void owner_put(struct vfio *vfio, struct vfio_owner *owner)
{
	struct vfio_owner **p;

	if (--owner->users > 0)
		return;
	if (owner->kept && !vfio->leaving)
		forget_stored(owner->name);
	for (p = &vfio->owners; *p != owner; p = &(*p)->next)
		;
	*p = owner->next;
	owner_free(owner);
}

void vfio_settle(struct vfio *vfio)
{
	struct vfio_owner *next;

	for (struct vfio_owner *owner = vfio->owners; owner; owner = next) {
		next = owner->next;
		if (!owner->unsettled)
			continue;
		owner->unsettled = false;
		owner_put(vfio, owner);
	}
}

/* Returns the descriptor of the device. */
static int open_by_cdev(const struct vfio_way *way, int iommufd)
{
	/* No address space is attached: the device's DMA stays blocked. */
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	_cleanup_close_ int fd = -EBADF;
	char path[VFIO_PATH_SIZE];

	fd = open(vfio_path(path, way), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0)
		return TAKE_FD(fd);
	switch (errno) {
	case EINVAL: /* another descriptor of the device is bound */
		return -EBUSY;
	case EPERM: /* another driver or another iommufd owns the group's DMA */
		return -ENOTUNIQ;
	default:
		return -errno;
	}
}

static int open_by_group(const char *bdf, int group)
{
	int fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);

	return fd < 0 ? -errno : fd;
}

/* The one character that a device's address has and a name must not have is ':'. */
static void name_session(char name[static STORE_NAME_SIZE], const char *bdf)
{
	snprintf(name, STORE_NAME_SIZE, "device-%s", bdf);
	for (char *p = name; *p; p++)
		if (*p == ':')
			*p = '-';
}

bool vfio_session_is_stored(const char *bdf)
{
	char name[STORE_NAME_SIZE];

	name_session(name, bdf);
	return store_has(name);
}

void vfio_session_discard(const char *bdf)
{
	_cleanup_close_ int fd = -EBADF;
	char name[STORE_NAME_SIZE];

	name_session(name, bdf);
	fd = store_take(name);
	if (fd >= 0)
		forget_stored(name);
}

int vfio_session_open(struct vfio *vfio, const struct vfio_way *way, const char *bdf,
		      struct vfio_session **ret)
{
	_cleanup_vfio_session_ struct vfio_session *session = calloc(1, sizeof(*session));
	int r;

	if (!session)
		return -ENOMEM;
	session->vfio = vfio;
	session->fd = -EBADF;
	name_session(session->name, bdf);
	r = owner_get(vfio, way, &session->owner);
	if (r < 0)
		return r;
	session->fd = store_take(session->name);
	session->kept = session->fd >= 0;
	if (!session->kept)
		session->fd = way->cdev ? open_by_cdev(way, session->owner->fd) :
					  open_by_group(bdf, session->owner->fd);
	if (session->fd < 0)
		return session->fd;

	*ret = TAKE_PTR(session);
	return 0;
}

int vfio_session_keep(struct vfio_session *session)
{
	struct vfio_owner *owner = session->owner;
	int r;

	if (session->kept)
		return 0;
	if (!owner->kept) {
		r = store_keep(owner->name, owner->fd);
		if (r < 0)
			return r;
		owner->kept = true;
	}
	r = store_keep(session->name, session->fd);
	if (r < 0)
		return r;
	session->kept = true;
	return 0;
}

struct vfio_session *vfio_session_close(struct vfio_session *session)
{
	if (session) {
		if (session->kept && !session->vfio->leaving)
			forget_stored(session->name);
		close_fd(session->fd);
		if (session->owner)
			owner_put(session->vfio, session->owner);
	}
	free(session);
	return NULL;
}

int vfio_session_set_request_eventfd(struct vfio_session *session, int eventfd)
{
	alignas(struct vfio_irq_set) uint8_t buffer[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	struct vfio_irq_set set = {
		.argsz = sizeof(buffer),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_REQ_IRQ_INDEX,
		.count = 1,
	};

	memcpy(buffer, &set, sizeof(set));
	memcpy(buffer + sizeof(set), &eventfd, sizeof(int32_t));
	return ioctl(session->fd, VFIO_DEVICE_SET_IRQS, buffer) < 0 ? -errno : 0;
}

/* @operation: VFIO_DEVICE_FEATURE_x; @region: in and out */
static int alias_feature(struct vfio_session *session, uint32_t operation,
			 struct vfio_device_feature_alias_region *region)
{
	alignas(uint64_t) uint8_t buffer[sizeof(struct vfio_device_feature) + sizeof(*region)];
	struct vfio_device_feature header = {
		.argsz = sizeof(buffer),
		.flags = VFIO_DEVICE_FEATURE_ALIAS_REGION | operation,
	};

	memcpy(buffer, &header, sizeof(header));
	memcpy(buffer + sizeof(header), region, sizeof(*region));
	if (ioctl(session->fd, VFIO_DEVICE_FEATURE, buffer) < 0)
		return -errno;
	memcpy(region, buffer + sizeof(header), sizeof(*region));
	return 0;
}

int vfio_session_probe_aliases(struct vfio_session *session)
{
	struct vfio_device_feature_alias_region region = {};

	return alias_feature(session,
			     VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET |
				     VFIO_DEVICE_FEATURE_SET,
			     &region);
}

int vfio_session_get_possible(struct vfio_session *session, unsigned int bar, uint32_t *ret_types,
			      uint32_t *ret_flags)
{
	struct vfio_device_feature_alias_region region = {
		.region_index = VFIO_PCI_BAR0_REGION_INDEX + bar,
	};
	int r;

	r = alias_feature(session, VFIO_DEVICE_FEATURE_GET, &region);
	if (r < 0)
		return r;
	*ret_types = region.memory_types;
	*ret_flags = region.flags;
	return 0;
}

int vfio_session_create_alias(struct vfio_session *session, const struct vfio_alias *alias)
{
	struct vfio_device_feature_alias_region region = {
		.op = VFIO_ALIAS_CREATE,
		.region_index = VFIO_PCI_BAR0_REGION_INDEX + alias->bar,
		.memory_type = alias->type,
		.flags = alias->flags,
		.offset = alias->offset,
		.size = alias->size,
	};

	return alias_feature(session, VFIO_DEVICE_FEATURE_SET, &region);
}

int vfio_session_remove_alias(struct vfio_session *session, uint32_t index)
{
	struct vfio_device_feature_alias_region region = {
		.op = VFIO_ALIAS_REMOVE,
		.alias_index = index,
	};

	return alias_feature(session, VFIO_DEVICE_FEATURE_SET, &region);
}

int vfio_find_capability(const struct vfio_region_info *info, size_t size, uint16_t id,
			 size_t length, void *ret)
{
	const size_t header_size = sizeof(struct vfio_info_cap_header);
	size_t steps, offset;

	if (size < sizeof(*info))
		return -EBADMSG;
	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return -ENOENT;

	/* A chain without a loop has no more links than fit. */
	steps = size / header_size;
	for (offset = info->cap_offset; offset != 0; steps--) {
		struct vfio_info_cap_header header;

		if (steps == 0 || offset < sizeof(*info) || offset > size ||
		    size - offset < header_size)
			return -EBADMSG;
		memcpy(&header, (const uint8_t *)info + offset, header_size);
		if (header.id == id) {
			if (size - offset < length)
				return -EBADMSG;
			memcpy(ret, (const uint8_t *)info + offset, length);
			return 0;
		}
		offset = header.next;
	}
	return -ENOENT;
}

/* Asks until the answer fits. Returns 0 and @ret of at least its argsz bytes, to be freed. */
static int get_region_info(struct vfio_session *session, uint32_t index,
			   struct vfio_region_info **ret)
{
	size_t size = 256;

	for (;;) {
		_cleanup_free_ struct vfio_region_info *info = calloc(1, size);

		if (!info)
			return -ENOMEM;
		info->argsz = (uint32_t)size;
		info->index = index;
		if (ioctl(session->fd, VFIO_DEVICE_GET_REGION_INFO, info) < 0)
			return -errno;
		if (info->argsz <= size) {
			*ret = TAKE_PTR(info);
			return 0;
		}
		if (info->argsz > REGION_INFO_SIZE_MAX)
			return -EBADMSG;
		size = info->argsz;
	}
}

int vfio_session_find_msix(struct vfio_session *session, struct pci_msix *ret)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
					 .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint8_t config[PCI_CONFIG_SIZE];
	ssize_t n;

	if (ioctl(session->fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
		return -errno;
	n = pread(session->fd, config, sizeof(config), (off_t)info.offset);
	if (n < 0)
		return -errno;
	return pci_find_msix(config, (size_t)n, ret);
}

/* Returns -ENOENT if the region is not an alias. */
static int read_alias(struct vfio_session *session, uint32_t index, struct vfio_alias *ret)
{
	_cleanup_free_ struct vfio_region_info *info = NULL;
	struct vfio_region_info_cap_alias capability;
	int r;

	r = get_region_info(session, index, &info);
	if (r < 0)
		return r == -EINVAL ? -ENOENT : r; /* an index that is not in use now */
	r = vfio_find_capability(info, info->argsz, VFIO_REGION_INFO_CAP_ALIAS, sizeof(capability),
				 &capability);
	if (r < 0)
		return r;
	if (capability.region_index - VFIO_PCI_BAR0_REGION_INDEX >= PCI_BARS)
		return -EBADMSG;

	*ret = (struct vfio_alias){
		.index = index,
		.bar = capability.region_index - VFIO_PCI_BAR0_REGION_INDEX,
		.type = capability.memory_type,
		.flags = capability.flags,
		.offset = capability.offset,
		.size = info->size,
	};
	return 0;
}

int vfio_session_list_aliases(struct vfio_session *session, struct vfio_alias **ret, size_t *ret_n)
{
	_cleanup_free_ struct vfio_alias *aliases = NULL;
	struct vfio_device_info device = { .argsz = sizeof(device) };
	size_t n = 0;

	if (ioctl(session->fd, VFIO_DEVICE_GET_INFO, &device) < 0)
		return -errno;
	if (device.num_regions < VFIO_PCI_NUM_REGIONS || device.num_regions > REGIONS_MAX)
		return -EBADMSG;

	/* VFIO_PCI_NUM_REGIONS is as the header has it; what follows is of this device. */
	aliases = calloc(device.num_regions - VFIO_PCI_NUM_REGIONS + 1, sizeof(*aliases));
	if (!aliases)
		return -ENOMEM;
	for (uint32_t i = VFIO_PCI_NUM_REGIONS; i < device.num_regions; i++) {
		int r = read_alias(session, i, &aliases[n]);

		if (r == 0)
			n++;
		else if (r != -ENOENT)
			return r;
	}

	*ret = TAKE_PTR(aliases);
	*ret_n = n;
	return 0;
}
