/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzzers of the parsers share. A fuzzer is one file, TARGET.c; its inputs are in
 * corpus/TARGET/. It says with check() what must hold of every answer, besides what the
 * sanitizers look for.
 */
#ifndef TESTS_FUZZ_PARSER_FUZZ_H
#define TESTS_FUZZ_PARSER_FUZZ_H

#include <fcntl.h>
#include <sys/stat.h>

#include "util.h"

/* libFuzzer's: called with each input, and once at the start. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define check(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

struct input {
	const uint8_t *p, *end;
};

/* The next byte, or 0 at the end. */
static inline uint8_t take_byte(struct input *input)
{
	return input->p < input->end ? *input->p++ : 0;
}

/* The next @size bytes into @ret, with zeroes for those past the end. */
static inline void take_bytes(struct input *input, void *ret, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)ret)[i] = take_byte(input);
}

/*
 * The text up to @stop or the end, as a string of its own allocation, so that
 * AddressSanitizer watches both its ends. To be freed.
 */
static inline char *take_text(struct input *input, uint8_t stop)
{
	size_t left = (size_t)(input->end - input->p), length = 0;
	char *text;

	while (length < left && input->p[length] != stop)
		length++;
	text = malloc(length + 1);
	check(text);
	if (length > 0)
		memcpy(text, input->p, length);
	text[length] = '\0';
	input->p += length < left ? length + 1 : length;
	return text;
}

/* Fit for a journal and a terminal: one line of printable ASCII. */
static inline void check_message(const char *message)
{
	check(message && *message);
	for (const char *p = message; *p; p++)
		check(*p >= ' ' && *p <= '~');
}

/*
 * A directory of this process's own, in the one in memory that tests/fuzz/parsers has made. Its
 * path is in FUZZ_DIRECTORY then.
 */
static inline int make_directory(void)
{
	const char *parent = getenv("FUZZ_DIRECTORY");
	char path[256];
	int fd;

	check(parent);
	snprintf(path, sizeof(path), "%s/XXXXXX", parent);
	check(mkdtemp(path));
	check(setenv("FUZZ_DIRECTORY", path, 1) == 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0);
	return fd;
}

static inline void write_file(int dirfd, const char *name, const void *data, size_t size)
{
	_cleanup_close_ int fd =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(fd >= 0);
	check(write(fd, data, size) == (ssize_t)size);
}

#endif
