/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes each allocation of each operation fail once, by /proc/self/fail-nth of a kernel with
 * fault injection: the operation must fail with a proper errno or succeed, leave nothing, and
 * succeed at the next attempt.
 *
 *	alias_fail BDF BAR
 */
#include "client.h"

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

static const char *bdf;
static unsigned int bar;
static struct session session;
static char path_wc[128];

/* The n-th allocation from now on fails; 0 for none. Returns what was left of it. */
static int fail_nth(int n)
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
	return atoi(text);
}

static int create_plain(void)
{
	return alias_create(session.fd, bar, VFIO_ALIAS_MEMORY_WC, 0, 4 * PAGE, 0);
}

static int create_file(void)
{
	return alias_create(session.fd, bar, VFIO_ALIAS_MEMORY_WC, 4 * PAGE, 4 * PAGE,
			    VFIO_ALIAS_FLAG_SYSFS);
}

static int region_info(void)
{
	uint8_t buffer[256] = { 0 };
	struct vfio_region_info *info = (struct vfio_region_info *)buffer;

	info->argsz = sizeof(buffer);
	info->index = VFIO_PCI_NUM_REGIONS;
	return ioctl(session.fd, VFIO_DEVICE_GET_REGION_INFO, info) < 0 ? -errno : 0;
}

static int map_at(int fd, uint64_t offset)
{
	void *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)offset);

	if (at == MAP_FAILED)
		return -errno;
	munmap(at, PAGE);
	return 0;
}

static int map_alias(void)
{
	return map_at(session.fd, (uint64_t)VFIO_PCI_NUM_REGIONS << 40);
}

static int map_own(void)
{
	return map_at(session.fd, (uint64_t)bar << 40);
}

static int map_file(void)
{
	int fd = open(path_wc, O_RDWR | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = map_at(fd, 4 * PAGE);
	close(fd);
	return r;
}

static int read_claimed(void)
{
	uint64_t word;

	return pread(session.fd, &word, 8, (off_t)((uint64_t)bar << 40)) < 0 ? -errno : 0;
}

static int read_unclaimed(void)
{
	uint64_t word;

	return pread(session.fd, &word, 8, (off_t)(((uint64_t)bar << 40) + 16 * PAGE)) < 0 ?
		       -errno :
		       0;
}

static int remove_first(void)
{
	int r = alias_remove(session.fd, VFIO_PCI_NUM_REGIONS);

	return r == -ENOENT ? 0 : r; /* gone at an attempt before */
}

static int remove_second(void)
{
	int r = alias_remove(session.fd, VFIO_PCI_NUM_REGIONS + 1);

	return r == -ENOENT ? 0 : r;
}

static const struct {
	const char *name;
	int (*run)(void);
} operations[] = {
	{ "create", create_plain },
	{ "create with a file", create_file },
	{ "region info", region_info },
	{ "mmap of an alias", map_alias },
	{ "mmap of the own region", map_own },
	{ "mmap of the file", map_file },
	{ "read of a claimed page", read_claimed },
	{ "read of an unclaimed page", read_unclaimed },
	{ "remove", remove_first },
	{ "remove with a file", remove_second },
};

static unsigned int aliases(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (ioctl(session.fd, VFIO_DEVICE_GET_INFO, &info) < 0)
		die("VFIO_DEVICE_GET_INFO");
	return info.num_regions - VFIO_PCI_NUM_REGIONS;
}

int main(int argc, char **argv)
{
	int bad = 0, injected_all = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: alias_fail BDF BAR\n");
		return 2;
	}
	bdf = argv[1];
	bar = (unsigned int)strtoul(argv[2], NULL, 0);
	snprintf(path_wc, sizeof(path_wc), DEVICES "%s/resource%u_wc", bdf, bar);
	if (bind_vfio(bdf) < 0 || session_open(bdf, &session) < 0)
		die("cannot open the device");

	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		int injected = 0, failed = 0;

		for (int n = 1;; n++) {
			unsigned int before = aliases();
			int r, left;

			fail_nth(n);
			r = operations[i].run();
			left = fail_nth(0);
			if (left > 0) {
				/* Fewer than n allocations: it ran undisturbed. */
				if (r < 0) {
					printf("%s: %s without an injection\n", operations[i].name,
					       strerror(-r));
					bad = 1;
				}
				break;
			}
			injected++;
			if (r < 0) {
				failed++;
				if (r != -ENOMEM && r != -ENFILE && r != -EAGAIN) {
					printf("%s, allocation %d: %s\n", operations[i].name, n,
					       strerror(-r));
					bad = 1;
				}
				if (aliases() != before) {
					printf("%s, allocation %d: it failed and left something\n",
					       operations[i].name, n);
					bad = 1;
				}
			}
			if (n > 1000)
				break;
		}
		printf("%-28s %3d injected, %3d failed with them\n", operations[i].name, injected,
		       failed);
		injected_all += injected;
	}

	/* What was refused then must work now. */
	if (create_plain() < 0 || create_file() < 0 || map_alias() < 0 || map_file() < 0) {
		printf("a later attempt fails\n");
		bad = 1;
	}
	session_close(&session);
	printf("%d allocations failed\n", injected_all);
	return bad || injected_all == 0;
}
