/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that do to one device, at the same time, whatever can be done to it:
 *
 *	alias_stress BDF BAR SECONDS SEED [DEVICE]
 *
 * Mappers map the files, in parts, touch, fork, move and unmap; where a page is there, the
 * page table must have the type that the file's name promises. Makers create, remove, read
 * and write aliases. One thread resets the device, puts it to sleep and switches its memory
 * off and on, and one ends the session, by group or iommufd, unbinds the device, or removes
 * it: from the kernel's list, or, by /dev/qmp, from the machine. For that DEVICE is the
 * argument of QMP's device_add, with the id "hot".
 *
 * SIGBUS is an answer; a wrong memory type or an unexpected errno is a failure. The same
 * seed makes each thread do the same things, in its own order.
 */
#define _GNU_SOURCE
#include "client.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static const char *bdf, *device;
static unsigned int bar;
static uint64_t seed, length;

/* In memory that both processes share */
struct shared {
	atomic_bool over;
	atomic_ulong failures, touched, bused, created, removed, mapped, sessions, cdevs, unbinds,
		unplugs, lost, resets, sleeps;
	/*
	 * Read while a file is mapped that may be the PCI core's: the kernel loses track of
	 * such a mapping when it is copied or unmapped while somebody requests the BAR, with
	 * or without aliases. Written to fork, and for a session's first use of the BAR.
	 */
	pthread_rwlock_t stock_lock;
};
static struct shared *all;

/* The session may be replaced by whoever holds this for writing, who must get a turn. */
static pthread_rwlock_t session_lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static struct session session = { -1, -1, -1 };

static __thread uint64_t random_state;
static __thread unsigned long thread;
static __thread sigjmp_buf bus_target;
static __thread volatile sig_atomic_t bus_expected;

/* xorshift64*, for a sequence that depends on the seed only */
static uint64_t number(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL >> 16) % below;
}

static __attribute__((format(printf, 1, 2))) void failed(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	all->failures++;
}

static void on_bus(int signal)
{
	(void)signal;
	if (!bus_expected)
		_exit(99);
	siglongjmp(bus_target, 1);
}

static bool touch(volatile uint8_t *at, bool write)
{
	bool good = false;

	bus_expected = 1;
	if (sigsetjmp(bus_target, 1) == 0) {
		if (write)
			*at = (uint8_t)number(256);
		else
			(void)*at;
		good = true;
	}
	bus_expected = 0;
	if (good)
		all->touched++;
	else
		all->bused++;
	return good;
}

/* Whether the mapping at @at is of an alias, and not of the PCI core's file */
static bool is_alias(const volatile void *at)
{
	unsigned long start, end;
	bool found = false;
	char line[512];
	FILE *f;

	f = fopen("/proc/self/maps", "re");
	if (!f)
		die("/proc/self/maps");
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%lx-%lx", &start, &end) == 2 && (unsigned long)at >= start &&
			(unsigned long)at < end && strstr(line, "/vfio-alias:");
	fclose(f);
	return found;
}

/* What the page table has for @at must be @type, if it has anything. */
static void check_type(const volatile void *at, const char *type)
{
	char line[160];
	ssize_t n;
	int fd;

	fd = open("/dev/vfio-alias-ptwalk", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/vfio-alias-ptwalk");
	n = snprintf(line, sizeof(line), "%d %lx", getpid(), (unsigned long)at);
	if (write(fd, line, n) != n)
		die("ptwalk");
	n = pread(fd, line, sizeof(line) - 1, 0);
	close(fd);
	if (n <= 0)
		die("ptwalk");
	line[n] = '\0';
	if (strncmp(line, "present=1", 9) == 0 && !strstr(line, type))
		failed("a page of a %s mapping: %s", type, line);
}

static uint64_t page_in(uint64_t size)
{
	return number(size / PAGE) * PAGE;
}

/* Maps a file of an alias; NULL if there is none, or it cannot be mapped there. */
static volatile uint8_t *map_alias_file(bool wc, bool write, uint64_t offset, uint64_t size)
{
	volatile uint8_t *bytes;
	struct stat st;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), DEVICES "%s/resource%u%s", bdf, bar, wc ? "_wc" : "");
	fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT && errno != ENODEV)
			failed("open %s: %m", path);
		return NULL;
	}
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size != length)
		failed("%s has %lld bytes", path, (long long)st.st_size);
	bytes = mmap(NULL, size, write ? PROT_READ | PROT_WRITE : PROT_READ,
		     MAP_SHARED | (number(8) ? 0 : MAP_POPULATE), fd, offset);
	if (bytes == MAP_FAILED && errno != EINVAL && errno != ENODEV && errno != EAGAIN)
		failed("mmap %s: %m", path);
	close(fd);
	if (bytes == MAP_FAILED)
		return NULL;
	if (is_alias(bytes))
		return bytes;
	munmap((void *)bytes, size);
	return NULL;
}

/* A child that has the mapping as well, and perhaps for longer */
static void fork_once(volatile uint8_t *bytes, uint64_t size)
{
	pid_t child;

	pthread_rwlock_wrlock(&all->stock_lock);
	child = fork();
	if (child != 0) /* the lock is the child's, too */
		pthread_rwlock_unlock(&all->stock_lock);
	if (child == 0) {
		for (int i = 0; i < 4; i++) {
			touch(bytes + page_in(size), false);
			usleep(number(20000));
		}
		_exit(0);
	}
	if (child > 0 && number(2))
		waitpid(child, NULL, 0);
}

static void map_once(void)
{
	bool wc = number(3) > 0, write = number(4) > 0;
	const char *type = wc ? "type=WC" : "type=UC-";
	uint64_t offset = number(2) ? 0 : page_in(length), size;
	volatile uint8_t *bytes;

	size = number(2) ? length - offset : PAGE * (1 + number((length - offset) / PAGE));
	pthread_rwlock_rdlock(&all->stock_lock);
	bytes = map_alias_file(wc, write, offset, size);
	pthread_rwlock_unlock(&all->stock_lock);
	if (!bytes)
		return;
	all->mapped++;

	for (unsigned int i = number(24); i > 0; i--) {
		volatile uint8_t *at = bytes + page_in(size);

		switch (number(16)) {
		case 0:
			if (size > 2 * PAGE)
				munmap((void *)(bytes + PAGE * (size / PAGE / 2)), PAGE);
			goto out; /* what is where is unknown now */
		case 1:
			/* A place of this thread's own */
			at = mremap((void *)bytes, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
				    (void *)(0x100000000000UL +
					     (thread * 64 + number(64)) * 2 * length +
					     number(2) * PAGE));
			if (at != MAP_FAILED)
				bytes = at;
			break;
		case 2:
			madvise((void *)bytes, size, MADV_DONTNEED);
			break;
		case 3:
			mprotect((void *)bytes, size, PROT_READ);
			write = false;
			break;
		default:
			if (touch(at, write && number(2)))
				check_type(at, type);
		}
	}
	if (number(12) == 0)
		fork_once(bytes, size);
out:
	munmap((void *)bytes, size);
}

static void make_once(void)
{
	static const int may_fail[] = { EEXIST, EBUSY, ENOSPC, ENODEV, EINVAL, EPERM };
	uint32_t type = number(3) ? VFIO_ALIAS_MEMORY_WC : VFIO_ALIAS_MEMORY_UC;
	uint64_t offset = number(3) ? page_in(length) : number(8) << 21;
	uint64_t size = number(2) ? PAGE * (1 + number(64)) : 2UL << 20;
	uint8_t buffer[64];
	uint32_t index = VFIO_PCI_NUM_REGIONS + number(VFIO_ALIAS_MAX);
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };
	int r = 0;

	pthread_rwlock_rdlock(&session_lock);
	if (session.fd < 0)
		goto out;
	switch (number(8)) {
	case 0:
	case 1:
		r = alias_create(session.fd, bar, type, offset % length, number(16) ? size : 0,
				 (uint32_t)number(4));
		if (r >= 0)
			all->created++;
		break;
	case 2:
		r = alias_remove(session.fd, index);
		if (r == 0)
			all->removed++;
		if (r == -ENOENT)
			r = 0;
		break;
	case 3:
		if (ioctl(session.fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0 && errno != EINVAL)
			failed("region info: %m");
		break;
	case 4:
		(void)!pread(session.fd, buffer, sizeof(buffer),
			     ((uint64_t)bar << 40) + page_in(length) + number(PAGE));
		break;
	case 5:
		(void)!pwrite(session.fd, buffer, number(sizeof(buffer)),
			      ((uint64_t)index << 40) + number(PAGE));
		break;
	default: {
		volatile uint8_t *own;
		uint64_t from = page_in(length);

		own = mmap(NULL, length - from, PROT_READ, MAP_SHARED, session.fd,
			   ((uint64_t)(number(2) ? bar : index) << 40) + from);
		if (own != MAP_FAILED) {
			touch(own + page_in(length - from), false);
			munmap((void *)own, length - from);
		}
		break;
	}
	}
	if (r < 0) {
		bool known = false;

		for (size_t i = 0; i < sizeof(may_fail) / sizeof(*may_fail); i++)
			known = known || -r == may_fail[i];
		if (!known)
			failed("create or remove: %s", strerror(-r));
	}
out:
	pthread_rwlock_unlock(&session_lock);
}

/* An ioctl of VFIO_DEVICE_FEATURE that has no more to say */
static int plain_feature(uint32_t feature)
{
	struct vfio_device_feature request = {
		.argsz = sizeof(request),
		.flags = VFIO_DEVICE_FEATURE_SET | feature,
	};

	return ioctl(session.fd, VFIO_DEVICE_FEATURE, &request);
}

/* Memory off and on again, by the command register */
static void toggle_memory(void)
{
	uint16_t command;

	if (pread(session.fd, &command, 2, (7ULL << 40) + 4) != 2)
		return;
	command &= ~2;
	(void)!pwrite(session.fd, &command, 2, (7ULL << 40) + 4);
	command |= 2;
	usleep(number(2000));
	(void)!pwrite(session.fd, &command, 2, (7ULL << 40) + 4);
}

static void hot_reset(void)
{
	struct {
		struct vfio_pci_hot_reset reset;
		__s32 group;
	} request = {
		.reset.argsz = sizeof(request),
		.reset.count = session.group >= 0,
		.group = session.group,
	};

	if (ioctl(session.fd, VFIO_DEVICE_PCI_HOT_RESET, &request) == 0)
		all->resets++;
}

static void write_by_ioeventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct vfio_device_ioeventfd event = {
		.argsz = sizeof(event),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = ((uint64_t)bar << 40) + page_in(length),
		.fd = fd,
	};

	if (ioctl(session.fd, VFIO_DEVICE_IOEVENTFD, &event) == 0) {
		eventfd_write(fd, 1);
		event.fd = -1;
		if (ioctl(session.fd, VFIO_DEVICE_IOEVENTFD, &event) < 0)
			failed("an ioeventfd that cannot be taken away: %m");
	}
	close(fd);
}

static void read_attributes(void)
{
	static const char *const names[] = { "mappings", "memory_type", "size" };
	char path[300], line[64];
	FILE *f;

	for (int i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), DEVICES "%s/vfio-dev/vfio%lu/aliases/%lu/%s", bdf,
			 number(3), VFIO_PCI_NUM_REGIONS + number(VFIO_ALIAS_MAX),
			 names[number(3)]);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(line, sizeof(line), f) && !strcmp(line, "other\n"))
			failed("%s is other", path);
		fclose(f);
	}
}

static void disturb_once(void)
{
	read_attributes();

	pthread_rwlock_rdlock(&session_lock);
	if (session.fd >= 0) {
		/* Resets take long, and everybody waits for them. */
		switch (number(32)) {
		case 0:
			hot_reset();
			break;
		case 1:
		case 2:
			if (ioctl(session.fd, VFIO_DEVICE_RESET) == 0)
				all->resets++;
			break;
		case 3:
		case 4:
		case 5:
			if (plain_feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY) == 0)
				all->sleeps++;
			usleep(number(2000));
			(void)plain_feature(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
			break;
		case 6 ... 15:
			toggle_memory();
			break;
		default:
			write_by_ioeventfd();
		}
	}
	pthread_rwlock_unlock(&session_lock);
	usleep(number(20000));
}

/* Waits up to a minute until a file is there, or is not. */
static void wait_file(const char *path, bool there)
{
	for (int i = 0; i < 60000; i++) {
		if ((access(path, F_OK) == 0) == there)
			return;
		usleep(1000);
	}
	failed("%s %s in a minute", path, there ? "did not come" : "did not go");
}

static void wait_device(bool there)
{
	char path[128];

	/* The last of the files that the PCI core makes */
	snprintf(path, sizeof(path), DEVICES "%s/resource%u", bdf, bar);
	wait_file(path, there);
}

/*
 * One command of QMP, without its braces. Returns whether the answer to it has @text in it: other
 * answers and events may be there as well, and what somebody before has not read.
 */
static bool qmp(const char *command, const char *text)
{
	static unsigned long last;
	int fd = open("/dev/qmp", O_RDWR | O_NOCTTY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r+");
	char id[32], line[4096] = "";

	if (!f)
		die("/dev/qmp");
	snprintf(id, sizeof(id), "\"stress-%lu\"", ++last);
	/* The first byte ends what was left unfinished. */
	fprintf(f, "\xff\n{\"execute\": \"qmp_capabilities\"}\n{%s, \"id\": %s}\n", command, id);
	fflush(f);
	while (!strstr(line, id) && fgets(line, sizeof(line), f))
		;
	fclose(f);
	return strstr(line, text);
}

static void plug(void)
{
	char command[512], path[128];

	snprintf(command, sizeof(command), "\"execute\": \"device_add\", \"arguments\": %s",
		 device);
	snprintf(path, sizeof(path), DEVICES "%s/resource%u", bdf, bar);
	/* QEMU has taken the one before when it takes this one; the guest sees what comes of it. */
	for (int i = 0; i < 600; i++) {
		(void)qmp(command, "");
		for (int j = 0; j < 100 && access(path, F_OK) < 0; j++)
			usleep(1000);
		if (access(path, F_OK) == 0)
			break;
	}
	wait_device(true);
	all->unplugs++;
}

/*
 * Whether QEMU has no such device any more, though it was not asked to take it away just then. The
 * guest's firmware has ejected it: to the drivers that is one more way to lose a device.
 */
static bool is_lost(void)
{
	bool lost = device && !qmp("\"execute\": \"qom-list\", \"arguments\": "
				   "{\"path\": \"/machine/peripheral\"}",
				   "\"name\": \"hot\"");

	all->lost += lost;
	return lost;
}

static void *write_unbind(void *arg)
{
	(void)arg;
	write_sysfs(bdf, "driver/unbind", bdf);
	return NULL;
}

/* The way that the driver loses the device, while a session is open or after it */
static void take_away(unsigned int way)
{
	pthread_t thread;

	switch (way) {
	case 0: /* the driver waits for the session */
		pthread_create(&thread, NULL, write_unbind, NULL);
		usleep(number(20000));
		session_close(&session);
		pthread_join(thread, NULL);
		all->unbinds++;
		break;
	case 1:
		session_close(&session);
		write_sysfs(bdf, "driver/unbind", bdf);
		all->unbinds++;
		break;
	case 2:
		session_close(&session);
		write_sysfs(bdf, "remove", "1");
		wait_device(false);
		usleep(number(20000));
		write_sysfs(bdf, "/sys/bus/pci/rescan", "1");
		if (is_lost())
			plug();
		else
			wait_device(true);
		all->unplugs++;
		break;
	case 3:
		if (!device)
			break;
		(void)qmp("\"execute\": \"device_del\", \"arguments\": {\"id\": \"hot\"}", "");
		usleep(number(20000));
		session_close(&session);
		wait_device(false);
		plug();
		break;
	}
}

static void bind_again(void)
{
	/* udev may find the device a driver at the same time */
	for (int i = 0; bind_vfio(bdf) < 0; i++) {
		if (i == 5000 && is_lost()) {
			plug();
			i = 0;
		} else if (i == 5000) {
			failed("cannot bind again");
			break;
		}
		usleep(1000);
	}
}

static int session_try(bool cdev)
{
	int r = -1;

	/* Busy while another descriptor of the group is being released */
	for (int i = 0; i < 5000 && r < 0; i++) {
		if (i)
			usleep(1000);
		r = cdev ? session_open_cdev(bdf, &session) : session_open(bdf, &session);
	}
	return r;
}

/* Opens a session, and has it request the BAR. */
static void session_open_any(void)
{
	bool cdev = number(2) && access("/dev/vfio/devices", F_OK) == 0;
	char path[128];
	uint32_t word;
	int r;

	r = session_try(cdev);
	if (r < 0 && is_lost()) {
		plug();
		bind_again();
		r = session_try(cdev);
	}
	if (r < 0) {
		char driver[256];
		ssize_t n;

		snprintf(path, sizeof(path), DEVICES "%s/driver", bdf);
		n = readlink(path, driver, sizeof(driver));
		failed("cannot open again%s: %s (driver: %.*s)", cdev ? " by iommufd" : "",
		       strerror(-r), n < 0 ? 4 : (int)n, n < 0 ? "none" : driver);
		return;
	}
	all->cdevs += cdev;
	pthread_rwlock_wrlock(&all->stock_lock);
	if (pread(session.fd, &word, 4, (uint64_t)bar << 40) < 0)
		failed("cannot read BAR %u: %m", bar);
	pthread_rwlock_unlock(&all->stock_lock);
}

static void renew_once(void)
{
	unsigned int way;

	usleep(50000 + number(500000));
	pthread_rwlock_wrlock(&session_lock);
	way = number(16);
	all->sessions++;
	take_away(way);
	session_close(&session);
	if (way < 4) {
		usleep(number(20000));
		bind_again();
	}
	session_open_any();
	pthread_rwlock_unlock(&session_lock);
}

static void (*const deeds[])(void) = {
	map_once,   map_once, make_once, make_once, disturb_once,
	renew_once, map_once, map_once, /* in a process of their own, with locks of their own */
};
#define THREADS (sizeof(deeds) / sizeof(*deeds))
#define OTHER_PROCESS 6 /* from this one on */

static void *run(void *arg)
{
	thread = (unsigned long)arg;
	random_state = (seed + thread + 1) * 0x9e3779b97f4a7c15ULL | 1;
	while (!all->over)
		deeds[thread]();
	return NULL;
}

static void run_all(unsigned long from, unsigned long to, unsigned long seconds)
{
	pthread_t threads[THREADS];

	for (unsigned long i = from; i < to; i++)
		if (pthread_create(&threads[i], NULL, run, (void *)i))
			die("pthread_create");
	for (unsigned long second = 0; second < seconds && !all->failures; second++)
		sleep(1);
	all->over = true;
	for (unsigned long i = from; i < to; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_bus };
	pthread_rwlockattr_t shared;
	unsigned long seconds;
	char path[128];
	struct stat st;
	pid_t other;

	if (argc < 5 || argc > 6) {
		fprintf(stderr, "usage: alias_stress BDF BAR SECONDS SEED [DEVICE]\n");
		return 2;
	}
	bdf = argv[1];
	bar = (unsigned int)strtoul(argv[2], NULL, 0);
	seconds = strtoul(argv[3], NULL, 0);
	seed = strtoull(argv[4], NULL, 0);
	device = argv[5];

	snprintf(path, sizeof(path), DEVICES "%s/resource%u", bdf, bar);
	if (stat(path, &st) < 0)
		die(path);
	length = (uint64_t)st.st_size;
	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		die("mmap");
	pthread_rwlockattr_init(&shared);
	pthread_rwlockattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_rwlockattr_setkind_np(&shared, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&all->stock_lock, &shared);
	sigaction(SIGBUS, &action, NULL);
	signal(SIGCHLD, SIG_IGN);
	if (bind_vfio(bdf) < 0)
		die("cannot bind the device");

	other = fork();
	if (other < 0)
		die("fork");
	if (other == 0) {
		run_all(OTHER_PROCESS, THREADS, seconds);
		_exit(0);
	}
	random_state = seed | 1;
	session_open_any();
	run_all(0, OTHER_PROCESS, seconds);
	waitpid(other, NULL, 0);
	session_close(&session);

	printf("seed %llu: %lu s, %lu mappings, %lu touched, %lu SIGBUS, %lu created, %lu removed, "
	       "%lu resets, %lu sleeps, %lu sessions of which %lu by iommufd, %lu unbinds, "
	       "%lu unplugs, %lu losses, %lu failures\n",
	       (unsigned long long)seed, seconds, all->mapped, all->touched, all->bused,
	       all->created, all->removed, all->resets, all->sleeps, all->sessions, all->cdevs,
	       all->unbinds, all->unplugs, all->lost, all->failures);
	/* Each thread must have got somewhere. What is rare is left to longer runs. */
	return all->failures || !all->touched || !all->bused || !all->created || !all->sessions ||
	       !(all->unbinds + all->unplugs);
}
