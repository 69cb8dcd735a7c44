/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory of a test's own, in which it builds what the code is to find. */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "util.h"

static char scratch[] = "/tmp/vfio-alias-shim-XXXXXX";
static int scratch_fd;

static void scratch_make(void)
{
	cr_assert_not_null(mkdtemp(scratch));
	scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(scratch_fd, 0);
}

static int scratch_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void scratch_remove(void)
{
	close_fd(scratch_fd);
	nftw(scratch, scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes the directories above the last component of @path. */
static inline void scratch_parents(const char *path)
{
	char *copy = strdup(path);

	for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		cr_assert(mkdirat(scratch_fd, copy, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	free(copy);
}

static inline void scratch_file(const char *path, const char *text)
{
	int fd;

	scratch_parents(path);
	fd = openat(scratch_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close_fd(fd);
}

static inline void scratch_link(const char *path, const char *target)
{
	scratch_parents(path);
	cr_assert_eq(symlinkat(target, scratch_fd, path), 0);
}

#endif
