/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes each allocation of each operation fail once, by /proc/thread-self/fail-nth of a kernel
 * with fault injection: the operation fails with ENOMEM or succeeds, leaves nothing behind when
 * it failed, and succeeds at the next attempt.
 *
 *	alias_fail BDF BAR
 *
 * Prints for each operation how many allocations it has, which is how often it ran.
 */
#define _GNU_SOURCE
#include "client.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SIZE (4 * PAGE)
#define FILE_AT (4 * PAGE)  /* where the alias with a file is */
#define FREE_AT (16 * PAGE) /* claimed by nobody */

static const char *bdf;
static unsigned int bar;
static struct session session;
static char path_wc[128];
static int file_fd = -1, event_fd = -1;
static uint8_t *file_map;

/* The n-th allocation from now on fails; 0 for none. Returns whether that one was reached. */
static bool fail_nth(int n)
{
	static int fd = -1;
	char text[16];
	ssize_t length;

	if (fd < 0)
		fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/proc/thread-self/fail-nth");
	length = pread(fd, text, sizeof(text) - 1, 0);
	if (length < 0)
		die("fail-nth");
	text[length] = '\0';
	if (dprintf(fd, "%d", n) < 0)
		die("fail-nth");
	return atoi(text) == 0;
}

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

static void must(int r, const char *what)
{
	if (r < 0) {
		errno = -r;
		die(what);
	}
}

static int create_plain(void)
{
	int r = alias_create(session.fd, bar, VFIO_ALIAS_MEMORY_WC, 0, SIZE, 0);

	return r < 0 ? r : 0;
}

static int create_file(void)
{
	int r = alias_create(session.fd, bar, VFIO_ALIAS_MEMORY_WC, FILE_AT, SIZE,
			     VFIO_ALIAS_FLAG_SYSFS);

	return r < 0 ? r : 0;
}

/* All aliases, by their indexes */
static int remove_all(void)
{
	int r = 0;

	for (uint32_t i = 0; i < 2 && r == 0; i++) {
		r = alias_remove(session.fd, VFIO_PCI_NUM_REGIONS + i);
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

static void with_nothing(void)
{
	must(remove_all(), "remove");
}

static void with_plain(void)
{
	must(create_plain(), "create");
}

static void with_file(void)
{
	must(create_file(), "create with a file");
}

static void with_file_alone(void)
{
	with_nothing();
	with_file();
}

static void with_both(void)
{
	with_plain();
	with_file();
}

static int region_info(void)
{
	uint8_t buffer[256] = { 0 };
	struct vfio_region_info *info = (struct vfio_region_info *)buffer;

	info->argsz = sizeof(buffer);
	info->index = VFIO_PCI_NUM_REGIONS;
	return result(ioctl(session.fd, VFIO_DEVICE_GET_REGION_INFO, info));
}

/* Maps, touches and unmaps a page. A fault without memory is tried again by the kernel. */
static int map_at(int fd, uint64_t offset)
{
	volatile uint8_t *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)offset);

	if (at == MAP_FAILED)
		return -errno;
	(void)*at;
	return result(munmap((void *)at, PAGE));
}

static int map_alias(void)
{
	return map_at(session.fd, (uint64_t)VFIO_PCI_NUM_REGIONS << 40);
}

static int map_own(void)
{
	return map_at(session.fd, ((uint64_t)bar << 40) + FREE_AT);
}

static int open_file(void)
{
	int fd = open(path_wc, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return result(fd);
}

static void with_open_file(void)
{
	with_file();
	file_fd = open(path_wc, O_RDWR | O_CLOEXEC);
	if (file_fd < 0)
		die(path_wc);
}

static int map_file(void)
{
	return map_at(file_fd, FILE_AT);
}

static void close_file(void)
{
	close(file_fd);
}

static void with_mapped_file(void)
{
	with_open_file();
	file_map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, file_fd, FILE_AT);
	if (file_map == MAP_FAILED)
		die(path_wc);
	(void)*(volatile uint8_t *)file_map;
}

static int fork_mapped(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		(void)*(volatile uint8_t *)file_map;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return 0;
}

/*
 * The stack of a child that has gone is kept for the next one on the same CPU. Without it
 * fork() would allocate one, and say so with a call trace when it cannot.
 */
static void with_mapped_file_and_stack(void)
{
	with_mapped_file();
	must(fork_mapped(), "fork");
}

/* Makes two VMAs of one, and one of them again */
static int split(void)
{
	int r = result(mprotect(file_map + PAGE, PAGE, PROT_NONE));

	return r < 0 ? r : result(mprotect(file_map + PAGE, PAGE, PROT_READ));
}

static int move(void)
{
	static uint8_t *const places[] = { (void *)0x100000000000, (void *)0x200000000000 };
	uint8_t *to = mremap(file_map, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			     places[file_map == places[0]]);

	if (to == MAP_FAILED)
		return -errno;
	file_map = to;
	(void)*(volatile uint8_t *)file_map;
	return 0;
}

static void unmap_file(void)
{
	munmap(file_map, SIZE);
	close(file_fd);
}

static int read_at(uint64_t offset)
{
	uint64_t word;

	return result(pread(session.fd, &word, 8, (off_t)(((uint64_t)bar << 40) + offset)));
}

static int read_claimed(void)
{
	return read_at(0);
}

static int read_unclaimed(void)
{
	return read_at(FREE_AT);
}

static int set_ioeventfd(int fd)
{
	struct vfio_device_ioeventfd event = {
		.argsz = sizeof(event),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = ((uint64_t)bar << 40) + FREE_AT,
		.fd = fd,
	};

	return result(ioctl(session.fd, VFIO_DEVICE_IOEVENTFD, &event));
}

static int add_ioeventfd(void)
{
	return set_ioeventfd(event_fd);
}

static void drop_ioeventfd(void)
{
	(void)set_ioeventfd(-1); /* it is not there if adding it failed */
}

/* The IOMMU's side of it, which the close of the group has, warns when it is out of memory. */
static int end_session(void)
{
	int r = result(close(session.fd));

	session.fd = -1;
	return r;
}

static void begin_session(void)
{
	session_close(&session);
	must(session_open(bdf, &session), "opening the device again");
}

static void nothing(void)
{
}

static const struct {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);
	void (*undo)(void);
} operations[] = {
	{ "create", with_nothing, create_plain, nothing },
	{ "create with a file", with_nothing, create_file, nothing },
	{ "create beside", with_file_alone, create_plain, nothing },
	{ "region info", with_plain, region_info, nothing },
	{ "mmap of an alias", with_plain, map_alias, nothing },
	{ "mmap of the own region", with_plain, map_own, nothing },
	{ "open of the file", with_file, open_file, nothing },
	{ "mmap of the file", with_open_file, map_file, close_file },
	{ "split of a mapping", with_mapped_file, split, unmap_file },
	{ "move of a mapping", with_mapped_file, move, unmap_file },
	{ "fork with a mapping", with_mapped_file_and_stack, fork_mapped, unmap_file },
	{ "read of a claimed page", with_plain, read_claimed, nothing },
	{ "read of an unclaimed page", with_plain, read_unclaimed, nothing },
	{ "ioeventfd beside a claim", with_plain, add_ioeventfd, drop_ioeventfd },
	{ "remove", with_plain, remove_all, nothing },
	{ "remove with a file", with_both, remove_all, nothing },
	{ "end of the session", with_both, end_session, begin_session },
	{ "end of it with a mapping", with_mapped_file, end_session, begin_session },
};

/* What an operation that failed must not change */
struct state {
	unsigned int aliases;
	ino_t file;
};

static struct state state(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct state s = { 0 };
	struct stat st;

	if (session.fd < 0)
		return s;
	if (ioctl(session.fd, VFIO_DEVICE_GET_INFO, &info) < 0)
		die("VFIO_DEVICE_GET_INFO");
	s.aliases = info.num_regions - VFIO_PCI_NUM_REGIONS;
	if (stat(path_wc, &st) == 0)
		s.file = st.st_ino;
	return s;
}

static bool bad;

static void complain(const char *name, int n, const char *what)
{
	printf("%s, allocation %d: %s\n", name, n, what);
	bad = true;
}

/* Returns how many allocations the operation has. */
static int fail_each(size_t i)
{
	const char *name = operations[i].name;
	int failed = 0, n;
	bool injected;

	for (n = 1; n < 2000; n++) {
		struct state before, after;
		int r, again;

		operations[i].prepare();
		before = state();

		fail_nth(n);
		r = operations[i].run();
		injected = fail_nth(0);

		after = state();
		if (!injected && r < 0)
			complain(name, n, strerror(-r));
		if (injected && r < 0) {
			failed++;
			if (r != -ENOMEM)
				complain(name, n, strerror(-r));
			/* Removing is one alias after the other */
			if (operations[i].run != remove_all &&
			    (after.aliases != before.aliases ||
			     (before.aliases && after.file != before.file)))
				complain(name, n, "it failed and changed something");
			again = operations[i].run();
			if (again < 0)
				complain(name, n, "it fails at the next attempt, too");
		}
		operations[i].undo();
		if (!injected)
			break;
	}
	if (injected)
		complain(name, n, "the allocations do not end");
	printf("%-28s %4d allocations, it failed for %3d of them\n", name, n - 1, failed);
	fflush(stdout);
	return n - 1;
}

int main(int argc, char **argv)
{
	int allocations = 0;
	cpu_set_t cpu;

	if (argc != 3) {
		fprintf(stderr, "usage: alias_fail BDF BAR\n");
		return 2;
	}
	bdf = argv[1];
	bar = (unsigned int)strtoul(argv[2], NULL, 0);
	snprintf(path_wc, sizeof(path_wc), DEVICES "%s/resource%u_wc", bdf, bar);
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu) < 0)
		die("sched_setaffinity");
	let_allocations_fail();
	event_fd = eventfd(0, EFD_CLOEXEC);
	if (bind_vfio(bdf) < 0 || session_open(bdf, &session) < 0)
		die("cannot open the device");

	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		allocations += fail_each(i);

	with_both();
	must(map_alias(), "mmap of an alias after all");
	session_close(&session);
	/* Where there was no memory for it, it comes with the end of a later alias. */
	if (access(path_wc, F_OK) < 0)
		complain("end", 0, "the PCI core's file did not come back");
	printf("%d allocations failed\n", allocations);
	return bad || allocations == 0;
}
