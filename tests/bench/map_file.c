/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What it costs a program to map a large BAR through its file: the stock resourceN_wc
 * and the one of an alias, alternately in one run.
 *
 *	map_file STOCK-FILE ALIAS-FILE [ROUNDS]
 *
 * Each round maps the whole file, touches every 2 MiB, reads the size of the page
 * tables and unmaps. Prints medians and the ratio of ours to stock.
 */
#include "bench.h"

#include <sys/stat.h>

enum { MMAP, TOUCH, MUNMAP, TOTAL, TABLES, FIGURES };

#define ROUNDS_MAX 1000
#define STEP (2UL << 20)

static const char *const names[FIGURES] = {
	"mmap (ms)", "touch every 2 MiB (ms)", "munmap (ms)", "together (ms)", "page tables (kB)",
};

/* Page tables of this process in kB, of proc_pid_status(5) */
static double page_tables(void)
{
	char line[256];
	double kb = -1;
	FILE *f;

	f = fopen("/proc/self/status", "re");
	if (!f)
		die("/proc/self/status");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPTE: %lf kB", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

static void measure(const char *path, double figures[FIGURES])
{
	double start, mapped, touched, end, tables;
	volatile uint8_t *bytes;
	struct stat st;
	int fd;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);

	tables = page_tables();
	start = now();
	bytes = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		die(path);
	mapped = now();
	for (off_t at = 0; at < st.st_size; at += STEP)
		bytes[at] = 1;
	touched = now();
	figures[TABLES] = page_tables() - tables;
	end = now();
	munmap((void *)bytes, st.st_size);
	figures[MUNMAP] = (now() - end) / 1e6;
	figures[MMAP] = (mapped - start) / 1e6;
	figures[TOUCH] = (touched - mapped) / 1e6;
	figures[TOTAL] = figures[MMAP] + figures[TOUCH] + figures[MUNMAP];
	close(fd);
}

int main(int argc, char **argv)
{
	static double values[2][FIGURES][ROUNDS_MAX];
	int rounds = argc > 3 ? atoi(argv[3]) : 5;

	if (argc < 3 || argc > 4 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: map_file STOCK-FILE ALIAS-FILE [ROUNDS]\n");
		return 2;
	}

	for (int round = 0; round < rounds; round++) {
		for (int side = 0; side < 2; side++) {
			double figures[FIGURES];

			measure(argv[1 + side], figures);
			for (int i = 0; i < FIGURES; i++)
				values[side][i][round] = figures[i];
		}
	}

	printf("%-24s %10s %10s %10s\n", "", "stock", "alias", "alias/stock");
	for (int i = 0; i < FIGURES; i++) {
		double stock = median(values[0][i], rounds), alias = median(values[1][i], rounds);

		printf("%-24s %10.2f %10.2f %10.4f\n", names[i], stock, alias, alias / stock);
	}
	return EXIT_SUCCESS;
}
