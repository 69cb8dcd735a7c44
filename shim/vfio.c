/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vfio.h"

#include <fcntl.h>
#include <stdalign.h>
#include <sys/ioctl.h>

#include "pci.h"
#include "store.h"

#define VFIO_CONTAINER_PATH "/dev/vfio/vfio"

/* More regions, and more bytes about one, than any kernel has. */
#define REGIONS_MAX 4096
#define REGION_INFO_SIZE_MAX ((size_t)64 << 10)

struct vfio_group {
	struct vfio_group *next;
	unsigned int number;
	unsigned int sessions;
	bool kept; /* in the store */
	int fd;
};

struct vfio_session {
	struct vfio *vfio;
	struct vfio_group *group;
	char bdf[PCI_BDF_SIZE];
	bool kept; /* likewise */
	int fd;
};

/* The names in the store */
#define NAME_SIZE 64

static const char *group_name(char buffer[static NAME_SIZE], unsigned int number)
{
	snprintf(buffer, NAME_SIZE, "group-%u", number);
	return buffer;
}

static const char *session_name(char buffer[static NAME_SIZE], const char *bdf)
{
	snprintf(buffer, NAME_SIZE, "device-%s", bdf);
	for (char *p = buffer; *p; p++)
		if (*p == ':') /* the one that a name must not have */
			*p = '-';
	return buffer;
}

const char *vfio_group_path(char buffer[static VFIO_GROUP_PATH_SIZE], unsigned int number)
{
	snprintf(buffer, VFIO_GROUP_PATH_SIZE, "/dev/vfio/%u", number);
	return buffer;
}

static struct vfio_group *group_free(struct vfio_group *group)
{
	if (group)
		close_fd(group->fd); /* leaves the container, too, which ends with it */
	free(group);
	return NULL;
}
DEFINE_CLEANUP(struct vfio_group *, group_free)

/* The group holds its container; nobody needs the descriptor after this. */
static int set_container(struct vfio_group *group)
{
	_cleanup_close_ int container = open(VFIO_CONTAINER_PATH, O_RDWR | O_CLOEXEC);
	int backend = VFIO_TYPE1v2_IOMMU;

	if (container < 0)
		return -errno;
	if (ioctl(container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return -EPROTO;
	if (ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0) {
		backend = VFIO_TYPE1_IOMMU;
		if (ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU) <= 0)
			return -EPROTO;
	}

	/* This is where the kernel claims the group's DMA: refused while another driver has it. */
	if (ioctl(group->fd, VFIO_GROUP_SET_CONTAINER, &container) < 0)
		return errno == EBUSY || errno == EPERM ? -ENOTUNIQ : -errno;
	if (ioctl(container, VFIO_SET_IOMMU, backend) < 0)
		return -errno;
	return 0;
}

static int group_open(unsigned int number, struct vfio_group **ret)
{
	_cleanup_(group_freep) struct vfio_group *group = calloc(1, sizeof(*group));
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[VFIO_GROUP_PATH_SIZE], name[NAME_SIZE];
	int r;

	if (!group)
		return -ENOMEM;
	group->number = number;

	group->fd = store_take(group_name(name, number));
	if (group->fd >= 0) {
		group->kept = true;
		*ret = TAKE_PTR(group);
		return 0;
	}
	group->fd = open(vfio_group_path(path, number), O_RDWR | O_CLOEXEC);
	if (group->fd < 0)
		return -errno;
	if (ioctl(group->fd, VFIO_GROUP_GET_STATUS, &status) < 0)
		return -errno;
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return -ENOTUNIQ;
	r = set_container(group);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(group);
	return 0;
}

/* The open group of this number, or a new one. */
static int group_get(struct vfio *vfio, unsigned int number, struct vfio_group **ret)
{
	struct vfio_group *group;
	int r;

	for (group = vfio->groups; group; group = group->next)
		if (group->number == number)
			break;
	if (!group) {
		r = group_open(number, &group);
		if (r < 0)
			return r;
		group->next = vfio->groups;
		vfio->groups = group;
	}
	group->sessions++;
	*ret = group;
	return 0;
}

static void group_put(struct vfio *vfio, struct vfio_group *group)
{
	struct vfio_group **p;
	char name[NAME_SIZE];

	if (--group->sessions > 0)
		return;
	if (group->kept && !vfio->leaving)
		store_drop(group_name(name, group->number));
	for (p = &vfio->groups; *p != group; p = &(*p)->next)
		;
	*p = group->next;
	group_free(group);
}

int vfio_session_open(struct vfio *vfio, unsigned int number, const char *bdf,
		      struct vfio_session **ret)
{
	_cleanup_vfio_session_ struct vfio_session *session = calloc(1, sizeof(*session));
	char name[NAME_SIZE];
	int r;

	if (!session)
		return -ENOMEM;
	session->vfio = vfio;
	session->fd = -EBADF;
	snprintf(session->bdf, sizeof(session->bdf), "%s", bdf);

	r = group_get(vfio, number, &session->group);
	if (r < 0)
		return r;
	session->fd = store_take(session_name(name, bdf));
	session->kept = session->fd >= 0;
	if (!session->kept)
		session->fd = ioctl(session->group->fd, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (session->fd < 0)
		return -errno;

	*ret = TAKE_PTR(session);
	return 0;
}

int vfio_session_keep(struct vfio_session *session)
{
	char name[NAME_SIZE];
	int r;

	if (session->kept)
		return 0;
	if (!session->group->kept) {
		r = store_keep(group_name(name, session->group->number), session->group->fd);
		if (r < 0)
			return r;
		session->group->kept = true;
	}
	r = store_keep(session_name(name, session->bdf), session->fd);
	if (r < 0)
		return r;
	session->kept = true;
	return store_sync();
}

struct vfio_session *vfio_session_close(struct vfio_session *session)
{
	if (session) {
		bool drop = session->kept && !session->vfio->leaving;
		char name[NAME_SIZE];

		if (drop)
			store_drop(session_name(name, session->bdf));
		close_fd(session->fd);
		if (session->group)
			group_put(session->vfio, session->group);
		if (drop)
			(void)store_sync(); /* if it is late, the kernel waits for it */
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
