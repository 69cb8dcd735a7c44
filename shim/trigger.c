/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trigger.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#include "sysfs.h"

/* Without a new event. Programs that rules start may take their time. */
#define LIMIT_MS 60000

DEFINE_CLEANUP(struct udev_source *, udev_source_free)

int trigger_reload_rules(void)
{
	char *const argv[] = { (char *)"udevadm", (char *)"control", (char *)"--reload", NULL };
	int status, r;
	pid_t pid;

	r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

struct wait {
	char *uuid; /* of the events that were asked for */
	size_t left;
	bool failed; /* udevd, for one of them */
	udev_handler handler;
	void *userdata;
};

static void on_event(const struct udev_event *event, void *userdata)
{
	struct wait *wait = userdata;

	if (!streq(event->uuid, wait->uuid))
		return;
	wait->left--;
	if (event->failed)
		wait->failed = true;
	else
		wait->handler(event, wait->userdata);
}

static int await(struct udev_source *source, struct wait *wait)
{
	struct pollfd fd = { .fd = udev_source_fd(source), .events = POLLIN };

	while (wait->left > 0) {
		int r = poll(&fd, 1, LIMIT_MS);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -ETIME;
		r = udev_source_dispatch(source);
		if (r < 0)
			return r;
	}
	return wait->failed ? -EIO : 0;
}

int trigger_devices(char (*bdfs)[PCI_BDF_SIZE], size_t n, udev_handler handler, void *userdata)
{
	_cleanup_(udev_source_freep) struct udev_source *source = NULL;
	_cleanup_free_ char *uuid = NULL;
	struct wait wait = { .handler = handler, .userdata = userdata };
	int r;

	r = read_one_line_at(AT_FDCWD, "/proc/sys/kernel/random/uuid", &uuid);
	if (r < 0)
		return r;
	wait.uuid = uuid;
	r = udev_source_new(on_event, &wait, &source);
	if (r < 0)
		return r;

	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = sysfs_open_device(bdfs[i]);

		r = fd < 0 ? fd : sysfs_trigger(fd, uuid);
		if (r == -ENOENT || r == -ENODEV)
			continue;
		if (r < 0)
			return r;
		wait.left++;
	}
	return await(source, &wait);
}
