/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which code of vfio_pci_core this program has run in the kernel, by KCOV (the kernel's
 * Documentation/dev-tools/kcov.rst). Where the kernel has none nothing is ever new.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/mount.h>

#define KCOV_INIT_TRACE _IOR('c', 1, unsigned long)
#define KCOV_ENABLE _IO('c', 100)
#define KCOV_TRACE_PC 0

#define KCOV "/sys/kernel/debug/kcov"
#define SECTIONS "/sys/module/vfio_pci_core/sections/"
#define TRACE_MAIN (1UL << 18) /* words */
#define TRACE_CHILD (1UL << 16)

/* The module's sections of code: a PC is told as an offset in one of them. */
struct section {
	char name[64];
	uint64_t start, end;
	uint8_t *seen;
};

static struct section sections[8];
static unsigned int section_count;
static size_t seen;

/* One word for each pair of PCs that followed each other, by their hash: the paths, roughly. */
static uint8_t pairs[1 << 16];

static uint64_t *trace; /* NULL without KCOV */
static int child_fd[KCOV_CHILDREN];
static uint64_t *child_trace[KCOV_CHILDREN];

static uint64_t *trace_open(size_t words, int *ret_fd)
{
	uint64_t *area;
	int fd;

	fd = open(KCOV, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (ioctl(fd, KCOV_INIT_TRACE, words) < 0)
		die("KCOV_INIT_TRACE");
	area = mmap(NULL, words * sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (area == MAP_FAILED)
		die("mmap of " KCOV);
	/* The kernel writes to it; what a child does not have is not copied at each fork(). */
	madvise(area, words * sizeof(*area), MADV_DONTFORK);
	*ret_fd = fd;
	return area;
}

/* A section's end is not told: it is where the next one begins, or where the module ends. */
static void sections_read(void)
{
	unsigned long core;
	struct dirent *entry;
	uint64_t text = 0;
	char line[64];
	DIR *dir;
	FILE *f;

	f = fopen("/sys/module/vfio_pci_core/coresize", "re");
	if (!f || fscanf(f, "%lu", &core) != 1)
		die("/sys/module/vfio_pci_core/coresize");
	fclose(f);

	dir = opendir(SECTIONS);
	if (!dir)
		die(SECTIONS);
	while ((entry = readdir(dir)) && section_count < 8) {
		struct section *section = &sections[section_count];
		char path[320];

		if (strncmp(entry->d_name, ".text", 5) && strncmp(entry->d_name, ".init.text", 10))
			continue;
		snprintf(path, sizeof(path), SECTIONS "%s", entry->d_name);
		f = fopen(path, "re");
		if (!f || !fgets(line, sizeof(line), f))
			die(path);
		fclose(f);
		snprintf(section->name, sizeof(section->name), "%.60s", entry->d_name);
		section->start = strtoull(line, NULL, 0);
		if (!strcmp(section->name, ".text"))
			text = section->start;
		section_count++;
	}
	closedir(dir);
	if (!text) {
		fprintf(stderr, "alias_fuzz: the addresses of vfio_pci_core are not told\n");
		exit(EXIT_FAILURE);
	}

	for (unsigned int i = 0; i < section_count; i++) {
		sections[i].end = sections[i].start + core;
		for (unsigned int k = 0; k < section_count; k++)
			if (sections[k].start > sections[i].start &&
			    sections[k].start < sections[i].end)
				sections[i].end = sections[k].start;
		sections[i].seen = calloc(1, sections[i].end - sections[i].start);
		if (!sections[i].seen)
			die("calloc");
	}
}

/* Before any lockdown, which closes debugfs */
void kcov_open(void)
{
	int fd;

	if (access(KCOV, F_OK) < 0)
		(void)mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	trace = trace_open(TRACE_MAIN, &fd);
	if (!trace) {
		printf("no coverage: this kernel has no " KCOV "\n");
		return;
	}
	for (int i = 0; i < KCOV_CHILDREN; i++) {
		child_trace[i] = trace_open(TRACE_CHILD, &child_fd[i]);
		if (!child_trace[i])
			die(KCOV);
	}
	sections_read();
	if (ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC) < 0)
		die("KCOV_ENABLE");
}

void kcov_start(void)
{
	if (trace)
		__atomic_store_n(&trace[0], 0, __ATOMIC_RELAXED);
}

void kcov_child_prepare(void)
{
	if (trace)
		for (int i = 0; i < KCOV_CHILDREN; i++)
			child_trace[i][0] = 0;
}

/* The trace of a child is its own, and its parent's to read. */
void kcov_child_start(unsigned int child)
{
	if (trace && ioctl(child_fd[child], KCOV_ENABLE, KCOV_TRACE_PC) < 0)
		_exit(98);
}

static bool collect(const uint64_t *from, size_t words)
{
	uint64_t n = __atomic_load_n(&from[0], __ATOMIC_RELAXED), last = 0;
	bool new = false;

	if (n > words - 1)
		n = words - 1;
	for (uint64_t i = 1; i <= n; i++) {
		uint64_t pc = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		uint16_t pair;

		for (unsigned int k = 0; k < section_count; k++) {
			uint8_t *at;

			if (pc < sections[k].start || pc >= sections[k].end)
				continue;
			at = &sections[k].seen[pc - sections[k].start];
			if (!*at) {
				*at = 1;
				seen++;
				new = true;
			}
			pair = (uint16_t)((pc * 0x9e3779b97f4a7c15ULL ^
					   last * 0xc2b2ae3d27d4eb4fULL) >>
					  48);
			if (!pairs[pair]) {
				pairs[pair] = 1;
				new = true;
			}
			last = pc;
			break;
		}
	}
	return new;
}

bool kcov_collect(void)
{
	bool new = false;

	if (!trace)
		return false;
	new = collect(trace, TRACE_MAIN);
	for (int i = 0; i < KCOV_CHILDREN; i++)
		new = collect(child_trace[i], TRACE_CHILD) || new;
	kcov_child_prepare();
	return new;
}

bool kcov_works(void)
{
	return trace;
}

size_t kcov_seen(void)
{
	return seen;
}

/* "pc SECTION OFFSET": the addresses that the calls of __sanitizer_cov_trace_pc() return to */
void kcov_print(FILE *to)
{
	for (unsigned int i = 0; i < section_count; i++)
		for (uint64_t at = 0; at < sections[i].end - sections[i].start; at++)
			if (sections[i].seen[at])
				fprintf(to, "pc %s 0x%llx\n", sections[i].name,
					(unsigned long long)at);
}
