/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices, and the one loop on which everything happens to them. */
#ifndef SHIM_MANAGER_H
#define SHIM_MANAGER_H

/*
 * Publishes the aliases of all marked devices until SIGTERM or SIGINT, then takes them back; or
 * leaves them to the next run, if systemd is to start one.
 * Returns 0 or -errno, which has been logged.
 */
int manager_run(void);

#endif
