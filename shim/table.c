/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include <libsmartcols.h>

enum column {
	COLUMN_DEVICE,
	COLUMN_BAR,
	COLUMN_RANGE,
	COLUMN_TYPE,
	COLUMN_FILE,
	COLUMN_STATE,
	COLUMN_REASON,
	COLUMNS,
};

static const struct {
	const char *name;
	int flags;
} columns[COLUMNS] = {
	[COLUMN_DEVICE] = { "DEVICE", 0 }, [COLUMN_BAR] = { "BAR", SCOLS_FL_RIGHT },
	[COLUMN_RANGE] = { "RANGE", 0 },   [COLUMN_TYPE] = { "TYPE", 0 },
	[COLUMN_FILE] = { "FILE", 0 },	   [COLUMN_STATE] = { "STATE", 0 },
	[COLUMN_REASON] = { "REASON", 0 },
};

void table_unrefp(struct libscols_table **table)
{
	scols_unref_table(*table); /* accepts NULL */
}

/* @cells: NULL where there is nothing to tell */
static int add_row(struct libscols_table *table, const char *const cells[static COLUMNS])
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < COLUMNS; i++) {
		int r = scols_line_set_data(line, i, cells[i] ?: "-");

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_alias(struct libscols_table *table, const struct status *status,
		     const struct status_alias *alias)
{
	char offset[FORMAT_SIZE_MAX], size[FORMAT_SIZE_MAX], bar[FORMAT_SIZE_MAX],
		range[2 * FORMAT_SIZE_MAX];
	const char *const cells[COLUMNS] = {
		[COLUMN_DEVICE] = status->bdf,
		[COLUMN_BAR] = format_size(bar, alias->bar),
		[COLUMN_RANGE] = range,
		[COLUMN_TYPE] = alias->type_in_effect,
		[COLUMN_FILE] = alias->file,
		[COLUMN_STATE] = alias->state,
		/* What keeps the device from being open keeps all of its aliases away. */
		[COLUMN_REASON] = alias->file || alias->reason ? alias->reason : status->reason,
	};

	snprintf(range, sizeof(range), "%s+%s", format_size(offset, alias->offset),
		 format_size(size, alias->size));
	return add_row(table, cells);
}

static int add_device(struct libscols_table *table, const struct status *status)
{
	const char *const cells[COLUMNS] = {
		[COLUMN_DEVICE] = status->bdf,
		[COLUMN_STATE] = status->state,
		[COLUMN_REASON] = status->reason,
	};
	int r;

	if (status->n_aliases == 0 || streq(status->state, "refused")) {
		r = add_row(table, cells);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < status->n_aliases; i++) {
		r = add_alias(table, status, &status->aliases[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int table_print(FILE *stream, const struct status *statuses, size_t n, bool headings)
{
	_cleanup_table_ struct libscols_table *table = scols_new_table();

	if (!table)
		return -ENOMEM;
	scols_table_set_stream(table, stream);
	/* Nothing is cut at the terminal's edge: a reason is there to be read. */
	scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	scols_table_enable_noheadings(table, !headings);
	for (size_t i = 0; i < COLUMNS; i++)
		if (!scols_table_new_column(table, columns[i].name, 0, columns[i].flags))
			return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r = add_device(table, &statuses[i]);

		if (r < 0)
			return r;
	}
	return scols_print_table(table);
}
