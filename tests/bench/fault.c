/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a page fault costs: in VFIO's own mapping of a BAR, in one of an alias's region, in
 * one of the alias's file, and with as many aliases as a device can have.
 *
 *	fault instructions|ns BAR ROUNDS OWN-BDF [ALIAS-BDF MANY-BDF]
 *
 * Three devices of the same kind, with a BAR of RAM of 1 GiB or more: one without an alias,
 * one with an alias of the whole BAR, one with 64 in its first half. Each round maps a window
 * of each, at the same address, and writes to each page of it twice; a fault is what the
 * first write takes more than the second, and a round's is the median. Prints the medians of
 * the rounds and of their ratios to VFIO's own in the same round, since a busy machine may
 * have another speed in the next.
 */
#include "bench.h"

#define HUGE (2UL << 20)
#define MANY_SIZE (8UL << 20)
#define WINDOW (1UL << 20)

enum { OWN, ALIAS, FILE_ONE, FILE_LAST, OWN_MANY, SIDES };

static const char *const side_names[SIDES] = {
	[OWN] = "VFIO's own",
	[ALIAS] = "alias region",
	[FILE_ONE] = "file",
	[FILE_LAST] = "file, the last of 64",
	[OWN_MANY] = "VFIO's own beside 64",
};

static const struct size {
	const char *name;
	size_t page;
	size_t window;
} sizes[] = {
	{ "4 KiB page", PAGE, WINDOW },
	{ "2 MiB page", HUGE, MANY_SIZE },
};

struct side {
	int fd;
	off_t offset;
} sides[SIDES];

/* Aligned for huge pages, and beside a page for which the upper page tables are there */
static uint8_t *window_reserve(void)
{
	uint8_t *space;

	space = mmap(NULL, 4UL << 30, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (space == MAP_FAILED)
		die("a window");
	space += -(uintptr_t)space & ((1UL << 30) - 1);
	*space = 1;
	return space + (512UL << 20);
}

static double measure(const struct side *side, const struct size *size, uint8_t *window)
{
	double values[WINDOW / PAGE], start, first, second;
	volatile uint8_t *at;
	size_t n = 0;

	if (mmap(window, size->window, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, side->fd,
		 side->offset) == MAP_FAILED)
		die("mmap");
	for (at = window; at < window + size->window; at += size->page) {
		start = now();
		*at = 1;
		first = now();
		*at = 2;
		second = now();
		values[n++] = (first - start) - (second - first);
	}
	if (mmap(window, size->window, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		die("munmap");
	return median(values, n);
}

int main(int argc, char **argv)
{
	unsigned int bar, rounds, nr_sides = 1;
	double *costs[SIDES], *ratios[SIDES];
	uint8_t *window;

	if ((argc != 5 && argc != 7) || !set_unit(argv[1]) || !atoi(argv[3])) {
		fprintf(stderr, "usage: fault instructions|ns BAR ROUNDS OWN-BDF "
				"[ALIAS-BDF MANY-BDF]\n");
		return 2;
	}
	bar = (unsigned int)strtoul(argv[2], NULL, 0);
	rounds = (unsigned int)strtoul(argv[3], NULL, 0);

	sides[OWN] = (struct side){ open_device(argv[4]), region_offset(bar) };
	if (argc == 7) {
		int fd = open_device(argv[5]), many = open_device(argv[6]);
		off_t last = (VFIO_ALIAS_MAX - 1) * MANY_SIZE;

		nr_sides = SIDES;
		sides[ALIAS].fd = fd;
		sides[ALIAS].offset = region_offset(make_alias(fd, bar, 0, 0, true));
		sides[FILE_ONE].fd = open_file(argv[5], bar);
		for (off_t at = 0; at <= last; at += MANY_SIZE)
			make_alias(many, bar, (uint64_t)at, MANY_SIZE, true);
		sides[FILE_LAST] = (struct side){ open_file(argv[6], bar), last };
		sides[OWN_MANY].fd = many;
		sides[OWN_MANY].offset = region_offset(bar) + last + (off_t)MANY_SIZE;
	}

	stay_on_last_cpu();
	window = window_reserve();
	for (unsigned int side = 0; side < nr_sides; side++) {
		costs[side] = calloc(rounds, sizeof(double));
		ratios[side] = calloc(rounds, sizeof(double));
	}

	printf("%-24s %20s %10s\n", argv[1], "a fault", "ratio");
	for (const struct size *size = sizes; size < sizes + 2; size++) {
		for (unsigned int round = 0; round < rounds; round++) {
			for (unsigned int side = 0; side < nr_sides; side++) {
				costs[side][round] = measure(&sides[side], size, window);
				ratios[side][round] = costs[side][round] / costs[OWN][round];
			}
		}
		printf("%s\n", size->name);
		for (unsigned int side = 0; side < nr_sides; side++)
			printf("  %-22s %20.0f %10.3f\n", side_names[side],
			       median(costs[side], rounds), median(ratios[side], rounds));
	}
	return EXIT_SUCCESS;
}
