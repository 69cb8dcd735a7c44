/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "device.h"
#include "log.h"
#include "service.h"
#include "status.h"
#include "store.h"

/* How often those that cannot be given back yet are looked at */
#define LOOK_USEC (10 * UINT64_C(1000000))

#define RUN_DIRECTORY "/run/vfio-alias-shim"

struct manager {
	sd_event *event;
	struct udev_source *udev;
	struct vfio vfio;
	struct device *devices;
	struct device *leaving; /* withdrawn, to be given back by on_idle() */
	sd_event_source *idle;
	sd_event_source *look; /* timer: at those that are leaving */
	int lock_fd;
	int status_fd;
	char *status_line; /* that systemd was told last */
};

static void forget_devices(struct device **list)
{
	while (*list) {
		struct device *next = (*list)->next;

		device_free(*list);
		*list = next;
	}
}

static void manager_clear(struct manager *m)
{
	m->vfio.leaving = true; /* what is still there is for the next run */
	forget_devices(&m->devices);
	forget_devices(&m->leaving);
	sd_event_source_unref(m->idle);
	sd_event_source_unref(m->look);
	udev_source_free(m->udev);
	sd_event_unref(m->event);
	close_fd(m->status_fd);
	close_fd(m->lock_fd);
	free(m->status_line);
}

/* Where the device is in the list, or its end. */
static struct device **find_device(struct device **list, const char *bdf)
{
	struct device **p = list;

	while (*p && !streq((*p)->bdf, bdf))
		p = &(*p)->next;
	return p;
}

/* Takes the device at @p out of the list, after @farewell. */
static void drop_device(struct device **p, void (*farewell)(struct device *))
{
	struct device *device = *p;

	service_go_on();
	*p = device->next;
	farewell(device);
	device_free(device);
}

/*
 * Lets go of the device at @p. Its driver can have it only when the sessions of all devices of
 * the IOMMU group have ended, so that waits until they have.
 */
static void let_go(struct manager *m, struct device **p)
{
	struct device *device = *p;

	service_go_on();
	*p = device->next;
	device_withdraw(device);
	device->next = m->leaving;
	m->leaving = device;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	(void)source;
	(void)usec;
	return sd_event_source_set_enabled(m->idle, SD_EVENT_ONESHOT);
}

/* Not every process tells by a PCI event that it has closed a device. */
static int look_later(struct manager *m)
{
	int r;

	if (!m->look)
		return sd_event_add_time_relative(m->event, &m->look, CLOCK_MONOTONIC, LOOK_USEC, 0,
						  on_look, m);
	r = sd_event_source_set_time_relative(m->look, LOOK_USEC);
	return r < 0 ? r : sd_event_source_set_enabled(m->look, SD_EVENT_ONESHOT);
}

static void give_back_leaving(struct manager *m)
{
	struct device **p = &m->leaving;
	int r = 0;

	while (*p) {
		if (device_must_wait(*p, m->devices))
			p = &(*p)->next;
		else
			drop_device(p, device_release);
	}
	if (m->leaving)
		r = look_later(m);
	if (r < 0)
		(void)log_error(r, "cannot set a timer: %m");
}

/* Whatever happens to a device, or is found of one, comes through here. */
static void handle_event(const struct udev_event *event, void *userdata)
{
	struct manager *m = userdata;
	struct device **p = find_device(&m->devices, event->bdf);
	struct device **leaving = find_device(&m->leaving, event->bdf);
	const char *mark = event->mark.value[MARK_ALIAS];
	int r;

	/* The event may end the wait of another device, of the same IOMMU group for example. */
	r = sd_event_source_set_enabled(m->idle, SD_EVENT_ONESHOT);
	if (r < 0)
		(void)log_error(r, "cannot schedule a retry: %m");

	if (event->action == UDEV_REMOVE) {
		if (*p)
			drop_device(p, device_remove);
		if (*leaving)
			drop_device(leaving, device_remove);
	} else if (event->failed) {
		if (*p)
			device_handle(*p, event);
	} else if (!mark || !*mark) {
		if (*p)
			let_go(m, p);
	} else {
		if (*leaving) { /* back again */
			struct device *device = *leaving;

			*leaving = device->next;
			device->next = NULL;
			*p = device;
		} else if (!*p) {
			r = device_new(event->bdf, m->event, &m->vfio, m->status_fd, p);
			if (r < 0) {
				(void)log_error(r, "%s: %m", event->bdf);
				return;
			}
		}
		(*p)->seen = true;
		service_go_on();
		device_handle(*p, event);
	}
}

/* Once the events that are there have been handled */
static int on_idle(sd_event_source *source, void *userdata)
{
	struct manager *m = userdata;

	(void)source;
	give_back_leaving(m);
	for (struct device *device = m->devices; device; device = device->next) {
		service_go_on();
		device_retry(device);
	}
	return 0;
}

/*
 * What udev cannot be asked about goes on by the mark that was in force, if there is a session of
 * an earlier run: it is not a device without a mark.
 */
static void keep_undecided(struct manager *m)
{
	struct status *statuses;
	size_t n;

	if (status_read_all(m->status_fd, &statuses, &n, NULL) < 0)
		return; /* give_back_unmarked() tells */
	for (size_t i = 0; i < n; i++) {
		const char *bdf = statuses[i].bdf;
		struct device **p = find_device(&m->devices, bdf);
		int r = 0;

		if (!*p && vfio_session_is_stored(bdf) && udev_is_undecided(bdf))
			r = device_new(bdf, m->event, &m->vfio, m->status_fd, p);
		if (r < 0)
			(void)log_error(r, "%s: %m", bdf);
	}
	status_free_all(statuses, n);
}

/* What an earlier run has bound and is not marked now belongs to its driver. */
static void give_back_unmarked(struct manager *m)
{
	struct status *statuses;
	size_t n;
	int r;

	r = status_read_all(m->status_fd, &statuses, &n, NULL);
	if (r < 0) {
		(void)log_error(r, "%s: %m", STATUS_DIRECTORY);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct device *device;

		if (*find_device(&m->devices, statuses[i].bdf))
			continue;
		if (device_new(statuses[i].bdf, m->event, &m->vfio, m->status_fd, &device) == 0) {
			device->next = m->leaving;
			m->leaving = device;
		}
	}
	give_back_leaving(m);
	status_free_all(statuses, n);
}

/*
 * Handles all devices that are marked now, and lets go of those that are not any more.
 * Returns 0 or -errno.
 */
static int enumerate(struct manager *m)
{
	struct device **p = &m->devices;
	int r;

	for (struct device *device = m->devices; device; device = device->next)
		device->seen = false;
	r = udev_source_enumerate(m->udev);
	if (r < 0)
		return r;
	while (*p) {
		if ((*p)->seen || udev_is_undecided((*p)->bdf))
			p = &(*p)->next;
		else
			let_go(m, p);
	}
	give_back_leaving(m);
	return 0;
}

/* What is older than the enumeration must not come after it; lost events are no matter then. */
static void look_anew(struct manager *m)
{
	int r;

	while (udev_source_dispatch(m->udev) != 0)
		;
	r = enumerate(m);
	if (r < 0)
		(void)log_error(r, "cannot enumerate PCI devices: %m");
}

static int on_udev(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct manager *m = userdata;

	(void)source;
	(void)fd;
	(void)events;
	if (udev_source_dispatch(m->udev) == -ENOBUFS) {
		(void)log_message(MESSAGE_EVENTS_LOST, 0, NULL,
				  "events of udev were lost: enumerating the devices");
		look_anew(m);
	}
	return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct manager *m = userdata;

	(void)source;
	(void)info;
	look_anew(m);
	for (struct device *device = m->devices; device; device = device->next) {
		service_go_on();
		device_reload(device);
	}
	return 0;
}

/* Tells systemd how many devices are where, if that has changed. */
static int on_settled(sd_event_source *source, void *userdata)
{
	struct manager *m = userdata;
	unsigned int count[DEVICE_STATES] = {};
	_cleanup_free_ char *line = NULL;

	(void)source;
	for (struct device *device = m->devices; device; device = device->next)
		count[device_state(device)]++;
	for (struct device *device = m->leaving; device; device = device->next)
		count[DEVICE_WAITING]++; /* to be given back */
	if (asprintf(&line, "STATUS=%u published, %u waiting, %u refused", count[DEVICE_PUBLISHED],
		     count[DEVICE_WAITING], count[DEVICE_REFUSED]) < 0) {
		line = NULL;
		return 0;
	}
	if (!streq(line, m->status_line)) {
		(void)sd_notify(false, line); /* without systemd there is nobody to tell */
		free(m->status_line);
		m->status_line = TAKE_PTR(line);
		/* Between the devices' own there are holes, and the next event may be years off. */
		(void)malloc_trim(0);
	}
	return 0;
}

/*
 * The run directory is systemd's; started by hand, the daemon makes it. One daemon at a time:
 * another one would take the devices for its own, and give them back at its end.
 */
static int open_run_directory(struct manager *m)
{
	static const char *const directories[] = { RUN_DIRECTORY, STATUS_DIRECTORY };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (mkdir(directories[i], 0755) < 0 && errno != EEXIST)
			return log_start_error(-errno, "cannot make %s: %m", directories[i]);
	m->lock_fd = open(STATUS_LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (m->lock_fd < 0)
		return log_start_error(-errno, "cannot open %s (it takes root): %m",
				       STATUS_LOCK_FILE);
	if (flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return log_start_error(-errno, "another vfio-alias-shim runs: %s is locked",
				       STATUS_LOCK_FILE);
	m->status_fd = open(STATUS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->status_fd < 0)
		return log_start_error(-errno, "%s: %m", STATUS_DIRECTORY);
	status_remove_unfinished(m->status_fd); /* or the directory cannot go at the end */
	return 0;
}

static int add_sources(struct manager *m)
{
	static const struct {
		int number;
		sd_event_signal_handler_t handler; /* NULL: the loop ends */
	} signals[] = { { SIGTERM, NULL }, { SIGINT, NULL }, { SIGHUP, on_reload } };
	sigset_t blocked;
	int r;

	sigemptyset(&blocked);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&blocked, signals[i].number);
	if (sigprocmask(SIG_BLOCK, &blocked, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		/* Without a handler the userdata is the loop's exit code. */
		r = sd_event_add_signal(m->event, NULL, signals[i].number, signals[i].handler,
					signals[i].handler ? m : NULL);
		if (r < 0)
			return r;
	}

	r = sd_event_add_io(m->event, NULL, udev_source_fd(m->udev), EPOLLIN, on_udev, m);
	if (r < 0)
		return r;
	r = sd_event_add_post(m->event, NULL, on_settled, m);
	if (r < 0)
		return r;
	r = sd_event_add_defer(m->event, &m->idle, on_idle, m);
	if (r < 0)
		return r;
	r = sd_event_source_set_priority(m->idle, SD_EVENT_PRIORITY_IDLE);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(m->idle, SD_EVENT_OFF);
}

int manager_run(void)
{
	_cleanup_(manager_clear) struct manager m = { .lock_fd = -EBADF, .status_fd = -EBADF };
	unsigned int n;
	int r;

	r = store_receive();
	if (r < 0)
		(void)log_error(r, "cannot go on with the sessions of the run before: %m");
	r = sd_event_new(&m.event);
	if (r < 0)
		return log_start_error(r, "cannot make an event loop: %m");
	r = sd_event_set_watchdog(m.event, true); /* if the unit has one */
	if (r < 0)
		return log_start_error(r, "cannot serve the watchdog: %m");
	r = open_run_directory(&m);
	if (r < 0)
		return r;
	r = udev_source_new(handle_event, &m, &m.udev);
	if (r < 0)
		return log_start_error(r, "cannot listen to udev: %m");
	r = add_sources(&m);
	if (r < 0)
		return log_start_error(r, "cannot set up the event loop: %m");

	r = enumerate(&m);
	if (r < 0)
		return log_start_error(r, "cannot enumerate PCI devices: %m");
	keep_undecided(&m);
	n = store_drop_rest(); /* of devices that are not marked any more */
	vfio_settle(&m.vfio);
	if (n > 0)
		(void)log_message(MESSAGE_SESSIONS_ENDED, 0, NULL,
				  "ended %u sessions or groups of the run before", n);
	give_back_unmarked(&m);
	(void)on_settled(NULL, &m);	   /* does not fail */
	(void)sd_notify(false, "READY=1"); /* without systemd there is nobody to tell */

	r = sd_event_loop(m.event);
	(void)sd_notify(false, "STOPPING=1");
	/* Everything stays as it is for the next run, which systemd starts after a failure, too. */
	if (store_is_there()) {
		enum service_end end;

		if (r < 0)
			return log_error(r, "the event loop has failed: %m");
		end = service_end();
		if (end == SERVICE_IS_KILLED)
			return log_error(-ECANCELED, "ended by a signal, and not for a stop: "
						     "systemd is to start it again");
		if (end == SERVICE_RESTARTS)
			return 0;
	}
	while (m.devices)
		let_go(&m, &m.devices);
	while (m.leaving)
		drop_device(&m.leaving, device_release);
	(void)rmdir(STATUS_DIRECTORY); /* the command tells by it whether the service runs */
	return r < 0 ? log_error(r, "the event loop has failed: %m") : 0;
}
