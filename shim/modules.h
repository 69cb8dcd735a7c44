/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel modules, by libkmod. */
#ifndef SHIM_MODULES_H
#define SHIM_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Loads a module and what it depends on. That it is there already, or built in, is success.
 * The service's unit does not allow it, and has the modules loaded before and at a reload.
 * Returns 0, -ENOENT if the running kernel has no such module, or none that can be seen, or
 * -errno.
 */
int modules_load(const char *name);

/*
 * Whether the code of a module on disk, for the running kernel, uses a symbol of another one.
 * @ret_path: to be freed
 * Returns 1 or 0, -ENOENT if there is no such file, or -errno if it cannot be told.
 */
int modules_file_uses(const char *name, const char *symbol, char **ret_path);

/*
 * Which of @n symbols the running kernel has.
 * @kallsyms: as /proc/kallsyms is: lines "ADDRESS TYPE NAME" and perhaps a tab and "[MODULE]"
 * @ret: true for each that is there
 * Returns 0, or -ENODATA if there is no symbol in it at all.
 */
int modules_find_symbols(FILE *kallsyms, const char *const names[], size_t n, bool ret[]);

#endif
