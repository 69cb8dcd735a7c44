/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mappings: made, touched, split, moved, inherited; what is where is compared with the model. */
#include "fuzz.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

#define PTWALK "/dev/vfio-alias-ptwalk"

static sigjmp_buf target;
static volatile sig_atomic_t expected;
static int ptwalk = -1;

static void on_signal(int signal)
{
	if (!expected) {
		static const char text[] = "a signal where none was possible\n";

		(void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
		_exit(99);
	}
	siglongjmp(target, signal);
}

void memory_open(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	ptwalk = open(PTWALK, O_RDWR | O_CLOEXEC);
	if (ptwalk < 0)
		die(PTWALK);
}

/* The signal, or 0 */
static int access_byte(volatile uint8_t *at, bool write, uint8_t *value)
{
	int signal;

	expected = 1;
	signal = sigsetjmp(target, 0);
	if (!signal) {
		if (write)
			*at = *value;
		else
			*value = *at;
	}
	expected = 0;
	return signal;
}

static const char *type_name(uint32_t type)
{
	return type == VFIO_ALIAS_MEMORY_WC ? "WC" : "UC-";
}

/* What the page table has for a page must be of the type that was promised, and the right one. */
static void check_page_table(const struct slot *slot, unsigned int page)
{
	uint64_t pfn, right = (dev->bar[slot->bar].start + slot->offset) / PAGE + page;
	const struct alias *alias;
	uint32_t type = slot->type;
	char line[160], found[16];
	const char *at;
	ssize_t n;

	if (slot->view == VIEW_BAR) {
		alias = alias_at(slot->bar, slot->offset + page * PAGE);
		if (!alias && dev->bar[slot->bar].tainted && !bar_has_claims(slot->bar))
			return;
		type = alias ? alias->type : VFIO_ALIAS_MEMORY_UC;
	}
	n = snprintf(line, sizeof(line), "%d %lx", getpid(),
		     (unsigned long)(slot->address + page * PAGE));
	if (write(ptwalk, line, (size_t)n) != n)
		die(PTWALK);
	n = pread(ptwalk, line, sizeof(line) - 1, 0);
	if (n <= 0)
		die(PTWALK);
	line[n] = '\0';

	/* Nothing takes a page away between the access and this. */
	at = strstr(line, "pfn=");
	if (!at || sscanf(strstr(line, "type="), "type=%15s", found) != 1) {
		failed("a page that was just touched is not there: %s", line);
		return;
	}
	pfn = strtoull(at + 4, NULL, 0);
	if (strcmp(found, type_name(type)) || pfn != right)
		failed("BAR %u offset %#llx through view %d should be %s at pfn %#llx: %s",
		       slot->bar, (unsigned long long)(slot->offset + page * PAGE), slot->view,
		       type_name(type), (unsigned long long)right, line);
}

void touch(struct slot *slot, unsigned int page, bool write, unsigned int at, uint8_t value,
	   bool walk)
{
	uint64_t offset = slot->offset + page * PAGE + at;
	int must = touch_expected(slot, page, write), signal;
	uint8_t *shadow = NULL, read = value;

	if (dev->bar[slot->bar].data)
		shadow = &dev->shadow[offset];
	else if (write)
		read = 0; /* registers: what does the least */
	signal = access_byte(slot->address + page * PAGE + at, write, &read);
	if (must >= 0 && signal != must) {
		failed("%s BAR %u offset %#llx through view %d, type %u: signal %d and not %d",
		       write ? "writing" : "reading", slot->bar, (unsigned long long)offset,
		       slot->view, slot->type, signal, must);
		return;
	}
	if (signal)
		return;
	if (shadow && write)
		*shadow = read;
	else if (shadow && read != *shadow)
		failed("BAR %u offset %#llx through view %d, type %u, has %#x and not %#x",
		       slot->bar, (unsigned long long)offset, slot->view, slot->type, read,
		       *shadow);
	if (walk && must == 0)
		check_page_table(slot, page);
}

void slot_clear(struct slot *slot)
{
	if (slot->view == VIEW_FREE)
		return;
	if (munmap(slot->address, slot->pages * PAGE) < 0)
		failed("munmap: %m");
	slot->view = VIEW_FREE;
	session_check_end();
}

/* Looks up what is mapped of a slot, where an operation may have been done in part. */
void slots_reread(struct slot *slot)
{
	unsigned long start, end, first = (unsigned long)slot->address;
	unsigned long last = first + slot->pages * PAGE;
	char line[512], prot[8];
	FILE *f;

	memset(slot->prot, HOLE, slot->pages);
	slot->mapped = 0;
	f = fopen("/proc/self/maps", "re");
	if (!f)
		die("/proc/self/maps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s", &start, &end, prot) != 3 || start < first ||
		    end > last)
			continue;
		memset(&slot->prot[(start - first) / PAGE],
		       (prot[0] == 'r' ? PROT_READ : 0) | (prot[1] == 'w' ? PROT_WRITE : 0),
		       (end - start) / PAGE);
		slot->mapped += (end - start) / PAGE;
	}
	fclose(f);
	if (!slot->mapped)
		slot->view = VIEW_FREE;
	session_check_end();
}

/* How many mappings of an alias there are, by what the kernel says of this process */
unsigned int mappings_of(const struct alias *alias)
{
	unsigned long start, end;
	unsigned long long offset;
	unsigned int n = 0;
	char line[512];
	FILE *f;

	f = fopen("/proc/self/maps", "re");
	if (!f)
		die("/proc/self/maps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %llx", &start, &end, &offset) != 3)
			continue;
		for (int i = 0; i < SLOTS; i++) {
			const struct slot *slot = &slots[i];
			uint64_t in_bar = offset & ((1ULL << REGION_SHIFT) - 1);

			if (start < SLOT_ADDRESS(i) || start >= SLOT_ADDRESS(i + 1) ||
			    (slot->view != VIEW_ALIAS && slot->view != VIEW_FILE) ||
			    slot->session != dev->number || slot->bar != alias->bar ||
			    !alias_serves(alias, slot))
				continue;
			if (offset >> REGION_SHIFT != alias->bar)
				failed("a mapping of BAR %u: %s", alias->bar, line);
			n += in_bar < alias->offset + alias->size &&
			     alias->offset < in_bar + (end - start);
		}
	}
	fclose(f);
	return n;
}

/*
 * A session ends with its last descriptor; a mapping through that one is as good as it, a
 * mapping through a file is not.
 */
void session_check_end(void)
{
	if (!dev->alive || dev->session.fd >= 0)
		return;
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].session == dev->number &&
		    (slots[i].view == VIEW_BAR || slots[i].view == VIEW_ALIAS))
			return;
	session_is_over();
}

static struct slot *slot_to_fill(uint8_t v)
{
	struct slot *slot = &slots[v % SLOTS];

	slot_clear(slot);
	return slot;
}

/* A slot that is in use, if there is one */
static struct slot *slot_in_use(uint8_t v)
{
	for (int i = 0; i < SLOTS; i++) {
		struct slot *slot = &slots[(v + i) % SLOTS];

		if (slot->view != VIEW_FREE)
			return slot;
	}
	return NULL;
}

/* Aligned as the BAR is, for huge pages, or not */
static uint8_t *place(const struct slot *slot, uint64_t offset, uint8_t v)
{
	uint64_t at = SLOT_ADDRESS(slot - slots);

	return (uint8_t *)(at + (v & 1 ? offset % HUGE_PAGE : (v >> 1 & 3) * PAGE));
}

static void slot_fill(struct slot *slot, enum view view, uint32_t bar, uint32_t type,
		      uint64_t offset, uint8_t *address, uint64_t length, int prot)
{
	slot->view = view;
	slot->bar = bar;
	slot->type = type;
	slot->offset = offset;
	slot->address = address;
	slot->pages = slot->mapped = (unsigned int)(length / PAGE);
	slot->session = dev->number;
	slot->file = dev->bar[bar].file[type];
	memset(slot->prot, prot & (PROT_READ | PROT_WRITE), slot->pages);
}

static int pick_prot(uint8_t v)
{
	static const int prots[] = { PROT_READ, PROT_NONE, PROT_WRITE, PROT_READ | PROT_EXEC };

	return v < 4 ? prots[v] : PROT_READ | PROT_WRITE;
}

static int pick_flags(uint8_t v)
{
	static const int flags[] = {
		MAP_PRIVATE,
		MAP_SHARED | MAP_POPULATE,
		MAP_SHARED | MAP_LOCKED,
		MAP_SHARED | MAP_NORESERVE,
		MAP_SHARED | MAP_NONBLOCK | MAP_POPULATE,
	};

	return MAP_FIXED_NOREPLACE | (v < sizeof(flags) / sizeof(*flags) ? flags[v] : MAP_SHARED);
}

/* region, offset, pages, slot, place, prot, flags */
void do_map(const uint8_t *v)
{
	uint32_t region = pick_region(v[0]), bar = region, type = VFIO_ALIAS_MEMORY_UC;
	uint64_t end = 16 * PAGE, start = 0, offset, length, at;
	int prot = pick_prot(v[5]), flags = pick_flags(v[6]);
	const struct alias *alias = NULL;
	struct slot *slot = slot_to_fill(v[3]);
	struct reasons reasons = { 0 };
	uint8_t *address;
	void *mapped;

	if (dev->session.fd < 0)
		return;
	if (region < BARS) {
		end = dev->bar[region].end;
	} else if (region - VFIO_PCI_NUM_REGIONS < VFIO_ALIAS_MAX &&
		   dev->alias[region - VFIO_PCI_NUM_REGIONS].live) {
		alias = &dev->alias[region - VFIO_PCI_NUM_REGIONS];
		bar = alias->bar;
		type = alias->type;
		start = alias->offset;
		end = alias->size;
	}
	/* Of its BAR or of its alias; mostly within it */
	offset = v[1] < 0xf0 && end ? (uint64_t)v[1] % 16 * PAGE % end : (v[1] & 15) * PAGE;
	length = pick_pages(offset, end, v[2]);
	/* mmap() knows no offset that is not, or no length; and then nothing is reached. */
	length = (length + PAGE - 1) / PAGE * PAGE;
	if (!length || length > SLOT_PAGES * PAGE)
		length = PAGE;
	address = place(slot, start + offset, v[4]);
	at = ((uint64_t)region << REGION_SHIFT) + offset;

	/* Later kernels refuse it for all descriptors of this kind. */
	reasons.may[WHY_map_executable] = prot & PROT_EXEC;
	if ((flags & MAP_TYPE) == MAP_PRIVATE)
		why(&reasons, WHY_map_private);
	if (region >= VFIO_PCI_NUM_REGIONS && !alias)
		why(&reasons, WHY_map_no_alias);
	else if (alias && (offset >= end || length > end - offset))
		why(&reasons, WHY_map_past_alias);
	else if (!alias && (region >= BARS || !dev->bar[region].mappable))
		why(&reasons, WHY_map_not_mappable);
	else if (!alias && offset + length > end)
		why(&reasons, WHY_map_past_bar);

	inject_begin();
	mapped = mmap(address, length, prot, flags, dev->session.fd, (off_t)at);
	inject_end();
	if (!verdict("map", mapped == MAP_FAILED ? -1 : 0, &reasons))
		return;
	slot->read_only = false;
	slot_fill(slot, alias ? VIEW_ALIAS : VIEW_BAR, bar, type, start + offset, address, length,
		  prot);
}

/* bar and type, offset, pages, slot, place, prot, flags */
void do_map_file(const uint8_t *v)
{
	uint32_t bar = v[0] & 0xc0 ? pick_region(0) : v[0] % BARS;
	uint32_t type = v[0] & 8 ? VFIO_ALIAS_MEMORY_UC : VFIO_ALIAS_MEMORY_WC;
	int prot = pick_prot(v[5]), flags = pick_flags(v[6]);
	bool ours, claimed = false, read_only = v[5] >= 0x80 && v[5] < 0xa4;
	struct slot *slot = slot_to_fill(v[3]);
	uint64_t offset, length, end;
	struct reasons reasons = { 0 };
	struct slot wanted;
	const char *name;
	void *mapped;
	int fd;

	if (bar >= BARS)
		bar = 0;
	if (read_only && v[5] < 0xa0)
		prot = PROT_READ;
	end = dev->bar[bar].end;
	ours = bar_has_file(bar, type);
	offset = pick_offset(bar, v[1]) / PAGE * PAGE;
	/* 2^52 pages and more are not for a file to see. */
	offset &= (1ULL << 62) - 1;
	length = (pick_pages(offset, end, v[2]) + PAGE - 1) / PAGE * PAGE;
	if (!length || length > SLOT_PAGES * PAGE)
		length = PAGE;
	wanted = (struct slot){
		.view = VIEW_FILE, .bar = bar, .type = type, .file = dev->bar[bar].file[type]
	};

	name = bar_file(bar, type);
	fd = openat(dev->directory, name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0) {
		/* The PCI core has files of I/O ports, too, and VFIO's device can have neither. */
		if (ours || errno != ENOENT)
			failed("open %s: %m", name);
		else if (dev->bar[bar].stock[type])
			failed("%s is missing", name);
		return;
	}
	if (!ours && !dev->bar[bar].stock[type])
		failed("%s is there without an alias", name);

	for (uint64_t page = offset; page < end && page < offset + length; page += PAGE) {
		const struct alias *alias = alias_at(bar, page);

		claimed = claimed || (alias && alias_serves(alias, &wanted));
		if (alias) /* its last page, for the next one to be behind it */
			page = alias->offset + alias->size - PAGE;
	}
	if (prot & PROT_EXEC)
		why(&reasons, WHY_map_executable);
	if ((flags & MAP_TYPE) == MAP_PRIVATE)
		why(&reasons, WHY_map_private);
	else if (read_only && prot & PROT_WRITE)
		why(&reasons, WHY_map_write_of_read_only);
	if (locked_down && dev->no_iommu)
		why(&reasons, WHY_map_file_under_lockdown);
	if (offset >= end || length > end - offset)
		why(&reasons, WHY_map_file_past_bar);
	else if (!claimed)
		why(&reasons, WHY_map_file_no_claim);

	/* The PCI core's mmap() warns by itself if it runs out of memory half-way. */
	if (!ours)
		inject_cancel();
	inject_begin();
	mapped = mmap(place(slot, offset, v[4]), length, prot, flags, fd, (off_t)offset);
	inject_end();
	close(fd);
	slot->read_only = read_only;
	if (ours) {
		if (verdict("map_file", mapped == MAP_FAILED ? -1 : 0, &reasons))
			slot_fill(slot, VIEW_FILE, bar, type, offset, mapped, length, prot);
	} else if (mapped != MAP_FAILED) {
		/* The stock file can be mapped while nobody has requested the BAR. */
		if (locked_down)
			failed("%s, the stock file, is mapped under lockdown", name);
		dev->bar[bar].tainted = true;
		slot_fill(slot, VIEW_STOCK, bar, type, offset, mapped, length, prot);
	}
}

static unsigned int pick_page(const struct slot *slot, uint8_t v)
{
	return v < 0xc0 ? v % (slot->pages < 16 ? slot->pages : 16) :
			  (unsigned int)(v * 1009u) % slot->pages;
}

/* slot, page, write and byte, pages, -, value, walk */
void do_touch(const uint8_t *v)
{
	struct slot *slot = slot_in_use(v[0]);
	unsigned int page;

	if (!slot)
		return;
	page = pick_page(slot, v[1]);
	for (int n = v[3] & 3; n >= 0 && page < slot->pages && !broken; n--, page++)
		touch(slot, page, v[2] & 1, (v[2] >> 1) * 32u, v[5], v[6] % 4 == 0);
}

/* A range of pages within a slot */
static void pick_range(const struct slot *slot, uint8_t first, uint8_t count,
		       unsigned int *ret_page, unsigned int *ret_pages)
{
	*ret_page = pick_page(slot, first);
	*ret_pages = count < 0xe0 ? 1 + count % 8u : slot->pages;
	if (*ret_pages > slot->pages - *ret_page)
		*ret_pages = slot->pages - *ret_page;
}

/*
 * Part of a stock file's mapping is none of this: for those x86 loses count of the memory types
 * ("freeing invalid memtype"), and keeps one for ever.
 */
static struct slot *slot_to_split(uint8_t v)
{
	struct slot *slot = slot_in_use(v);

	if (slot && slot->view == VIEW_STOCK) {
		slot_clear(slot);
		return NULL;
	}
	return slot;
}

/* slot, page, pages */
void do_unmap(const uint8_t *v)
{
	struct slot *slot = slot_to_split(v[0]);
	unsigned int page, pages;

	if (!slot)
		return;
	pick_range(slot, v[1], v[2], &page, &pages);
	if (munmap(slot->address + page * PAGE, pages * PAGE) < 0)
		failed("munmap of a part: %m");
	for (unsigned int i = page; i < page + pages; i++) {
		slot->mapped -= slot->prot[i] != HOLE;
		slot->prot[i] = HOLE;
	}
	if (!slot->mapped) {
		slot->view = VIEW_FREE;
		session_check_end();
	}
}

/* slot, page, pages, slot, place, size */
void do_move(const uint8_t *v)
{
	struct slot *from = slot_to_split(v[0]), *to = &slots[v[3] % SLOTS];
	unsigned int page, pages;
	size_t old, new;
	uint8_t *address;
	void *moved;

	if (!from || from == to)
		return;
	slot_clear(to);
	pick_range(from, v[1], v[2], &page, &pages);
	old = new = pages *PAGE;
	if (v[5] == 0)
		new += PAGE; /* such mappings do not grow */
	else if (v[5] == 1)
		old = 0; /* nor are they had twice that way */
	address = place(to, from->offset + page * PAGE, v[4]);
	moved = mremap(from->address + page * PAGE, old, new, MREMAP_MAYMOVE | MREMAP_FIXED,
		       address);
	if (moved == MAP_FAILED) {
		if (errno != EFAULT && errno != EINVAL && errno != EAGAIN)
			failed("mremap: %m");
		slots_reread(from);
		return;
	}
	if (old != new) {
		failed("mremap: a mapping of a BAR has grown");
		return;
	}
	slot_fill(to, from->view, from->bar, from->type, from->offset + page * PAGE, address, new,
		  0);
	to->session = from->session;
	to->file = from->file;
	to->read_only = from->read_only;
	memcpy(to->prot, &from->prot[page], pages);
	to->mapped = 0;
	for (unsigned int i = 0; i < pages; i++)
		to->mapped += to->prot[i] != HOLE;
	from->mapped -= to->mapped;
	memset(&from->prot[page], HOLE, pages);
	if (!from->mapped)
		from->view = VIEW_FREE;
}

/* slot, page, pages, -, -, prot */
void do_protect(const uint8_t *v)
{
	struct slot *slot = slot_to_split(v[0]);
	int prot = pick_prot(v[5] % 6);
	unsigned int page, pages;

	if (!slot)
		return;
	pick_range(slot, v[1], v[2], &page, &pages);
	if (mprotect(slot->address + page * PAGE, pages * PAGE, prot) < 0) {
		/* A hole, a file that may not be written, or not be executed */
		if (errno != ENOMEM && errno != EACCES)
			failed("mprotect: %m");
		slots_reread(slot);
		return;
	}
	if ((prot & PROT_EXEC && slot->view == VIEW_FILE) || (slot->read_only && prot & PROT_WRITE))
		failed("mprotect gives what mmap() refuses");
	for (unsigned int i = page; i < page + pages; i++)
		slot->prot[i] = prot & (PROT_READ | PROT_WRITE);
}

/* slot, page, pages, -, -, advice */
void do_advise(const uint8_t *v)
{
	static const int advices[] = {
		MADV_NORMAL,	    MADV_DONTNEED,	 MADV_WILLNEED, MADV_COLD,     MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_HUGEPAGE, MADV_DONTDUMP, MADV_DODUMP,
		MADV_FREE,	    MADV_DOFORK,	 MADV_REMOVE,
	};
	struct slot *slot = slot_in_use(v[0]);
	unsigned int page, pages;

	if (!slot)
		return;
	pick_range(slot, v[1], v[2], &page, &pages);
	/* Whatever it answers: what is there afterwards is what counts. */
	(void)madvise(slot->address + page * PAGE, pages * PAGE,
		      advices[v[5] % (sizeof(advices) / sizeof(*advices))]);
	(void)msync(slot->address + page * PAGE, pages * PAGE, MS_SYNC);
}

/* slot, page, -, pages: a child has the same mappings and its own way with them */
void do_fork(const uint8_t *v)
{
	struct slot *slot = slot_to_split(v[0]);
	int status = -1;
	pid_t child;

	if (!slot)
		return;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		for (int n = 0; n < 4 && !broken; n++) {
			unsigned int page = pick_page(slot, (uint8_t)(v[1] + n * v[3]));

			touch(slot, page, false, 0, 0, true);
			munmap(slot->address + page * PAGE, PAGE);
			slot->prot[page] = HOLE;
		}
		fflush(stdout);
		_exit(broken);
	}
	if (child < 0) {
		failed("fork: %m");
		return;
	}
	if (waitpid(child, &status, 0) != child || status)
		failed("a child's mapping (status %#x)", status);
}
