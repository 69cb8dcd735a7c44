/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of "vfio-alias list", and what other tables by libsmartcols need. */
#ifndef SHIM_TABLE_H
#define SHIM_TABLE_H

#include "status.h"

/*
 * Prints a row for each alias, and one for each device that has none or is refused.
 * Returns 0 or -errno.
 */
int table_print(FILE *stream, const struct status *statuses, size_t n, bool headings);

struct libscols_table;
void table_unrefp(struct libscols_table **table);
#define _cleanup_table_ _cleanup_(table_unrefp)

#endif
