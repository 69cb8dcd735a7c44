/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "udev-rules.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>

#include "mark.h"

static const char *const directories[] = {
	"/etc/udev/rules.d",
	"/run/udev/rules.d",
	"/usr/local/lib/udev/rules.d",
	"/usr/lib/udev/rules.d",
};

/*
 * Reads one rule, its continuation lines joined, or one comment, which is an empty rule. A comment
 * can be between the lines of a rule, and is not continued itself, whatever it ends in.
 * Returns how many lines that has, 0 at the end, or -errno.
 */
static int read_rule(FILE *rules, char **line, size_t *allocated, char **ret)
{
	_cleanup_free_ char *rule = NULL;
	size_t size = 0;
	ssize_t length;
	int n = 0;

	while ((length = read_line(rules, line, allocated)) > 0) {
		bool more;
		char *grown;

		n++;
		if ((*line)[strspn(*line, " \t")] == '#') {
			if (n > 1)
				continue;
			rule = strdup("");
			if (!rule)
				return -ENOMEM;
			break;
		}
		if ((*line)[length - 1] == '\n')
			length--;
		more = length > 0 && (*line)[length - 1] == '\\';
		length -= more;
		grown = realloc(rule, size + (size_t)length + 1);
		if (!grown)
			return -ENOMEM;
		rule = grown;
		memcpy(rule + size, *line, (size_t)length);
		size += (size_t)length;
		rule[size] = '\0';
		if (!more)
			break;
	}
	if (length < 0)
		return (int)length;
	*ret = TAKE_PTR(rule);
	return n;
}

/* Whether a rule assigns to the property; "==" and "!=" compare it. */
static bool sets_mark(const char *rule)
{
	char key[64];

	snprintf(key, sizeof(key), "ENV{%s}", mark_property_names[MARK_ALIAS]);
	for (const char *p = rule; (p = strstr(p, key));) {
		p += strlen(key);
		p += strspn(p, " \t");
		p += *p == ':' || *p == '+';
		if (p[0] == '=' && p[1] != '=')
			return true;
	}
	return false;
}

static bool has_id(const char *rule, unsigned int id)
{
	char text[16];

	snprintf(text, sizeof(text), "%04x", id);
	return strcasestr(rule, text);
}

/* The address of a longer domain ends in those of shorter ones. */
static bool has_bdf(const char *rule, const char *bdf)
{
	for (const char *p = rule; (p = strstr(p, bdf)); p++)
		if (p == rule || !isxdigit((unsigned char)p[-1]))
			return true;
	return false;
}

int udev_rules_find(FILE *rules, const struct udev_rules_device *device, unsigned int *ret_line)
{
	_cleanup_free_ char *line = NULL;
	unsigned int at = 1;
	size_t allocated = 0;
	int lines;
	int r = -ENOENT;

	for (;; at += (unsigned int)lines) {
		_cleanup_free_ char *rule = NULL;

		lines = read_rule(rules, &line, &allocated, &rule);
		if (lines < 0)
			return lines;
		if (lines == 0)
			return r;
		if (!sets_mark(rule))
			continue;
		if (has_bdf(rule, device->bdf) ||
		    (has_id(rule, device->vendor) && has_id(rule, device->device))) {
			*ret_line = at;
			r = 0;
		}
	}
}

struct rules_file {
	char *name;
	size_t directory; /* of the name */
};

struct rules_files {
	struct rules_file *files;
	size_t n;
};

static void clear_files(struct rules_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		free(files->files[i].name);
	free(files->files);
}

/* udev's order; of files of the same name the one that counts is the first. */
static int compare_files(const void *a, const void *b)
{
	const struct rules_file *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : left->directory < right->directory ? -1 : 1;
}

/* Adds the files of rules of directory @index. Returns 0 or -errno. */
static int add_files(const char *root, size_t index, struct rules_files *files)
{
	_cleanup_closedir_ DIR *directory = NULL;
	_cleanup_free_ char *path = NULL;
	struct dirent *entry;

	if (asprintf(&path, "%s%s", root, directories[index]) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(directory))) {
		const char *suffix = strrchr(entry->d_name, '.');
		struct rules_file *more;

		if (!streq(suffix, ".rules"))
			continue;
		more = reallocarray(files->files, files->n + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		files->files = more;
		more[files->n].name = strdup(entry->d_name);
		more[files->n].directory = index;
		if (!more[files->n].name)
			return -ENOMEM;
		files->n++;
	}
	return 0;
}

/* Returns as udev_rules_search() does, for one file; -ENOENT also if it has just gone. */
static int search_file(const char *path, const struct udev_rules_device *device, char **ret_where)
{
	_cleanup_fclose_ FILE *rules = NULL;
	unsigned int line;
	int r;

	r = open_stream_at(AT_FDCWD, path, &rules);
	if (r < 0)
		return r;
	r = udev_rules_find(rules, device, &line);
	if (r < 0)
		return r;
	if (asprintf(ret_where, "%s:%u", path, line) < 0) {
		*ret_where = NULL;
		return -ENOMEM;
	}
	return 0;
}

int udev_rules_search(const char *root, const struct udev_rules_device *device, char **ret_where)
{
	_cleanup_(clear_files) struct rules_files files = {};
	_cleanup_free_ char *where = NULL;
	int found = -ENOENT, r;

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		r = add_files(root, i, &files);
		if (r < 0)
			return r;
	}
	if (files.n > 0)
		qsort(files.files, files.n, sizeof(*files.files), compare_files);

	for (size_t i = 0; i < files.n; i++) {
		const struct rules_file *file = &files.files[i];
		_cleanup_free_ char *path = NULL, *later = NULL;

		if (i > 0 && streq(file->name, files.files[i - 1].name))
			continue;
		if (asprintf(&path, "%s%s/%s", root, directories[file->directory], file->name) <
		    0) {
			path = NULL;
			return -ENOMEM;
		}
		r = search_file(path, device, &later);
		if (r == -ENOENT || r == -EISDIR)
			continue;
		if (r == -ENOMEM)
			return r;
		free(where);
		where = r == 0 ? TAKE_PTR(later) : NULL;
		found = r;
	}
	if (found == 0)
		*ret_where = TAKE_PTR(where);
	return found;
}
