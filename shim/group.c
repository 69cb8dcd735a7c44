/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "group.h"

#include "sysfs.h"

int group_find_user(int fd, const pid_t except[], size_t n, struct holder *ret,
		    char ret_path[static VFIO_PATH_SIZE])
{
	_cleanup_free_ char(*cdevs)[SYSFS_CDEV_SIZE] = NULL;
	struct vfio_way way = { .noiommu = sysfs_group_is_noiommu(fd) };
	char path[VFIO_PATH_SIZE];
	size_t n_cdevs;
	int r;

	r = sysfs_iommu_group(fd, &way.group);
	if (r < 0)
		return r;
	r = sysfs_list_group_cdevs(fd, &cdevs, &n_cdevs);
	if (r < 0)
		return r;
	for (size_t i = 0; i <= n_cdevs; i++) {
		way.cdev = i < n_cdevs ? cdevs[i] : NULL; /* last, the group itself */
		/* Where somebody else has /dev mounted is not known. */
		r = holder_find_open("/proc", vfio_path(path, &way) + strlen("/dev"), except, n,
				     ret);
		if (r == 0)
			strcpy(ret_path, path);
		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}
