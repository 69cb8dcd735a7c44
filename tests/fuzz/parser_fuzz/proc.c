/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process has mapped, and its name. An input is "maps", a NUL, and "comm"; the last line
 * of "maps" gets its end.
 */
#include "fuzz.h"
#include "holder.h"

#define BDF "0000:00:10.0"

static int directory;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	directory = make_directory();
	check(mkdirat(directory, "4711", 0700) == 0 || errno == EEXIST);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	_cleanup_free_ char *text = take_text(&input, '\0'), *maps = NULL;
	struct holder holder = {};
	bool is_there;
	int r;

	check(asprintf(&maps, "%s\n", text) > 0);
	is_there = strstr(maps, "/" BDF "/resource2\n") || strstr(maps, "/" BDF "/resource2_wc\n");
	write_file(directory, "4711/maps", maps, strlen(maps));
	write_file(directory, "4711/comm", input.p, (size_t)(input.end - input.p));
	r = holder_find_mapping(getenv("FUZZ_DIRECTORY"), BDF, 2, &holder);
	if (r < 0) {
		check(r == -ENOENT && !is_there);
		return 0;
	}
	check(is_there);
	check(holder.pid == 4711);
	check(streq(holder.file, "resource2") || streq(holder.file, "resource2_wc"));
	if (*holder.name)
		check_message(holder.name);
	return 0;
}
