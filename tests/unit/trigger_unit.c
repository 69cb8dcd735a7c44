/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trigger.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "scratch.h"
#include "sysfs.h"

#define BDF "0000:00:10.0"
#define OTHER "0000:00:11.0"

/* ---- sysfs and udev: a kernel that sends the event of each device that is triggered ---- */

struct event {
	char bdf[PCI_BDF_SIZE];
	char *uuid;
};

static struct {
	const char *missing;   /* the device that is not there */
	int refused;	       /* what sysfs_trigger() returns, if not 0 */
	const char *stray_for; /* uuid of an event that somebody else asks for */
	bool has_stray;
	bool silent; /* udev does not run: no event comes, however long one waits */
	int lost;    /* what udev_source_dispatch() returns, if not 0 */

	struct event events[8];
	size_t n;
	char opened[PCI_BDF_SIZE]; /* the device whose directory was opened last */
	int fd;			   /* readable when there are events */
	unsigned int polled;
	unsigned int silences; /* waits that have ended without an event */
	udev_handler handler;
	void *userdata;
} machine;

static void send_event(const char *bdf, const char *uuid)
{
	const uint64_t one = 1;

	cr_assert_lt(machine.n, ARRAY_SIZE(machine.events));
	strcpy(machine.events[machine.n].bdf, bdf);
	machine.events[machine.n++].uuid = uuid ? strdup(uuid) : NULL;
	cr_assert_eq(write(machine.fd, &one, sizeof(one)), sizeof(one));
}

int sysfs_open_device(const char *bdf)
{
	strcpy(machine.opened, bdf);
	return streq(bdf, machine.missing) ? -ENOENT : dup(STDERR_FILENO);
}

int sysfs_trigger(int fd, const char *uuid)
{
	(void)fd;
	if (machine.refused < 0)
		return machine.refused;
	if (machine.has_stray)
		send_event(machine.opened, machine.stray_for);
	if (!machine.silent)
		send_event(machine.opened, uuid);
	return 0;
}

int udev_source_new(udev_handler handler, void *userdata, struct udev_source **ret)
{
	machine.handler = handler;
	machine.userdata = userdata;
	*ret = (struct udev_source *)&machine; /* never looked into */
	return 0;
}

struct udev_source *udev_source_free(struct udev_source *source)
{
	(void)source;
	return NULL;
}

int udev_source_fd(struct udev_source *source)
{
	(void)source;
	return machine.fd;
}

/* One event at a time, as they come from udev. */
int udev_source_dispatch(struct udev_source *source)
{
	struct udev_event event = { .action = UDEV_PRESENT };
	uint64_t count;

	(void)source;
	if (machine.lost < 0)
		return machine.lost;
	cr_assert_eq(read(machine.fd, &count, sizeof(count)), sizeof(count));
	cr_assert_gt(machine.n, 0);
	event.bdf = machine.events[0].bdf;
	event.uuid = machine.events[0].uuid;
	event.mark.value[MARK_ALIAS] = "2:wc";
	machine.handler(&event, machine.userdata);
	free(machine.events[0].uuid);
	memmove(machine.events, machine.events + 1, --machine.n * sizeof(*machine.events));
	return 1;
}

/* Nobody waits for a minute here: when there is nothing, its time is over at once. */
int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	const struct timespec none = {}, limit = { .tv_sec = timeout / 1000 };
	int r;

	r = (int)syscall(SYS_ppoll, fds, n, &none, NULL, 0);
	if (n == 1 && fds->fd == machine.fd) {
		cr_assert_gt(timeout, 0, "it would wait for ever");
		machine.polled++;
		machine.silences += r == 0;
	} else if (r == 0 && timeout != 0) { /* the test's own library */
		r = (int)syscall(SYS_ppoll, fds, n, timeout < 0 ? NULL : &limit, NULL, 0);
	}
	return r;
}

/* ---- */

static char bdfs[2][PCI_BDF_SIZE] = { BDF, OTHER };
static unsigned int handled[2]; /* how often, for each device */

static void on_event(const struct udev_event *event, void *userdata)
{
	cr_assert_eq(userdata, handled);
	cr_expect_str_eq(event->mark.value[MARK_ALIAS], "2:wc");
	for (size_t i = 0; i < ARRAY_SIZE(bdfs); i++)
		handled[i] += streq(event->bdf, bdfs[i]);
}

static void make(void)
{
	scratch_make();
	machine.fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	cr_assert_geq(machine.fd, 0);
}

static void unmake(void)
{
	while (machine.n > 0)
		free(machine.events[--machine.n].uuid);
	close_fd(machine.fd);
	scratch_remove();
}

TestSuite(trigger, .init = make, .fini = unmake);

static int trigger(void)
{
	return trigger_devices(bdfs, ARRAY_SIZE(bdfs), on_event, handled);
}

Test(trigger, it_returns_when_udev_has_looked_at_each_device)
{
	cr_assert_eq(trigger(), 0);
	cr_expect(handled[0] == 1 && handled[1] == 1);
	cr_expect_eq(machine.n, 0);
}

Test(trigger, a_device_that_has_gone_is_not_waited_for)
{
	machine.missing = BDF;
	cr_assert_eq(trigger(), 0);
	cr_expect(handled[0] == 0 && handled[1] == 1);
}

Test(trigger, devices_that_go_when_they_are_triggered_are_not_waited_for)
{
	machine.refused = -ENODEV;
	cr_assert_eq(trigger(), 0);
	cr_expect(handled[0] == 0 && handled[1] == 0);
	cr_expect_eq(machine.polled, 0);
}

Test(trigger, events_that_others_have_asked_for_do_not_count)
{
	static const char *const strays[] = { NULL, "", "4fa9b1de-6b8e-4b2a-9b4e-1d3d5a0f8c11" };

	for (size_t i = 0; i < ARRAY_SIZE(strays); i++) {
		memset(handled, 0, sizeof(handled));
		machine.has_stray = true;
		machine.stray_for = strays[i];
		cr_assert_eq(trigger(), 0);
		cr_expect(handled[0] == 1 && handled[1] == 1, "%s", strays[i] ?: "none");
		cr_expect_eq(machine.n, 0);
	}
	machine.silent = true;
	cr_expect_eq(trigger(), -ETIME);
}

Test(trigger, udev_that_does_not_answer_is_told)
{
	machine.silent = true;
	cr_expect_eq(trigger(), -ETIME);
	cr_expect_eq(machine.silences, 1);
	cr_expect(handled[0] == 0 && handled[1] == 0);
}

Test(trigger, what_else_fails_is_told)
{
	machine.lost = -ENOBUFS;
	cr_expect_eq(trigger(), -ENOBUFS);
	machine.refused = -EACCES;
	cr_expect_eq(trigger(), -EACCES);
}

/* A program udevadm that notes its arguments and ends with that status. */
static void make_udevadm(int status)
{
	_cleanup_free_ char *script = NULL;

	cr_assert_gt(asprintf(&script, "#!/bin/sh\necho \"$*\" >%s/arguments\nexit %d\n", scratch,
			      status),
		     0);
	scratch_file("udevadm", script);
	cr_assert_eq(fchmodat(scratch_fd, "udevadm", 0700, 0), 0);
}

Test(trigger, udev_is_told_to_read_its_rules_anew)
{
	_cleanup_free_ char *arguments = NULL;

	setenv("PATH", scratch, 1);
	cr_expect_eq(trigger_reload_rules(), -ENOENT);
	make_udevadm(0);
	cr_expect_eq(trigger_reload_rules(), 0);
	cr_assert_eq(read_one_line_at(scratch_fd, "arguments", &arguments), 0);
	cr_expect_str_eq(arguments, "control --reload");
	make_udevadm(1);
	cr_expect_eq(trigger_reload_rules(), -EIO);
}
