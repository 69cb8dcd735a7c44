/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "udev-rules.h"

#include <dirent.h>
#include <fcntl.h>

#include "mark.h"

static const char *const directories[] = {
	"/etc/udev/rules.d",
	"/run/udev/rules.d",
	"/usr/local/lib/udev/rules.d",
	"/usr/lib/udev/rules.d",
};

/* Reads one rule, its continuation lines joined. Returns how many lines it has, 0 at the end. */
static unsigned int read_rule(FILE *rules, char **line, size_t *allocated, char **ret)
{
	_cleanup_free_ char *rule = NULL;
	unsigned int n = 0;
	size_t size = 0;
	ssize_t length;

	while ((length = getline(line, allocated, rules)) > 0) {
		bool more;
		char *grown;

		n++;
		if ((*line)[length - 1] == '\n')
			length--;
		more = length > 0 && (*line)[length - 1] == '\\';
		length -= more;
		grown = realloc(rule, size + (size_t)length + 1);
		if (!grown)
			return 0;
		rule = grown;
		memcpy(rule + size, *line, (size_t)length);
		size += (size_t)length;
		rule[size] = '\0';
		if (!more)
			break;
	}
	if (n > 0)
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

int udev_rules_find(FILE *rules, const struct udev_rules_device *device, unsigned int *ret_line)
{
	_cleanup_free_ char *line = NULL;
	unsigned int at = 1, lines;
	size_t allocated = 0;

	for (;; at += lines) {
		_cleanup_free_ char *rule = NULL;

		lines = read_rule(rules, &line, &allocated, &rule);
		if (lines == 0)
			return -ENOENT;
		if (rule[strspn(rule, " \t")] == '#' || !sets_mark(rule))
			continue;
		if (strstr(rule, device->bdf) ||
		    (has_id(rule, device->vendor) && has_id(rule, device->device))) {
			*ret_line = at;
			return 0;
		}
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a directory's files of rules, in udev's order. Returns how many, or -errno. */
static int list_files(const char *path, char ***ret)
{
	_cleanup_closedir_ DIR *directory = opendir(path);
	char **names = NULL;
	struct dirent *entry;
	size_t n = 0;

	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(directory))) {
		const char *suffix = strrchr(entry->d_name, '.');
		char **more;

		if (!suffix || !streq(suffix, ".rules"))
			continue;
		more = reallocarray(names, n + 1, sizeof(*names));
		if (!more)
			break;
		names = more;
		names[n] = strdup(entry->d_name);
		if (!names[n])
			break;
		n++;
	}
	if (n > 0)
		qsort(names, n, sizeof(*names), compare_names);
	*ret = names;
	return (int)n;
}

static int search_directory(const char *path, const struct udev_rules_device *device,
			    char **ret_where)
{
	char **names = NULL;
	int n, r = -ENOENT;

	n = list_files(path, &names);
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *file = NULL;
		_cleanup_fclose_ FILE *rules = NULL;
		unsigned int line;

		if (r == -ENOENT && asprintf(&file, "%s/%s", path, names[i]) >= 0 &&
		    (rules = fopen(file, "re")) && udev_rules_find(rules, device, &line) == 0)
			r = asprintf(ret_where, "%s:%u", file, line) < 0 ? -ENOMEM : 0;
		free(names[i]);
	}
	free(names);
	return n < 0 ? n : r;
}

int udev_rules_search(const char *root, const struct udev_rules_device *device, char **ret_where)
{
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		_cleanup_free_ char *path = NULL;
		int r;

		if (asprintf(&path, "%s%s", root, directories[i]) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		r = search_directory(path, device, ret_where);
		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}
