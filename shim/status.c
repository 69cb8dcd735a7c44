/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "status.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "json.h"

#define FILE_NAME_SIZE (PCI_BDF_SIZE + sizeof(".json.new"))

/* A member that is a string or null. */
struct member {
	const char *key;
	size_t offset; /* of the char * in the structure */
};

static const struct member device_members[] = {
	{ "bdf", offsetof(struct status, bdf) },
	{ "state", offsetof(struct status, state) },
	{ "reason", offsetof(struct status, reason) },
	{ "driver", offsetof(struct status, driver) },
	{ "previous_driver", offsetof(struct status, previous_driver) },
	{ "previous_override", offsetof(struct status, previous_override) },
};

static const struct member alias_members[] = {
	{ "type_wanted", offsetof(struct status_alias, type_wanted) },
	{ "type_in_effect", offsetof(struct status_alias, type_in_effect) },
	{ "file", offsetof(struct status_alias, file) },
	{ "state", offsetof(struct status_alias, state) },
	{ "reason", offsetof(struct status_alias, reason) },
};

static char **member_of(const void *structure, const struct member *member)
{
	return (char **)((uintptr_t)structure + member->offset);
}

static void free_members(void *structure, const struct member *members, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(*member_of(structure, &members[i]));
}

void status_clear(struct status *status)
{
	for (size_t i = 0; i < status->n_aliases; i++)
		free_members(&status->aliases[i], alias_members, ARRAY_SIZE(alias_members));
	free(status->aliases);
	free_members(status, device_members, ARRAY_SIZE(device_members));
	mark_text_clear(&status->mark);
	*status = (struct status){ .group = -1 };
}

static int add_members(struct json_object *object, const void *structure,
		       const struct member *members, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = json_add_string(object, members[i].key, *member_of(structure, &members[i]));

		if (r < 0)
			return r;
	}
	return 0;
}

static int alias_to_json(const struct status_alias *alias, struct json_object *array)
{
	struct json_object *object = json_object_new_object();

	if (json_append(array, object) < 0 ||
	    json_add(object, "bar", json_object_new_uint64(alias->bar)) < 0 ||
	    json_add(object, "offset", json_object_new_uint64(alias->offset)) < 0 ||
	    json_add(object, "size", json_object_new_uint64(alias->size)) < 0)
		return -ENOMEM;
	return add_members(object, alias, alias_members, ARRAY_SIZE(alias_members));
}

static int mark_to_json(const struct mark_text *mark, struct json_object *object)
{
	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		int r = json_add_string(object, mark_property_names[i], mark->value[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int status_to_json(const struct status *status, struct json_object **ret)
{
	_cleanup_json_ struct json_object *object = json_object_new_object();
	struct json_object *array, *mark;

	/* Each is the object's before the next one is made. */
	if (json_add(object, "aliases", array = json_object_new_array()) < 0 ||
	    json_add(object, "mark", mark = json_object_new_object()) < 0 ||
	    mark_to_json(&status->mark, mark) < 0 ||
	    json_add(object, "group", json_object_new_int64(status->group)) < 0 ||
	    json_add(object, "bound_by_service",
		     json_object_new_boolean(status->bound_by_service)) < 0 ||
	    json_add(object, "taken", json_object_new_boolean(status->taken)) < 0 ||
	    add_members(object, status, device_members, ARRAY_SIZE(device_members)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < status->n_aliases; i++)
		if (alias_to_json(&status->aliases[i], array) < 0)
			return -ENOMEM;

	*ret = TAKE_PTR(object);
	return 0;
}

int status_write(int dirfd, const struct status *status)
{
	_cleanup_json_ struct json_object *object = NULL;
	char name[FILE_NAME_SIZE], new_name[FILE_NAME_SIZE];
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = status_to_json(status, &object);
	if (r < 0)
		return r;

	snprintf(name, sizeof(name), "%s.json", status->bdf);
	snprintf(new_name, sizeof(new_name), "%s.json.new", status->bdf);
	fd = openat(dirfd, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (json_object_to_fd(fd, object,
			      JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE) < 0 ||
	    renameat(dirfd, new_name, dirfd, name) < 0) {
		r = -errno;
		(void)unlinkat(dirfd, new_name, 0); /* it is the write that failed */
		return r;
	}
	return 0;
}

static int read_u64(struct json_object *object, const char *key, uint64_t *ret)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return -EBADMSG;
	*ret = json_object_get_uint64(value);
	return 0;
}

/* A member that is a string, null or not there. */
static int read_string(struct json_object *object, const char *key, char **ret)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(object, key, &value); /* then it is NULL */
	if (value && !json_object_is_type(value, json_type_string))
		return -EBADMSG;
	return replace_string(ret, value ? json_object_get_string(value) : NULL);
}

static int read_members(struct json_object *object, void *structure, const struct member *members,
			size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = read_string(object, members[i].key, member_of(structure, &members[i]));

		if (r < 0)
			return r;
	}
	return 0;
}

static int mark_from_json(struct json_object *object, struct mark_text *mark)
{
	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		int r = read_string(object, mark_property_names[i], &mark->value[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int alias_from_json(struct json_object *object, struct status_alias *alias)
{
	uint64_t bar;

	if (!json_object_is_type(object, json_type_object) || read_u64(object, "bar", &bar) < 0 ||
	    bar >= PCI_BARS || read_u64(object, "offset", &alias->offset) < 0 ||
	    read_u64(object, "size", &alias->size) < 0)
		return -EBADMSG;
	alias->bar = (unsigned int)bar;
	return read_members(object, alias, alias_members, ARRAY_SIZE(alias_members));
}

static int status_from_json(struct json_object *object, const char *bdf, struct status *ret)
{
	_cleanup_status_ struct status status = {};
	struct json_object *aliases, *group, *bound, *taken, *mark;
	size_t n;
	int r;

	if (!json_object_object_get_ex(object, "aliases", &aliases) ||
	    !json_object_is_type(aliases, json_type_array) ||
	    !json_object_object_get_ex(object, "group", &group) ||
	    !json_object_is_type(group, json_type_int) ||
	    !json_object_object_get_ex(object, "bound_by_service", &bound) ||
	    !json_object_is_type(bound, json_type_boolean))
		return -EBADMSG;
	n = json_object_array_length(aliases);
	if (n > MARK_ITEMS_MAX)
		return -EBADMSG;

	status.group = json_object_get_int64(group);
	status.bound_by_service = json_object_get_boolean(bound);
	status.taken = json_object_object_get_ex(object, "taken", &taken) &&
		       json_object_get_boolean(taken);
	r = read_members(object, &status, device_members, ARRAY_SIZE(device_members));
	if (r < 0)
		return r;
	if (json_object_object_get_ex(object, "mark", &mark)) {
		if (!json_object_is_type(mark, json_type_object))
			return -EBADMSG;
		r = mark_from_json(mark, &status.mark);
		if (r < 0)
			return r;
	}
	if (!streq(status.bdf, bdf) || !status.state)
		return -EBADMSG;

	status.aliases = calloc(n + 1, sizeof(*status.aliases));
	if (!status.aliases)
		return -ENOMEM;
	status.n_aliases = n;
	for (size_t i = 0; i < n; i++) {
		r = alias_from_json(json_object_array_get_idx(aliases, i), &status.aliases[i]);
		if (r < 0)
			return r;
	}

	*ret = status;
	status = (struct status){};
	return 0;
}

int status_read(int dirfd, const char *bdf, struct status *ret)
{
	_cleanup_json_ struct json_object *object = NULL;
	_cleanup_free_ char *text = NULL;
	char name[FILE_NAME_SIZE];
	int r;

	snprintf(name, sizeof(name), "%s.json", bdf);
	r = read_file_at(dirfd, name, &text);
	if (r < 0)
		return r;
	object = json_tokener_parse(text);
	if (!json_object_is_type(object, json_type_object))
		return -EBADMSG;
	return status_from_json(object, bdf, ret);
}

void status_remove(int dirfd, const char *bdf)
{
	char name[FILE_NAME_SIZE];

	snprintf(name, sizeof(name), "%s.json", bdf);
	(void)unlinkat(dirfd, name, 0); /* that it was never written is as good */
}

void status_remove_unfinished(int dirfd)
{
	_cleanup_closedir_ DIR *directory = NULL;
	struct dirent *entry;

	if (open_directory_at(dirfd, ".", &directory) < 0)
		return;
	while ((entry = readdir(directory))) {
		const char *suffix = strstr(entry->d_name, ".json");

		if (suffix && streq(suffix, ".json.new"))
			(void)unlinkat(dirfd, entry->d_name, 0); /* as good as it gets */
	}
}

static int compare_bdf(const void *a, const void *b)
{
	const char *left = ((const struct status *)a)->bdf;
	const char *right = ((const struct status *)b)->bdf;
	size_t left_length = strlen(left), right_length = strlen(right);

	/* Only a domain above ffff makes an address longer. */
	if (left_length != right_length)
		return left_length < right_length ? -1 : 1;
	return strcmp(left, right);
}

int status_read_all(int dirfd, struct status **ret, size_t *ret_n, size_t *ret_unread)
{
	_cleanup_closedir_ DIR *directory = NULL;
	struct status *statuses = NULL;
	struct dirent *entry;
	size_t n = 0, unread = 0;
	int r;

	r = open_directory_at(dirfd, ".", &directory);
	if (r < 0)
		return r;
	while ((entry = readdir(directory))) {
		char *suffix = strstr(entry->d_name, ".json");
		struct status status, *more;

		if (!suffix || !streq(suffix, ".json"))
			continue;
		*suffix = '\0';
		if (!pci_bdf_valid(entry->d_name))
			continue;
		r = status_read(dirfd, entry->d_name, &status);
		if (r < 0) {
			unread += r != -ENOENT; /* the device has just gone */
			continue;
		}

		more = reallocarray(statuses, n + 1, sizeof(*statuses));
		if (!more) {
			status_clear(&status);
			status_free_all(statuses, n);
			return -ENOMEM;
		}
		statuses = more;
		statuses[n++] = status;
	}

	if (n > 0)
		qsort(statuses, n, sizeof(*statuses), compare_bdf);
	*ret = statuses;
	*ret_n = n;
	if (ret_unread)
		*ret_unread = unread;
	return 0;
}

void status_free_all(struct status *statuses, size_t n)
{
	for (size_t i = 0; i < n; i++)
		status_clear(&statuses[i]);
	free(statuses);
}

/* The type in effect of an alias, by the kernel; NULL if there is no such alias. */
static const char *type_in_effect(const struct status_alias *alias,
				  const struct sysfs_alias *aliases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (aliases[i].bar == alias->bar && aliases[i].offset == alias->offset &&
		    aliases[i].size == alias->size)
			return mark_type_name(aliases[i].type) ?: "other";
	return NULL;
}

/* Nobody vouches for a state and its reason any more. */
static int make_unknown(enum status_service service, char **state, char **reason)
{
	_cleanup_free_ char *past = NULL;
	int r;

	if (asprintf(&past, "%s; it said last: %s%s%s",
		     service == STATUS_SERVICE_UNKNOWN ? "whether the daemon runs is not known" :
							 "the daemon has ended",
		     *state ?: "nothing", *reason ? ", " : "", *reason ?: "") < 0) {
		past = NULL;
		return -ENOMEM;
	}
	r = replace_string(reason, past);
	return r < 0 ? r : replace_string(state, "unknown");
}

int status_disown(struct status *status, enum status_service service,
		  const struct sysfs_alias *aliases, size_t n)
{
	for (size_t i = 0; i < status->n_aliases; i++) {
		struct status_alias *alias = &status->aliases[i];
		const char *type = type_in_effect(alias, aliases, n);
		int r;

		r = replace_string(&alias->type_in_effect, type);
		if (r == 0 && !type)
			r = replace_string(&alias->file, NULL);
		if (r == 0)
			r = make_unknown(service, &alias->state, &alias->reason);
		if (r < 0)
			return r;
	}
	return make_unknown(service, &status->state, &status->reason);
}

int status_is_locked(const char *locks, const char *path)
{
	_cleanup_fclose_ FILE *stream = NULL;
	_cleanup_free_ char *line = NULL;
	size_t allocated = 0;
	struct stat st;
	ssize_t length;
	int r;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	r = open_stream_at(AT_FDCWD, locks, &stream);
	if (r < 0)
		return r;

	/* proc_locks(5); one that somebody waits for has "->" behind the number. */
	while ((length = read_line(stream, &line, &allocated)) > 0) {
		unsigned int device_major, device_minor;
		unsigned long long inode;

		if (sscanf(line, "%*u: FLOCK %*s WRITE %*d %x:%x:%llu", &device_major,
			   &device_minor, &inode) == 3 &&
		    makedev(device_major, device_minor) == st.st_dev && inode == st.st_ino)
			return 1;
	}
	return (int)length;
}

enum status_service status_service(void)
{
	int r;

	if (access(STATUS_DIRECTORY, F_OK) < 0)
		return errno == ENOENT ? STATUS_SERVICE_STOPPED : STATUS_SERVICE_UNKNOWN;
	r = status_is_locked("/proc/locks", STATUS_LOCK_FILE);
	if (r < 0) {
		errno = -r;
		return STATUS_SERVICE_UNKNOWN;
	}
	return r > 0 ? STATUS_SERVICE_RUNNING : STATUS_SERVICE_ENDED;
}

const char *status_service_name(enum status_service service)
{
	static const char *const names[STATUS_SERVICES] = { "running", "ended", "stopped",
							    "unknown" };

	return names[service];
}
