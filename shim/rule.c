/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rule.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

int rule_parse_target(const char *text, struct rule_target *ret)
{
	struct rule_target target = {};
	uint64_t vendor, device;

	if (strlen(text) == sizeof("ffff:ffff") - 1 && text[4] == ':' &&
	    parse_u64(text, 4, 16, &vendor) == 0 && parse_u64(text + 5, 4, 16, &device) == 0) {
		target.by_ids = true;
		target.vendor = (uint16_t)vendor;
		target.device = (uint16_t)device;
	} else if (pci_parse_bdf(text, target.bdf) < 0) {
		return -EINVAL;
	}
	*ret = target;
	return 0;
}

const char *rule_format_target(char buffer[static RULE_TARGET_SIZE],
			       const struct rule_target *target)
{
	if (target->by_ids)
		snprintf(buffer, RULE_TARGET_SIZE, "%04x:%04x", target->vendor, target->device);
	else
		strcpy(buffer, target->bdf);
	return buffer;
}

const char *rule_name(char buffer[static RULE_NAME_SIZE], const struct rule_target *target)
{
	char name[RULE_TARGET_SIZE];

	snprintf(buffer, RULE_NAME_SIZE, "%d-vfio-alias-%s.rules", target->by_ids ? 80 : 81,
		 rule_format_target(name, target));
	return buffer;
}

/*
 * Whether udev takes a value between quotes for what it is. Not so '"' and '\', which end it
 * or escape, '$' and '%', which are for substitution, and what is not printable.
 */
static bool value_is_plain(const char *value)
{
	for (; *value; value++)
		if (!isascii((unsigned char)*value) ||
		    (!isalnum((unsigned char)*value) && !strchr(" :@+,._-", *value)))
			return false;
	return true;
}

/* Returns 0, -EINVAL if a rule cannot have the value, or -ENOMEM. */
static int check_value(enum mark_property property, const char *value, char **ret_message)
{
	const char *name = mark_property_names[property];
	_cleanup_free_ char *shown = NULL;
	size_t length = strlen(value);
	int r;

	if (value_is_plain(value) && length <= RULE_VALUE_MAX)
		return 0;
	shown = printable(value, length);
	if (!shown)
		return -ENOMEM;
	if (length > RULE_VALUE_MAX)
		r = asprintf(ret_message,
			     "%s: \"%s\": it has %zu bytes, and udev takes %zu at most", name,
			     shown, length, RULE_VALUE_MAX);
	else
		r = asprintf(ret_message,
			     "%s: \"%s\": a rule can have letters, digits and \" :@+,._-\"; "
			     "for a user or group, its number does as well",
			     name, shown);
	return r < 0 ? -ENOMEM : -EINVAL;
}

int rule_format(const struct rule_target *target, const struct mark_text *mark, char **ret,
		char **ret_message)
{
	_cleanup_free_ char *text = NULL;
	char name[RULE_TARGET_SIZE];
	size_t size;
	FILE *stream;
	bool failed;

	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		int r = 0;

		if (mark->value[i])
			r = check_value((enum mark_property)i, mark->value[i], ret_message);
		if (r < 0)
			return r;
	}

	stream = open_memstream(&text, &size);
	if (!stream)
		return -ENOMEM;
	rule_format_target(name, target);
	fputs("# Made by \"vfio-alias mark\"; \"vfio-alias unmark\" removes it.\n"
	      "ACTION!=\"remove\", SUBSYSTEM==\"pci\", ",
	      stream);
	if (target->by_ids)
		fprintf(stream, "ATTR{vendor}==\"0x%04x\", ATTR{device}==\"0x%04x\"",
			target->vendor, target->device);
	else
		fprintf(stream, "KERNEL==\"%s\"", name);
	/* A value that is empty takes the property away. */
	for (size_t i = 0; i < MARK_PROPERTIES; i++)
		fprintf(stream, ", \\\n    ENV{%s}=\"%s\"", mark_property_names[i],
			mark->value[i] ?: "");
	fputc('\n', stream);
	failed = ferror(stream);
	/* Without memory for its last step fclose() succeeds, and there is no text. */
	if (fclose(stream) != 0 || failed || !text)
		return -ENOMEM;
	*ret = TAKE_PTR(text);
	return 0;
}

/*
 * The directory above is udev's or systemd's; it may be missing on a small system. Whatever the
 * umask, others may read in what is made.
 */
static int make_directories(const char *path)
{
	char part[PATH_MAX];
	size_t length = strlen(path);

	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (mkdir(part, 0755) == 0 ? chmod(part, 0755) < 0 : errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int open_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Returns 0 or -errno. */
static int write_and_sync(int fd, const char *text)
{
	int r = write_all(fd, text, strlen(text));

	if (r < 0)
		return r;
	/* Whatever the umask: udev's rules are no secret. */
	return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int rule_write(const char *directory, const char *name, const char *text)
{
	_cleanup_close_ int dirfd = -EBADF, fd = -EBADF;
	_cleanup_free_ char *path = NULL;
	const char *new_name;
	int r;

	r = make_directories(directory);
	if (r < 0)
		return r;
	dirfd = open_directory(directory);
	if (dirfd < 0)
		return dirfd;

	/* A name of its own for each writer; and udev reads what ends in ".rules". */
	if (asprintf(&path, "%s/%s.XXXXXX", directory, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	new_name = strrchr(path, '/') + 1;
	r = write_and_sync(fd, text);
	if (r == 0 && renameat(dirfd, new_name, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, new_name, 0); /* it is the write that failed */
		return r;
	}
	return fsync(dirfd) < 0 ? -errno : 0;
}

int rule_remove(const char *directory, const char *name)
{
	_cleanup_close_ int dirfd = open_directory(directory);

	if (dirfd < 0)
		return dirfd;
	if (unlinkat(dirfd, name, 0) < 0)
		return -errno;
	return fsync(dirfd) < 0 ? -errno : 0;
}
