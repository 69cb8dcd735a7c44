/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's messages: to the journal if stderr goes there, with the fields of
 * vfio-alias-shim(8), else to stderr. Each returns its @r, a -errno that %m stands for, so that
 * it is logged and returned in one statement.
 */
#ifndef SHIM_LOG_H
#define SHIM_LOG_H

#include <syslog.h>

#include "util.h"

/* What an operator may meet. Each has an entry in vfio-alias-shim.catalog and in the manual. */
enum message {
	MESSAGE_START_FAILED,
	MESSAGE_FAILED, /* what is for nobody but a developer, or a full machine */
	MESSAGE_EVENTS_LOST,
	MESSAGE_SESSIONS_ENDED,
	MESSAGE_BOUND,
	MESSAGE_GIVEN_BACK,
	MESSAGE_NOT_GIVEN_BACK,
	MESSAGE_PUBLISHED,
	MESSAGE_REMOVED,
	MESSAGE_REFUSED,
	/* Reasons to wait */
	MESSAGE_WAITING, /* none of the others */
	MESSAGE_NO_IOMMU,
	MESSAGE_DRIVER,
	MESSAGE_GROUP_BUSY,
	MESSAGE_GROUP_NOT_VIABLE,
	MESSAGE_NO_ALIAS_REGIONS,
	MESSAGE_NO_MODULE,
	MESSAGE_TAKEN,
	MESSAGE_NOT_BOUND,
	MESSAGE_IMPOSSIBLE,
	MESSAGE_MAPPED,
	/* About messages */
	MESSAGE_SUPPRESSED,
	MESSAGES,
};

/* MESSAGE_ID=, see systemd.journal-fields(7), and PRIORITY=, see syslog(3). */
struct log_entry {
	const char *id;
	int priority;
};
extern const struct log_entry log_table[MESSAGES];

/*
 * How often a device is spoken of. One that flaps would fill the journal otherwise, and drive
 * out what others have to say. Starts as zeroes.
 */
#define LOG_LIMIT_BURST 20U
#define LOG_LIMIT_USEC (30 * UINT64_C(1000000))
struct log_limit {
	uint64_t begin_usec; /* of the time in which the messages are counted */
	unsigned int n;
	unsigned int suppressed;
	unsigned int extra; /* beside the burst: what one change of a long mark has to say */
};

/*
 * Counts a message at time @usec of a clock that is never set.
 * Returns whether it may be written: LOG_LIMIT_BURST and the extra ones may in each LOG_LIMIT_USEC.
 */
bool log_limit_pass(struct log_limit *limit, uint64_t usec);

/* What a message is about. */
struct log_about {
	const char *bdf;
	struct log_limit *limit; /* NULL: none */
	int bar;		 /* -1: none */
	const char *alias;	 /* as in a mark; NULL: none */
};

/* @about: NULL if it is not about a device */
_printf_(4, 5) int log_message(enum message message, int r, const struct log_about *about,
			       const char *format, ...);

#define log_error(r, ...) log_message(MESSAGE_FAILED, r, NULL, __VA_ARGS__)
#define log_start_error(r, ...) log_message(MESSAGE_START_FAILED, r, NULL, __VA_ARGS__)

/* @d: of a type with the members bdf and limit */
#define log_about_device(d) (&(struct log_about){ (d)->bdf, &(d)->limit, -1, NULL })
#define log_device(d, message, ...) (void)log_message(message, 0, log_about_device(d), __VA_ARGS__)
#define log_device_error(d, r, ...) log_message(MESSAGE_FAILED, r, log_about_device(d), __VA_ARGS__)
#define log_alias(d, message, bar, alias, ...)                                             \
	(void)log_message(message, 0,                                                      \
			  &(struct log_about){ (d)->bdf, &(d)->limit, (int)(bar), alias }, \
			  __VA_ARGS__)

#endif
