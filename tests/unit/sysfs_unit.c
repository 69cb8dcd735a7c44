/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sysfs.h"

#include "scratch.h"

/* The scratch directory is /sys/bus/pci, so that links between devices have their form. */
#define DEVICE "devices/0000:00:10.0/"
#define OTHER "devices/0000:00:10.1/"

static int device;

static void make(void)
{
	scratch_make();
	scratch_file(DEVICE "vendor", "0x1af4\n");
	device = openat(scratch_fd, DEVICE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(device, 0);
}

static void unmake(void)
{
	close_fd(device);
	scratch_remove();
}

TestSuite(sysfs, .init = make, .fini = unmake);

Test(sysfs, the_driver_is_named_and_none_is_not_an_error)
{
	_cleanup_free_ char *driver = NULL;

	cr_assert_eq(sysfs_driver(device, &driver), 0);
	cr_expect_null(driver);
	scratch_link(DEVICE "driver", "../../drivers/e1000e");
	cr_assert_eq(sysfs_driver(device, &driver), 0);
	cr_expect_str_eq(driver, "e1000e");
}

Test(sysfs, a_driver_of_vfio_is_known_by_its_directory)
{
	cr_expect_not(sysfs_has_vfio(device));
	scratch_file(DEVICE "vfio-dev/vfio0/dev", "511:0\n");
	cr_expect(sysfs_has_vfio(device));
}

Test(sysfs, no_driver_override_is_told_in_words)
{
	_cleanup_free_ char *driver = NULL;

	scratch_file(DEVICE "driver_override", "(null)\n");
	cr_assert_eq(sysfs_driver_override(device, &driver), 0);
	cr_expect_null(driver);
	scratch_file(DEVICE "driver_override", "vfio-pci\n");
	cr_assert_eq(sysfs_driver_override(device, &driver), 0);
	cr_expect_str_eq(driver, "vfio-pci");
}

Test(sysfs, the_iommu_group_is_a_number)
{
	unsigned int group = 42;

	cr_expect_eq(sysfs_iommu_group(device, &group), -ENOENT);
	scratch_link(DEVICE "iommu_group", "../../groups/x");
	cr_expect_eq(sysfs_iommu_group(device, &group), -EBADMSG);
	cr_expect_eq(group, 42);
	unlinkat(device, "iommu_group", 0);
	scratch_link(DEVICE "iommu_group", "../../groups/7");
	cr_expect_eq(sysfs_iommu_group(device, &group), 0);
	cr_expect_eq(group, 7);
}

Test(sysfs, what_keeps_vfio_out_of_a_group_is_named)
{
	_cleanup_free_ char *bdf = NULL, *driver = NULL;

	scratch_link(DEVICE "iommu_group", "../../groups/7");
	scratch_link("groups/7/devices/0000:00:10.0", "../../../devices/0000:00:10.0");
	scratch_link("groups/7/devices/0000:00:10.1", "../../../devices/0000:00:10.1");
	scratch_link("groups/7/devices/0000:00:1c.0", "../../../devices/0000:00:1c.0");
	scratch_link("devices/0000:00:1c.0/driver", "../../drivers/pcieport");
	scratch_file(OTHER "vendor", "0x1af4\n");
	cr_expect_eq(sysfs_iommu_group_obstacle(device, &bdf, &driver), -ENOENT);

	scratch_link(OTHER "driver", "../../drivers/snd_hda_intel");
	cr_assert_eq(sysfs_iommu_group_obstacle(device, &bdf, &driver), 0);
	cr_expect_str_eq(bdf, "0000:00:10.1");
	cr_expect_str_eq(driver, "snd_hda_intel");

	scratch_file(OTHER "vfio-dev/vfio1/dev", "511:1\n");
	cr_expect_eq(sysfs_iommu_group_obstacle(device, &bdf, &driver), -ENOENT);
}

Test(sysfs, the_file_of_a_bar_gets_its_owner_and_mode)
{
	char name[SYSFS_BAR_FILE_SIZE];
	struct stat st;

	cr_expect_str_eq(sysfs_bar_file(name, 2, false), "resource2");
	cr_expect_str_eq(sysfs_bar_file(name, 2, true), "resource2_wc");
	cr_expect_eq(sysfs_set_access(device, name, getuid(), getgid(), 0660), -ENOENT);
	scratch_file(DEVICE "resource2_wc", "");
	cr_assert_eq(sysfs_set_access(device, name, getuid(), getgid(), 0640), 0);
	cr_assert_eq(fstatat(device, name, &st, 0), 0);
	cr_expect_eq(st.st_mode & 07777, 0640);
	cr_expect_eq(st.st_uid, getuid());
	cr_expect_eq(st.st_gid, getgid());
}

Test(sysfs, a_link_in_place_of_the_file_is_not_followed)
{
	struct stat st;

	scratch_file("elsewhere", "");
	scratch_link(DEVICE "resource2_wc", "../../elsewhere");
	cr_expect_eq(sysfs_set_access(device, "resource2_wc", getuid(), getgid(), 0666), -EBADMSG);
	cr_assert_eq(fstatat(scratch_fd, "elsewhere", &st, 0), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
}
