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
		r = holder_find_open("/proc", vfio_path(path, &way), except, n, ret);
		if (r == 0)
			strcpy(ret_path, path);
		if (r != -ENOENT)
			return r;
	}
	/*
	 * An unbind takes the device's own node away, and its name, before it waits for who has it
	 * open; the group stays. Whose node it was is not known any more, but no node is gone for
	 * another reason.
	 */
	if (sysfs_has_vfio(fd) || !sysfs_group_has_vfio(fd))
		return -ENOENT;
	r = holder_find_open_unlinked("/proc", "/vfio/devices/vfio", except, n, ret);
	if (r == 0)
		strcpy(ret_path, "a device that is being unbound");
	return r;
}
