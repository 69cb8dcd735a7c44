/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process is in the way, by /proc/PID/maps and /proc/PID/fd. */
#ifndef SHIM_HOLDER_H
#define SHIM_HOLDER_H

#include <sys/types.h>

struct holder {
	pid_t pid;
	char name[16]; /* of the process; fit for a message */
	char file[64]; /* that it has mapped, "resourceN" or "resourceN_wc", or open, a path */
};

/*
 * Finds a process that has mapped a file of BAR @bar of device @bdf, by whatever path it was
 * opened: the last two components of what the kernel shows are compared.
 * @proc: "/proc"
 * Returns 0, -ENOENT if there is none or none that can be seen, or -errno.
 */
int holder_find_mapping(const char *proc, const char *bdf, unsigned int bar, struct holder *ret);

/*
 * Finds a process that has one of the files @paths open.
 * @paths: ends in NULL
 * Returns as holder_find_mapping() does.
 */
int holder_find_open(const char *proc, const char *const paths[], struct holder *ret);

#endif
