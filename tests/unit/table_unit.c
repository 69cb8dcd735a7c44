/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include <criterion/criterion.h>

static struct status_alias aliases[] = {
	{
		.bar = 0,
		.size = 65536,
		.type_wanted = "uc",
		.type_in_effect = "uc",
		.file = "/sys/bus/pci/devices/0000:00:10.0/resource0",
		.state = "published",
	},
	{
		.bar = 2,
		.offset = 65536,
		.size = 16 << 20,
		.type_wanted = "wc",
		.state = "waiting",
		.reason = "BAR 2: busy",
	},
};

static struct status_alias not_tried[] = {
	{ .bar = 4, .size = 4096, .type_wanted = "wc", .state = "waiting" },
};

static const struct status statuses[] = {
	{
		.bdf = "0000:00:10.0",
		.state = "waiting",
		.reason = "BAR 2: busy",
		.aliases = aliases,
		.n_aliases = ARRAY_SIZE(aliases),
	},
	{
		.bdf = "0000:00:11.0",
		.state = "refused",
		.reason = "bad mark",
	},
	{
		.bdf = "0000:00:12.0",
		.state = "waiting",
		.reason = "no group",
		.aliases = not_tried,
		.n_aliases = ARRAY_SIZE(not_tried),
	},
};

/* What is printed, with the space at the ends of lines taken away. To be freed. */
static char *print(bool headings)
{
	char *text = NULL, *to;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	cr_assert_eq(table_print(stream, statuses, ARRAY_SIZE(statuses), headings), 0);
	fclose(stream);
	to = text;
	for (char *from = text; *from; from++) {
		if (*from == '\n')
			while (to > text && to[-1] == ' ')
				to--;
		*to++ = *from;
	}
	*to = '\0';
	return text;
}

#define ROWS                                                                                                \
	"0000:00:10.0   0 0+64K   uc   /sys/bus/pci/devices/0000:00:10.0/resource0 published -\n"           \
	"0000:00:10.0   2 64K+16M -    -                                           waiting   BAR 2: busy\n" \
	"0000:00:11.0   - -       -    -                                           refused   bad mark\n"    \
	"0000:00:12.0   4 0+4K    -    -                                           waiting   no group\n"

Test(table, every_alias_has_a_row_and_a_reason)
{
	_cleanup_free_ char *text = print(true);

	cr_expect_str_eq(
		text,
		"DEVICE       BAR RANGE   TYPE FILE                                        STATE     REASON\n" ROWS,
		"%s", text);
}

Test(table, headings_can_be_left_out)
{
	_cleanup_free_ char *text = print(false);

	cr_expect_str_eq(text, ROWS, "%s", text);
}
