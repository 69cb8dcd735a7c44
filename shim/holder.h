/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process has a BAR mapped, by /proc/PID/maps. */
#ifndef SHIM_HOLDER_H
#define SHIM_HOLDER_H

#include <sys/types.h>

struct holder {
	pid_t pid;
	char name[16]; /* of the process; fit for a message */
	char file[16]; /* that is mapped, "resourceN" or "resourceN_wc" */
};

/*
 * Finds a process that has mapped a file of BAR @bar of device @bdf, by whatever path it was
 * opened: the last two components of what the kernel shows are compared.
 * @proc: "/proc"
 * Returns 0, -ENOENT if there is none or none that can be seen, or -errno.
 */
int holder_find(const char *proc, const char *bdf, unsigned int bar, struct holder *ret);

#endif
