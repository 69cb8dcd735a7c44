/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What making and removing aliases costs, without a file and with one, from the first to the
 * last that a device can have, against a pair of VFIO_DEVICE_GET_REGION_INFO.
 *
 *	create instructions|ns BDF BAR ROUNDS
 *
 * Each round makes aliases of one page each, in the order of their offsets, and removes them
 * in the same order, and then makes and removes one of the whole BAR. The first alias with a
 * file makes the file, and the last takes it away. What the first of the session makes once
 * is left out by the median.
 */
#include "bench.h"

enum {
	CREATE_FIRST,
	CREATE_SECOND,
	CREATE_LAST,
	REMOVE_FIRST,
	REMOVE_LAST,
	CREATE_WHOLE,
	REMOVE_WHOLE,
	FIGURES,
};

static const char *const names[FIGURES] = {
	[CREATE_FIRST] = "create the 1st",	  [CREATE_SECOND] = "create the 2nd",
	[CREATE_LAST] = "create the 64th",	  [REMOVE_FIRST] = "remove the 1st of 64",
	[REMOVE_LAST] = "remove the last",	  [CREATE_WHOLE] = "create, the whole BAR",
	[REMOVE_WHOLE] = "remove, the whole BAR",
};

static double create(int fd, unsigned int bar, uint64_t offset, uint64_t size, bool with_file,
		     unsigned int *index)
{
	double start = now();

	*index = make_alias(fd, bar, offset, size, with_file);
	return now() - start;
}

static double delete (int fd, unsigned int index)
{
	double start = now();
	int r = alias_remove(fd, index);

	if (r < 0)
		die_of(r, "cannot remove an alias");
	return now() - start;
}

/* As a client does that does not know how long the answer is */
static double region_info_pair(int fd, unsigned int index)
{
	union {
		struct vfio_region_info info;
		char space[256];
	} answer = { .info = { .argsz = sizeof(answer.info), .index = index } };
	double start = now();

	for (int i = 0; i < 2; i++)
		if (ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &answer) < 0 ||
		    answer.info.argsz > sizeof(answer))
			die("VFIO_DEVICE_GET_REGION_INFO");
	return now() - start;
}

int main(int argc, char **argv)
{
	double *values[2][FIGURES], *pairs, pair, costs[2][FIGURES];
	unsigned int bar, rounds, index[VFIO_ALIAS_MAX];
	int fd;

	if (argc != 5 || !set_unit(argv[1]) || !atoi(argv[4])) {
		fprintf(stderr, "usage: create instructions|ns BDF BAR ROUNDS\n");
		return 2;
	}
	bar = (unsigned int)strtoul(argv[3], NULL, 0);
	rounds = (unsigned int)strtoul(argv[4], NULL, 0);
	pairs = calloc(rounds, sizeof(double));
	for (int i = 0; i < FIGURES; i++) {
		values[0][i] = calloc(rounds, sizeof(double));
		values[1][i] = calloc(rounds, sizeof(double));
	}

	stay_on_last_cpu();
	fd = open_device(argv[2]);
	for (unsigned int round = 0; round < rounds; round++) {
		for (int with = 0; with < 2; with++) {
			double creates[VFIO_ALIAS_MAX], removes[VFIO_ALIAS_MAX];

			for (unsigned int i = 0; i < VFIO_ALIAS_MAX; i++)
				creates[i] = create(fd, bar, i * PAGE, PAGE, with, &index[i]);
			pairs[round] = region_info_pair(fd, index[0]);
			for (unsigned int i = 0; i < VFIO_ALIAS_MAX; i++)
				removes[i] = delete (fd, index[i]);

			values[with][CREATE_FIRST][round] = creates[0];
			values[with][CREATE_SECOND][round] = creates[1];
			values[with][CREATE_LAST][round] = creates[VFIO_ALIAS_MAX - 1];
			values[with][REMOVE_FIRST][round] = removes[0];
			values[with][REMOVE_LAST][round] = removes[VFIO_ALIAS_MAX - 1];
			values[with][CREATE_WHOLE][round] = create(fd, bar, 0, 0, with, &index[0]);
			values[with][REMOVE_WHOLE][round] = delete (fd, index[0]);
		}
	}

	pair = median(pairs, rounds);
	printf("%-24s %12s %12s %12s %12s\n", argv[1], "no file", "/ pair", "with a file",
	       "/ pair");
	printf("%-24s %12.0f %12.2f\n", "GET_REGION_INFO pair", pair, 1.0);
	for (int i = 0; i < FIGURES; i++) {
		for (int with = 0; with < 2; with++)
			costs[with][i] = median(values[with][i], rounds);
		printf("%-24s %12.0f %12.2f %12.0f %12.2f\n", names[i], costs[0][i],
		       costs[0][i] / pair, costs[1][i], costs[1][i] / pair);
	}
	for (int i = CREATE_FIRST; i <= CREATE_SECOND; i++)
		printf("%-24s %12.2f %12s %12.2f\n", i ? "64th / 2nd" : "64th / 1st",
		       costs[0][CREATE_LAST] / costs[0][i], "",
		       costs[1][CREATE_LAST] / costs[1][i]);
	return EXIT_SUCCESS;
}
