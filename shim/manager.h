/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices, and the one loop on which everything happens to them. */
#ifndef SHIM_MANAGER_H
#define SHIM_MANAGER_H

/*
 * Publishes the aliases of all marked devices until SIGTERM or SIGINT, then takes them back.
 * Returns 0 or -errno, which has been logged.
 */
int manager_run(void);

#endif
