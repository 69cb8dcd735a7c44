/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI device's directory in sysfs, and what else is read there. An input begins with which part
 * it is for, and then has the texts of the files, or what the links point to, with a NUL behind
 * each:
 *
 *	0  "vendor", "device"
 *	1  the name of an alias, its "bar", "offset", "size", "flags", "mappings", "memory_type",
 *	   and the same files of another alias
 *	2  the links "iommu_group" and "driver"
 *	3  the name of another device in the group, and the link "driver" of that
 *	4  "driver_override", "iommu_group/name", and of the machine VFIO's no-IOMMU mode
 *	5  the lockdown of the machine
 */
#include "sysfs.h"

#include <limits.h>
#include <linux/vfio_alias.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "fuzz.h"

#define ALIASES "device/vfio-dev/vfio3/aliases"
#define GROUP_DEVICES "alone/iommu_group/devices"

static int directory, device, alone;

/* What is of the machine is in the directory, too. */
int openat(int fd, const char *path, int flags, ...)
{
	static const char *const redirected[][2] = {
		{ "/sys/kernel/security/lockdown", "lockdown" },
		{ SYSFS_NOIOMMU_MODE, "noiommu" },
	};
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	for (size_t i = 0; i < ARRAY_SIZE(redirected); i++) {
		if (streq(path, redirected[i][0])) {
			fd = directory;
			path = redirected[i][1];
		}
	}
	return (int)syscall(SYS_openat, fd, path, flags, mode);
}

static void make(const char *path)
{
	check(mkdirat(directory, path, 0700) == 0);
}

static int open_made(const char *path)
{
	int fd = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	check(fd >= 0);
	return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const directories[] = {
		"device",      "device/vfio-dev", "device/vfio-dev/vfio3", ALIASES,
		ALIASES "/10", "alone",		  "alone/iommu_group",	   GROUP_DEVICES,
	};

	(void)argc;
	(void)argv;
	directory = make_directory();
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		make(directories[i]);
	device = open_made("device");
	alone = open_made("alone");
	return 0;
}

/* The next text as a file. To be freed. */
static char *put_file(struct input *input, int dirfd, const char *name)
{
	char *text = take_text(input, '\0');

	write_file(dirfd, name, text, strlen(text));
	return text;
}

/* The next text as what a link points to; NULL if that cannot be. To be freed. */
static char *put_link(struct input *input, int dirfd, const char *name)
{
	char *target = take_text(input, '\0');

	if (symlinkat(target, dirfd, name) == 0)
		return target;
	check(*target == '\0');
	free(target);
	return NULL;
}

/* What comes behind the last slash. */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static char *first_line(char *text)
{
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* ---- 0: ids ---- */

static void check_ids(struct input *input)
{
	_cleanup_free_ char *vendor = put_file(input, device, "vendor"),
			    *id = put_file(input, device, "device");
	uint16_t found[2] = { 42, 43 };
	char written[2][16];
	int r;

	r = sysfs_read_ids(device, &found[0], &found[1]);
	snprintf(written[0], sizeof(written[0]), "0x%04x\n", found[0]);
	snprintf(written[1], sizeof(written[1]), "0x%04x\n", found[1]);
	if (r < 0) {
		check(r == -EBADMSG);
		check(found[0] == 42 && found[1] == 43);
		return;
	}
	/* A number that begins so is read as the kernel means it. */
	for (size_t i = 0; i < 2; i++) {
		const char *text = i == 0 ? vendor : id;

		if (strncmp(text, "0x", 2) == 0 && strspn(text + 2, "0123456789abcdef") == 4 &&
		    text[6] == '\n')
			check(strncmp(text, written[i], strlen(written[i])) == 0);
	}
}

/* ---- 1: aliases ---- */

static const char *const alias_files[] = { "bar",   "offset",	"size",
					   "flags", "mappings", "memory_type" };

/* The directory of the alias whose name is of the input. */
static int name_alias(struct input *input)
{
	static char now[NAME_MAX + 1];
	_cleanup_free_ char *name = take_text(input, '\0');
	char path[sizeof(ALIASES) + 1 + NAME_MAX];

	if (!*now) {
		strcpy(now, "9");
		make(ALIASES "/9");
	}
	if (*name && strlen(name) <= NAME_MAX && !strchr(name, '/') && *name != '.' &&
	    !streq(name, "10") && !streq(name, now)) {
		_cleanup_close_ int aliases = open_made(ALIASES);

		check(renameat(aliases, now, aliases, name) == 0);
		strcpy(now, name);
	}
	snprintf(path, sizeof(path), "%s/%s", ALIASES, now);
	return open_made(path);
}

static void check_aliases(struct input *input)
{
	_cleanup_free_ struct sysfs_alias *aliases = NULL;
	int fds[] = { name_alias(input), open_made(ALIASES "/10") };
	size_t n = 4711;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		for (size_t j = 0; j < ARRAY_SIZE(alias_files); j++)
			free(put_file(input, fds[i], alias_files[j]));
	r = sysfs_read_aliases(device, &aliases, &n);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
	if (r < 0) {
		check(r == -EBADMSG);
		check(!aliases && n == 4711);
		return;
	}
	check(n == 2);
	for (size_t i = 0; i < n; i++) {
		check(aliases[i].bar < PCI_BARS);
		check(aliases[i].offset <= UINT64_MAX - aliases[i].size);
		check(aliases[i].type == 0 || aliases[i].type == VFIO_ALIAS_MEMORY_WC ||
		      aliases[i].type == VFIO_ALIAS_MEMORY_UC);
	}
	check(aliases[0].bar <= aliases[1].bar);
	check(aliases[0].bar < aliases[1].bar || aliases[0].offset <= aliases[1].offset);
	check(aliases[0].index == 10 || aliases[1].index == 10);
}

/* ---- 2: links ---- */

static void check_links(struct input *input)
{
	_cleanup_free_ char *group = put_link(input, device, "iommu_group"),
			    *driver = put_link(input, device, "driver"), *found = NULL;
	unsigned int number = 4711;
	int r;

	r = sysfs_iommu_group(device, &number);
	if (r == 0) {
		const char *digits = last_part(group) + strspn(last_part(group), "0");
		char written[16];

		snprintf(written, sizeof(written), "%u", number);
		check(streq(*digits ? digits : "0", written));
	} else {
		check(number == 4711);
		check(r == (group ? -EBADMSG : -ENOENT));
		check(!group || !*last_part(group) || strlen(last_part(group)) > 9 ||
		      last_part(group)[strspn(last_part(group), "0123456789")]);
	}
	check(sysfs_driver(device, &found) == 0);
	check(streq(found, driver ? last_part(driver) : NULL));
	check((unlinkat(device, "iommu_group", 0) == 0) == !!group);
	check((unlinkat(device, "driver", 0) == 0) == !!driver);
}

/* ---- 3: the group ---- */

static void check_group(struct input *input)
{
	_cleanup_free_ char *name = take_text(input, '\0'), *driver = NULL, *text = NULL,
			    *expected = NULL;
	_cleanup_close_ int devices = open_made(GROUP_DEVICES), other = -EBADF;

	if (!*name || strlen(name) > NAME_MAX || strchr(name, '/') || *name == '.')
		return;
	check(mkdirat(devices, name, 0700) == 0);
	other = openat(devices, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(other >= 0);
	driver = put_link(input, other, "driver");
	check(sysfs_describe_group(alone, "0000:00:10.0", &text) == 0);
	check(asprintf(&expected, "%s (%s)", name, driver ? last_part(driver) : "no driver") > 0);
	check(streq(text, streq(name, "0000:00:10.0") ? "" : expected));
	(void)unlinkat(other, "driver", 0);
	check(unlinkat(devices, name, AT_REMOVEDIR) == 0);
}

/* ---- 4: words ---- */

static void check_words(struct input *input)
{
	_cleanup_free_ char *override = first_line(put_file(input, device, "driver_override")),
			    *name = first_line(put_file(input, alone, "iommu_group/name")),
			    *mode = first_line(put_file(input, directory, "noiommu")),
			    *driver = NULL;

	check(sysfs_driver_override(device, &driver) == 0);
	check(streq(driver, *override && !streq(override, "(null)") ? override : NULL));
	check(sysfs_group_is_noiommu(alone) == streq(name, "vfio-noiommu"));
	check(sysfs_noiommu_mode() == streq(mode, "Y"));
}

/* ---- 5: lockdown ---- */

static void check_lockdown(struct input *input)
{
	_cleanup_free_ char *text = first_line(put_file(input, directory, "lockdown")),
			    *level = NULL, *bracketed = NULL;
	int r;

	r = sysfs_lockdown(&level);
	if (r < 0) {
		const char *start = strchr(text, '[');

		check(r == -EBADMSG && !level);
		check(!start || !strchr(start, ']'));
		return;
	}
	check(!strchr(level, ']'));
	check(asprintf(&bracketed, "[%s]", level) > 0);
	check(strstr(text, bracketed) == strchr(text, '['));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parts[])(struct input *) = {
		check_ids, check_aliases, check_links, check_group, check_words, check_lockdown
	};
	struct input input = { data, data + size };

	parts[take_byte(&input) % ARRAY_SIZE(parts)](&input);
	return 0;
}
