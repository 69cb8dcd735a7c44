/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fuzzer of all that a process can do with alias regions, with a model of what must happen:
 *
 *	alias_fuzz [OPTION]... DEVICE... OPERATIONS SEED
 *	alias_fuzz [OPTION]... DEVICE... --replay FILE
 *
 * DEVICE is BDF, or BDF=DRIVER for one whose driver has an mmap() of its own. An input is a
 * sequence of operations on one device. Inputs that run code of vfio_pci_core that none has run
 * before, as KCOV of the kernel tells, are kept and mutated; without KCOV there is no telling.
 * The same seed makes the same sequence, as far as the same code runs in the kernel.
 *
 * A failure is an errno that <linux/vfio_alias.h> does not give as a reason, a call that works
 * where there is a reason to refuse it, a page of another memory type or of another place than
 * promised, data that is not what was written, a region, file or attribute that says something
 * else than was asked for.
 */
#include "fuzz.h"

#include <getopt.h>
#include <time.h>

#define DEVICES_MAX 8
#define KEPT_MAX 2048
#define FAILURES_MAX 5

static struct device devices[DEVICES_MAX];
static unsigned int device_count;
static struct input kept[KEPT_MAX];
static unsigned int kept_count, corpus_count; /* the corpus is what it begins with */
static struct timespec began;
static bool trace;

static void (*const deeds[OP_COUNT])(const uint8_t *v) = {
#define X(name, weight) [OP_##name] = do_##name,
	OPERATIONS(X)
#undef X
};

/* The first device is the one with the most to find. */
static struct device *pick_device(uint8_t v)
{
	return &devices[v < device_count ? v : v < 160 ? 0 : v % device_count];
}

/* To the kernel's log, for the case that nothing more will be said after it */
static void announce(const struct input *input)
{
	FILE *f = fopen("/dev/kmsg", "we");
	char text[64 * STEPS_MAX] = "";
	FILE *to = fmemopen(text, sizeof(text), "w");

	if (!f || !to)
		die("/dev/kmsg");
	input_print(input, input->n, to);
	fclose(to);
	for (char *rest = text, *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		fprintf(f, "<4>alias_fuzz: %s", line);
		fflush(f);
	}
	fclose(f);
}

/* Whether something new was reached */
static bool run(const struct input *input)
{
	unsigned int n = 0;

	broken = false;
	if (trace)
		announce(input);
	dev = pick_device(input->device);
	if (dev->session.fd < 0)
		device_open();
	kcov_start();
	while (n < input->n && !broken) {
		const struct step *step = &input->step[n++];

		operations++;
		deeds[step->op](step->v);
	}
	inject_cancel();
	device_clean();
	if (broken) {
		printf("# the input until there:\n");
		input_print(input, n, stdout);
		fflush(stdout);
	}
	return kcov_collect();
}

static void keep(const struct input *input)
{
	if (kept_count < KEPT_MAX)
		kept[kept_count++] = *input;
	else
		kept[corpus_count + random_below(KEPT_MAX - corpus_count)] = *input;
}

static void run_corpus(void)
{
	for (unsigned int i = 0; i < corpus_count && failures < FAILURES_MAX; i++)
		run(&kept[i]);
}

static long seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - began.tv_sec;
}

static void tell(void)
{
	printf("%lu operations, %ld s, %u inputs kept, %zu PCs\n", operations, seconds(),
	       kept_count, kcov_seen());
	fflush(stdout);
}

static void load(const char *path, struct input *ret_input)
{
	int r = input_load(path, ret_input);

	if (r < 0) {
		fprintf(stderr, "alias_fuzz: %s: %s\n", path, strerror(-r));
		exit(EXIT_FAILURE);
	}
}

static bool has_word(const char *path, const char *word)
{
	char line[4096] = "";
	FILE *f = fopen(path, "re");

	if (!f || !fgets(line, sizeof(line), f))
		die(path);
	fclose(f);
	for (char *rest = line, *at = strsep(&rest, " \n"); at; at = strsep(&rest, " \n"))
		if (!strcmp(at, word))
			return true;
	return false;
}

static void usage(FILE *to)
{
	fputs("usage: alias_fuzz [OPTION]... DEVICE... OPERATIONS SEED\n"
	      "       alias_fuzz [OPTION]... DEVICE... --replay FILE\n"
	      "  DEVICE           BDF, or BDF=DRIVER where the driver has an mmap() of its own\n"
	      "  --corpus FILE    an input to begin with; repeatable\n"
	      "  --coverage       print the code that was reached, and each reason to refuse a call\n"
	      "  --lockdown       let an input lock the kernel down, for good, when half is done\n"
	      "  --trace          put each input into the kernel's log before it runs\n",
	      to);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "corpus", required_argument, NULL, 'c' },
		{ "coverage", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ "lockdown", no_argument, NULL, 'l' },
		{ "replay", required_argument, NULL, 'r' },
		{ "trace", no_argument, NULL, 't' },
		{ 0 },
	};
	unsigned long limit = 0, told = 0;
	const char *replay = NULL;
	bool coverage = false, lockdown = false, fresh;
	uint64_t seed = 0;
	struct input input;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			if (kept_count < KEPT_MAX / 2)
				load(optarg, &kept[kept_count++]);
			corpus_count = kept_count;
			break;
		case 'v':
			coverage = true;
			break;
		case 'l':
			lockdown = true;
			break;
		case 'r':
			replay = optarg;
			break;
		case 't':
			trace = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			return 2;
		}
	}
	if (!replay && argc - optind >= 3) {
		seed = strtoull(argv[--argc], NULL, 0);
		limit = strtoul(argv[--argc], NULL, 0);
	}
	if (optind == argc || argc - optind > DEVICES_MAX || (!replay && !limit)) {
		usage(stderr);
		return 2;
	}

	pat = !has_word("/proc/cmdline", "nopat");
	memory_open();
	calls_open();
	kcov_open();
	inject_open();
	while (optind < argc)
		device_init(&devices[device_count++], argv[optind++]);

	clock_gettime(CLOCK_MONOTONIC, &began);
	random_seed(seed);
	if (replay) {
		lockdown_due = lockdown;
		load(replay, &input);
		run(&input);
		limit = 0;
	} else {
		run_corpus();
	}
	while (operations < limit && failures < FAILURES_MAX) {
		if (lockdown && !lockdown_due && operations >= limit / 2) {
			lockdown_due = true;
			run_corpus();
		}
		fresh = kept_count == 0 || random_below(8) == 0;
		if (fresh) {
			input_random(&input);
		} else {
			input = kept[random_below(kept_count)];
			input_mutate(&input, &kept[random_below(kept_count)]);
		}
		/* Where there is no telling what is new, all that is not a copy is. */
		if (run(&input) || (fresh && !kcov_works()))
			keep(&input);
		if (operations * 10 / limit != told) {
			told = operations * 10 / limit;
			tell();
		}
	}

	for (unsigned int i = 0; i < device_count; i++) {
		dev = &devices[i];
		session_close(&dev->session);
	}
	if (coverage) {
		kcov_print(stdout);
		for (int i = 0; i < WHY_COUNT; i++)
			printf("reason %s %lu\n", reason_names[i], alone[i]);
	}
	printf("seed %llu: %lu operations in %ld s, %u inputs kept, %zu PCs, %lu failures\n",
	       (unsigned long long)seed, operations, seconds(), kept_count, kcov_seen(), failures);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
