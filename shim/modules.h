/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel modules, by libkmod. */
#ifndef SHIM_MODULES_H
#define SHIM_MODULES_H

/*
 * Loads a module and what it depends on. That it is there already, or built in, is success.
 * The service's unit does not allow it, and has the modules loaded before and at a reload.
 * Returns 0, -ENOENT if the running kernel has no such module, or none that can be seen, or
 * -errno.
 */
int modules_load(const char *name);

#endif
