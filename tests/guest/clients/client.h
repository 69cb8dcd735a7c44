/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the clients of the kernel's UAPI share: a session, and aliases. */
#ifndef CLIENT_H
#define CLIENT_H

#include <dirent.h>
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

/* <linux/vfio.h> and <linux/iommufd.h> of Linux 6.6, which are newer than Debian 12's */
#ifndef VFIO_DEVICE_BIND_IOMMUFD
struct vfio_device_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)

struct vfio_device_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
#endif
struct iommu_ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};
#define IOMMU_IOAS_ALLOC _IO(';', 0x81)

struct session {
	int iommu; /* the container or the iommufd */
	int group; /* -1 with an iommufd */
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

/*
 * Has /proc/thread-self/fail-nth reach all allocations: by default those that may wait, which
 * are nearly all, and single pages are left out. A call trace for each would be taken for a
 * complaint.
 */
static inline void let_allocations_fail(void)
{
	static const char *const settings[][2] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (write_sysfs(NULL, settings[i][0], settings[i][1]) < 0)
			die(settings[i][0]);
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
	int *fds[] = { &s->fd, &s->group, &s->iommu };

	for (int i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static inline int session_failed(struct session *s)
{
	int r = -errno;

	session_close(s);
	return r;
}

/* By group and container, in no-IOMMU mode where there is no IOMMU */
static inline int session_open(const char *bdf, struct session *s)
{
	char link[256], target[256], path[64];
	int iommu = VFIO_TYPE1v2_IOMMU;
	ssize_t n;

	*s = (struct session){ -1, -1, -1 };
	snprintf(link, sizeof(link), DEVICES "%s/iommu_group", bdf);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';

	s->iommu = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(target));
	s->group = open(path, O_RDWR | O_CLOEXEC);
	if (s->group < 0 && errno == ENOENT) {
		snprintf(path, sizeof(path), "/dev/vfio/noiommu-%s", basename(target));
		s->group = open(path, O_RDWR | O_CLOEXEC);
		iommu = VFIO_NOIOMMU_IOMMU;
	}
	if (s->iommu < 0 || s->group < 0 ||
	    ioctl(s->group, VFIO_GROUP_SET_CONTAINER, &s->iommu) < 0 ||
	    ioctl(s->iommu, VFIO_SET_IOMMU, iommu) < 0)
		return session_failed(s);
	s->fd = ioctl(s->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	return s->fd < 0 ? session_failed(s) : 0;
}

/* By the character device and an iommufd */
static inline int session_open_cdev(const char *bdf, struct session *s)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	char path[300] = "";
	struct dirent *entry;
	DIR *dir;

	*s = (struct session){ -1, -1, -1 };
	snprintf(path, sizeof(path), DEVICES "%s/vfio-dev", bdf);
	dir = opendir(path);
	if (!dir)
		return -errno;
	*path = '\0';
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, "vfio", 4) == 0)
			snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	closedir(dir);

	s->fd = open(path, O_RDWR | O_CLOEXEC);
	s->iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	bind.iommufd = s->iommu;
	if (s->fd < 0 || s->iommu < 0 || ioctl(s->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind) < 0 ||
	    ioctl(s->iommu, IOMMU_IOAS_ALLOC, &alloc) < 0)
		return session_failed(s);
	attach.pt_id = alloc.out_ioas_id;
	return ioctl(s->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) < 0 ? session_failed(s) : 0;
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
