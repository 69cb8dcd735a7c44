/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memtype.h"

#include "util.h"

#define PREFIX "PAT: [mem "

/* A "0x..." number up to @stop, which is stepped over. */
static int parse_address(const char **p, char stop, uint64_t *ret)
{
	const char *end = strchr(*p, stop);

	if (!end || strncmp(*p, "0x", 2) != 0 ||
	    parse_u64(*p + 2, (size_t)(end - *p) - 2, 16, ret) < 0)
		return -EBADMSG;
	*p = end + 1;
	return 0;
}

static int parse_line(const char *line, uint64_t *ret_start, uint64_t *ret_end,
		      char ret_type[static MEMTYPE_NAME_SIZE])
{
	const char *p = line;
	int length;

	if (strncmp(p, PREFIX, strlen(PREFIX)) != 0)
		return -EBADMSG;
	p += strlen(PREFIX);
	if (parse_address(&p, '-', ret_start) < 0 || parse_address(&p, ']', ret_end) < 0 ||
	    *p != ' ')
		return -EBADMSG;
	p++;
	length = (int)strcspn(p, "\n");
	if (length == 0 || (size_t)length >= MEMTYPE_NAME_SIZE)
		return -EBADMSG;
	snprintf(ret_type, MEMTYPE_NAME_SIZE, "%.*s", length, p);
	return 0;
}

int memtype_find(FILE *list, uint64_t start, uint64_t length, char ret[static MEMTYPE_NAME_SIZE])
{
	uint64_t covered = start, end = start + length;
	char found[MEMTYPE_NAME_SIZE] = "";
	_cleanup_free_ char *line = NULL;
	size_t allocated = 0;
	ssize_t read;

	/* The kernel's tree is in the order of the starts. */
	while ((read = read_line(list, &line, &allocated)) > 0) {
		uint64_t range_start, range_end;
		char type[MEMTYPE_NAME_SIZE];

		if (parse_line(line, &range_start, &range_end, type) < 0)
			continue;
		if (range_end <= start || range_start >= end)
			continue;
		if (*found && !streq(found, type))
			return -ENOTUNIQ;
		strcpy(found, type);
		if (range_start <= covered && range_end > covered)
			covered = range_end;
	}
	if (read < 0)
		return (int)read;
	if (covered < end)
		return -ENOENT;
	strcpy(ret, found);
	return 0;
}
