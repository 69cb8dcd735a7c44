/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the clients of the kernel's UAPI share: a session by group and container, and aliases. */
#ifndef CLIENT_H
#define CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/vfio_alias.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define DEVICES "/sys/bus/pci/devices/"

struct session {
	int container;
	int group;
	int fd;
};

static inline __attribute__((noreturn)) void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* Writes @text to the file @name of the device, or to @name if it is absolute. */
static inline int write_sysfs(const char *bdf, const char *name, const char *text)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s%s%s%s", *name == '/' ? "" : DEVICES,
		 *name == '/' ? "" : bdf, *name == '/' ? "" : "/", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -errno : 0;
}

/* Takes the device from its driver, if it has one. */
static inline int bind_vfio(const char *bdf)
{
	int r = write_sysfs(bdf, "driver_override", "vfio-pci");

	(void)write_sysfs(bdf, "driver/unbind", bdf);

	return r < 0 ? r : write_sysfs(bdf, "/sys/bus/pci/drivers_probe", bdf);
}

static inline void session_close(struct session *s)
{
	int *fds[] = { &s->fd, &s->group, &s->container };

	for (int i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static inline int session_open(const char *bdf, struct session *s)
{
	char link[256], target[256], path[64];
	ssize_t n;
	int r;

	*s = (struct session){ -1, -1, -1 };
	snprintf(link, sizeof(link), DEVICES "%s/iommu_group", bdf);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(target));

	s->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	s->group = open(path, O_RDWR | O_CLOEXEC);
	if (s->container < 0 || s->group < 0 ||
	    ioctl(s->group, VFIO_GROUP_SET_CONTAINER, &s->container) < 0 ||
	    ioctl(s->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0) {
		r = -errno;
		session_close(s);
		return r;
	}
	s->fd = ioctl(s->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (s->fd < 0) {
		r = -errno;
		session_close(s);
		return r;
	}
	return 0;
}

/* VFIO_DEVICE_FEATURE with @operation (GET, SET) and @request, which is in and out */
static inline int alias_feature(int fd, uint32_t operation,
				struct vfio_device_feature_alias_region *request)
{
	struct {
		struct vfio_device_feature header;
		struct vfio_device_feature_alias_region request;
	} feature = {
		.header.argsz = sizeof(feature),
		.header.flags = operation | VFIO_DEVICE_FEATURE_ALIAS_REGION,
		.request = *request,
	};

	if (ioctl(fd, VFIO_DEVICE_FEATURE, &feature) < 0)
		return -errno;
	*request = feature.request;
	return 0;
}

/* Returns the alias's region index or -errno */
static inline int alias_create(int fd, uint32_t bar, uint32_t type, uint64_t offset, uint64_t size,
			       uint32_t flags)
{
	struct vfio_device_feature_alias_region request = {
		.op = VFIO_ALIAS_CREATE,
		.region_index = bar,
		.memory_type = type,
		.flags = flags,
		.offset = offset,
		.size = size,
	};
	int r = alias_feature(fd, VFIO_DEVICE_FEATURE_SET, &request);

	return r < 0 ? r : (int)request.alias_index;
}

static inline int alias_remove(int fd, uint32_t index)
{
	struct vfio_device_feature_alias_region request = {
		.op = VFIO_ALIAS_REMOVE,
		.alias_index = index,
	};

	return alias_feature(fd, VFIO_DEVICE_FEATURE_SET, &request);
}

#endif
