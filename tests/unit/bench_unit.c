/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/vfio_alias.h>
#include <signal.h>

#include "util.h"

#define MIB (UINT64_C(1) << 20)

Test(bench, the_median_is_the_one_in_the_middle)
{
	double odd[] = { 9, 1, 5 }, even[] = { 8, 1, 2, 4 }, one[] = { 7 };

	cr_expect_eq(bench_median(odd, 3), 5);
	cr_expect_eq(bench_median(even, 4), 3);
	cr_expect_eq(bench_median(one, 1), 7);
}

static const struct sysfs_alias aliases[] = {
	{ .bar = 0, .offset = 0, .size = MIB, .type = VFIO_ALIAS_MEMORY_WC, .flags = 1 },
	{ .bar = 2, .offset = 0, .size = 64 << 10, .type = VFIO_ALIAS_MEMORY_UC, .flags = 1 },
	{ .bar = 2, .offset = MIB, .size = MIB, .type = VFIO_ALIAS_MEMORY_WC, .flags = 0 },
	{ .bar = 2,
	  .offset = 2 * MIB,
	  .size = MIB,
	  .type = VFIO_ALIAS_MEMORY_WC,
	  .flags = 1,
	  .mappings = 3 },
};

Test(bench, each_side_writes_what_is_claimed_for_it_and_has_a_file)
{
	struct bench_place place;

	place = bench_choose(aliases, 4, 2, 0, 16 * MIB, BENCH_UC);
	cr_expect_str_eq(place.file, "resource2");
	cr_expect(place.offset == 0 && place.length == 64 << 10 && place.mappings == 0);
	place = bench_choose(aliases, 4, 2, 0, 16 * MIB, BENCH_WC);
	cr_expect_str_eq(place.file, "resource2_wc");
	cr_expect(place.offset == 2 * MIB && place.length == MIB && place.mappings == 3);
}

Test(bench, nothing_outside_of_the_range_is_written)
{
	struct bench_place place;

	place = bench_choose(aliases, 4, 2, 4096, 64, BENCH_UC);
	cr_expect(place.offset == 4096 && place.length == 64);
	place = bench_choose(aliases, 4, 2, 4096, 2 * MIB, BENCH_WC);
	cr_expect(place.offset == 2 * MIB && place.length == 4096);
	place = bench_choose(aliases, 4, 2, 64 << 10, MIB, BENCH_UC);
	cr_expect_eq(place.length, 0);
	place = bench_choose(aliases, 4, 0, 0, MIB, BENCH_UC);
	cr_expect_eq(place.length, 0);
}

Test(bench, a_bar_without_aliases_has_the_files_of_the_pci_core)
{
	for (unsigned int i = 0; i < BENCH_SIDES; i++) {
		struct bench_place place =
			bench_choose(aliases, 4, 1, 128, MIB, (enum bench_side)i);

		cr_expect(place.offset == 128 && place.length == MIB && place.mappings == 0);
		cr_expect_str_eq(place.file, i == BENCH_WC ? "resource1_wc" : "resource1");
	}
}

static int fd = -EBADF;
static char directory[] = "/tmp/vfio-alias-shim-XXXXXX";
static size_t n_progress;

static void make(void)
{
	cr_assert_not_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
}

static void unmake(void)
{
	(void)unlinkat(fd, "resource2", 0);
	close_fd(fd);
	rmdir(directory);
}

static void on_progress(const struct stores_way *way, uint64_t block)
{
	(void)way;
	(void)block;
	n_progress++;
}

/* A file in place of a BAR: its bytes are i / 64 + 1. */
static void make_bar(size_t size)
{
	int file = openat(fd, "resource2", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	for (size_t i = 0; i < size; i++)
		cr_assert_eq(write(file, &(uint8_t){ (uint8_t)(i / 64 + 1) }, 1), 1);
	close_fd(file);
}

Test(bench, what_is_overwritten_is_restored, .init = make, .fini = unmake)
{
	const struct bench_place place = { .file = "resource2",
					   .offset = 4096 + 64,
					   .length = 320 };
	_cleanup_free_ bench_rates *rates = calloc(stores_n_ways, sizeof(*rates));
	_cleanup_free_ char *text = NULL;
	bool restored = false;

	make_bar(8192);
	cr_assert_eq(bench_run(fd, &place, on_progress, rates, &restored), BENCH_DONE);
	cr_expect(restored);
	cr_assert_eq(read_file_at(fd, "resource2", &text), 0);
	for (size_t i = 0; i < 8192; i++)
		cr_assert_eq((uint8_t)text[i], (uint8_t)(i / 64 + 1), "byte %zu", i);
	for (size_t i = 0; i < stores_n_ways; i++)
		for (size_t j = 0; j < BENCH_BLOCKS; j++)
			cr_expect_eq(rates[i][j] > 0,
				     stores_possible(&stores_ways[i]) && BENCH_BLOCK(j) <= 320);
}

static void truncate_bar(const struct stores_way *way, uint64_t block)
{
	(void)way;
	(void)block;
	/* Pages behind the end of a file are SIGBUS, as those of an alias that has gone. */
	make_bar(0);
}

Test(bench, a_mapping_that_is_taken_back_is_told, .init = make, .fini = unmake)
{
	const struct bench_place place = { .file = "resource2", .offset = 0, .length = 4096 };
	_cleanup_free_ bench_rates *rates = calloc(stores_n_ways, sizeof(*rates));
	bool restored = false;

	make_bar(8192);
	cr_expect_eq(bench_run(fd, &place, truncate_bar, rates, &restored), BENCH_REVOKED);
	cr_expect_not(restored);
}

static int signal_to_raise;

static void interrupt(const struct stores_way *way, uint64_t block)
{
	on_progress(way, block);
	raise(signal_to_raise);
}

/* Runs it with a signal at each progress; what was overwritten is there again. */
static enum bench_end run_with_signal(int number)
{
	const struct bench_place place = { .file = "resource2", .offset = 0, .length = 64 };
	_cleanup_free_ bench_rates *rates = calloc(stores_n_ways, sizeof(*rates));
	_cleanup_free_ char *text = NULL;
	bool restored = false;
	enum bench_end end;

	make_bar(4096);
	n_progress = 0;
	signal_to_raise = number;
	end = bench_run(fd, &place, interrupt, rates, &restored);
	cr_expect(restored);
	cr_assert_eq(read_file_at(fd, "resource2", &text), 0);
	for (size_t i = 0; i < 4096; i++)
		cr_assert_eq((uint8_t)text[i], (uint8_t)(i / 64 + 1), "byte %zu", i);
	return end;
}

/* SIGHUP is what a terminal or a connection sends that goes away. */
static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

Test(bench, a_signal_that_would_end_it_restores_first, .init = make, .fini = unmake)
{
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++) {
		struct sigaction after;

		signal(ending[i], SIG_DFL); /* whoever runs this may ignore it */
		cr_expect_eq(run_with_signal(ending[i]), BENCH_INTERRUPTED, "%d", ending[i]);
		cr_expect_eq(n_progress, 1);
		cr_assert_eq(sigaction(ending[i], NULL, &after), 0);
		cr_expect_eq(after.sa_handler, SIG_DFL, "it ends other parts as it did");
	}
}

Test(bench, a_signal_that_is_ignored_stays_so, .init = make, .fini = unmake)
{
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++) {
		signal(ending[i], SIG_IGN);
		cr_expect_eq(run_with_signal(ending[i]), BENCH_DONE, "%d", ending[i]);
		cr_expect_gt(n_progress, 1);
	}
}

Test(bench, a_file_that_is_not_there_is_an_error, .init = make, .fini = unmake)
{
	const struct bench_place place = { .file = "resource2", .length = 4096 };
	bool restored;

	cr_expect_eq(bench_run(fd, &place, on_progress, NULL, &restored), BENCH_FAILED);
	cr_expect_eq(errno, ENOENT);
}
