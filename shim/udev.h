/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI devices and their marks, as udev knows them: every call of libudev is here. */
#ifndef SHIM_UDEV_H
#define SHIM_UDEV_H

#include "mark.h"

enum udev_action {
	UDEV_PRESENT, /* found, added or changed */
	UDEV_BIND,
	UDEV_UNBIND,
	UDEV_REMOVE,
};

/* Lives as long as the handler's call. */
struct udev_event {
	enum udev_action action;
	const char *bdf;  /* pci_bdf_valid() */
	const char *uuid; /* of sysfs_trigger(), or NULL */
	bool failed;	  /* udevd has not come to the end of its rules: the mark is not known */
	struct mark_text mark;
};

typedef void (*udev_handler)(const struct udev_event *event, void *userdata);

struct udev_source;

/*
 * Begins to listen to events of PCI devices; none is lost between this and
 * udev_source_enumerate().
 * @handler: called for each event, and for each device that is enumerated
 */
int udev_source_new(udev_handler handler, void *userdata, struct udev_source **ret);
struct udev_source *udev_source_free(struct udev_source *source);

/* Readable when udev_source_dispatch() has something to do. */
int udev_source_fd(struct udev_source *source);

/*
 * Handles one event, if there is one.
 * Returns 1 if it has, 0 if there was none, -ENOBUFS if some were lost: enumerate.
 */
int udev_source_dispatch(struct udev_source *source);

/*
 * Reads what udev's database has of a device now.
 * @ret: to be cleared; all NULL if udev has not seen the device
 * @ret_initialized: whether it has
 * Returns 0, -ENODEV without such a device, or -errno.
 */
int udev_read_mark(const char *bdf, struct mark_text *ret, bool *ret_initialized);

/*
 * Whether the device is there and udev does not know what it is: it has not seen it yet, or a
 * worker has died of it. Such a device is not one without a mark.
 */
bool udev_is_undecided(const char *bdf);

/* Handles each marked device that udev has initialized, as UDEV_PRESENT. Returns 0 or -errno. */
int udev_source_enumerate(struct udev_source *source);

#endif
