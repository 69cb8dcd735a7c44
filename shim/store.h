/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptors that outlive the daemon: systemd keeps a copy of each (its file descriptor
 * store), hands them to the next run, and closes them when the service is stopped. Without
 * systemd nothing is kept, and all of this does nothing.
 *
 * A descriptor has a name of letters, digits, '-' and '.'; nothing else is stored under it.
 */
#ifndef SHIM_STORE_H
#define SHIM_STORE_H

#include <stdbool.h>

/* Whether there is somebody who keeps descriptors. */
bool store_is_there(void);

/* Receives what the run before has left. Once, before anything else. Returns 0 or -errno. */
int store_receive(void);

/* The descriptor of that name that was received and not taken yet, or -ENOENT. */
int store_take(const char *name);

/* Whether a descriptor of that name was received and not taken yet. */
bool store_has(const char *name);

/*
 * Has systemd keep a copy of @fd. Nobody has to wait for that: what a process has sent, systemd
 * reads before it hears that the process has ended. Returns 0 or -errno.
 */
int store_keep(const char *name, int fd);

/* Has systemd close its copy. In effect after store_sync(). */
void store_drop(const char *name);

/* Waits until systemd has done what it was told. Returns 0 or -errno. */
int store_sync(void);

/* Closes what was received and not taken, and has systemd close it, too. Returns how many. */
unsigned int store_drop_rest(void);

#endif
