/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What systemd knows of this service, and is told by it. */
#ifndef SHIM_SERVICE_H
#define SHIM_SERVICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "util.h"

#define SERVICE_UNIT "vfio-alias-shim.service"

enum service_end {
	SERVICE_STOPS,
	SERVICE_RESTARTS, /* it is started again, by "systemctl restart" for example */
	SERVICE_IS_KILLED /* it is not systemd that ends it, or that cannot be told */
};

/* Why the service has got the signal to end. */
enum service_end service_end(void);

/*
 * Tells systemd that the start, the stop or the reload goes on, of which each device may take
 * seconds: it is reset when it is opened, and when it is given back.
 */
void service_go_on(void);

/* The service's unit as systemd has it; the words are those of org.freedesktop.systemd1(5). */
struct service_unit {
	char *load_state;   /* "loaded", "not-found", "masked", ... */
	char *active_state; /* "active", "inactive", "failed", ... */
	pid_t main_pid;	    /* 0 for none */
};

/* Asks systemd. Returns 0 and strings to be freed by service_unit_clear(), or -errno. */
int service_query(struct service_unit *ret);
void service_unit_clear(struct service_unit *unit);
#define _cleanup_service_unit_ _cleanup_(service_unit_clear)

#endif
