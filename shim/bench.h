/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many bytes a second go through the files of a BAR, by the way of storing and the size
 * of a block. What is overwritten is read before and written back after.
 */
#ifndef SHIM_BENCH_H
#define SHIM_BENCH_H

#include "pci.h"
#include "stores.h"
#include "sysfs.h"

enum bench_side {
	BENCH_UC,
	BENCH_WC,
	BENCH_SIDES,
};

/* "uc" and "wc" */
extern const char *const bench_side_names[BENCH_SIDES];

/* 64 bytes to 1 MiB, four times as much each */
#define BENCH_BLOCKS ((size_t)8)
#define BENCH_BLOCK(i) (STORES_ALIGNMENT << 2 * (i))

/* What is overwritten if nothing else is said: one largest block. */
#define BENCH_LENGTH BENCH_BLOCK(BENCH_BLOCKS - 1)

/* Where a side is measured. */
struct bench_place {
	char file[SYSFS_BAR_FILE_SIZE];
	uint64_t
		offset; /* of the BAR, in bytes; a multiple of STORES_ALIGNMENT, as the length is */
	uint64_t length;   /* 0: nowhere, for there is no alias of that type in the range */
	uint64_t mappings; /* of that alias, as sysfs_read_aliases() has it; 0 without one */
};

/*
 * Chooses the bytes of BAR @bar that a side can write: of the first alias of its memory type
 * that has a file, and bytes in [@offset, @offset + @length); all of these if the BAR has no
 * alias, by the PCI core's own file.
 */
struct bench_place bench_choose(const struct sysfs_alias aliases[], size_t n, unsigned int bar,
				uint64_t offset, uint64_t length, enum bench_side side);

/* The median of @n values, which are put in order. @n is more than 0. */
double bench_median(double values[], size_t n);

/* Bytes a second for each way of stores_ways and block; 0 where it was not measured. */
typedef double bench_rates[BENCH_BLOCKS];

enum bench_end {
	BENCH_DONE,
	BENCH_FAILED,	   /* errno tells */
	BENCH_REVOKED,	   /* SIGBUS: the mapping is no longer valid, not all was written back */
	BENCH_INTERRUPTED, /* by SIGHUP, SIGINT, SIGQUIT or SIGTERM; all was written back */
};

/*
 * Measures one side. Not to be called by two threads: it handles signals.
 * @fd: the device's directory, by sysfs_open_device()
 * @progress: called before each measurement
 * @rates: an array of stores_n_ways
 * @ret_restored: whether what was read back at the end is what was there before
 */
enum bench_end bench_run(int fd, const struct bench_place *place,
			 void (*progress)(const struct stores_way *way, uint64_t block),
			 bench_rates rates[], bool *ret_restored);

#endif
