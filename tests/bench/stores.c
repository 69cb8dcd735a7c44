/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the CPU executes for stores through VFIO's own mapping of a BAR, through one of an
 * alias's region and through one of the alias's file, when the pages are there.
 *
 *	stores BDF BAR
 *
 * For a BAR of RAM. Instructions in user space are counted by a tracer, which stops the
 * program after each and sees which are system calls. All instructions, the kernel's
 * included, are counted by the TSC in a guest of "tests/guest/vm run --icount"; the least of
 * many rounds is one without an interrupt. Page faults are those of all rounds.
 */
#include "bench.h"

#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>

#define SIZE (16UL << 10)
#define WORDS (SIZE / sizeof(uint64_t))
#define CLAIM (1UL << 20)
#define ROUNDS 100

enum { OWN, ALIAS, FILE_ONE, SIDES };

static uint64_t source[WORDS];

static void store_words(void *to)
{
	volatile uint64_t *words = to;

	for (size_t i = 0; i < WORDS; i++)
		words[i] = source[i];
}

static void store_memcpy(void *to)
{
	memcpy(to, source, SIZE);
}

static const struct way {
	const char *name;
	void (*store)(void *to);
} ways[] = {
	{ "by stores of 8 bytes", store_words },
	{ "by memcpy()", store_memcpy },
};

struct counts {
	unsigned long user;
	unsigned long all;
	unsigned long calls;
	long faults;
};

/* The two reads of the TSC bound what is counted, here and by the tracer. */
static __attribute__((noinline)) unsigned long run(const struct way *way, void *to)
{
	uint64_t start = __rdtsc();

	way->store(to);
	return __rdtsc() - start;
}

/* The first two bytes of what @pid executes next */
static unsigned int next_opcode(pid_t pid)
{
	long at = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);

	return ptrace(PTRACE_PEEKTEXT, pid, at, NULL) & 0xffff;
}

static void step(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) < 0)
		die("PTRACE_SINGLESTEP");
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
		fprintf(stderr, "stores: the traced process ended, %#x\n", status);
		exit(EXIT_FAILURE);
	}
}

static void trace(const struct way *way, void *to, struct counts *counts)
{
	const unsigned int rdtsc = 0x310f, syscall = 0x050f;
	unsigned int opcode;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		run(way, to);
		_exit(EXIT_SUCCESS);
	}
	if (waitpid(pid, NULL, 0) < 0)
		die("waitpid");
	while (next_opcode(pid) != rdtsc)
		step(pid);
	for (opcode = rdtsc; counts->user == 0 || opcode != rdtsc; opcode = next_opcode(pid)) {
		counts->calls += opcode == syscall;
		counts->user++;
		step(pid);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

static void count(const struct way *way, void *to, struct counts *counts)
{
	for (size_t i = 0; i < WORDS; i++)
		source[i] = (uint64_t)random() << 32 | (uint64_t)random();
	run(way, to);
	if (memcmp(to, source, SIZE)) {
		fprintf(stderr, "stores: what was stored is not there\n");
		exit(EXIT_FAILURE);
	}

	counts->all = ~0UL;
	counts->faults = faults();
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned long all = run(way, to);

		if (all < counts->all)
			counts->all = all;
	}
	counts->faults = faults() - counts->faults;
	trace(way, to, counts);
}

int main(int argc, char **argv)
{
	struct {
		int fd;
		off_t offset;
	} sides[SIDES];
	unsigned int bar;

	if (argc != 3) {
		fprintf(stderr, "usage: stores BDF BAR\n");
		return 2;
	}
	bar = (unsigned int)strtoul(argv[2], NULL, 0);
	stay_on_last_cpu();

	sides[OWN].fd = sides[ALIAS].fd = open_device(argv[1]);
	sides[OWN].offset = region_offset(bar);
	sides[ALIAS].offset = region_offset(make_alias(sides[ALIAS].fd, bar, CLAIM, CLAIM, true));
	sides[FILE_ONE].fd = open_file(argv[1], bar);
	sides[FILE_ONE].offset = CLAIM;

	printf("%-32s %14s %14s %14s\n", "16 KiB", "VFIO's own", "alias region", "file");
	for (const struct way *way = ways; way < ways + 2; way++) {
		struct counts counts[SIDES] = {};

		for (unsigned int side = 0; side < SIDES; side++) {
			void *to = mmap(NULL, CLAIM, PROT_READ | PROT_WRITE, MAP_SHARED,
					sides[side].fd, sides[side].offset);

			if (to == MAP_FAILED)
				die("mmap");
			count(way, to, &counts[side]);
			munmap(to, CLAIM);
		}
#define ROW(name, field)                                                     \
	printf("  %-30s %14ld %14ld %14ld\n", name, (long)counts[OWN].field, \
	       (long)counts[ALIAS].field, (long)counts[FILE_ONE].field)
		printf("%s\n", way->name);
		ROW("instructions in user space", user);
		ROW("instructions, user and kernel", all);
		ROW("page faults", faults);
		ROW("system calls", calls);
#undef ROW
	}
	return EXIT_SUCCESS;
}
