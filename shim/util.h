/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every other file needs and nothing of PCI or VFIO: ownership, strings,
 * numbers and small files.
 */
#ifndef SHIM_UTIL_H
#define SHIM_UTIL_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _printf_(position, first) __attribute__((format(printf, position, first)))

/* Ownership leaves a variable that has a _cleanup_ attribute. */
#define TAKE_PTR(p)                     \
	({                              \
		typeof(p) _taken = (p); \
		(p) = NULL;             \
		_taken;                 \
	})
#define TAKE_FD(fd)                \
	({                         \
		int _taken = (fd); \
		(fd) = -EBADF;     \
		_taken;            \
	})

/* Defines FUNCTIONp() for _cleanup_; FUNCTION accepts NULL, as all destructors do. */
#define DEFINE_CLEANUP(type, function)          \
	static inline void function##p(type *p) \
	{                                       \
		if (*p)                         \
			(void)function(*p);     \
	}

static inline void freep(void *p)
{
	free(*(void **)p);
}

/* Closes @fd if it is open, keeps errno, returns -EBADF to be assigned. */
static inline int close_fd(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd); /* nothing to be done about it: the descriptor is gone */
	errno = saved;
	return -EBADF;
}

static inline void close_fdp(int *fd)
{
	close_fd(*fd);
}

DEFINE_CLEANUP(FILE *, fclose)
DEFINE_CLEANUP(DIR *, closedir)

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

static inline bool streq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Replaces the string that @p owns by a copy of @text, which may be NULL. Returns 0 or -ENOMEM. */
int replace_string(char **p, const char *text);

/* The host's page size in bytes: the unit of a mapping, and so of an alias. */
uint64_t page_size(void);

/*
 * Reads a whole span of digits.
 * @base: 8, 10 or 16, without a prefix in the text
 * Returns 0, -EINVAL for an empty span or anything but digits, -ERANGE past 64 bits.
 */
int parse_u64(const char *text, size_t length, unsigned int base, uint64_t *ret);

/*
 * Reads a whole span as a number of bytes: decimal or 0x and hexadecimal, then perhaps
 * K, M or G for 2^10, 2^20, 2^30.
 * Returns 0, -EINVAL, or -ERANGE past 64 bits.
 */
int parse_size(const char *text, size_t length, uint64_t *ret);

#define FORMAT_SIZE_MAX 24 /* 2^64 - 1 has 20 digits */

/* Writes @bytes as parse_size() reads it, with the largest suffix that is exact. Returns @buffer.
 */
const char *format_size(char buffer[static FORMAT_SIZE_MAX], uint64_t bytes);

/*
 * Makes foreign text fit for a message: what is not printable ASCII becomes '?',
 * and a long text is cut and ends in "...".
 * Returns a string to be freed, or NULL without memory.
 */
char *printable(const char *text, size_t length);

/*
 * Reads a file of at most 64 KiB below @dirfd, as those of sysfs and procfs are.
 * Returns 0 and a string to be freed, or -errno; -EFBIG for a larger file.
 */
int read_file_at(int dirfd, const char *path, char **ret);

/* The first line of such a file, without its line end. Returns 0 or -errno. */
int read_one_line_at(int dirfd, const char *path, char **ret);

/* Opens a file below @dirfd for reading, as a stream. Returns 0 or -errno. */
int open_stream_at(int dirfd, const char *path, FILE **ret);

/* Opens a directory below @dirfd, to read its entries. Returns 0 or -errno. */
int open_directory_at(int dirfd, const char *path, DIR **ret);

/*
 * Reads the next line, as getline() does, but tells its end from a failure.
 * Returns the line's length, which is not 0, or 0 at the end of the file, or -errno.
 */
ssize_t read_line(FILE *stream, char **line, size_t *allocated);

/* Writes a file that is no attribute, in as many parts as it takes. Returns 0 or -errno. */
int write_all(int fd, const char *text, size_t length);

/* Writes @text to an attribute file below @dirfd in one write(). Returns 0 or -errno. */
int write_string_at(int dirfd, const char *path, const char *text);

/*
 * The last component of what the symbolic link @path below @dirfd points to.
 * Returns 0 and a string to be freed, or -errno; -ENOENT without the link.
 */
int read_link_name_at(int dirfd, const char *path, char **ret);

#endif
