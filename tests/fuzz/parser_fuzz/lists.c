/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of the kernel's: an input begins with which one it is.
 *
 *	0  /proc/cpuinfo
 *	1  the kernel's command line
 *	2  /proc/kallsyms
 *	3  x86/pat_memtype_list of debugfs, behind the start and the length of a range
 */
#include <inttypes.h>

#include "explain.h"
#include "fuzz.h"
#include "memtype.h"
#include "modules.h"

static FILE *open_text(char *text)
{
	/* A size of 0 is not for every libc. */
	FILE *stream = *text ? fmemopen(text, strlen(text), "r") : fopen("/dev/null", "re");

	check(stream);
	return stream;
}

/* Whether a word is there, by taking @text apart. */
static bool has_word(const char *text, const char *word)
{
	_cleanup_free_ char *copy = strdup(text);
	bool found = false;

	check(copy);
	for (char *rest = copy, *part; (part = strsep(&rest, " \t\n"));)
		found |= streq(part, word);
	return found;
}

static void check_cpuinfo(struct input *input)
{
	_cleanup_free_ char *text = take_text(input, '\0');
	_cleanup_fclose_ FILE *stream = open_text(text);
	int r;

	r = explain_cpu_flag(stream, "pat");
	check(r == 0 || r == 1 || r == -ENODATA);
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		char *value = line;
		const char *key = strsep(&value, ":");

		/* The first, and each CPU has it. */
		if (!value || strncmp(key, "flags", strlen("flags")) != 0 ||
		    key[strlen("flags") + strspn(key + strlen("flags"), "\t ")])
			continue;
		check(r == has_word(value, "pat"));
		return;
	}
	check(r == -ENODATA);
}

static void check_command_line(struct input *input)
{
	_cleanup_free_ char *text = take_text(input, '\0');

	check(explain_has_word(text, "nopat") == has_word(text, "nopat"));
	check(explain_has_word(text, "iommu=off") == has_word(text, "iommu=off"));
}

static void check_kallsyms(struct input *input)
{
	static const char *const names[] = { "vfio_pci_core_enable", "vfio_pci_alias_feature" };
	_cleanup_free_ char *text = take_text(input, '\0');
	_cleanup_fclose_ FILE *stream = open_text(text);
	bool found[ARRAY_SIZE(names)] = { true, true }, expected[ARRAY_SIZE(names)] = {};
	bool any = false;
	int r;

	r = modules_find_symbols(stream, names, ARRAY_SIZE(names), found);
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		char *field = strchr(line, ' ');
		const char *name;

		/* The address may be hidden, and is not looked at; any character is a type. */
		if (!field || strlen(field) < strlen(" t x") || field[2] != ' ')
			continue;
		field += 3;
		name = strsep(&field, " \t");
		if (!*name)
			continue;
		any = true;
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			expected[i] |= streq(name, names[i]);
	}
	check(r == (any ? 0 : -ENODATA));
	check(found[0] == expected[0] && found[1] == expected[1]);
}

/*
 * What memtype_find() is to return, by the lines of a list that is the kernel's: in its format,
 * and in the order of the starts. Returns 1 for one that is not.
 */
static int expect_memtype(char *text, uint64_t start, uint64_t end)
{
	uint64_t covered = start, before = 0;
	const char *type = NULL;
	bool several = false;

	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		uint64_t from, to;
		char written[64];

		if (strncmp(line, "PAT: [mem ", strlen("PAT: [mem ")) != 0)
			continue;
		if (sscanf(line, "PAT: [mem 0x%16" SCNx64 "-0x%16" SCNx64 "]", &from, &to) != 2)
			return 1;
		snprintf(written, sizeof(written), "PAT: [mem 0x%016" PRIx64 "-0x%016" PRIx64 "] ",
			 from, to);
		if (strncmp(line, written, strlen(written)) != 0 || from < before || to <= from)
			return 1;
		before = from;
		line += strlen(written);
		if (!*line || strlen(line) >= MEMTYPE_NAME_SIZE)
			return 1;
		if (to <= start || from >= end)
			continue;
		several |= type && !streq(type, line);
		type = line;
		if (from <= covered && to > covered)
			covered = to;
	}
	if (several)
		return -ENOTUNIQ;
	return covered >= end ? 0 : -ENOENT;
}

static void check_memtypes(struct input *input)
{
	char type[MEMTYPE_NAME_SIZE] = "untouched", suffix[MEMTYPE_NAME_SIZE + 3];
	_cleanup_free_ char *text = NULL;
	uint64_t start, length;
	FILE *stream;
	int r, expected;

	take_bytes(input, &start, sizeof(start));
	take_bytes(input, &length, sizeof(length));
	if (length == 0 || start > UINT64_MAX - length)
		return; /* no BAR is so */
	text = take_text(input, '\0');
	stream = open_text(text);
	r = memtype_find(stream, start, length, type);
	fclose(stream);
	check(r == 0 || r == -ENOENT || r == -ENOTUNIQ);
	check(r == 0 || streq(type, "untouched"));
	check(*type && strlen(type) < sizeof(type));
	snprintf(suffix, sizeof(suffix), "] %s", type);
	check(r < 0 || strstr(text, suffix));
	expected = expect_memtype(text, start, start + length);
	check(expected == 1 || r == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const lists[])(struct input *) = { check_cpuinfo, check_command_line,
							 check_kallsyms, check_memtypes };
	struct input input = { data, data + size };

	lists[take_byte(&input) % ARRAY_SIZE(lists)](&input);
	return 0;
}
