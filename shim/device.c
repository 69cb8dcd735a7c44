/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "group.h"
#include "holder.h"
#include "log.h"
#include "modules.h"
#include "status.h"
#include "sysfs.h"

#define VFIO_DRIVER "vfio-pci"

/*
 * A file is reported as closed just before it is released, and by another event than this one
 * if it was opened through another mount of sysfs.
 */
#define RETRY_CLOSED_USEC (50 * UINT64_C(1000))
#define RETRY_BUSY_USEC (5 * UINT64_C(1000000))
#define RETRY_BUSY_MAX_USEC (60 * UINT64_C(1000000))
/* After a try, for who closes files again and again */
#define RETRY_AGAIN_USEC (1 * UINT64_C(1000000))

/*
 * The kernel tells of a new device before drivers may have it: when all of the bus is scanned and
 * has its addresses. Until then, a probe does nothing, and says nothing.
 */
#define PROBE_USEC (30 * UINT64_C(1000000))
#define RETRY_PROBE_USEC (2 * UINT64_C(1000000))

static const char *const state_names[DEVICE_STATES] = {
	[DEVICE_UNMARKED] = "unmarked",	  [DEVICE_MARKED] = "marked",
	[DEVICE_BOUND] = "bound",	  [DEVICE_OPEN] = "open",
	[DEVICE_PUBLISHED] = "published", [DEVICE_WAITING] = "waiting",
	[DEVICE_REFUSED] = "refused",
};

/* Whether the newest mark is what there is to tell of; not if the device was taken away. */
static bool is_refused(const struct device *d)
{
	return d->refusal && !d->taken;
}

enum device_state device_state(const struct device *d)
{
	if (is_refused(d))
		return DEVICE_REFUSED;
	return d->obstacle == OBSTACLE_NONE ? d->reached : DEVICE_WAITING;
}

/* Why the device is not published by its newest mark; NULL if it is, or is on its way. */
static const char *why(const struct device *d)
{
	if (is_refused(d))
		return d->refusal;
	return d->obstacle == OBSTACLE_NONE ? NULL : d->reason;
}

/*
 * Stops the device at an obstacle, which is told as @message. The same one again is not logged
 * again.
 * Returns -EAGAIN: for a step to return.
 */
_printf_(4, 5) static int stop_and_tell(struct device *d, enum device_obstacle obstacle,
					enum message message, const char *format, ...)
{
	_cleanup_free_ char *reason = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&reason, format, args) < 0)
		reason = NULL;
	va_end(args);

	d->obstacle = obstacle;
	if (reason && !streq(reason, d->reason)) {
		free(d->reason);
		d->reason = TAKE_PTR(reason);
		log_device(d, message, "%s: %s", state_names[device_state(d)], d->reason);
	}
	return -EAGAIN;
}

/* For what the manual has no more to say about. */
#define stop_at(d, obstacle, ...) stop_and_tell(d, obstacle, MESSAGE_WAITING, __VA_ARGS__)

/* stop_at() because of @r, a -errno that %m in the format stands for. */
#define stop_at_error(d, obstacle, r, ...) (errno = -(r), stop_at(d, obstacle, __VA_ARGS__))

/* @r: of modules_load() */
static int stop_without_module(struct device *d, const char *name, int r)
{
	errno = -r;
	return stop_and_tell(d, OBSTACLE_EVENT, MESSAGE_NO_MODULE,
			     "the module %s is not loaded (%m): reload the service, which has it "
			     "loaded",
			     name);
}

#define RANGE_SIZE ((size_t)2 * FORMAT_SIZE_MAX)

/* The range as a mark has it. Returns @buffer. */
static const char *describe_range(const struct mark_item *item, char buffer[static RANGE_SIZE])
{
	char offset[FORMAT_SIZE_MAX], length[FORMAT_SIZE_MAX];

	snprintf(buffer, RANGE_SIZE, "%s+%s", format_size(offset, item->offset),
		 format_size(length, item->length));
	return buffer;
}

#define ALIAS_SIZE (RANGE_SIZE + sizeof("0:wc@"))

/* What is made as a mark would have it. Returns @buffer. */
static const char *describe_alias(const struct mark_item *item, char buffer[static ALIAS_SIZE])
{
	char range[RANGE_SIZE];

	snprintf(buffer, ALIAS_SIZE, "%u:%s@%s", item->bar % 10, mark_type_name(item->type),
		 describe_range(item, range));
	return buffer;
}

/* ---- what the device tells ---- */

/*
 * The mark in force, with users and groups as numbers: to go on with it, the next run need not find
 * them in a database that has changed, or is not there yet. Returns 0 or -ENOMEM.
 */
static int describe_mark(const struct device *d, struct mark_text *ret)
{
	const struct {
		enum mark_property property;
		uint32_t id;
	} ids[] = { { MARK_OWNER, d->mark ? d->mark->owner : 0 },
		    { MARK_GROUP, d->mark ? d->mark->group : 0 } };

	if (mark_text_copy(ret, &d->mark_text) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		char **value = &ret->value[ids[i].property];

		if (!*value)
			continue;
		free(*value);
		if (asprintf(value, "%" PRIu32, ids[i].id) < 0) {
			*value = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

static int fill_status(struct device *d, struct status *status)
{
	unsigned int group;
	int r;

	status->group = sysfs_iommu_group(d->sysfs_fd, &group) < 0 ? -1 : (int64_t)group;
	status->bound_by_service = d->bound_by_service;
	status->taken = d->taken;
	/* Without it the status says that no driver is known, which is so. */
	if (!d->gives_back)
		(void)sysfs_driver(d->sysfs_fd, &status->driver);
	if (replace_string(&status->bdf, d->bdf) < 0 ||
	    replace_string(&status->state, state_names[device_state(d)]) < 0 ||
	    replace_string(&status->reason, why(d)) < 0 || describe_mark(d, &status->mark) < 0 ||
	    replace_string(&status->previous_driver, d->previous_driver) < 0 ||
	    replace_string(&status->previous_override, d->previous_override) < 0)
		return -ENOMEM;
	if (!d->mark)
		return 0;

	status->aliases = calloc(d->mark->n_items, sizeof(*status->aliases));
	if (!status->aliases)
		return -ENOMEM;
	status->n_aliases = d->mark->n_items;
	for (size_t i = 0; i < d->mark->n_items; i++) {
		const struct mark_item *item = &d->mark->items[i];
		const struct device_alias *alias = &d->aliases[i];
		struct status_alias *told = &status->aliases[i];
		char file[SYSFS_BAR_FILE_SIZE];

		told->bar = item->bar;
		told->offset = item->offset;
		told->size = item->length;
		if (alias->published &&
		    asprintf(&told->file, SYSFS_PCI_DEVICES "/%s/%s", d->bdf,
			     sysfs_bar_file(file, item->bar, item->type == VFIO_ALIAS_MEMORY_WC)) <
			    0) {
			told->file = NULL;
			return -ENOMEM;
		}
		r = replace_string(&told->type_wanted, mark_type_name(item->type));
		if (r == 0 && alias->published)
			r = replace_string(&told->type_in_effect, mark_type_name(alias->type));
		if (r == 0)
			r = replace_string(&told->state,
					   state_names[alias->published ? DEVICE_PUBLISHED :
									  DEVICE_WAITING]);
		if (r == 0)
			r = replace_string(&told->reason, alias->reason);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Says how many messages the limit has held back, and where the device has got to. */
static void tell_suppressed(struct device *d)
{
	unsigned int n = d->limit.suppressed;

	d->limit.suppressed = 0;
	if (n > 0)
		(void)log_message(MESSAGE_SUPPRESSED, 0,
				  &(struct log_about){ .bdf = d->bdf, .bar = -1 },
				  "%u messages were left out, there were too many; now %s%s%s", n,
				  state_names[device_state(d)], why(d) ? ": " : "", why(d) ?: "");
}

static int on_limit_end(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct device *d = userdata;

	(void)source;
	(void)usec;
	tell_suppressed(d);
	return 0;
}

/* Has what is suppressed told when messages may be written again. */
static void tell_suppressed_later(struct device *d)
{
	const uint64_t end = d->limit.begin_usec + LOG_LIMIT_USEC;
	int r;

	if (d->limit.suppressed == 0)
		return;
	if (d->limit_end) {
		r = sd_event_source_set_time(d->limit_end, end);
		if (r >= 0)
			r = sd_event_source_set_enabled(d->limit_end, SD_EVENT_ONESHOT);
	} else {
		r = sd_event_add_time(d->event, &d->limit_end, CLOCK_MONOTONIC, end, 0,
				      on_limit_end, d);
	}
	if (r < 0)
		(void)log_device_error(d, r, "cannot set a timer: %m");
}

static void save(struct device *d)
{
	_cleanup_status_ struct status status = {};
	int r;

	r = fill_status(d, &status);
	if (r == 0)
		r = status_write(d->status_fd, &status);
	if (r < 0)
		(void)log_device_error(d, r, "cannot write the status: %m");
	tell_suppressed_later(d);
}

/* ---- waiting for a file to be closed ---- */

static void unref_source(sd_event_source **source)
{
	*source = sd_event_source_disable_unref(*source);
}

static void watch_none(struct device *d)
{
	while (d->n_watches > 0)
		unref_source(&d->watches[--d->n_watches]);
	d->watched_bars = 0;
	d->retry_is_soon = false;
	unref_source(&d->retry);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct device *d = userdata;

	(void)source;
	(void)usec;
	d->busy_usec = d->busy_usec ? 2 * d->busy_usec : RETRY_BUSY_USEC;
	if (d->busy_usec > RETRY_BUSY_MAX_USEC)
		d->busy_usec = RETRY_BUSY_MAX_USEC;
	device_retry(d);
	return 0;
}

/* Tries again in @usec, and not at the time that was set before. */
static void retry_in(struct device *d, uint64_t usec)
{
	int r;

	unref_source(&d->retry);
	r = sd_event_add_time_relative(d->event, &d->retry, CLOCK_MONOTONIC, usec, 0, on_retry, d);
	if (r < 0)
		(void)log_device_error(d, r, "cannot set a timer: %m");
}

static uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int on_closed(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	struct device *d = userdata;
	uint64_t since = now_usec() - d->tried_usec;

	(void)source;
	(void)event;
	/* The last try has opened and closed files itself. */
	if (since < RETRY_CLOSED_USEC || d->retry_is_soon)
		return 0;
	d->busy_usec = 0;
	d->retry_is_soon = true;
	retry_in(d, since + RETRY_CLOSED_USEC < RETRY_AGAIN_USEC ? RETRY_AGAIN_USEC - since :
								   RETRY_CLOSED_USEC);
	return 0;
}

/* What is in the way may end unseen. */
static void retry_later(struct device *d)
{
	if (!d->retry)
		retry_in(d, d->busy_usec ?: RETRY_BUSY_USEC);
}

/* Retries when a file is closed. @path_fd: see open(2), O_PATH; without it the timer must do */
static void watch_close(struct device *d, int path_fd)
{
	_cleanup_close_ int fd = path_fd;

	if (fd >= 0 && d->n_watches < ARRAY_SIZE(d->watches) &&
	    sd_event_add_inotify_fd(d->event, &d->watches[d->n_watches], fd,
				    IN_CLOSE_WRITE | IN_CLOSE_NOWRITE, on_closed, d) >= 0)
		d->n_watches++;
	retry_later(d);
}

/* ---- the session ---- */

static void forget_aliases(struct device *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(d->aliases); i++) {
		free(d->aliases[i].reason);
		d->aliases[i] = (struct device_alias){};
	}
}

static void close_session(struct device *d)
{
	d->session = vfio_session_close(d->session);
	unref_source(&d->request);
	forget_aliases(d);
	if (d->reached > DEVICE_BOUND)
		d->reached = DEVICE_BOUND;
}

/* Ends the session, and everything that goes on around it. */
static void leave(struct device *d)
{
	watch_none(d);
	close_session(d);
}

static void forget_binding(struct device *d)
{
	d->bound_by_service = false;
	(void)replace_string(&d->previous_driver, NULL); /* cannot fail */
	(void)replace_string(&d->previous_override, NULL);
}

/*
 * The device is no longer bound, by the will of somebody else.
 * Returns -EAGAIN: for a step to return.
 */
static int be_taken(struct device *d)
{
	leave(d);
	forget_binding(d); /* who has unbound it decides what becomes of it */
	d->taken = true;
	d->reached = DEVICE_MARKED;
	return stop_and_tell(
		d, OBSTACLE_STOP, MESSAGE_TAKEN,
		"the device was taken from its VFIO driver; bind it to one again, or reload "
		"the service");
}

static int on_request(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct device *d = userdata;

	(void)source;
	(void)fd;
	(void)events;
	(void)be_taken(d); /* tells */
	save(d);
	return 0;
}

static int watch_request(struct device *d)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	r = vfio_session_set_request_eventfd(d->session, fd);
	if (r < 0)
		return r;
	r = sd_event_add_io(d->event, &d->request, fd, EPOLLIN, on_request, d);
	if (r < 0)
		return r;
	r = sd_event_source_set_priority(d->request, SD_EVENT_PRIORITY_IMPORTANT);
	if (r < 0)
		return r;
	r = sd_event_source_set_io_fd_own(d->request, true);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 0;
}

/* ---- binding and giving back ---- */

/* Puts driver_override back as it was: a device that is bound does not need it any more. */
static void restore_override(struct device *d)
{
	int r = sysfs_set_driver_override(d->sysfs_fd, d->previous_override);

	if (r < 0 && r != -ENOENT && r != -ENODEV) /* else it has gone with the device */
		(void)log_device_error(d, r, "cannot restore driver_override: %m");
}

/* As group_find_user() does: one that is neither this process nor keeps its sessions. */
static int find_other_user(const struct device *d, struct holder *ret,
			   char ret_path[static VFIO_PATH_SIZE])
{
	const pid_t ours[] = { getpid(), 1 };

	return group_find_user(d->sysfs_fd, ours, ARRAY_SIZE(ours), ret, ret_path);
}

/* Without a session: back to how the device was before the service bound it. */
static void give_back(struct device *d)
{
	_cleanup_free_ char *driver = NULL;
	char path[VFIO_PATH_SIZE];
	struct holder holder;
	int r;

	if (!d->bound_by_service)
		return;
	(void)sysfs_driver(d->sysfs_fd, &driver); /* unknown is not VFIO_DRIVER */
	if (streq(driver, VFIO_DRIVER)) {
		/* As device_must_wait(), but there is nobody any more who could wait. */
		if (find_other_user(d, &holder, path) == 0) {
			log_device(d, MESSAGE_NOT_GIVEN_BACK,
				   "it stays bound to " VFIO_DRIVER ": %s (pid %d) has %s open",
				   holder.name, (int)holder.pid, path);
			forget_binding(d);
			return;
		}
		if (sysfs_has_vfs(d->sysfs_fd)) {
			log_device(d, MESSAGE_NOT_GIVEN_BACK,
				   "it stays bound to " VFIO_DRIVER
				   ", for it has virtual functions");
			forget_binding(d);
			return;
		}
		d->gives_back = true;
		save(d); /* before it is done: a later run must know to have it probed */
		r = sysfs_unbind(d->sysfs_fd, d->bdf);
		d->gives_back = false;
		if (r < 0)
			(void)log_device_error(d, r, "cannot unbind from " VFIO_DRIVER ": %m");
	}
	if (d->previous_driver) {
		_cleanup_free_ char *taker = NULL;

		r = sysfs_probe(d->bdf);
		if (r == 0)
			r = sysfs_driver(d->sysfs_fd, &taker);
		if (r == 0 && !taker)
			r = -ENODEV;
		if (r < 0)
			(void)log_device_error(d, r,
					       "driver %s has not taken it back, which it can "
					       "not while VFIO uses its IOMMU group: %m",
					       d->previous_driver);
	}
	d->has_vfio = false;
	forget_binding(d);
}

/* After a probe of a device without a driver that nobody has answered */
static bool may_be_too_early(struct device *d)
{
	if (d->probed_usec == 0)
		d->probed_usec = now_usec();
	if (now_usec() - d->probed_usec < PROBE_USEC)
		return true;
	d->probed_usec = 0;
	return false;
}

/* Binds to VFIO_DRIVER a device that @driver has, or none if NULL. */
static int bind(struct device *d, const char *driver)
{
	_cleanup_free_ char *override = NULL;
	int r;

	if (driver && sysfs_has_vfs(d->sysfs_fd))
		/* Its driver may take them away, and wait for the sessions of this very process. */
		return stop_and_tell(
			d, OBSTACLE_STOP, MESSAGE_DRIVER,
			"driver %s has virtual functions of the device: take them away (echo 0 > " SYSFS_PCI_DEVICES
			"/%s/sriov_numvfs), and reload the service",
			driver, d->bdf);
	r = modules_load(VFIO_DRIVER);
	if (r < 0)
		return stop_without_module(d, VFIO_DRIVER, r);
	if (!d->bound_by_service) { /* else it is known how the device was before */
		r = sysfs_driver_override(d->sysfs_fd, &override);
		if (r == 0)
			r = replace_string(&d->previous_driver, driver);
		if (r < 0)
			return stop_at_error(d, OBSTACLE_EVENT, r, "cannot bind to vfio-pci: %m");
		free(d->previous_override);
		d->previous_override = TAKE_PTR(override);
		d->bound_by_service = true;
		save(d); /* before it is done: a later run must know what to undo */
	}

	r = sysfs_set_driver_override(d->sysfs_fd, VFIO_DRIVER);
	if (r == 0 && driver)
		r = sysfs_unbind(d->sysfs_fd, d->bdf);
	if (r == 0)
		r = sysfs_probe(d->bdf);
	if (r == 0 && !sysfs_has_vfio(d->sysfs_fd))
		r = -ENODEV;
	restore_override(d);
	if (r < 0) {
		give_back(d);
		if (r == -ENODEV && !driver && may_be_too_early(d)) {
			retry_in(d, RETRY_PROBE_USEC);
			return stop_at(d, OBSTACLE_BUSY,
				       "vfio-pci has not taken the device yet; trying again");
		}
		errno = -r;
		return stop_and_tell(d, OBSTACLE_STOP, MESSAGE_NOT_BOUND,
				     "vfio-pci has not taken the device (%m), see the kernel's "
				     "log; reload the service to try again");
	}
	log_device(d, MESSAGE_BOUND, "bound to vfio-pci%s%s", driver ? ", taken from " : "",
		   driver ?: "");
	d->has_vfio = true;
	d->probed_usec = 0;
	return DEVICE_BOUND;
}

/* ---- the steps: each returns the state that it has reached, or -EAGAIN ---- */

static void forget_mark(struct device *d)
{
	d->mark = mark_free(d->mark);
	mark_text_clear(&d->mark_text);
	d->reached = DEVICE_UNMARKED;
}

/* Notes why the newest mark is refused. The same again is not logged again. */
static int refuse(struct device *d, const char *message)
{
	_cleanup_free_ char *refusal = NULL;

	if (asprintf(&refusal, "%s%s", message, d->mark ? "; the mark before stays in force" : "") <
	    0) {
		refusal = NULL;
		return stop_at_error(d, OBSTACLE_EVENT, -ENOMEM, "cannot read the mark: %m");
	}
	if (!streq(refusal, d->refusal)) {
		free(d->refusal);
		d->refusal = TAKE_PTR(refusal);
		log_device(d, MESSAGE_REFUSED, "%s: %s", state_names[DEVICE_REFUSED], d->refusal);
	}
	if (d->mark)
		return 0; /* where that one gets to is another matter */
	d->obstacle = OBSTACLE_MARK;
	return -EAGAIN;
}

/* A new text of the mark, at any point of the way. */
static int read_mark(struct device *d)
{
	_cleanup_mark_ struct mark *mark = NULL;
	_cleanup_free_ char *message = NULL;
	struct pci_bar bars[PCI_BARS];
	int r;

	r = sysfs_read_bars(d->sysfs_fd, bars);
	if (r < 0)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot read the BARs: %m");

	r = mark_parse(&d->text, &mark, &message);
	if (r == 0)
		r = mark_check(mark, bars, &message);
	if (r < 0 && r != -EINVAL)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot read the mark: %m");
	d->text_is_new = false;
	if (r == -EINVAL) {
		/* A mistake costs nobody a mapping; what is not there yet waits for the mend. */
		if (d->reached < DEVICE_OPEN)
			forget_mark(d);
		return refuse(d, message);
	}

	if (!d->mark || !streq(d->mark->text, mark->text))
		forget_aliases(d); /* step_publish() finds those that stay */
	r = mark_text_copy(&d->mark_text, &d->text);
	if (r < 0)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot read the mark: %m");
	/* Some go, and some come. */
	d->limit.extra = (unsigned int)((d->mark ? d->mark->n_items : 0) + mark->n_items);
	mark_free(d->mark);
	d->mark = TAKE_PTR(mark);
	d->mark_is_new = true;
	free(d->refusal);
	d->refusal = NULL;
	if (d->session && !d->mark->noiommu && sysfs_group_is_noiommu(d->sysfs_fd))
		close_session(d); /* step_open() tells */
	if (d->reached == DEVICE_UNMARKED)
		d->reached = DEVICE_MARKED;
	if (d->reached == DEVICE_PUBLISHED)
		d->reached = DEVICE_OPEN;
	return 0;
}

/* Whether a device without an IOMMU may go on, and VFIO will take it. */
static int check_noiommu(struct device *d)
{
	int r;

	if (!d->mark->noiommu)
		return stop_and_tell(
			d, OBSTACLE_EVENT, MESSAGE_NO_IOMMU,
			"the device has no IOMMU group: enable the IOMMU in the firmware "
			"(VT-d, AMD-Vi) and on the kernel's command line (intel_iommu=on)");
	r = modules_load("vfio");
	if (r < 0)
		return stop_without_module(d, "vfio", r);
	r = sysfs_noiommu_mode();
	if (r == -ENOENT)
		return stop_and_tell(
			d, OBSTACLE_STOP, MESSAGE_NO_IOMMU,
			"this kernel has no no-IOMMU mode (CONFIG_VFIO_NOIOMMU): enable the "
			"IOMMU");
	if (r < 0)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot read VFIO's parameters: %m");
	if (r == 0)
		return stop_and_tell(
			d, OBSTACLE_STOP, MESSAGE_NO_IOMMU,
			"VFIO's no-IOMMU mode is off: boot with "
			"vfio.enable_unsafe_noiommu_mode=1, or write Y to " SYSFS_NOIOMMU_MODE
			" and reload the service");
	if (sysfs_has_vfio(d->sysfs_fd))
		return stop_and_tell(
			d, OBSTACLE_STOP, MESSAGE_NO_IOMMU,
			"the device was bound before no-IOMMU mode was on: unbind it, and "
			"reload the service");
	return 0;
}

/* @holder has @path open, and the device cannot be had before that is closed. */
static int stop_until_closed(struct device *d, const struct holder *holder, const char *path)
{
	return stop_and_tell(d, OBSTACLE_BUSY, MESSAGE_GROUP_BUSY,
			     "%s (pid %d) has %s open; waiting until it is closed", holder->name,
			     (int)holder->pid, path);
}

static int step_bind(struct device *d)
{
	_cleanup_free_ char *driver = NULL;
	char path[VFIO_PATH_SIZE];
	struct holder holder;
	unsigned int group;
	int r;

	r = sysfs_driver(d->sysfs_fd, &driver);
	if (r < 0)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot read the driver: %m");
	if (sysfs_has_vfio(d->sysfs_fd)) {
		d->taken = false;
	} else if (d->has_vfio || vfio_session_is_stored(d->bdf)) {
		/* Without another driver the unbind may still be waiting for a session. */
		d->has_vfio = !driver;
		d->taken = true;
		vfio_session_discard(d->bdf);
	}
	if (d->taken)
		return be_taken(d);

	r = sysfs_iommu_group(d->sysfs_fd, &group);
	if (r == -ENOENT) {
		r = check_noiommu(d);
		if (r < 0)
			return r;
	} else if (r < 0) {
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot read the IOMMU group: %m");
	} else if (sysfs_has_vfio(d->sysfs_fd)) {
		d->has_vfio = true;
		return DEVICE_BOUND;
	}

	if (d->mark->bind == MARK_BIND_NEVER)
		return stop_and_tell(d, OBSTACLE_EVENT, MESSAGE_DRIVER,
				     "%s%s has the device, which must be bound to a VFIO driver by "
				     "somebody else (VFIO_ALIAS_BIND=never)",
				     driver ? "driver " : "no driver", driver ?: "");
	if (driver && d->mark->bind != MARK_BIND_FORCE)
		return stop_and_tell(d, OBSTACLE_EVENT, MESSAGE_DRIVER,
				     "driver %s has the device: unbind it, or mark the device with "
				     "VFIO_ALIAS_BIND=force",
				     driver);
	/*
	 * An unbind of which nothing is known here may be waiting for a session, and would have
	 * this process wait, too. Else the group could not be opened either.
	 */
	if (!driver && find_other_user(d, &holder, path) == 0) {
		watch_close(d, open(path, O_PATH | O_CLOEXEC));
		return stop_until_closed(d, &holder, path);
	}
	return bind(d, driver);
}

/* The ways to the device: its own character device, if it has one, and its group. */
enum way { WAY_CDEV, WAY_GROUP, WAYS };

/* The way to take: the character device, where there is one. */
static const struct vfio_way *way_of(const struct vfio_way ways[static WAYS])
{
	return &ways[ways[WAY_CDEV].cdev ? WAY_CDEV : WAY_GROUP];
}

static int explain_open(struct device *d, const struct vfio_way ways[static WAYS], int r)
{
	_cleanup_free_ char *bdf = NULL, *driver = NULL;
	unsigned int group = ways[WAY_GROUP].group;
	const pid_t self = getpid();
	char path[VFIO_PATH_SIZE];
	struct holder holder;

	switch (r) {
	case -ENOTUNIQ:
		if (sysfs_iommu_group_obstacle(d->sysfs_fd, d->bdf, &bdf, &driver) == 0)
			return stop_and_tell(
				d, OBSTACLE_EVENT, MESSAGE_GROUP_NOT_VIABLE,
				"IOMMU group %u is not viable: driver %s has %s, which is "
				"in it; unbind that device or bind it to vfio-pci",
				group, driver, bdf);
		/* It is a process then. */
		__attribute__((fallthrough));
	case -EBUSY:
		if (group_find_user(d->sysfs_fd, &self, 1, &holder, path) == 0)
			return stop_until_closed(d, &holder, path);
		return stop_and_tell(
			d, OBSTACLE_BUSY, MESSAGE_GROUP_BUSY,
			"another process uses the device or its IOMMU group %u; waiting "
			"until it does not",
			group);
	case -EPROTO:
		return stop_and_tell(d, OBSTACLE_STOP, MESSAGE_NO_MODULE,
				     "the kernel's VFIO has no type1 IOMMU backend");
	case -EOPNOTSUPP:
		return stop_and_tell(
			d, OBSTACLE_STOP, MESSAGE_NO_IOMMU,
			"the IOMMU does not remap the device's interrupts: enable that in the "
			"firmware, or accept it with vfio_iommu_type1.allow_unsafe_interrupts=1 "
			"and reload the service");
	case -EPERM:
		return stop_and_tell(
			d, OBSTACLE_STOP, MESSAGE_NO_MODULE,
			"the service may not open %s, as VFIO's modules were loaded after it was "
			"started: restart it, which keeps all mappings",
			vfio_path(path, way_of(ways)));
	case -EAGAIN: /* somebody else resets it */
	case -ENOMEM:
		retry_later(d);
		return stop_at_error(d, OBSTACLE_BUSY, r,
				     "cannot open a VFIO session by %s: %m; trying again",
				     vfio_path(path, way_of(ways)));
	default:
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot open a VFIO session by %s: %m",
				     vfio_path(path, way_of(ways)));
	}
}

/* @cdev: room for the name that the ways refer to */
static int find_ways(struct device *d, char **cdev, struct vfio_way ret[static WAYS])
{
	struct vfio_way way = { .noiommu = sysfs_group_is_noiommu(d->sysfs_fd) };
	int r;

	r = sysfs_iommu_group(d->sysfs_fd, &way.group);
	if (r < 0)
		return r;
	ret[WAY_GROUP] = way;
	r = sysfs_vfio_cdev(d->sysfs_fd, cdev);
	if (r < 0 && r != -ENOENT)
		return r;
	way.cdev = *cdev;
	ret[WAY_CDEV] = way;
	return 0;
}

static int open_session(struct device *d, const struct vfio_way ways[static WAYS])
{
	const struct vfio_way *way = way_of(ways);
	char path[VFIO_PATH_SIZE];
	int r;

	r = vfio_session_open(d->vfio, way, d->bdf, &d->session);
	if (r != -EBUSY && r != -ENOTUNIQ)
		return r;
	for (size_t i = ways[WAY_CDEV].cdev ? 0 : WAY_GROUP; i < WAYS; i++)
		watch_close(d, open(vfio_path(path, &ways[i]), O_PATH | O_CLOEXEC));
	/* It may have been closed before it was watched. */
	return vfio_session_open(d->vfio, way, d->bdf, &d->session);
}

static int step_open(struct device *d)
{
	struct vfio_way ways[WAYS];
	_cleanup_free_ char *cdev = NULL;
	int r;

	r = find_ways(d, &cdev, ways);
	if (r < 0)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot read the IOMMU group: %m");
	if (ways[WAY_GROUP].noiommu && !d->mark->noiommu)
		return stop_and_tell(
			d, OBSTACLE_STOP, MESSAGE_NO_IOMMU,
			"the device is in no-IOMMU mode, in which it can write to all of "
			"memory: enable the IOMMU, or accept that with "
			"VFIO_ALIAS_NOIOMMU=1");
	/* iommufd is there with the character device. */
	if (!cdev && !ways[WAY_GROUP].noiommu) {
		r = modules_load("vfio_iommu_type1");
		if (r < 0)
			return stop_without_module(d, "vfio_iommu_type1", r);
	}
	r = open_session(d, ways);
	if (r < 0)
		return explain_open(d, ways, r);

	r = vfio_session_probe_aliases(d->session);
	if (r == -ENOTTY)
		return stop_and_tell(
			d, OBSTACLE_STOP, MESSAGE_NO_ALIAS_REGIONS,
			"this kernel's vfio-pci has no alias regions: install the patched "
			"VFIO modules and reload them");
	if (r < 0)
		return stop_at_error(d, OBSTACLE_STOP, r, "cannot probe for alias regions: %m");
	r = watch_request(d);
	if (r < 0)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot set the request eventfd: %m");
	/* Before anybody can have a mapping */
	r = vfio_session_keep(d->session);
	if (r < 0)
		(void)log_device_error(
			d, r,
			"a restart of the service will end the mappings, for systemd "
			"does not keep the session: %m");
	return DEVICE_OPEN;
}

static uint32_t alias_flags(const struct mark_item *item)
{
	return VFIO_ALIAS_FLAG_SYSFS | (item->shared ? VFIO_ALIAS_FLAG_SHARED : 0);
}

/* Whether the kernel can make every alias of the mark, before any is made. */
static int check_possible(struct device *d)
{
	_cleanup_free_ char *message = NULL;
	struct pci_msix msix;

	/* If it cannot be read, the kernel's refusal tells. */
	if (vfio_session_find_msix(d->session, &msix) == 0 &&
	    mark_find_msix(d->mark, &msix, &message))
		return stop_and_tell(d, OBSTACLE_STOP, MESSAGE_IMPOSSIBLE, "%s; change the mark",
				     message ?: "it has no sense");
	for (size_t i = 0; i < d->mark->n_items; i++) {
		const struct mark_item *item = &d->mark->items[i];
		uint32_t types, flags;
		int r;

		r = vfio_session_get_possible(d->session, item->bar, &types, &flags);
		if (r < 0)
			return stop_at_error(d, OBSTACLE_STOP, r,
					     "BAR %u: cannot ask which aliases are possible: %m",
					     item->bar);
		if (types == 0)
			return stop_and_tell(
				d, OBSTACLE_STOP, MESSAGE_IMPOSSIBLE,
				"BAR %u: VFIO cannot map it, so it cannot have an alias",
				item->bar);
		if (!(types & UINT32_C(1) << item->type))
			return stop_and_tell(d, OBSTACLE_STOP, MESSAGE_IMPOSSIBLE,
					     "BAR %u: this platform cannot give the memory type %s",
					     item->bar, mark_type_name(item->type));
		if (alias_flags(item) & ~flags)
			return stop_and_tell(
				d, OBSTACLE_STOP, MESSAGE_NO_ALIAS_REGIONS,
				"this kernel's alias regions %s; install newer VFIO modules",
				flags & VFIO_ALIAS_FLAG_SYSFS ? "cannot be shared" :
								"have no files in sysfs");
	}
	return 0;
}

static bool is_wanted(const struct mark_item *item, const struct vfio_alias *alias)
{
	return item->bar == alias->bar && item->type == alias->type &&
	       alias_flags(item) == alias->flags && item->offset == alias->offset &&
	       item->length == alias->size;
}

/* The one that is what the mark wants, or NULL. */
static const struct vfio_alias *find_wanted(const struct mark_item *item,
					    const struct vfio_alias *aliases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_wanted(item, &aliases[i]))
			return &aliases[i];
	return NULL;
}

/* Takes away what is not in the mark, before what takes its place. Returns 0 or -errno. */
static int remove_unwanted(struct device *d)
{
	_cleanup_free_ struct vfio_alias *aliases = NULL;
	char alias[ALIAS_SIZE];
	size_t n, j;
	int r;

	r = vfio_session_list_aliases(d->session, &aliases, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		for (j = 0; j < d->mark->n_items; j++)
			if (is_wanted(&d->mark->items[j], &aliases[i]))
				break;
		if (j < d->mark->n_items)
			continue;
		r = vfio_session_remove_alias(d->session, aliases[i].index);
		if (r < 0)
			return r;
		log_alias(d, MESSAGE_REMOVED, aliases[i].bar,
			  describe_alias(&(struct mark_item){ .bar = aliases[i].bar,
							      .type = aliases[i].type,
							      .offset = aliases[i].offset,
							      .length = aliases[i].size },
					 alias),
			  "BAR %u: removed %s", aliases[i].bar, mark_type_name(aliases[i].type));
	}
	return 0;
}

/*
 * Notes why alias @i is not there, which is told as @message. The same reason again is not
 * logged again.
 */
_printf_(4, 5) static void fail_alias(struct device *d, size_t i, enum message message,
				      const char *format, ...)
{
	struct device_alias *alias = &d->aliases[i];
	unsigned int bar = d->mark->items[i].bar;
	_cleanup_free_ char *why = NULL, *reason = NULL;
	char text[ALIAS_SIZE];
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&why, format, args);
	va_end(args);
	if (length < 0)
		why = NULL;
	else if (asprintf(&reason, "BAR %u: %s", bar, why) < 0)
		reason = NULL;

	alias->published = false;
	if (reason && !streq(reason, alias->reason)) {
		free(alias->reason);
		alias->reason = TAKE_PTR(reason);
		log_alias(d, message, bar, describe_alias(&d->mark->items[i], text), "waiting: %s",
			  alias->reason);
	}
}

static void watch_bar(struct device *d, unsigned int bar)
{
	char file[SYSFS_BAR_FILE_SIZE];

	if (d->watched_bars & 1U << bar)
		return;
	d->watched_bars |= 1U << bar;
	watch_close(d, sysfs_open_path(d->sysfs_fd, sysfs_bar_file(file, bar, false)));
	watch_close(d, sysfs_open_path(d->sysfs_fd, sysfs_bar_file(file, bar, true)));
}

/* Who has mapped what keeps the kernel from making the alias. Returns 0 or -errno. */
static int find_mapping(const struct device *d, const struct mark_item *item, struct holder *ret)
{
	struct holder_device device = { .bdf = d->bdf };
	struct holder_claim claim = {
		.bar = item->bar,
		.wc = item->type == VFIO_ALIAS_MEMORY_WC,
		.offset = item->offset,
		.length = item->length,
		.inodes = { sysfs_bar_inode(d->sysfs_fd, item->bar, false),
			    sysfs_bar_inode(d->sysfs_fd, item->bar, true) },
	};
	int r;

	r = sysfs_read_bars(d->sysfs_fd, device.bars);
	if (r < 0)
		return r;
	r = holder_find_mapping("/proc", &device, &claim, ret);
	if (r == -ENOENT) {
		claim.rest = true;
		r = holder_find_mapping("/proc", &device, &claim, ret);
	}
	return r;
}

/* Makes alias @i, or finds that it is there. Returns 0 or -errno, of which the reason is noted. */
static int create_alias(struct device *d, size_t i)
{
	const struct mark_item *item = &d->mark->items[i];
	struct vfio_alias wanted = {
		.bar = item->bar,
		.type = item->type,
		.flags = alias_flags(item),
		.offset = item->offset,
		.size = item->length,
	};
	struct holder holder;
	char range[RANGE_SIZE];
	int r;

	r = vfio_session_create_alias(d->session, &wanted);
	if (r == -EBUSY) {
		watch_bar(d, item->bar);
		/* What is in the way may have gone before it was watched. */
		r = vfio_session_create_alias(d->session, &wanted);
	}
	switch (-r) {
	case 0:
		break;
	case EBUSY:
		if (find_mapping(d, item, &holder) == 0)
			fail_alias(d, i, MESSAGE_MAPPED,
				   "%s/%s is mapped by %s (pid %d); waiting until it is unmapped",
				   d->bdf, holder.file, holder.name, (int)holder.pid);
		else
			fail_alias(d, i, MESSAGE_MAPPED,
				   "the range is in use under another memory type, or by the "
				   "kernel; waiting until it is free");
		break;
	case EINVAL:
		fail_alias(d, i, MESSAGE_IMPOSSIBLE,
			   "the kernel refuses the range %s: does it meet the MSI-X table?",
			   describe_range(item, range));
		break;
	default:
		errno = -r;
		fail_alias(d, i, MESSAGE_WAITING, "cannot make the alias of %s: %m",
			   describe_range(item, range));
	}
	return r;
}

/* Compares alias @i with what the kernel has, and gives its file the owner that the mark says. */
static void inspect_alias(struct device *d, size_t i, const struct vfio_alias *aliases, size_t n)
{
	const struct mark_item *item = &d->mark->items[i];
	struct device_alias *alias = &d->aliases[i];
	char file[SYSFS_BAR_FILE_SIZE], range[RANGE_SIZE], text[ALIAS_SIZE];
	const struct vfio_alias *found = find_wanted(item, aliases, n);
	int r;

	if (!found) {
		fail_alias(d, i, MESSAGE_WAITING, "the kernel does not list the alias of %s",
			   describe_range(item, range));
		return;
	}

	sysfs_bar_file(file, item->bar, item->type == VFIO_ALIAS_MEMORY_WC);
	if (!alias->published || d->mark_is_new) {
		r = sysfs_set_access(d->sysfs_fd, file, d->mark->owner, d->mark->group,
				     d->mark->mode);
		if (r < 0) {
			errno = -r;
			fail_alias(d, i, MESSAGE_WAITING, "cannot set the owner and mode of %s: %m",
				   file);
			return;
		}
	}
	if (!alias->published)
		log_alias(d, MESSAGE_PUBLISHED, item->bar, describe_alias(item, text),
			  "BAR %u: published %s as %s, %s", item->bar, describe_range(item, range),
			  file, mark_type_name(found->type));
	alias->published = true;
	alias->type = found->type;
	free(alias->reason);
	alias->reason = NULL;
}

static int step_publish(struct device *d)
{
	_cleanup_free_ struct vfio_alias *aliases = NULL;
	int results[MARK_ITEMS_MAX];
	bool busy = false;
	size_t n;
	int r;

	r = check_possible(d);
	if (r < 0) {
		/* A mark that is not possible costs nobody a mapping either. */
		if (vfio_session_list_aliases(d->session, &aliases, &n) < 0)
			return r;
		for (size_t i = 0; i < d->mark->n_items; i++)
			if (find_wanted(&d->mark->items[i], aliases, n))
				inspect_alias(d, i, aliases, n);
		if (n == 0)
			close_session(d);
		return r;
	}
	r = remove_unwanted(d);
	if (r < 0)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot list or remove aliases: %m");

	for (size_t i = 0; i < d->mark->n_items; i++)
		results[i] = create_alias(d, i);
	r = vfio_session_list_aliases(d->session, &aliases, &n);
	if (r < 0)
		return stop_at_error(d, OBSTACLE_EVENT, r, "cannot list the aliases: %m");

	for (size_t i = 0; i < d->mark->n_items; i++) {
		if (results[i] == 0)
			inspect_alias(d, i, aliases, n);
		busy |= results[i] == -EBUSY;
	}
	d->mark_is_new = false;

	/* Told already, alias by alias: the device has the first reason for its own. */
	for (size_t i = 0; i < d->mark->n_items; i++) {
		if (d->aliases[i].published)
			continue;
		d->obstacle = busy ? OBSTACLE_BUSY : OBSTACLE_EVENT;
		(void)replace_string(&d->reason, d->aliases[i].reason); /* else the one before */
		return -EAGAIN;
	}
	return DEVICE_PUBLISHED;
}

static int (*const steps[])(struct device *d) = {
	[DEVICE_MARKED] = step_bind,
	[DEVICE_BOUND] = step_open,
	[DEVICE_OPEN] = step_publish,
};

static int reopen_sysfs(struct device *d)
{
	int fd = sysfs_open_device(d->bdf);

	if (fd < 0)
		return stop_at_error(d, OBSTACLE_EVENT, fd, "cannot open its sysfs directory: %m");
	close_fd(d->sysfs_fd);
	d->sysfs_fd = fd;
	return 0;
}

/* Goes as far as it can. */
static void advance(struct device *d)
{
	int r = 0;

	watch_none(d);
	d->obstacle = OBSTACLE_NONE;
	if (!d->session) {
		/* Anything may have happened to the device since. */
		d->reached = d->mark ? DEVICE_MARKED : DEVICE_UNMARKED;
		r = reopen_sysfs(d);
	}
	if (r == 0 && (d->text_is_new || !d->session)) /* its BARs may have changed */
		r = read_mark(d);
	while (r >= 0 && d->reached != DEVICE_PUBLISHED) {
		r = steps[d->reached](d);
		if (r >= 0)
			d->reached = (enum device_state)r;
	}

	if (d->reached < DEVICE_OPEN)
		close_session(d); /* of a step that has failed half-way */
	if (d->obstacle != OBSTACLE_BUSY) {
		watch_none(d); /* it went away meanwhile */
		d->busy_usec = 0;
	}
	d->tried_usec = now_usec();
	if (d->obstacle == OBSTACLE_NONE)
		(void)replace_string(&d->reason, NULL); /* cannot fail */
	save(d);
}

/* ---- what happens to the device ---- */

/* Goes on where the run before was. */
static void recall(struct device *d, struct status *status)
{
	_cleanup_free_ char *driver = NULL;
	bool half_bound = status->bound_by_service && !streq(status->driver, VFIO_DRIVER);

	d->taken = status->taken;

	/* Unknown is as good as none: there is nothing to be given back. */
	(void)sysfs_driver(d->sysfs_fd, &driver);
	if (status->bound_by_service && (half_bound || streq(driver, VFIO_DRIVER))) {
		d->bound_by_service = true;
		d->previous_driver = TAKE_PTR(status->previous_driver);
		d->previous_override = TAKE_PTR(status->previous_override);
	}
	if (half_bound)
		restore_override(d);
	if (half_bound && !driver)
		give_back(d); /* it may have been taken from its driver already */

	/* By the mark of then: what udev has now is compared with that, as at any other time. */
	if (status->mark.value[MARK_ALIAS] && vfio_session_is_stored(d->bdf)) {
		d->text = status->mark;
		status->mark = (struct mark_text){};
		device_reload(d);
	}
}

int device_new(const char *bdf, sd_event *event, struct vfio *vfio, int status_fd,
	       struct device **ret)
{
	_cleanup_status_ struct status status = {};
	struct device *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	d->event = sd_event_ref(event);
	d->vfio = vfio;
	d->status_fd = status_fd;
	d->sysfs_fd = sysfs_open_device(bdf); /* if it has gone, advance() says so */

	r = status_read(status_fd, bdf, &status);
	if (r < 0 && r != -ENOENT)
		(void)log_device_error(d, r, "cannot read what the run before did: %m");
	recall(d, &status);
	*ret = d;
	return 0;
}

struct device *device_free(struct device *d)
{
	if (d) {
		leave(d);
		tell_suppressed(d);
		unref_source(&d->limit_end);
		forget_binding(d);
		forget_mark(d);
		mark_text_clear(&d->text);
		free(d->refusal);
		free(d->reason);
		close_fd(d->sysfs_fd);
		sd_event_unref(d->event);
	}
	free(d);
	return NULL;
}

static void handle_unbind(struct device *d)
{
	if (sysfs_has_vfio(d->sysfs_fd))
		return; /* bound to VFIO since: it was another driver's unbind */
	d->has_vfio = false;
	if (d->reached >= DEVICE_BOUND)
		(void)be_taken(d); /* tells */
	else
		forget_binding(d);
	save(d);
}

void device_handle(struct device *d, const struct udev_event *event)
{
	if (!event->failed && !mark_text_equal(&d->text, &event->mark)) {
		if (d->text.value[MARK_ALIAS])
			d->taken = false; /* it was marked anew */
		if (mark_text_copy(&d->text, &event->mark) < 0) {
			(void)log_device_error(d, -ENOMEM, "cannot read the mark: %m");
			return;
		}
		d->text_is_new = true;
	}
	if (event->action == UDEV_UNBIND)
		handle_unbind(d);
	if (event->action == UDEV_BIND && d->obstacle == OBSTACLE_STOP &&
	    sysfs_has_vfio(d->sysfs_fd))
		d->text_is_new = true;

	if (d->text_is_new)
		advance(d);
	else
		device_retry(d);
}

void device_retry(struct device *d)
{
	if (d->obstacle == OBSTACLE_EVENT || d->obstacle == OBSTACLE_BUSY)
		advance(d);
}

void device_reload(struct device *d)
{
	char path[VFIO_PATH_SIZE];
	struct holder holder;

	/* Who reloads wants it, unless it is an unbind that waits for another's session. */
	if (d->taken && find_other_user(d, &holder, path) == -ENOENT)
		d->taken = false;
	if (!sysfs_group_has_vfio(d->sysfs_fd))
		d->has_vfio = false; /* none is under way, whether or not its event has come */
	d->text_is_new = true;
	advance(d);
}

void device_withdraw(struct device *d)
{
	if (d->session)
		log_device(d, MESSAGE_GIVEN_BACK, "taking the aliases back");
	leave(d);
	free(d->refusal);
	d->refusal = NULL;
	d->obstacle = OBSTACLE_EVENT; /* should it be marked again */
}

/* The other device with a session of the same IOMMU group, or NULL. */
static const struct device *find_in_group(const struct device *d, const struct device *others)
{
	unsigned int own, group;

	if (sysfs_iommu_group(d->sysfs_fd, &own) < 0)
		return NULL;
	while (others && (!others->session || sysfs_iommu_group(others->sysfs_fd, &group) < 0 ||
			  group != own))
		others = others->next;
	return others;
}

bool device_must_wait(struct device *d, const struct device *others)
{
	_cleanup_free_ char *driver = NULL;
	char path[VFIO_PATH_SIZE];
	struct holder holder;

	if (sysfs_driver(d->sysfs_fd, &driver) == 0 && !streq(driver, VFIO_DRIVER))
		forget_binding(d); /* somebody has unbound it meanwhile */
	if (!d->bound_by_service)
		return false;
	others = find_in_group(d, others);
	if (others)
		(void)stop_at(d, OBSTACLE_EVENT, /* tells */
			      "it is not marked any more; it can be given back when %s, of the "
			      "same IOMMU group, is not published any more, either",
			      others->bdf);
	else if (find_other_user(d, &holder, path) == 0)
		/* The unbind would wait for that session, and nothing could end the wait. */
		(void)stop_at(d, OBSTACLE_EVENT, /* likewise */
			      "it is not marked any more; it can be given back when %s (pid %d) "
			      "has closed %s",
			      holder.name, (int)holder.pid, path);
	else if (sysfs_has_vfs(d->sysfs_fd))
		(void)stop_at(d, OBSTACLE_EVENT, /* likewise */
			      "it is not marked any more; it can be given back when it has no "
			      "virtual functions any more");
	else
		return false;
	save(d);
	return true;
}

void device_release(struct device *d)
{
	device_withdraw(d); /* before the unbind, which would wait for that */
	give_back(d);
	status_remove(d->status_fd, d->bdf);
}

void device_remove(struct device *d)
{
	leave(d);
	status_remove(d->status_fd, d->bdf);
}
