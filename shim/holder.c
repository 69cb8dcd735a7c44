/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "holder.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "pci.h"
#include "util.h"

/* A line of maps, proc_pid_maps(5). */
struct line {
	uint64_t start, end, offset, inode;
	char *path; /* a part of the line; "" if there is none */
};

static bool parse_line(char *text, struct line *ret)
{
	int at = 0;

	text[strcspn(text, "\n")] = '\0';
	/* The path is behind spaces that fill up a column. */
	if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %" SCNu64 " %n", &ret->start,
		   &ret->end, &ret->offset, &ret->inode, &at) < 4 ||
	    at == 0 || ret->end < ret->start)
		return false;
	ret->path = text + at;
	return true;
}

/* Of "resourceN" or "resourceN_wc": which BAR, or -1 if it is none. */
static int bar_of_file(const char *file)
{
	const char *digit = file + strlen("resource");

	if (strncmp(file, "resource", strlen("resource")) != 0 || *digit < '0' || *digit > '5' ||
	    (!streq(digit + 1, "") && !streq(digit + 1, "_wc")))
		return -1;
	return *digit - '0';
}

/* A file of the PCI core, whose mappings have the physical address for an offset. */
static bool is_stock(const struct line *line, const struct holder_device *device,
		     struct holder_mapping *ret)
{
	char tail[1 + PCI_BDF_SIZE + 1];
	const char *file = strrchr(line->path, '/');
	const struct pci_bar *bar;
	int index = file ? bar_of_file(file + 1) : -1;

	if (index < 0)
		return false;
	snprintf(tail, sizeof(tail), "/%s/", device->bdf);
	if ((size_t)(file + 1 - line->path) < strlen(tail) ||
	    strncmp(file + 1 - strlen(tail), tail, strlen(tail)) != 0)
		return false;

	bar = &device->bars[index];
	ret->bar = (unsigned int)index;
	ret->offset = line->offset >= bar->start && line->offset - bar->start < bar->length ?
			      line->offset - bar->start :
			      line->offset;
	snprintf(ret->file, sizeof(ret->file), "%s", file + 1);
	return true;
}

/* Of a mapping of a file of the PCI core, which has the memory type of its file. */
static bool is_in_the_way(const struct holder_mapping *mapping, uint64_t inode,
			  const struct holder_claim *claim)
{
	uint64_t page = page_size(), end = mapping->offset + mapping->size;
	uint64_t claim_end = (claim->offset + claim->length + page - 1) / page * page;
	bool meets = mapping->offset < claim_end && claim->offset < end;
	bool within = mapping->offset >= claim->offset && end <= claim_end;
	bool wc = strchr(mapping->file, '_');

	if (mapping->bar != claim->bar || inode != claim->inodes[wc])
		return false;
	return (meets && wc != claim->wc) || (claim->rest && !within && wc);
}

struct claimed {
	const struct holder_device *device;
	const struct holder_claim *claim;
};

/* Returns 0 and the file's name if the process of directory @dirfd has mapped what is claimed. */
static int find_mapping(int dirfd, const struct claimed *claimed, char ret_file[static 16])
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *maps = NULL;
	size_t allocated = 0;
	ssize_t length;
	int r;

	r = open_stream_at(dirfd, "maps", &maps);
	if (r < 0)
		return r;
	while ((length = read_line(maps, &text, &allocated)) > 0) {
		struct holder_mapping mapping;
		struct line line;

		if (!parse_line(text, &line) || !is_stock(&line, claimed->device, &mapping))
			continue;
		mapping.size = line.end - line.start;
		if (!is_in_the_way(&mapping, line.inode, claimed->claim))
			continue;
		snprintf(ret_file, 16, "%.15s", mapping.file);
		return 0;
	}
	return length < 0 ? (int)length : -ENOENT;
}

/* The directory of the next process, or -ENOENT behind the last. Others have gone meanwhile. */
static int next_process(DIR *processes, pid_t *ret)
{
	struct dirent *entry;

	while ((entry = readdir(processes))) {
		uint64_t pid;
		int fd;

		if (parse_u64(entry->d_name, strlen(entry->d_name), 10, &pid) < 0 || pid > INT_MAX)
			continue;
		fd = openat(dirfd(processes), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		*ret = (pid_t)pid;
		return fd;
	}
	return -ENOENT;
}

/* Returns 0 and the process's name, fit for a message, or -errno. */
static int read_name(int dirfd, char ret[static 16])
{
	_cleanup_free_ char *comm = NULL, *name = NULL;
	int r;

	r = read_one_line_at(dirfd, "comm", &comm);
	if (r < 0)
		return r;
	name = printable(comm, strlen(comm));
	if (!name)
		return -ENOMEM;
	snprintf(ret, 16, "%s", name);
	return 0;
}

/*
 * The first process for which @match returns 0; it sets the file of @holder.
 * Returns 0, -ENOENT if there is none, or -errno.
 */
static int find_process(const char *proc,
			int (*match)(int process_fd, const void *what, struct holder *holder),
			const void *what, struct holder *ret)
{
	_cleanup_closedir_ DIR *processes = opendir(proc);

	if (!processes)
		return -errno;

	for (;;) {
		struct holder holder = {};
		_cleanup_close_ int fd = next_process(processes, &holder.pid);
		int r;

		if (fd < 0)
			return fd;
		/* A process that goes away, or is not ours to see, is not the one. */
		r = match(fd, what, &holder);
		if (r == 0)
			r = read_name(fd, holder.name);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			continue;
		*ret = holder;
		return 0;
	}
}

static int has_mapped(int process_fd, const void *what, struct holder *holder)
{
	return find_mapping(process_fd, what, holder->file);
}

int holder_find_mapping(const char *proc, const struct holder_device *device,
			const struct holder_claim *claim, struct holder *ret)
{
	return find_process(proc, has_mapped, &(struct claimed){ device, claim }, ret);
}

static bool is_among(pid_t pid, const pid_t pids[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* The character device that is looked for. */
struct opened {
	dev_t number;
	const char *head; /* if not NULL: the node is gone, and its path had this */
	const pid_t *except;
	size_t n;
};

/* "/dev/vfio/devices/vfio12 (deleted)"; /dev can be mounted elsewhere. */
static bool is_unlinked(const char *target, const char *head)
{
	const char *at = strstr(target, head);

	if (!at)
		return false;
	at += strlen(head);
	return streq(at + strspn(at, "0123456789"), " (deleted)");
}

/* Whether @name in a process's directory of descriptors, @fd, is the device. */
static bool is_opened(int fd, const char *name, const struct opened *opened)
{
	char target[PATH_MAX];
	struct statx st;
	ssize_t length;

	/* Who serves the file system of a file is not asked for it, nor waited for. */
	if (statx(fd, name, AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0 || !S_ISCHR(st.stx_mode))
		return false;
	if (!opened->head)
		return makedev(st.stx_rdev_major, st.stx_rdev_minor) == opened->number;
	length = readlinkat(fd, name, target, sizeof(target) - 1);
	if (length < 0)
		return false; /* it has just been closed */
	target[length] = '\0';
	return is_unlinked(target, opened->head);
}

static int has_opened(int process_fd, const void *what, struct holder *holder)
{
	const struct opened *opened = what;
	_cleanup_closedir_ DIR *descriptors = NULL;
	struct dirent *entry;
	int r;

	if (is_among(holder->pid, opened->except, opened->n))
		return -ENOENT;
	r = open_directory_at(process_fd, "fd", &descriptors);
	if (r < 0)
		return r;
	while ((entry = readdir(descriptors)))
		if (entry->d_name[0] != '.' && is_opened(dirfd(descriptors), entry->d_name, opened))
			return 0;
	return -ENOENT;
}

int holder_find_open(const char *proc, const char *path, const pid_t except[], size_t n,
		     struct holder *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENOENT;
	return find_process(proc, has_opened, &(struct opened){ st.st_rdev, NULL, except, n }, ret);
}

int holder_find_open_unlinked(const char *proc, const char *head, const pid_t except[], size_t n,
			      struct holder *ret)
{
	return find_process(proc, has_opened, &(struct opened){ 0, head, except, n }, ret);
}

/* The bits of an offset in a VFIO device's file that are not the region's index. */
#define REGION_SHIFT 40
#define REGION_MASK ((UINT64_C(1) << REGION_SHIFT) - 1)

/* If @path begins with @head and then @name: what comes then; else NULL. */
static const char *behind(const char *path, const char *head, const char *name)
{
	size_t head_length = strlen(head), name_length = strlen(name);

	if (strncmp(path, head, head_length) != 0 ||
	    strncmp(path + head_length, name, name_length) != 0)
		return NULL;
	return path + head_length + name_length;
}

/* A file of an alias, or the device itself. The kernel puts VFIO's own file behind the former. */
static bool is_vfio(const struct line *line, const struct holder_device *device,
		    struct holder_mapping *ret)
{
	uint64_t region = line->offset >> REGION_SHIFT;
	const char *rest = behind(line->path, "/vfio-alias:", device->bdf);

	if (region >= PCI_BARS)
		return false;
	if (rest && *rest == ':') {
		snprintf(ret->file, sizeof(ret->file), "%.*s", (int)strcspn(rest + 1, " "),
			 rest + 1);
	} else {
		rest = device->vfio_name ?
			       behind(line->path, "/dev/vfio/devices/", device->vfio_name) :
			       NULL;
		if (!rest || *rest != '\0')
			return false;
		snprintf(ret->file, sizeof(ret->file), "%s", device->vfio_name);
	}
	ret->bar = (unsigned int)region;
	ret->offset = line->offset & REGION_MASK;
	return true;
}

static int add_mapping(struct holder_list *list, const struct holder_mapping *mapping)
{
	struct holder_mapping *more =
		reallocarray(list->mappings, list->n + 1, sizeof(*list->mappings));

	if (!more)
		return -ENOMEM;
	list->mappings = more;
	more[list->n++] = *mapping;
	return 0;
}

/* Kernel threads have no command line, and map nothing. */
static bool is_kernel_thread(int dirfd)
{
	_cleanup_free_ char *text = NULL;

	return read_file_at(dirfd, "cmdline", &text) == 0 && *text == '\0';
}

static int list_process(int dirfd, pid_t pid, const struct holder_device *device,
			struct holder_list *list)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *maps = NULL;
	struct holder_mapping mapping = { .pid = pid };
	size_t allocated = 0;
	bool unnamed = false;
	ssize_t length;
	int r;

	r = open_stream_at(dirfd, "maps", &maps);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		if ((r == -EACCES || r == -EPERM) && !is_kernel_thread(dirfd))
			list->n_unseen++;
		return 0;
	}

	while ((length = read_line(maps, &text, &allocated)) > 0) {
		struct line line;

		if (!parse_line(text, &line))
			continue;
		unnamed |= streq(line.path, "anon_inode:[vfio-device]");
		if (!is_stock(&line, device, &mapping) && !is_vfio(&line, device, &mapping))
			continue;
		mapping.size = line.end - line.start;
		r = read_name(dirfd, mapping.name);
		if (r == -ENOMEM)
			return r;
		r = add_mapping(list, &mapping);
		if (r < 0)
			return r;
	}
	list->n_unnamed += unnamed;
	return length == -ENOMEM ? -ENOMEM : 0; /* or the process has just gone */
}

int holder_list(const char *proc, const struct holder_device *device, struct holder_list *ret)
{
	_cleanup_closedir_ DIR *processes = opendir(proc);
	struct holder_list list = {};

	if (!processes)
		return -errno;
	for (;;) {
		pid_t pid;
		_cleanup_close_ int fd = next_process(processes, &pid);
		int r;

		if (fd < 0)
			break;
		r = list_process(fd, pid, device, &list);
		if (r < 0) {
			free(list.mappings);
			return r;
		}
	}
	*ret = list;
	return 0;
}
