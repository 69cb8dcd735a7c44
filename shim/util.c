/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>

#define FILE_SIZE_MAX ((size_t)64 << 10)
#define PRINTABLE_MAX ((size_t)80)

int replace_string(char **p, const char *text)
{
	char *copy = NULL;

	if (text) {
		copy = strdup(text);
		if (!copy)
			return -ENOMEM;
	}
	free(*p);
	*p = copy;
	return 0;
}

uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return INT_MAX;
}

int parse_u64(const char *text, size_t length, unsigned int base, uint64_t *ret)
{
	uint64_t value = 0;
	bool overflow = false;

	if (length == 0)
		return -EINVAL;

	for (size_t i = 0; i < length; i++) {
		unsigned int digit = (unsigned int)digit_value(text[i]);

		if (digit >= base)
			return -EINVAL;
		/* Go on after an overflow: junk behind it is junk, not a range. */
		overflow |= __builtin_mul_overflow(value, base, &value);
		overflow |= __builtin_add_overflow(value, digit, &value);
	}
	if (overflow)
		return -ERANGE;

	*ret = value;
	return 0;
}

int parse_size(const char *text, size_t length, uint64_t *ret)
{
	unsigned int base = 10, shift = 0;
	uint64_t value;
	int r;

	if (length > 0) {
		switch (text[length - 1]) {
		case 'K':
			shift = 10;
			break;
		case 'M':
			shift = 20;
			break;
		case 'G':
			shift = 30;
			break;
		}
		length -= shift != 0;
	}
	if (length > 2 && text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
		length -= 2;
	}

	r = parse_u64(text, length, base, &value);
	if (r < 0)
		return r;
	if (__builtin_mul_overflow(value, UINT64_C(1) << shift, &value))
		return -ERANGE;

	*ret = value;
	return 0;
}

const char *format_size(char buffer[static FORMAT_SIZE_MAX], uint64_t bytes)
{
	static const char suffixes[] = { '\0', 'K', 'M', 'G' };
	size_t i = 0;

	while (bytes > 0 && bytes % 1024 == 0 && i < ARRAY_SIZE(suffixes) - 1) {
		bytes /= 1024;
		i++;
	}
	snprintf(buffer, FORMAT_SIZE_MAX, "%" PRIu64 "%.1s", bytes, &suffixes[i]);
	return buffer;
}

char *printable(const char *text, size_t length)
{
	bool cut = length > PRINTABLE_MAX;
	char *copy;

	if (cut)
		length = PRINTABLE_MAX;
	copy = malloc(length + sizeof("..."));
	if (!copy)
		return NULL;

	for (size_t i = 0; i < length; i++)
		copy[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	strcpy(copy + length, cut ? "..." : "");
	return copy;
}

int read_file_at(int dirfd, const char *path, char **ret)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -EBADF;
	size_t used = 0;

	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	text = malloc(FILE_SIZE_MAX + 1);
	if (!text)
		return -ENOMEM;

	for (;;) {
		ssize_t n = read(fd, text + used, FILE_SIZE_MAX + 1 - used);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > FILE_SIZE_MAX)
			return -EFBIG;
	}

	text[used] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}

int read_one_line_at(int dirfd, const char *path, char **ret)
{
	int r;

	r = read_file_at(dirfd, path, ret);
	if (r < 0)
		return r;
	(*ret)[strcspn(*ret, "\n")] = '\0';
	return 0;
}

int open_stream_at(int dirfd, const char *path, FILE **ret)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = fdopen(fd, "r");
	if (!*ret) {
		close_fd(fd);
		return -errno;
	}
	return 0;
}

int open_directory_at(int dirfd, const char *path, DIR **ret)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = fdopendir(fd);
	if (!*ret) {
		close_fd(fd);
		return -errno;
	}
	return 0;
}

ssize_t read_line(FILE *stream, char **line, size_t *allocated)
{
	ssize_t n = getline(line, allocated, stream);

	if (n > 0)
		return n;
	return feof(stream) ? 0 : -errno;
}

int write_all(int fd, const char *text, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = write(fd, text + done, length - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n < 0 ? 0 : (size_t)n;
	}
	return 0;
}

int write_string_at(int dirfd, const char *path, const char *text)
{
	_cleanup_close_ int fd = -EBADF;
	size_t length = strlen(text);
	ssize_t n;

	fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	/* Not repeated on EINTR: a write to an attribute is a command. */
	n = write(fd, text, length);
	if (n < 0)
		return -errno;
	return (size_t)n == length ? 0 : -EIO;
}

int read_link_name_at(int dirfd, const char *path, char **ret)
{
	char target[PATH_MAX];
	const char *slash;
	char *name;
	ssize_t n;

	n = readlinkat(dirfd, path, target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(target))
		return -ENAMETOOLONG;
	target[n] = '\0';

	slash = strrchr(target, '/');
	name = strdup(slash ? slash + 1 : target);
	if (!name)
		return -ENOMEM;
	*ret = name;
	return 0;
}
