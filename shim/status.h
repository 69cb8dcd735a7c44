/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon tells about its devices: one JSON file for each, DIRECTORY/BDF.json,
 * written by the daemon and read by the command. The daemon itself reads from it, when it
 * starts, what the kernel cannot tell: whom a device belonged to before.
 */
#ifndef SHIM_STATUS_H
#define SHIM_STATUS_H

#include "mark.h"
#include "sysfs.h"
#include "util.h"

#define STATUS_DIRECTORY "/run/vfio-alias-shim/devices"

/* Locked, by flock(), as long as the daemon runs. */
#define STATUS_LOCK_FILE "/run/vfio-alias-shim/lock"

/* Strings are owned, and NULL where there is nothing to tell. */
struct status_alias {
	unsigned int bar;
	uint64_t offset; /* bytes */
	uint64_t size;	 /* bytes */
	char *type_wanted;
	char *type_in_effect;
	char *file; /* absolute path */
	char *state;
	char *reason;
};

struct json_object;

struct status {
	char *bdf;
	char *state;
	char *reason;
	char *driver;
	int64_t group; /* IOMMU group, or -1 */
	bool bound_by_service;
	bool taken;		 /* from the service; it is not to be bound again unasked */
	char *previous_driver;	 /* if bound_by_service */
	char *previous_override; /* likewise: "driver_override" before */
	struct mark_text mark;	 /* in force; without VFIO_ALIAS there is none */
	struct status_alias *aliases;
	size_t n_aliases;
};

/* Frees what the status owns, and makes it empty. */
void status_clear(struct status *status);
#define _cleanup_status_ _cleanup_(status_clear)

/*
 * @dirfd: the directory
 * A file is replaced as a whole. Returns 0 or -errno.
 */
int status_write(int dirfd, const struct status *status);

/* What is written. Returns 0 and an object to be put, or -ENOMEM. */
int status_to_json(const struct status *status, struct json_object **ret);

/*
 * What is not told in it, as by an older daemon, is NULL.
 * Returns 0, -ENOENT without such a file, -EBADMSG if it makes no sense, or -errno.
 */
int status_read(int dirfd, const char *bdf, struct status *ret);

void status_remove(int dirfd, const char *bdf);

/* Removes what a daemon had begun to write when it was killed. */
void status_remove_unfinished(int dirfd);

/*
 * Reads all of them, in the order of their addresses; one that cannot be read is left out.
 * @ret_unread: how many were; or NULL
 * Returns 0 and an array to be freed by status_free_all(), or -errno.
 */
int status_read_all(int dirfd, struct status **ret, size_t *ret_n, size_t *ret_unread);
void status_free_all(struct status *statuses, size_t n);

/*
 * Whether a file is locked by flock(), by /proc/locks: who is to ask need not be able to open
 * the file, since who can may lock it as well.
 * @locks: "/proc/locks"
 * Returns 1 if it is, 0 if it is not or not there, or -errno.
 */
int status_is_locked(const char *locks, const char *path);

enum status_service {
	STATUS_SERVICE_RUNNING,
	STATUS_SERVICE_ENDED,	/* without a farewell: what is in the directory is of the past */
	STATUS_SERVICE_STOPPED, /* or was never started */
	STATUS_SERVICE_UNKNOWN, /* it cannot be seen */
	STATUS_SERVICES,
};

/* If it is STATUS_SERVICE_UNKNOWN, errno tells why. */
enum status_service status_service(void);

/* "running", "ended", "stopped" or "unknown" */
const char *status_service_name(enum status_service service);

/*
 * Makes of what a daemon said that has ended since, or perhaps has: states are "unknown", and
 * reasons have its last words. Aliases have the type that the kernel has for them, and no file
 * without one.
 * @service: not STATUS_SERVICE_RUNNING
 * @aliases: of the device, by sysfs_read_aliases(); none if it is not VFIO's
 * Returns 0 or -ENOMEM.
 */
int status_disown(struct status *status, enum status_service service,
		  const struct sysfs_alias *aliases, size_t n);

#endif
