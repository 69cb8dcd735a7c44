/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What /proc tells of processes. An input begins with which file it is for:
 *
 *	0  "maps", a NUL, and "comm"; the last line of "maps" gets its end
 *	1  "fd": what each link points to, with a NUL behind it; ../../vfio7 is a device, with and
 *	   without the " (deleted)" behind it
 *	2  "locks"; '@' stands for the device and the inode of a file that is there
 */
#include <limits.h>
#include <sys/sysmacros.h>

#include "fuzz.h"
#include "holder.h"
#include "status.h"

#define BDF "0000:00:10.0"
#define PID 4711
#define LINKS_MAX 8

static int directory;
static char locks[128], locked[128]; /* paths */
static char inode[64];		     /* of the latter, as the kernel writes it */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct stat st;

	(void)argc;
	(void)argv;
	directory = make_directory();
	check(mkdirat(directory, "4711", 0700) == 0);
	check(mkdirat(directory, "4711/fd", 0700) == 0);
	check(symlinkat("/dev/null", directory, "vfio7") == 0);
	check(symlinkat("/dev/null", directory, "vfio7 (deleted)") == 0);
	snprintf(locks, sizeof(locks), "%s/locks", getenv("FUZZ_DIRECTORY"));
	snprintf(locked, sizeof(locked), "%s/locked", getenv("FUZZ_DIRECTORY"));
	write_file(directory, "locked", "", 0);
	check(stat(locked, &st) == 0);
	snprintf(inode, sizeof(inode), "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev),
		 (unsigned long long)st.st_ino);
	return 0;
}

/* ---- maps ---- */

static void check_list(const char *maps)
{
	const struct holder_device device = {
		.bdf = BDF,
		.vfio_name = "vfio3",
		.bars = { [2] = { .kind = PCI_BAR_MEMORY, .start = 0x10000, .length = 0x1000 } },
	};
	struct holder_list list;

	check(holder_list(getenv("FUZZ_DIRECTORY"), &device, &list) == 0);
	check(list.n_unseen == 0);
	check(list.n_unnamed <= 1);
	check(list.n_unnamed == 0 || strstr(maps, "anon_inode:[vfio-device]"));
	for (size_t i = 0; i < list.n; i++) {
		const struct holder_mapping *mapping = &list.mappings[i];

		check(mapping->pid == PID);
		check(mapping->bar < PCI_BARS);
		check(strlen(mapping->file) < sizeof(mapping->file));
		check(strstr(maps, mapping->file));
		check(strstr(maps, "/" BDF "/") || strstr(maps, "/vfio-alias:" BDF ":") ||
		      strstr(maps, "/dev/vfio/devices/vfio3"));
	}
	free(list.mappings);
}

/* Who is in the way of an alias of the first page of BAR 2 */
static void check_mapping(const char *maps, bool wc, bool rest)
{
	const struct holder_device device = {
		.bdf = BDF,
		.bars = { [2] = { .kind = PCI_BAR_MEMORY, .start = 0x10000, .length = 0x2000 } },
	};
	const struct holder_claim claim = {
		.bar = 2,
		.wc = wc,
		.length = 0x1000,
		.inodes = { 4711, 4712 },
		.rest = rest,
	};
	struct holder holder = {};
	int r = holder_find_mapping(getenv("FUZZ_DIRECTORY"), &device, &claim, &holder);

	if (r < 0) {
		check(r == -ENOENT);
		return;
	}
	check(holder.pid == PID);
	if (streq(holder.file, "resource2"))
		check(wc && strstr(maps, "/" BDF "/resource2\n"));
	else
		check((rest || !wc) && streq(holder.file, "resource2_wc") &&
		      strstr(maps, "/" BDF "/resource2_wc\n"));
	if (*holder.name)
		check_message(holder.name);
}

static void check_maps(struct input *input)
{
	_cleanup_free_ char *text = take_text(input, '\0'), *maps = NULL;

	check(asprintf(&maps, "%s\n", text) > 0);
	write_file(directory, "4711/maps", maps, strlen(maps));
	write_file(directory, "4711/comm", input->p, (size_t)(input->end - input->p));
	check_list(maps);
	for (unsigned int i = 0; i < 4; i++)
		check_mapping(maps, i & 1, i & 2);
}

/* ---- fd ---- */

/* Whether the kernel says so of a node that is gone. */
static bool is_unlinked(const char *target)
{
	const char *at = strstr(target, "/vfio");

	if (!at)
		return false;
	for (at += strlen("/vfio"); *at >= '0' && *at <= '9'; at++)
		;
	return streq(at, " (deleted)");
}

static void check_links(struct input *input)
{
	static const pid_t except[] = { 1, PID };
	const char *proc = getenv("FUZZ_DIRECTORY");
	bool is_there = false, is_gone = false;
	struct holder holder = {};
	size_t n;
	int r;

	for (n = 0; n < LINKS_MAX && input->p < input->end; n++) {
		_cleanup_free_ char *target = take_text(input, '\0');
		char path[32];

		snprintf(path, sizeof(path), "4711/fd/%zu", n);
		if (symlinkat(target, directory, path) < 0) {
			check(*target == '\0');
			n--;
		}
	}
	/* One can lead through a later one. */
	for (size_t i = 0; i < n; i++) {
		char path[32], target[PATH_MAX] = "";
		struct stat st;

		snprintf(path, sizeof(path), "4711/fd/%zu", i);
		check(readlinkat(directory, path, target, sizeof(target) - 1) > 0);
		if (fstatat(directory, path, &st, 0) < 0 || !S_ISCHR(st.st_mode))
			continue;
		is_there |= st.st_rdev == makedev(1, 3);
		is_gone |= is_unlinked(target);
	}
	write_file(directory, "4711/comm", "tool\n", strlen("tool\n"));
	r = holder_find_open(proc, "/dev/null", except, 1, &holder);
	check(r == (is_there ? 0 : -ENOENT));
	check(!is_there || (holder.pid == PID && streq(holder.name, "tool")));
	check(holder_find_open(proc, "/dev/null", except, ARRAY_SIZE(except), &holder) == -ENOENT);
	r = holder_find_open_unlinked(proc, "/vfio", except, 1, &holder);
	check(r == (is_gone ? 0 : -ENOENT));
	while (n-- > 0) {
		char path[32];

		snprintf(path, sizeof(path), "4711/fd/%zu", n);
		check(unlinkat(directory, path, 0) == 0);
	}
}

/* ---- locks ---- */

/* Whether a line is as the kernel writes it of a lock that is held. */
static bool is_held(const char *line)
{
	static const char words[] = ": FLOCK  ADVISORY  WRITE ";
	const char *p = line + strspn(line, "0123456789");
	size_t pid;

	if (p == line || p > line + 9 || strncmp(p, words, strlen(words)) != 0)
		return false;
	p += strlen(words);
	pid = strspn(p, "0123456789");
	if (pid == 0 || pid > 9 || p[pid] != ' ')
		return false;
	p += pid + 1;
	return strncmp(p, inode, strlen(inode)) == 0 && strchr(" \n", p[strlen(inode)]);
}

static void check_locks(struct input *input)
{
	_cleanup_free_ char *written = take_text(input, '\0'), *text = NULL;
	bool must = false, may = false;
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	int r;

	check(stream);
	for (const char *p = written; *p; p++) {
		if (*p == '@')
			fputs(inode, stream);
		else
			fputc(*p, stream);
	}
	check(fclose(stream) == 0);
	write_file(directory, "locks", text, size);
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		const char *flock = strstr(line, "FLOCK"), *waits = strstr(line, "->");

		must |= is_held(line);
		may |= flock && strstr(flock, "WRITE") && !(waits && waits < flock);
	}
	r = status_is_locked(locks, locked);
	check(r == 0 || r == 1);
	check(r == 1 || !must);
	check(r == 0 || may);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const files[])(struct input *) = { check_maps, check_links, check_locks };
	struct input input = { data, data + size };

	files[take_byte(&input) % ARRAY_SIZE(files)](&input);
	return 0;
}
