/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benches share: a clock, medians, and aliases of a device; what fails ends them. */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include "client.h"

#include <sched.h>
#include <stdbool.h>
#include <time.h>
#include <x86intrin.h>

/* Instructions, in a guest of "tests/guest/vm run --icount", or else nanoseconds */
static bool counts_instructions;

static inline double now(void)
{
	struct timespec t;

	if (counts_instructions)
		return (double)__rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Returns whether @unit is one: "instructions" or "ns". */
static inline bool set_unit(const char *unit)
{
	counts_instructions = !strcmp(unit, "instructions");
	return counts_instructions || !strcmp(unit, "ns");
}

/* Not the first CPU, which has most of the interrupts */
static inline void stay_on_last_cpu(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return;
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (CPU_ISSET(cpu, &cpus)) {
			CPU_ZERO(&cpus);
			CPU_SET(cpu, &cpus);
			(void)sched_setaffinity(0, sizeof(cpus), &cpus); /* just noise */
			return;
		}
	}
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts @values, which are @n. */
static inline double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	return values[n / 2];
}

static inline __attribute__((noreturn)) void die_of(int r, const char *what)
{
	errno = -r;
	die(what);
}

/* Gives the device to vfio-pci and opens it, for good. */
static inline int open_device(const char *bdf)
{
	struct session session;
	int r;

	r = bind_vfio(bdf);
	if (r < 0)
		die_of(r, bdf);
	r = session_open(bdf, &session);
	if (r < 0)
		die_of(r, bdf);
	return session.fd;
}

/* Returns the region of a WC alias, with a file or without one. */
static inline unsigned int make_alias(int fd, unsigned int bar, uint64_t offset, uint64_t size,
				      bool with_file)
{
	int r = alias_create(fd, bar, VFIO_ALIAS_MEMORY_WC, offset, size,
			     with_file ? VFIO_ALIAS_FLAG_SYSFS : 0);

	if (r < 0)
		die_of(r, "cannot create an alias");
	return (unsigned int)r;
}

static inline int open_file(const char *bdf, unsigned int bar)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), DEVICES "%s/resource%u_wc", bdf, bar);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

/* Where a region is on the device's descriptor */
static inline off_t region_offset(unsigned int index)
{
	return (off_t)index << 40;
}

#endif
