/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sysfs.h"

#include <linux/vfio_alias.h>

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

Test(sysfs, a_disk_or_an_interface_that_the_device_carries_is_found)
{
	static const struct {
		const char *path, *subsystem, *name;
	} cases[] = {
		{ "nvme/nvme0/nvme0n1", "block", "nvme0n1" },
		{ "virtio0/block/vda", "block", "vda" },
		{ "0000:01:00.0/usb1/1-1/1-1:1.0/host0/target0/0:0/block/sda", "block", "sda" },
		{ "net/eth0", "net", "eth0" },
		{ "sound/card0", "sound", NULL },
		{ "block/x", NULL, NULL },
	};

	scratch_link(DEVICE "subsystem", "../../../bus/pci");
	scratch_link(DEVICE "driver", "../../drivers/nvme");
	scratch_file("drivers/nvme/x/name", "");
	scratch_link("drivers/nvme/x/subsystem", "../../../class/net");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *root = NULL, *other = NULL, *link = NULL, *carried = NULL;
		int fd;

		/* A device of its own for each */
		cr_assert_gt(asprintf(&root, "devices/%zu/", i), 0);
		cr_assert_gt(asprintf(&other, "%spower/control", root), 0);
		cr_assert_gt(asprintf(&link, "%s%s/subsystem", root, cases[i].path), 0);
		scratch_file(other, "auto\n");
		if (cases[i].subsystem) {
			_cleanup_free_ char *target = NULL;

			cr_assert_gt(asprintf(&target, "../../class/%s", cases[i].subsystem), 0);
			scratch_link(link, target);
		} else {
			scratch_parents(link);
		}

		fd = openat(scratch_fd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cr_assert_geq(fd, 0);
		cr_expect_eq(sysfs_find_carried(fd, &carried), cases[i].name ? 0 : -ENOENT, "%s",
			     cases[i].path);
		cr_expect(streq(carried, cases[i].name), "%s", cases[i].path);
		close_fd(fd);
	}
	/* Nor is what links lead to the device's. */
	{
		char *carried = NULL;

		cr_expect_eq(sysfs_find_carried(device, &carried), -ENOENT);
	}
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
	/* Nor does the device itself. */
	scratch_link(DEVICE "driver", "../../drivers/e1000e");
	cr_expect_eq(sysfs_iommu_group_obstacle(device, "0000:00:10.0", &bdf, &driver), -ENOENT);

	scratch_link(OTHER "driver", "../../drivers/snd_hda_intel");
	cr_assert_eq(sysfs_iommu_group_obstacle(device, "0000:00:10.0", &bdf, &driver), 0);
	cr_expect_str_eq(bdf, "0000:00:10.1");
	cr_expect_str_eq(driver, "snd_hda_intel");

	scratch_file(OTHER "vfio-dev/vfio1/dev", "511:1\n");
	cr_expect_eq(sysfs_iommu_group_obstacle(device, "0000:00:10.0", &bdf, &driver), -ENOENT);
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

Test(sysfs, the_file_of_a_bar_has_an_inode)
{
	struct stat st;

	cr_expect_eq(sysfs_bar_inode(device, 2, true), 0);
	scratch_file(DEVICE "resource2", "");
	scratch_file(DEVICE "resource2_wc", "");
	cr_assert_eq(fstatat(device, "resource2_wc", &st, 0), 0);
	cr_expect_eq(sysfs_bar_inode(device, 2, true), st.st_ino);
	cr_expect_neq(sysfs_bar_inode(device, 2, false), st.st_ino);
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

/* Everybody may read it. */
static int publish(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_SL ? 0 : chmod(path, 0755);
}

/* Files of aliases/INDEX/ as the kernel writes them. */
static void make_alias(const char *index, const char *const values[static 6])
{
	static const char *const names[] = { "bar",   "offset",	  "size",
					     "flags", "mappings", "memory_type" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = NULL;

		cr_assert_gt(asprintf(&path, DEVICE "vfio-dev/vfio3/aliases/%s/%s", index,
				      names[i]),
			     0);
		if (values[i])
			scratch_file(path, values[i]);
	}
}

Test(sysfs, aliases_are_read_in_the_order_of_bars_and_offsets)
{
	static const char
		*const wc[] = { "2\n", "0x10000\n", "0x8000000000\n", "0x3\n", "7\n", "wc\n" },
		       *const uc[] = { "2\n", "0x0\n", "0x1000\n", "0x1\n", "0\n", "uc\n" },
		       *const other[] = { "0\n", "0x0\n", "0x1000\n", "0x0\n", "0\n", "other\n" };
	_cleanup_free_ struct sysfs_alias *aliases = NULL;
	_cleanup_free_ char *name = NULL;
	size_t n;

	cr_expect_eq(sysfs_read_aliases(device, &aliases, &n), -ENOENT);
	scratch_file(DEVICE "vfio-dev/vfio3/dev", "511:0\n");
	cr_assert_eq(sysfs_vfio_name(device, &name), 0);
	cr_expect_str_eq(name, "vfio3");
	cr_expect_eq(sysfs_read_aliases(device, &aliases, &n), 0);
	cr_expect_eq(n, 0);

	make_alias("9", wc);
	make_alias("10", uc);
	make_alias("11", other);
	make_alias("12", (const char *const[6]){}); /* it is just going away */
	scratch_file(DEVICE "vfio-dev/vfio3/aliases/12/bar", "0\n");
	cr_assert_eq(sysfs_read_aliases(device, &aliases, &n), 0);
	cr_assert_eq(n, 3);
	cr_expect_eq(aliases[0].index, 11);
	cr_expect_eq(aliases[0].type, 0);
	cr_expect_eq(aliases[1].index, 10);
	cr_expect_eq(aliases[1].type, VFIO_ALIAS_MEMORY_UC);
	cr_expect_eq(aliases[2].index, 9);
	cr_expect_eq(aliases[2].bar, 2);
	cr_expect_eq(aliases[2].offset, 0x10000);
	cr_expect_eq(aliases[2].size, UINT64_C(0x8000000000));
	cr_expect_eq(aliases[2].type, VFIO_ALIAS_MEMORY_WC);
	cr_expect_eq(aliases[2].flags, VFIO_ALIAS_FLAG_SYSFS | VFIO_ALIAS_FLAG_SHARED);
	cr_expect_eq(aliases[2].mappings, 7);
}

Test(sysfs, how_many_mappings_an_alias_has_is_for_root)
{
	static const char *const values[] = { "0\n", "0x0\n", "0x1000\n", "0x1\n", "7\n", "wc\n" };
	_cleanup_free_ struct sysfs_alias *aliases = NULL;
	uid_t caller = geteuid();
	size_t n = 0;
	int r;

	make_alias("9", values);
	cr_assert_eq(nftw(scratch, publish, 16, FTW_PHYS), 0);
	cr_assert_eq(fchmodat(device, "vfio-dev/vfio3/aliases/9/mappings", 0, 0), 0);
	if (caller == 0)
		cr_assert_eq(seteuid(65534), 0);
	r = sysfs_read_aliases(device, &aliases, &n);
	cr_assert_eq(seteuid(caller), 0);
	cr_assert_eq(r, 0);
	cr_assert_eq(n, 1);
	cr_expect_eq(aliases[0].mappings, SYSFS_MAPPINGS_UNSEEN);
	cr_expect_eq(aliases[0].type, VFIO_ALIAS_MEMORY_WC);
}

Test(sysfs, an_alias_that_makes_no_sense_is_refused)
{
	static const char *const cases[][6] = {
		{ "6\n", "0x0\n", "0x1000\n", "0x1\n", "0\n", "wc\n" },
		{ "\n", "0x0\n", "0x1000\n", "0x1\n", "0\n", "wc\n" },
		{ "0\n", "0x1000\n", "0xffffffffffffffff\n", "0x1\n", "0\n", "wc\n" },
		{ "0\n", "0x0\n", "-1\n", "0x1\n", "0\n", "wc\n" },
		{ "0\n", "0x0\n", "0x1000\n", "0x100000000\n", "0\n", "wc\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sysfs_alias *aliases = NULL;
		size_t n;

		make_alias("9", cases[i]);
		cr_expect_eq(sysfs_read_aliases(device, &aliases, &n), -EBADMSG, "case %zu", i);
		cr_expect_null(aliases);
	}
}

Test(sysfs, the_ids_are_read)
{
	uint16_t vendor, id;

	cr_expect_eq(sysfs_read_ids(device, &vendor, &id), -ENOENT);
	scratch_file(DEVICE "device", "0x1110\n");
	cr_assert_eq(sysfs_read_ids(device, &vendor, &id), 0);
	cr_expect_eq(vendor, 0x1af4);
	cr_expect_eq(id, 0x1110);
	scratch_file(DEVICE "device", "0x11100\n");
	cr_expect_eq(sysfs_read_ids(device, &vendor, &id), -EBADMSG);
}

Test(sysfs, a_group_is_described_without_the_device_itself)
{
	_cleanup_free_ char *alone = NULL, *others = NULL;

	scratch_link(DEVICE "iommu_group", "../../groups/7");
	scratch_link("groups/7/devices/0000:00:10.0", "../../../devices/0000:00:10.0");
	cr_assert_eq(sysfs_describe_group(device, "0000:00:10.0", &alone), 0);
	cr_expect_str_eq(alone, "");

	scratch_link("groups/7/devices/0000:00:10.1", "../../../devices/0000:00:10.1");
	scratch_link(OTHER "driver", "../../drivers/e1000e");
	cr_assert_eq(sysfs_describe_group(device, "0000:00:10.0", &others), 0);
	cr_expect_str_eq(others, "0000:00:10.1 (e1000e)");
}

Test(sysfs, the_character_devices_of_a_group_are_listed)
{
	_cleanup_free_ char(*none)[SYSFS_CDEV_SIZE] = NULL, (*cdevs)[SYSFS_CDEV_SIZE] = NULL;
	size_t n;

	cr_expect_eq(sysfs_list_group_cdevs(device, &none, &n), -ENOENT);
	scratch_link(DEVICE "iommu_group", "../../groups/7");
	scratch_link("groups/7/devices/0000:00:10.0", "../../../devices/0000:00:10.0");
	scratch_link("groups/7/devices/0000:00:10.1", "../../../devices/0000:00:10.1");
	scratch_file(DEVICE "vfio-dev/vfio0/power", "");
	cr_assert_eq(sysfs_list_group_cdevs(device, &none, &n), 0);
	cr_expect_eq(n, 0);

	scratch_file(OTHER "vfio-dev/vfio12/dev", "511:1\n");
	cr_assert_eq(sysfs_list_group_cdevs(device, &cdevs, &n), 0);
	cr_assert_eq(n, 1);
	cr_expect_str_eq(cdevs[0], "vfio12");
}

Test(sysfs, a_group_of_no_iommu_mode_is_known_by_its_name)
{
	scratch_link(DEVICE "iommu_group", "../../groups/7");
	cr_expect_not(sysfs_group_is_noiommu(device));
	scratch_file("groups/7/name", "vfio-noiommu\n");
	cr_expect(sysfs_group_is_noiommu(device));
}

/* A configuration space of which @length bytes are shown: MSI-X is at 0x40. */
static void make_config(uint8_t command, size_t length)
{
	const uint8_t config[PCI_CONFIG_SIZE] = {
		[0x04] = command, [0x06] = 0x10, [0x34] = 0x40, [0x40] = 0x11,
		[0x42] = 0x07,	  [0x44] = 0x04, [0x45] = 0x20, /* BAR 4, 0x2000 */
	};
	_cleanup_close_ int fd =
		openat(device, "config", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, config, length), (ssize_t)length);
}

Test(sysfs, the_msix_table_is_found_as_far_as_it_is_shown)
{
	struct pci_msix msix = { .bar = 42 };

	cr_expect_eq(sysfs_find_msix(device, &msix), -ENOENT);
	make_config(0, 0);
	cr_expect_eq(sysfs_find_msix(device, &msix), -ENODATA);
	make_config(0, 64); /* everybody but root sees that */
	cr_expect_eq(sysfs_find_msix(device, &msix), -ENODATA);
	cr_expect_eq(msix.bar, 42);
	make_config(0, PCI_CONFIG_SIZE);
	cr_assert_eq(sysfs_find_msix(device, &msix), 0);
	cr_expect(msix.bar == 4 && msix.offset == 0x2000 && msix.size == 8 * 16);
}

Test(sysfs, whether_memory_answers_is_told_by_the_command_register)
{
	cr_expect_eq(sysfs_decodes_memory(device), -ENOENT);
	make_config(0x02, 4);
	cr_expect_eq(sysfs_decodes_memory(device), -ENODATA);
	make_config(0x05, 64); /* I/O ports and bus mastering */
	cr_expect_eq(sysfs_decodes_memory(device), 0);
	make_config(0x02, 64);
	cr_expect_eq(sysfs_decodes_memory(device), 1);
	make_config(0x07, PCI_CONFIG_SIZE);
	cr_expect_eq(sysfs_decodes_memory(device), 1);
}

Test(sysfs, the_power_state_is_the_kernels_word)
{
	_cleanup_free_ char *state = NULL;

	cr_expect_eq(sysfs_power_state(device, &state), -ENOENT);
	scratch_file(DEVICE "power_state", "D3hot\n");
	cr_assert_eq(sysfs_power_state(device, &state), 0);
	cr_expect_str_eq(state, "D3hot");
}
