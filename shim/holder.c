/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "holder.h"

#include <fcntl.h>
#include <limits.h>

#include "pci.h"
#include "util.h"

/* A line of maps ends in the path, at which spaces are not escaped; this one has none. */
static bool ends_in(const char *line, const char *tail)
{
	size_t length = strlen(line), tail_length = strlen(tail);

	return length >= tail_length && streq(line + length - tail_length, tail);
}

/* What is looked for, and where in a process. */
struct search {
	/* Returns 0 and the file's name if the process of directory @process has it. */
	int (*look)(const struct search *search, int process, struct holder *ret);
	const char *bdf;
	unsigned int bar;
	const char *const *paths; /* ends in NULL */
};

static int look_in_maps(const struct search *search, int process, struct holder *ret)
{
	static const char *const suffixes[] = { "", "_wc" };
	_cleanup_free_ char *line = NULL;
	_cleanup_fclose_ FILE *maps = NULL;
	size_t allocated = 0;
	ssize_t length;
	int fd;

	fd = openat(process, "maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	maps = fdopen(fd, "re");
	if (!maps) {
		close_fd(fd);
		return -errno;
	}

	while ((length = getline(&line, &allocated, maps)) > 0) {
		line[length - 1] = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
			char tail[1 + PCI_BDF_SIZE + sizeof("resource0_wc")];

			snprintf(tail, sizeof(tail), "/%s/resource%u%s", search->bdf,
				 search->bar % 10, suffixes[i]);
			if (ends_in(line, tail)) {
				strcpy(ret->file, strrchr(tail, '/') + 1);
				return 0;
			}
		}
	}
	return -ENOENT;
}

static int look_in_fds(const struct search *search, int process, struct holder *ret)
{
	_cleanup_closedir_ DIR *fds = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct dirent *entry;

	fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	fds = fdopendir(fd);
	if (!fds)
		return -errno;
	TAKE_FD(fd);

	while ((entry = readdir(fds))) {
		char target[sizeof(ret->file)];
		ssize_t length;

		length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target));
		if (length < 0 || (size_t)length == sizeof(target))
			continue; /* closed by now, or longer than what is looked for */
		target[length] = '\0';
		for (const char *const *path = search->paths; *path; path++) {
			if (streq(target, *path)) {
				strcpy(ret->file, target);
				return 0;
			}
		}
	}
	return -ENOENT;
}

static int find(const char *proc, const struct search *search, struct holder *ret)
{
	_cleanup_closedir_ DIR *processes = opendir(proc);
	struct dirent *entry;

	if (!processes)
		return -errno;

	while ((entry = readdir(processes))) {
		_cleanup_free_ char *comm = NULL, *name = NULL;
		_cleanup_close_ int fd = -EBADF;
		struct holder holder = {};
		uint64_t pid;

		if (parse_u64(entry->d_name, strlen(entry->d_name), 10, &pid) < 0 || pid > INT_MAX)
			continue;
		/* A process that goes away, or is not ours to see, is not the one. */
		fd = openat(dirfd(processes), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || search->look(search, fd, &holder) < 0)
			continue;
		if (read_one_line_at(fd, "comm", &comm) < 0)
			continue;

		name = printable(comm, strlen(comm));
		if (!name)
			return -ENOMEM;
		snprintf(holder.name, sizeof(holder.name), "%s", name);
		holder.pid = (pid_t)pid;
		*ret = holder;
		return 0;
	}
	return -ENOENT;
}

int holder_find_mapping(const char *proc, const char *bdf, unsigned int bar, struct holder *ret)
{
	const struct search search = { .look = look_in_maps, .bdf = bdf, .bar = bar };

	return find(proc, &search, ret);
}

int holder_find_open(const char *proc, const char *const paths[], struct holder *ret)
{
	const struct search search = { .look = look_in_fds, .paths = paths };

	return find(proc, &search, ret);
}
