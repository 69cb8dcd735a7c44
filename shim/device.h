/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of one device:
 *
 *	unmarked -> marked -> bound -> open -> published
 *
 * device_advance() walks from where the device is to the right, a function for each arrow
 * (steps[] in device.c), and stops at the first obstacle. What the obstacle is decides what
 * may end it, and how the device is called meanwhile:
 *
 *	refused   the mark is wrong; until it changes
 *	waiting   until any PCI event, until a file is closed that is in the way, or until the
 *	          device is bound or marked anew: see enum device_obstacle
 *
 * Where the device stands with its aliases is never remembered; the kernel is asked.
 */
#ifndef SHIM_DEVICE_H
#define SHIM_DEVICE_H

#include <systemd/sd-event.h>

#include "log.h"
#include "mark.h"
#include "udev.h"
#include "vfio.h"

enum device_state {
	DEVICE_UNMARKED,
	DEVICE_MARKED,	  /* the mark is read and fits the BARs */
	DEVICE_BOUND,	  /* a VFIO driver has it */
	DEVICE_OPEN,	  /* there is a session, and the kernel has alias regions */
	DEVICE_PUBLISHED, /* all aliases of the mark are there */
	/* Beside the way */
	DEVICE_WAITING,
	DEVICE_REFUSED, /* the newest mark; one from before may be in force all the same */
	DEVICE_STATES,
};

enum device_obstacle {
	OBSTACLE_NONE,
	OBSTACLE_MARK,	/* no mark is in force, until it changes */
	OBSTACLE_EVENT, /* something that an event of a PCI device may end */
	OBSTACLE_BUSY,	/* a file that another process has open or mapped, until it is closed */
	OBSTACLE_STOP,	/* hands off until the device is bound or marked anew, or a reload */
};

/* One item of the mark. */
struct device_alias {
	bool published;
	uint32_t type; /* in effect, if published */
	char *reason;  /* why not, if it was tried */
};

struct device {
	struct device *next; /* the manager's */
	bool seen;	     /* likewise: by an enumeration */
	char bdf[PCI_BDF_SIZE];

	/* The manager's, and longer-lived */
	sd_event *event;
	struct vfio *vfio;
	int status_fd;

	int sysfs_fd;
	struct mark_text text; /* the newest */
	bool text_is_new;
	char *refusal;		    /* why the newest is refused, if it is */
	struct mark *mark;	    /* in force: the newest that was not refused */
	struct mark_text mark_text; /* of that one */
	bool mark_is_new;

	struct log_limit limit;
	sd_event_source *limit_end; /* timer: tell what was not told */

	enum device_state reached; /* up to DEVICE_PUBLISHED */
	enum device_obstacle obstacle;
	char *reason; /* for the obstacle */

	/*
	 * Until the event of its unbind. While an unbind waits for somebody's session, nothing in
	 * sysfs tells of a driver any more, and what asks for the device's lock waits as well.
	 */
	bool has_vfio;
	bool taken; /* somebody has unbound it, so hands off; until OBSTACLE_STOP ends */

	/* If the service has bound the device: how it was before */
	bool bound_by_service;
	char *previous_driver;
	char *previous_override;
	bool gives_back; /* just now */

	struct vfio_session *session;
	struct device_alias aliases[MARK_ITEMS_MAX]; /* as mark->items */

	sd_event_source *request;		/* the kernel wants the device back */
	sd_event_source *retry;			/* timer */
	sd_event_source *watches[2 * PCI_BARS]; /* of files that are in the way */
	size_t n_watches;
	unsigned int watched_bars; /* a bit for each */
	bool retry_is_soon;	   /* since a file was closed */
	uint64_t probed_usec;	   /* CLOCK_MONOTONIC: the first probe that nobody answered, or 0 */
	uint64_t tried_usec;	   /* CLOCK_MONOTONIC: the last try */
	uint64_t busy_usec;	   /* from one try to the next, if no file is seen to be closed */
};

/*
 * A device of which nothing is known but its address. What an earlier run of the service did
 * to it is read from its status file; if that run has left a session, this one goes on with it,
 * by the mark that was in force.
 * @status_fd: the directory of status files
 */
int device_new(const char *bdf, sd_event *event, struct vfio *vfio, int status_fd,
	       struct device **ret);

/* Forgets the device; the session ends if there is one. */
struct device *device_free(struct device *device);

enum device_state device_state(const struct device *device);

/* udev has seen the marked device, in an event or by enumeration. */
void device_handle(struct device *device, const struct udev_event *event);

/* Goes on if the obstacle is one that an event of another device may have ended. */
void device_retry(struct device *device);

/* Looks at everything anew, whatever the obstacle. */
void device_reload(struct device *device);

/*
 * Takes the aliases back. A driver can have a device of an IOMMU group only when no session of the
 * group is left, so of several devices this comes first, for all of them. Unless the device is
 * released then, device_handle() goes on with it.
 */
void device_withdraw(struct device *device);

/*
 * Whether this device, which was withdrawn, cannot be given back yet: since another one, of those
 * that @others begins, has a session of the same IOMMU group, or another process has, or for its
 * virtual functions. If so it is told.
 */
bool device_must_wait(struct device *device, const struct device *others);

/* device_withdraw(), and gives the device back if the service has bound it. */
void device_release(struct device *device);

/* The device has gone. */
void device_remove(struct device *device);

#endif
