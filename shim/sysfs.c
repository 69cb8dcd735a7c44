/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sysfs.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/pci_regs.h>
#include <linux/vfio_alias.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "util.h"

#define SYSFS_DRIVERS_PROBE "/sys/bus/pci/drivers_probe"
#define SYSFS_SECURITY "/sys/kernel/security"
#define VFIO_CLASS "/sys/class/vfio" /* the groups that it has */
#define SYSFS_ACPI_TABLES "/sys/firmware/acpi/tables"
#define GROUP_DEVICES "iommu_group/devices" /* of a device's directory */
#define DEBUGFS_MEMTYPES "/sys/kernel/debug/x86/pat_memtype_list"

/* Drivers that leave DMA to the group's owner (driver_managed_dma in the kernel). */
static const char *const harmless_drivers[] = { "pci-stub", "pcieport", "shpchp" };

int sysfs_open_device(const char *bdf)
{
	_cleanup_close_ int devices = -EBADF;
	int fd;

	devices = open(SYSFS_PCI_DEVICES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (devices < 0)
		return -errno;
	fd = openat(devices, bdf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The next entry of a directory that is not hidden, or NULL. */
static struct dirent *read_entry(DIR *directory)
{
	struct dirent *entry;

	do
		entry = readdir(directory);
	while (entry && entry->d_name[0] == '.');
	return entry;
}

int sysfs_list_devices(char (**ret)[PCI_BDF_SIZE], size_t *ret_n)
{
	_cleanup_closedir_ DIR *directory = NULL;
	_cleanup_free_ char(*bdfs)[PCI_BDF_SIZE] = NULL;
	struct dirent *entry;
	size_t n = 0;
	int r;

	r = open_directory_at(AT_FDCWD, SYSFS_PCI_DEVICES, &directory);
	if (r < 0)
		return r;
	while ((entry = read_entry(directory))) {
		char(*more)[PCI_BDF_SIZE];

		if (!pci_bdf_valid(entry->d_name))
			continue;
		more = reallocarray(bdfs, n + 1, sizeof(*bdfs));
		if (!more)
			return -ENOMEM;
		bdfs = more;
		strcpy(bdfs[n++], entry->d_name);
	}
	*ret = TAKE_PTR(bdfs);
	*ret_n = n;
	return 0;
}

/* An attribute that is one number of at most @max. */
static int read_number(int fd, const char *path, uint64_t max, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	uint64_t value;
	int r;

	r = read_one_line_at(fd, path, &text);
	if (r < 0)
		return r;
	if (parse_size(text, strlen(text), &value) < 0 || value > max)
		return -EBADMSG;
	*ret = value;
	return 0;
}

int sysfs_read_ids(int fd, uint16_t *ret_vendor, uint16_t *ret_device)
{
	uint64_t vendor, device;
	int r;

	r = read_number(fd, "vendor", UINT16_MAX, &vendor);
	if (r < 0)
		return r;
	r = read_number(fd, "device", UINT16_MAX, &device);
	if (r < 0)
		return r;
	*ret_vendor = (uint16_t)vendor;
	*ret_device = (uint16_t)device;
	return 0;
}

/* Returns how many bytes the kernel shows of the configuration space, or -errno. */
static ssize_t read_config(int fd, uint8_t ret[static PCI_CONFIG_SIZE])
{
	_cleanup_close_ int config_fd = openat(fd, "config", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (config_fd < 0)
		return -errno;
	n = read(config_fd, ret, PCI_CONFIG_SIZE);
	return n < 0 ? -errno : n;
}

int sysfs_find_msix(int fd, struct pci_msix *ret)
{
	uint8_t config[PCI_CONFIG_SIZE];
	ssize_t n = read_config(fd, config);

	return n < 0 ? (int)n : pci_find_msix(config, (size_t)n, ret);
}

int sysfs_power_state(int fd, char **ret)
{
	return read_one_line_at(fd, "power_state", ret);
}

int sysfs_decodes_memory(int fd)
{
	uint8_t config[PCI_CONFIG_SIZE];
	ssize_t n = read_config(fd, config);

	if (n < 0)
		return (int)n;
	if (n <= PCI_COMMAND)
		return -ENODATA;
	return (config[PCI_COMMAND] & PCI_COMMAND_MEMORY) != 0;
}

int sysfs_trigger(int fd, const char *uuid)
{
	char text[64];

	snprintf(text, sizeof(text), "change %s", uuid);
	return write_string_at(fd, "uevent", text);
}

int sysfs_vfio_name(int fd, char **ret)
{
	_cleanup_closedir_ DIR *directory = NULL;
	struct dirent *entry;
	int r;

	r = open_directory_at(fd, "vfio-dev", &directory);
	if (r < 0)
		return r;
	entry = read_entry(directory);
	if (!entry)
		return -ENOENT;
	*ret = strdup(entry->d_name);
	return *ret ? 0 : -ENOMEM;
}

static int read_alias(int fd, const char *index, struct sysfs_alias *ret)
{
	_cleanup_close_ int alias_fd = openat(fd, index, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *type = NULL;
	uint64_t number, bar, flags;
	int r;

	if (alias_fd < 0)
		return -errno;
	if (parse_u64(index, strlen(index), 10, &number) < 0 || number > UINT_MAX)
		return -EBADMSG;
	r = read_number(alias_fd, "bar", PCI_BARS - 1, &bar);
	if (r < 0)
		return r;
	r = read_number(alias_fd, "offset", UINT64_MAX, &ret->offset);
	if (r < 0)
		return r;
	r = read_number(alias_fd, "size", UINT64_MAX - ret->offset, &ret->size);
	if (r < 0)
		return r;
	r = read_number(alias_fd, "flags", UINT32_MAX, &flags);
	if (r < 0)
		return r;
	r = read_number(alias_fd, "mappings", UINT64_MAX, &ret->mappings);
	if (r == -EACCES)
		ret->mappings = SYSFS_MAPPINGS_UNSEEN;
	else if (r < 0)
		return r;
	r = read_one_line_at(alias_fd, "memory_type", &type);
	if (r < 0)
		return r;

	ret->index = (unsigned int)number;
	ret->bar = (unsigned int)bar;
	ret->flags = (uint32_t)flags;
	ret->type = streq(type, "wc") ? VFIO_ALIAS_MEMORY_WC :
		    streq(type, "uc") ? VFIO_ALIAS_MEMORY_UC :
					0;
	return 0;
}

static int compare_aliases(const void *a, const void *b)
{
	const struct sysfs_alias *left = a, *right = b;

	if (left->bar != right->bar)
		return left->bar < right->bar ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

int sysfs_read_aliases(int fd, struct sysfs_alias **ret, size_t *ret_n)
{
	_cleanup_closedir_ DIR *directory = NULL;
	_cleanup_free_ struct sysfs_alias *aliases = NULL;
	_cleanup_free_ char *name = NULL, *path = NULL;
	struct dirent *entry;
	size_t n = 0;
	int r;

	r = sysfs_vfio_name(fd, &name);
	if (r < 0)
		return r;
	if (asprintf(&path, "vfio-dev/%s/aliases", name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = open_directory_at(fd, path, &directory);
	if (r == -ENOENT) { /* it comes with the first alias */
		*ret = NULL;
		*ret_n = 0;
		return 0;
	}
	if (r < 0)
		return r;

	while ((entry = read_entry(directory))) {
		struct sysfs_alias alias, *more;

		r = read_alias(dirfd(directory), entry->d_name, &alias);
		if (r == -ENOENT || r == -ENODEV)
			continue;
		if (r < 0)
			return r;
		more = reallocarray(aliases, n + 1, sizeof(*aliases));
		if (!more)
			return -ENOMEM;
		aliases = more;
		aliases[n++] = alias;
	}
	if (n > 0)
		qsort(aliases, n, sizeof(*aliases), compare_aliases);
	*ret = TAKE_PTR(aliases);
	*ret_n = n;
	return 0;
}

int sysfs_read_bars(int fd, struct pci_bar ret[static PCI_BARS])
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = read_file_at(fd, "resource", &text);
	if (r < 0)
		return r;
	return pci_parse_resource(text, ret);
}

int sysfs_driver(int fd, char **ret)
{
	int r = read_link_name_at(fd, "driver", ret);

	if (r != -ENOENT)
		return r;
	*ret = NULL;
	return 0;
}

/* Of a SCSI disk behind a few USB hubs and bridges it is less. */
#define CARRIED_DEPTH_MAX 24

static int find_carried(int fd, unsigned int depth, char **ret)
{
	_cleanup_closedir_ DIR *directory = NULL;
	struct dirent *entry;
	int r;

	r = open_directory_at(fd, ".", &directory);
	if (r < 0)
		return r;
	while ((entry = read_entry(directory))) {
		_cleanup_free_ char *subsystem = NULL;
		_cleanup_close_ int child = -EBADF;

		if (entry->d_type != DT_DIR)
			continue;
		child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (child < 0)
			continue; /* it has just gone */
		r = read_link_name_at(child, "subsystem", &subsystem);
		if (r == -ENOMEM)
			return r;
		if (r == 0 && (streq(subsystem, "block") || streq(subsystem, "net"))) {
			*ret = strdup(entry->d_name);
			return *ret ? 0 : -ENOMEM;
		}
		r = depth < CARRIED_DEPTH_MAX ? find_carried(child, depth + 1, ret) : -ENOENT;
		if (r == 0 || r == -ENOMEM)
			return r;
	}
	return -ENOENT;
}

int sysfs_find_carried(int fd, char **ret)
{
	return find_carried(fd, 0, ret);
}

bool sysfs_has_vfs(int fd)
{
	return faccessat(fd, "virtfn0", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool sysfs_has_vfio(int fd)
{
	return faccessat(fd, "vfio-dev", F_OK, 0) == 0;
}

int sysfs_driver_override(int fd, char **ret)
{
	_cleanup_free_ char *driver = NULL;
	int r;

	r = read_one_line_at(fd, "driver_override", &driver);
	if (r < 0)
		return r;
	*ret = streq(driver, "(null)") || streq(driver, "") ? NULL : TAKE_PTR(driver);
	return 0;
}

int sysfs_set_driver_override(int fd, const char *driver)
{
	return write_string_at(fd, "driver_override", driver ?: "\n");
}

int sysfs_unbind(int fd, const char *bdf)
{
	return write_string_at(fd, "driver/unbind", bdf);
}

int sysfs_probe(const char *bdf)
{
	return write_string_at(AT_FDCWD, SYSFS_DRIVERS_PROBE, bdf);
}

int sysfs_iommu_group(int fd, unsigned int *ret)
{
	_cleanup_free_ char *name = NULL;
	uint64_t number;
	int r;

	r = read_link_name_at(fd, "iommu_group", &name);
	if (r < 0)
		return r;
	r = parse_u64(name, strlen(name), 10, &number);
	if (r < 0 || number > UINT_MAX)
		return -EBADMSG;
	*ret = (unsigned int)number;
	return 0;
}

int sysfs_noiommu_mode(void)
{
	_cleanup_free_ char *value = NULL;
	int r = read_one_line_at(AT_FDCWD, SYSFS_NOIOMMU_MODE, &value);

	return r < 0 ? r : streq(value, "Y");
}

bool sysfs_group_has_vfio(int fd)
{
	char path[sizeof(VFIO_CLASS "/noiommu-4294967295")];
	unsigned int group;

	if (faccessat(AT_FDCWD, VFIO_CLASS, F_OK, 0) < 0)
		return true;
	if (sysfs_iommu_group(fd, &group) < 0)
		return false;
	snprintf(path, sizeof(path), VFIO_CLASS "/%s%u",
		 sysfs_group_is_noiommu(fd) ? "noiommu-" : "", group);
	return faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

int sysfs_vfio_cdev(int fd, char **ret)
{
	_cleanup_free_ char *name = NULL, *path = NULL;
	int r;

	r = sysfs_vfio_name(fd, &name);
	if (r < 0)
		return r;
	if (asprintf(&path, "vfio-dev/%s/dev", name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (faccessat(fd, path, F_OK, 0) < 0)
		return -errno;
	*ret = TAKE_PTR(name);
	return 0;
}

static bool driver_is_harmless(const char *driver)
{
	for (size_t i = 0; i < ARRAY_SIZE(harmless_drivers); i++)
		if (streq(driver, harmless_drivers[i]))
			return true;
	return false;
}

/*
 * Opens the next device of an IOMMU group but @except, which may be NULL.
 * @ret_bdf: good until the next call
 * Returns its directory, or -ENOENT behind the last.
 */
static int open_next(DIR *devices, const char *except, const char **ret_bdf)
{
	struct dirent *entry;

	while ((entry = read_entry(devices))) {
		int fd;

		if (streq(entry->d_name, except))
			continue;
		fd = openat(dirfd(devices), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue; /* it has just gone */
		*ret_bdf = entry->d_name;
		return fd;
	}
	return -ENOENT;
}

int sysfs_iommu_group_obstacle(int fd, const char *except, char **ret_bdf, char **ret_driver)
{
	_cleanup_closedir_ DIR *devices = NULL;
	int r;

	r = open_directory_at(fd, GROUP_DEVICES, &devices);
	if (r < 0)
		return r;
	for (;;) {
		const char *bdf;
		_cleanup_close_ int other = open_next(devices, except, &bdf);
		_cleanup_free_ char *driver = NULL;

		if (other < 0)
			return other;
		r = sysfs_driver(other, &driver);
		if (r < 0)
			return r;
		if (!driver || driver_is_harmless(driver) || sysfs_has_vfio(other))
			continue;

		*ret_bdf = strdup(bdf);
		if (!*ret_bdf)
			return -ENOMEM;
		*ret_driver = TAKE_PTR(driver);
		return 0;
	}
}

int sysfs_describe_group(int fd, const char *bdf, char **ret)
{
	_cleanup_closedir_ DIR *devices = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *stream = NULL;
	const char *separator = "";
	size_t size;
	int r;

	r = open_directory_at(fd, GROUP_DEVICES, &devices);
	if (r < 0)
		return r;
	stream = open_memstream(&text, &size);
	if (!stream)
		return -ENOMEM;

	for (;;) {
		const char *name;
		_cleanup_close_ int other = open_next(devices, bdf, &name);
		_cleanup_free_ char *driver = NULL;

		if (other < 0)
			break;
		if (sysfs_driver(other, &driver) < 0)
			continue; /* it has just gone */
		fprintf(stream, "%s%s (%s)", separator, name, driver ?: "no driver");
		separator = ", ";
	}
	/* Without memory for its last step fclose() succeeds, and there is no text. */
	if (fclose(TAKE_PTR(stream)) != 0 || !text)
		return -ENOMEM;
	*ret = TAKE_PTR(text);
	return 0;
}

int sysfs_list_group_cdevs(int fd, char (**ret)[SYSFS_CDEV_SIZE], size_t *ret_n)
{
	_cleanup_free_ char(*cdevs)[SYSFS_CDEV_SIZE] = NULL;
	_cleanup_closedir_ DIR *devices = NULL;
	size_t n = 0;
	int r;

	r = open_directory_at(fd, GROUP_DEVICES, &devices);
	if (r < 0)
		return r;
	for (;;) {
		const char *bdf;
		_cleanup_close_ int member = open_next(devices, NULL, &bdf);
		_cleanup_free_ char *name = NULL;
		char(*more)[SYSFS_CDEV_SIZE];

		if (member < 0)
			break;
		if (sysfs_vfio_cdev(member, &name) < 0 || strlen(name) >= SYSFS_CDEV_SIZE)
			continue; /* it has none */
		more = reallocarray(cdevs, n + 1, sizeof(*cdevs));
		if (!more)
			return -ENOMEM;
		cdevs = more;
		strcpy(cdevs[n++], name);
	}
	*ret = TAKE_PTR(cdevs);
	*ret_n = n;
	return 0;
}

bool sysfs_group_is_noiommu(int fd)
{
	_cleanup_free_ char *name = NULL;

	/* drivers/vfio/group.c names it so; other groups have no name. */
	return read_one_line_at(fd, "iommu_group/name", &name) == 0 && streq(name, "vfio-noiommu");
}

int sysfs_lockdown(char **ret)
{
	_cleanup_free_ char *text = NULL;
	struct statfs security;
	char *start, *end;
	int r;

	/* The level in force is in brackets. */
	r = read_one_line_at(AT_FDCWD, SYSFS_SECURITY "/lockdown", &text);
	if (r == -ENOENT && statfs(SYSFS_SECURITY, &security) == 0 &&
	    security.f_type != SECURITYFS_MAGIC)
		return -ENODATA;
	if (r < 0)
		return r;
	start = strchr(text, '[');
	end = start ? strchr(start, ']') : NULL;
	if (!end)
		return -EBADMSG;
	*end = '\0';
	*ret = strdup(start + 1);
	return *ret ? 0 : -ENOMEM;
}

enum sysfs_iommu sysfs_firmware_iommu(void)
{
	if (access(SYSFS_ACPI_TABLES "/DMAR", F_OK) == 0)
		return SYSFS_IOMMU_INTEL;
	if (access(SYSFS_ACPI_TABLES "/IVRS", F_OK) == 0)
		return SYSFS_IOMMU_AMD;
	return SYSFS_IOMMU_NONE;
}

int sysfs_open_memtypes(FILE **ret)
{
	return open_stream_at(AT_FDCWD, DEBUGFS_MEMTYPES, ret);
}

const char *sysfs_bar_file(char buffer[static SYSFS_BAR_FILE_SIZE], unsigned int bar, bool wc)
{
	snprintf(buffer, SYSFS_BAR_FILE_SIZE, "resource%u%s", bar % 10, wc ? "_wc" : "");
	return buffer;
}

ino_t sysfs_bar_inode(int fd, unsigned int bar, bool wc)
{
	char file[SYSFS_BAR_FILE_SIZE];
	struct stat st;

	return fstatat(fd, sysfs_bar_file(file, bar, wc), &st, AT_SYMLINK_NOFOLLOW) == 0 ?
		       st.st_ino :
		       0;
}

int sysfs_open_path(int fd, const char *name)
{
	int path = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return path < 0 ? -errno : path;
}

int sysfs_set_access(int fd, const char *name, uid_t owner, gid_t group, mode_t mode)
{
	struct stat st;
	mode_t old;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	old = st.st_mode & 07777;
	/* At no time may the new owner do what only the old mode allows. */
	if (old & ~mode && fchmodat(fd, name, old & mode, 0) < 0)
		return -errno;
	if ((st.st_uid != owner || st.st_gid != group) &&
	    fchownat(fd, name, owner, group, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (old != mode && fchmodat(fd, name, mode, 0) < 0)
		return -errno;
	return 0;
}
