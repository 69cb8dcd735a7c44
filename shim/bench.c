/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench.h"

#include <fcntl.h>
#include <linux/vfio_alias.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "util.h"

/* A sample takes this long at least; the clock and a wake-up are small beside it. */
#define SAMPLE_NSEC UINT64_C(5000000)
#define SAMPLES 7

const char *const bench_side_names[BENCH_SIDES] = { [BENCH_UC] = "uc", [BENCH_WC] = "wc" };

static const uint32_t side_types[BENCH_SIDES] = {
	[BENCH_UC] = VFIO_ALIAS_MEMORY_UC,
	[BENCH_WC] = VFIO_ALIAS_MEMORY_WC,
};

struct bench_place bench_choose(const struct sysfs_alias aliases[], size_t n, unsigned int bar,
				uint64_t offset, uint64_t length, enum bench_side side)
{
	struct bench_place place = {};
	uint64_t end = offset + length;
	bool any = false;

	sysfs_bar_file(place.file, bar, side == BENCH_WC);
	for (size_t i = 0; i < n && place.length == 0; i++) {
		const struct sysfs_alias *alias = &aliases[i];
		uint64_t from = alias->offset > offset ? alias->offset : offset;
		uint64_t to = alias->offset + alias->size;

		if (alias->bar != bar)
			continue;
		any = true;
		to = to < end ? to : end;
		if (!(alias->flags & VFIO_ALIAS_FLAG_SYSFS) || alias->type != side_types[side] ||
		    from >= to)
			continue;
		place.offset = from;
		place.length = to - from;
		place.mappings = alias->mappings;
	}
	if (!any) {
		place.offset = offset;
		place.length = length;
	}
	return place;
}

static int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double bench_median(double values[], size_t n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* ---- signals ---- */

static struct {
	sigjmp_buf revoked;
	const uint8_t *start, *end; /* of the mapping */
	volatile sig_atomic_t interrupted;
} now;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	const uint8_t *address = info->si_addr;

	(void)context;
	if (signal != SIGBUS) {
		now.interrupted = 1;
		return;
	}
	if (address >= now.start && address < now.end)
		siglongjmp(now.revoked, 1);
	/* Elsewhere it is a mistake of ours: it ends the program when it comes again. */
	(void)sigaction(SIGBUS, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

static const int handled[] = { SIGBUS, SIGHUP, SIGINT, SIGQUIT, SIGTERM };

static void handle_signals(struct sigaction ret_before[static ARRAY_SIZE(handled)])
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	for (size_t i = 0; i < ARRAY_SIZE(handled); i++) {
		(void)sigaction(handled[i], &action, &ret_before[i]); /* of these it can */
		/* nohup(1) and the like */
		if (handled[i] != SIGBUS && ret_before[i].sa_handler == SIG_IGN)
			(void)sigaction(handled[i], &ret_before[i], NULL);
	}
}

static void restore_signals(const struct sigaction before[static ARRAY_SIZE(handled)])
{
	for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
		(void)sigaction(handled[i], &before[i], NULL);
}

/* ---- measuring ---- */

static uint64_t clock_nsec(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* always there */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Stores blocks one behind the other, from the start again at the end. Returns nanoseconds. */
static uint64_t sample(const struct stores_way *way, uint8_t *to, uint64_t length,
		       const uint8_t *from, uint64_t block, uint64_t count)
{
	uint64_t start = clock_nsec(), at = 0;

	for (uint64_t i = 0; i < count; i++) {
		way->store(to + at, from, block);
		stores_fence();
		at += block;
		if (at + block > length)
			at = 0;
	}
	return clock_nsec() - start;
}

/* Bytes a second */
static double measure(const struct stores_way *way, uint8_t *to, uint64_t length,
		      const uint8_t *from, uint64_t block)
{
	double rates[SAMPLES];
	uint64_t count = 1;
	size_t n;

	while (sample(way, to, length, from, block, count) < SAMPLE_NSEC && !now.interrupted)
		count *= 2;
	for (n = 0; n < SAMPLES && (n == 0 || !now.interrupted); n++) {
		uint64_t nsec = sample(way, to, length, from, block, count);

		rates[n] = (double)(count * block) * 1e9 / (double)(nsec ?: 1);
	}
	return bench_median(rates, n);
}

/* By words, as a device with registers may want them. */
static void copy_words(volatile uint64_t *to, const volatile uint64_t *from, uint64_t length)
{
	for (uint64_t i = 0; i < length / sizeof(*to); i++)
		to[i] = from[i];
}

static bool equal_words(const volatile uint64_t *a, const uint64_t *b, uint64_t length)
{
	for (uint64_t i = 0; i < length / sizeof(*b); i++)
		if (a[i] != b[i])
			return false;
	return true;
}

/* What stays allocated over a siglongjmp() */
struct buffers {
	uint8_t *mapping;
	uint64_t mapped;
	uint64_t *saved;
	uint8_t *pattern;
};

static int open_buffers(int fd, const struct bench_place *place, struct buffers *ret)
{
	uint64_t start = place->offset - place->offset % page_size();
	_cleanup_close_ int file = -EBADF;
	void *mapping;

	ret->mapped = place->offset - start + place->length;
	ret->saved = malloc(place->length);
	ret->pattern = aligned_alloc(STORES_ALIGNMENT, BENCH_LENGTH);
	if (!ret->saved || !ret->pattern)
		return -ENOMEM;
	for (size_t i = 0; i < BENCH_LENGTH; i++)
		ret->pattern[i] = (uint8_t)(i * 7 + i / 256);

	file = openat(fd, place->file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return -errno;
	mapping = mmap(NULL, ret->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)start);
	if (mapping == MAP_FAILED)
		return -errno;
	ret->mapping = mapping;
	return 0;
}

static void close_buffers(struct buffers *buffers)
{
	if (buffers->mapping)
		(void)munmap(buffers->mapping, buffers->mapped);
	free(buffers->saved);
	free(buffers->pattern);
}

static void measure_all(const struct buffers *buffers, uint8_t *to, uint64_t length,
			void (*progress)(const struct stores_way *way, uint64_t block),
			bench_rates rates[])
{
	for (size_t i = 0; i < stores_n_ways; i++) {
		const struct stores_way *way = &stores_ways[i];

		for (size_t j = 0; j < BENCH_BLOCKS && BENCH_BLOCK(j) <= length; j++) {
			if (!stores_possible(way) || now.interrupted)
				continue;
			progress(way, BENCH_BLOCK(j));
			rates[i][j] = measure(way, to, length, buffers->pattern, BENCH_BLOCK(j));
		}
	}
}

/* All that touches the mapping. */
static enum bench_end touch(const struct buffers *buffers, uint64_t length,
			    void (*progress)(const struct stores_way *way, uint64_t block),
			    bench_rates rates[], bool *ret_restored)
{
	uint8_t *to = buffers->mapping + (buffers->mapped - length);
	uint64_t *words = (uint64_t *)(void *)to;

	copy_words(buffers->saved, words, length);
	measure_all(buffers, to, length, progress, rates);
	copy_words(words, buffers->saved, length);
	stores_fence();
	*ret_restored = equal_words(words, buffers->saved, length);
	return now.interrupted ? BENCH_INTERRUPTED : BENCH_DONE;
}

enum bench_end bench_run(int fd, const struct bench_place *place,
			 void (*progress)(const struct stores_way *way, uint64_t block),
			 bench_rates rates[], bool *ret_restored)
{
	static struct buffers buffers; /* static: siglongjmp() leaves it as it is */
	static struct sigaction before[ARRAY_SIZE(handled)];
	enum bench_end end;
	int r;

	buffers = (struct buffers){};
	now.start = now.end = NULL;
	now.interrupted = 0;
	handle_signals(before); /* before there is a mapping for others to see */
	r = open_buffers(fd, place, &buffers);
	if (r < 0) {
		restore_signals(before);
		close_buffers(&buffers);
		*ret_restored = now.interrupted; /* nothing was overwritten */
		errno = -r;
		return now.interrupted ? BENCH_INTERRUPTED : BENCH_FAILED;
	}

	now.start = buffers.mapping;
	now.end = buffers.mapping + buffers.mapped;
	if (sigsetjmp(now.revoked, 1) == 0)
		end = touch(&buffers, place->length, progress, rates, ret_restored);
	else
		end = BENCH_REVOKED;
	restore_signals(before);
	close_buffers(&buffers);
	return end;
}
