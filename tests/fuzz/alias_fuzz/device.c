/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices, their sessions, and what ends those: close, unbind, a signal, lockdown. */
#include "fuzz.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#define LOCKDOWN "/sys/kernel/security/lockdown"
#define PATIENCE 60000 /* ms, for an event that cannot fail to come */

bool lockdown_due;

static uint64_t sysfs_number(const struct device *device, const char *name)
{
	char path[192], text[32];
	FILE *f;

	snprintf(path, sizeof(path), DEVICES "%s/%s", device->bdf, name);
	f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f))
		die(path);
	fclose(f);
	return strtoull(text, NULL, 0);
}

static void bind_driver(void)
{
	if (write_sysfs(dev->bdf, "driver_override", dev->driver) < 0)
		die(dev->driver);
	(void)write_sysfs(dev->bdf, "driver/unbind", dev->bdf);
	if (write_sysfs(dev->bdf, "/sys/bus/pci/drivers_probe", dev->bdf) < 0)
		die(dev->bdf);
}

/* @argument: BDF or BDF=DRIVER */
void device_init(struct device *device, char *argument)
{
	unsigned long long start, end, flags;
	char path[192];
	FILE *f;

	*device = (struct device){
		.bdf = strsep(&argument, "="),
		.driver = "vfio-pci",
		.session = { -1, -1, -1 },
		.msix_bar = BARS,
		.vfio_directory = -1,
	};
	/* The only driver beside vfio-pci that this is for has an mmap() of its own. */
	if (argument) {
		device->driver = argument;
		device->own_mmap = true;
	}
	dev = device;

	snprintf(path, sizeof(path), DEVICES "%s", device->bdf);
	device->directory = open(path, O_PATH | O_CLOEXEC);
	if (device->directory < 0)
		die(path);
	snprintf(path, sizeof(path), DEVICES "%s/resource", device->bdf);
	f = fopen(path, "re");
	if (!f)
		die(path);
	for (uint32_t i = 0; i < BARS; i++) {
		struct bar *bar = &device->bar[i];

		if (fscanf(f, "%llx %llx %llx", &start, &end, &flags) != 3)
			die(path);
		bar->start = start;
		bar->length = end ? end - start + 1 : 0;
		bar->end = (bar->length + PAGE - 1) / PAGE * PAGE;
		bar->memory = flags & 0x200;
		for (uint32_t type = VFIO_ALIAS_MEMORY_UC; type <= VFIO_ALIAS_MEMORY_WC; type++) {
			bar->had_stock[type] = true;
			stock_returns(i, type, true);
			bar->had_stock[type] = bar->stock[type];
		}
	}
	fclose(f);
	/* ivshmem: memory of the machine, and nobody else's */
	if (sysfs_number(device, "vendor") == 0x1af4 && sysfs_number(device, "device") == 0x1110)
		device->bar[2].data = true;
	bind_driver();
}

static void config_read(void *into, size_t size, uint64_t at)
{
	if (pread(dev->session.fd, into, size,
		  (off_t)(((uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << REGION_SHIFT) + at)) !=
	    (ssize_t)size)
		die("reading configuration space");
}

/* The pages of the table cannot be an alias. */
static void find_msix(void)
{
	uint16_t capability, control;
	uint8_t at;
	uint32_t table;

	config_read(&at, 1, 0x34);
	while (at) {
		config_read(&capability, 2, at);
		if ((capability & 0xff) == 0x11) {
			config_read(&control, 2, at + 2u);
			config_read(&table, 4, at + 4u);
			dev->msix_bar = table & 7;
			dev->msix_start = table & ~7U;
			dev->msix_end = dev->msix_start + ((control & 0x7ff) + 1) * 16u;
		}
		at = (uint8_t)(capability >> 8);
	}
}

/* vfioX changes when the device is bound. */
static void find_attributes(void)
{
	struct dirent *entry;
	char path[160];
	DIR *dir;

	if (dev->vfio_directory >= 0)
		close(dev->vfio_directory);
	snprintf(path, sizeof(path), DEVICES "%s/vfio-dev", dev->bdf);
	dir = opendir(path);
	if (!dir)
		die(path);
	while ((entry = readdir(dir)) && strncmp(entry->d_name, "vfio", 4))
		;
	dev->vfio_directory = entry ? openat(dirfd(dir), entry->d_name, O_PATH | O_CLOEXEC) : -1;
	if (dev->vfio_directory < 0)
		die(path);
	closedir(dir);
}

/* All that was written is known from here on. */
static void clear_data(struct bar *bar, uint32_t index)
{
	void *at;

	dev->shadow = calloc(1, bar->length);
	at = mmap(NULL, bar->length, PROT_READ | PROT_WRITE, MAP_SHARED, dev->session.fd,
		  (off_t)((uint64_t)index << REGION_SHIFT));
	if (!dev->shadow || at == MAP_FAILED)
		die("clearing the memory of a BAR");
	memset(at, 0, bar->length);
	munmap(at, bar->length);
}

/* VFIO makes a group of that name for a device that has none. */
static bool has_no_iommu(void)
{
	char path[128], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), DEVICES "%s/iommu_group/name", dev->bdf);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		die(path);
	fclose(f);
	return !strcmp(name, "vfio-noiommu\n");
}

void device_open(void)
{
	int r = session_open(dev->bdf, &dev->session);

	if (r < 0) {
		errno = -r;
		die(dev->bdf);
	}
	dev->alive = true;
	dev->number++;
	dev->no_iommu = has_no_iommu();
	dev->memory_on = false;
	do_memory((const uint8_t[OPERANDS]){ 1 });
	find_attributes();
	if (dev->number > 1)
		return;

	find_msix();
	for (uint32_t i = 0; i < BARS; i++) {
		struct vfio_region_info info = { .argsz = sizeof(info), .index = i };

		if (ioctl(dev->session.fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
			die("VFIO_DEVICE_GET_REGION_INFO");
		dev->bar[i].mappable = info.flags & VFIO_REGION_INFO_FLAG_MMAP;
		if (dev->bar[i].data)
			clear_data(&dev->bar[i], i);
	}
}

/* Nobody has the device open any more. */
void session_is_over(void)
{
	dev->alive = false;
	dev->events = 0;
	for (uint32_t i = 0; i < BARS; i++) {
		for (uint32_t type = VFIO_ALIAS_MEMORY_UC; type <= VFIO_ALIAS_MEMORY_WC; type++)
			if (bar_has_file(i, type))
				stock_returns(i, type, false);
		dev->bar[i].tainted = false;
		for (int k = 0; k < SLOTS; k++)
			if (slots[k].view == VIEW_STOCK && slots[k].bar == i)
				dev->bar[i].tainted = true;
	}
	memset(dev->alias, 0, sizeof(dev->alias));
}

/* What an input has left; each begins with a session without aliases. */
void device_clean(void)
{
	for (int i = 0; i < SLOTS; i++)
		slot_clear(&slots[i]);

	if (dev->leaving || broken) {
		session_close(&dev->session);
		session_check_end();
	}
	if (dev->leaving) {
		int status = -1;

		if (waitpid(dev->unbinder, &status, 0) != dev->unbinder || status)
			failed("unbind (status %#x)", status);
		dev->leaving = false;
		bind_driver();
	}
	if (dev->session.fd < 0)
		return;

	do_memory((const uint8_t[OPERANDS]){ 1 });
	while (dev->events && !broken)
		do_ioeventfd((const uint8_t[OPERANDS]){ [4] = 1 });
	for (int i = 0; i < VFIO_ALIAS_MAX; i++)
		if (dev->alias[i].live)
			remove_alias(VFIO_PCI_NUM_REGIONS + (uint32_t)i);
	check_aliases();
	for (uint32_t i = 0; i < BARS; i++)
		dev->bar[i].tainted = false;
}

void do_close(const uint8_t *v)
{
	(void)v;
	if (dev->session.fd < 0)
		return;
	session_close(&dev->session);
	session_check_end();
}

void do_open(const uint8_t *v)
{
	(void)v;
	if (dev->session.fd >= 0 || dev->leaving)
		return;
	/* A mapping through the descriptor keeps the session that it is of. */
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].view == VIEW_BAR || slots[i].view == VIEW_ALIAS)
			slot_clear(&slots[i]);
	device_open();
}

/* Takes the device from its driver, which waits for the session to end: the rest of the input
 * runs meanwhile. */
void do_unbind(const uint8_t *v)
{
	struct {
		struct vfio_irq_set set;
		int fd;
	} irq = {
		.set.argsz = sizeof(irq),
		.set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.set.index = VFIO_PCI_REQ_IRQ_INDEX,
		.set.count = 1,
	};
	struct pollfd asked = { .events = POLLIN };

	(void)v;
	if (dev->session.fd < 0 || dev->leaving)
		return;
	irq.fd = asked.fd = eventfd(0, EFD_CLOEXEC);
	if (ioctl(dev->session.fd, VFIO_DEVICE_SET_IRQS, &irq) < 0)
		failed("VFIO_DEVICE_SET_IRQS: %m");
	fflush(stdout);
	dev->unbinder = fork();
	if (dev->unbinder == 0) {
		/* It must not hold what it waits for. */
		for (int i = 0; i < SLOTS; i++)
			if (slots[i].view != VIEW_FREE)
				munmap(slots[i].address, slots[i].pages * PAGE);
		session_close(&dev->session);
		kcov_child_start(0);
		_exit(write_sysfs(dev->bdf, "driver/unbind", dev->bdf) < 0);
	}
	if (dev->unbinder < 0)
		die("fork");
	/* By then nothing new is let in. */
	if (poll(&asked, 1, PATIENCE) != 1)
		failed("nobody asks for the device that is to leave its driver");
	close(asked.fd);
	dev->leaving = true;
}

/* The state of a process, of proc_pid_stat(5): waits until it is D, or over */
static char wait_until_blocked(pid_t pid)
{
	char path[64], state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (;;) {
		f = fopen(path, "re");
		if (!f)
			return 'X';
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = 'X';
		fclose(f);
		if (state == 'D' || state == 'Z' || state == 'X')
			return state;
		sched_yield();
	}
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

static pid_t fork_to(unsigned int child, uint32_t region)
{
	uint64_t word;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	kcov_child_start(child);
	if (region)
		(void)!pread(dev->session.fd, &word, 8, (off_t)((uint64_t)region << REGION_SHIFT));
	else
		(void)alias_remove(dev->session.fd, UINT32_MAX);
	_exit(0);
}

/*
 * While one process reads a lot, with the lock for reading, another waits to have it for writing,
 * so that more readers have to wait, too; all who wait are killed. That they were is certain where
 * they are gone before the first reader is done, else it has to read more.
 */
void do_kill(const uint8_t *v)
{
	uint32_t bar = pick_region(v[0] & 0x7f);
	uint64_t length = dev->bar[bar].length;
	pid_t reader, blocked[KCOV_CHILDREN];
	volatile uint8_t *into;
	bool done = false;

	if (dev->session.fd < 0 || dev->leaving || !dev->memory_on || !dev->bar[bar].data)
		return;
	into = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (into == MAP_FAILED)
		die("mmap");
	for (uint64_t size = 64 * PAGE; size <= length && !done; size *= 2) {
		into[0] = (uint8_t)~dev->shadow[0];
		into[size - 1] = (uint8_t)~dev->shadow[size - 1];
		reader = fork();
		if (reader == 0) {
			(void)!pread(dev->session.fd, (void *)into, size,
				     (off_t)((uint64_t)bar << REGION_SHIFT));
			_exit(0);
		}
		if (reader < 0)
			die("fork");
		while (into[0] != dev->shadow[0] && !has_ended(reader))
			sched_yield();
		done = true;
		for (unsigned int i = 0; i < KCOV_CHILDREN; i++) {
			static const uint32_t alias = VFIO_PCI_NUM_REGIONS;

			blocked[i] = fork_to(i, i == 0 ? 0 : i == 1 ? alias : bar);
			done = wait_until_blocked(blocked[i]) == 'D' && done;
		}
		for (unsigned int i = KCOV_CHILDREN; i-- > 0;) {
			kill(blocked[i], SIGKILL);
			waitpid(blocked[i], NULL, 0);
		}
		done = done && into[size - 1] != dev->shadow[size - 1];
		waitpid(reader, NULL, 0);
		kcov_collect();
	}
	munmap((void *)into, length);
	if (!done)
		printf("nobody was killed while waiting: the machine is too slow for that\n");
}

/* From here on, for good */
void do_lockdown(const uint8_t *v)
{
	(void)v;
	if (!lockdown_due || locked_down)
		return;
	if (write_sysfs(NULL, LOCKDOWN, "integrity") < 0)
		die(LOCKDOWN);
	locked_down = true;
}
