/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel modules, by libkmod. */
#ifndef SHIM_MODULES_H
#define SHIM_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Loads a module and what it depends on. That it is there already, or built in, is success.
 * The service's unit does not allow it, and has the modules loaded before and at a reload.
 * Returns 0, -ENOENT if the running kernel has no such module, or none that can be seen, or
 * -errno.
 */
int modules_load(const char *name);

/* Whether a module is loaded, or built in with something to show in sysfs. */
bool modules_is_loaded(const char *name);

struct modules_file {
	char *path;	  /* to be freed */
	bool uses_symbol; /* of another module */
	bool is_signed;	  /* by whomever */
};

/*
 * Looks at the file of a module for the running kernel.
 * Returns 0, -ENOENT if there is no such file, or -errno if it cannot be told.
 */
int modules_look_at_file(const char *name, const char *symbol, struct modules_file *ret);

static inline void modules_file_clear(struct modules_file *file)
{
	free(file->path);
}

/*
 * Which of @n symbols the running kernel has.
 * @kallsyms: as /proc/kallsyms is: lines "ADDRESS TYPE NAME" and perhaps a tab and "[MODULE]"
 * @ret: true for each that is there
 * Returns 0, -ENODATA if there is no symbol in it at all, or -errno if it cannot be read.
 */
int modules_find_symbols(FILE *kallsyms, const char *const names[], size_t n, bool ret[]);

#endif
