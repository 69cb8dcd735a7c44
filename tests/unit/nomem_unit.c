/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every allocation fails once: what is asked for is answered as well as with memory, or by
 * -ENOMEM; and nothing is left allocated. The allocator of the whole program is replaced, so that
 * allocations of libraries fail, too. What json-c parses is left out: its parser does not look
 * whether its own allocations have failed.
 */
#include <stdatomic.h>

#include "explain.h"
#include "holder.h"
#include "json.h"
#include "mark.h"
#include "memtype.h"
#include "modules.h"
#include "rule.h"
#include "scratch.h"
#include "status.h"
#include "svg.h"
#include "sysfs.h"
#include "table.h"
#include "udev-rules.h"

/* ---- the allocator ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static atomic_long live;    /* allocations */
static atomic_bool failing; /* the one that countdown comes to */
static atomic_ulong countdown;

static bool must_fail(void)
{
	if (!failing || --countdown != 0)
		return false;
	errno = ENOMEM;
	return true;
}

static void *counted(void *p)
{
	live += p != NULL;
	return p;
}

void *malloc(size_t size)
{
	return must_fail() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return must_fail() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
	if (must_fail())
		return NULL;
	return p ? __libc_realloc(p, size) : counted(__libc_realloc(NULL, size));
}

void free(void *p)
{
	live -= p != NULL;
	__libc_free(p);
}

/* ---- what is asked for ---- */

#define BDF "0000:00:10.0"
#define DEVICE "devices/" BDF "/"
#define OTHER "devices/0000:00:10.1/"

static const struct mark_text text = {
	.value = { [MARK_ALIAS] = "2:wc@64K+64K,shared 0:uc",
		   [MARK_BIND] = "force",
		   [MARK_OWNER] = "0",
		   [MARK_GROUP] = "0",
		   [MARK_MODE] = "0640",
		   [MARK_NOIOMMU] = "1" },
};
static const struct pci_bar bars[PCI_BARS] = {
	[0] = { .kind = PCI_BAR_MEMORY, .length = 4096, .start = 0xfeb00000 },
	[2] = { .kind = PCI_BAR_MEMORY, .length = 1 << 20, .start = 0xfd000000 },
};

static struct status_alias aliases[] = {
	{ .bar = 2,
	  .size = 65536,
	  .type_wanted = "wc",
	  .type_in_effect = "wc",
	  .file = "/file",
	  .state = "published" },
	{ .bar = 0, .size = 4096, .type_wanted = "uc", .state = "waiting", .reason = "busy" },
};
static struct status told = {
	.bdf = BDF,
	.state = "waiting",
	.reason = "busy",
	.driver = "vfio-pci",
	.group = 7,
	.bound_by_service = true,
	.previous_driver = "e1000e",
	.previous_override = "e1000e",
	.mark = { .value = { [MARK_ALIAS] = "2:wc", [MARK_OWNER] = "0" } },
	.aliases = aliases,
	.n_aliases = ARRAY_SIZE(aliases),
};

static int device;

static int parse(const char *marked)
{
	_cleanup_mark_ struct mark *mark = NULL;
	_cleanup_free_ char *message = NULL;
	_cleanup_(mark_text_clear) struct mark_text copy = {};
	int r;

	r = mark_text_copy(&copy, &text);
	if (r < 0)
		return r;
	r = replace_string(&copy.value[MARK_ALIAS], marked);
	if (r == 0)
		r = mark_parse(&copy, &mark, &message);
	if (r == 0)
		r = mark_check(mark, bars, &message);
	cr_expect_eq(r == -EINVAL, message != NULL);
	return r;
}

static int good_mark(void)
{
	return parse("2:wc@64K+64K,shared 0:uc");
}

static int bad_mark(void)
{
	return parse("2:wc 7:wc");
}

static int mark_that_does_not_fit(void)
{
	return parse("1:wc");
}

static int write_status(void)
{
	return status_write(scratch_fd, &told);
}

static int print_table(void)
{
	_cleanup_fclose_ FILE *stream = fopen("/dev/null", "we");

	return stream ? table_print(stream, &told, 1, true) : -errno;
}

static int write_rule(void)
{
	const struct rule_target target = { .bdf = BDF };
	_cleanup_free_ char *rule = NULL, *message = NULL;
	char name[RULE_NAME_SIZE];
	int r;

	r = rule_format(&target, &text, &rule, &message);
	return r < 0 ? r : rule_write(scratch, rule_name(name, &target), rule);
}

static int refuse_rule(void)
{
	const struct rule_target target = { .by_ids = true };
	const struct mark_text quoted = { .value = { "2:wc", [MARK_GROUP] = "a\"b" } };
	_cleanup_free_ char *rule = NULL, *message = NULL;

	return rule_format(&target, &quoted, &rule, &message);
}

static int search_rules(void)
{
	const struct udev_rules_device wanted = { BDF, 0x1af4, 0x1110 };
	_cleanup_free_ char *where = NULL;

	return udev_rules_search(scratch, &wanted, &where);
}

static int list_mappings(void)
{
	const struct holder_device wanted = { .bdf = BDF, .bars = { bars[0] } };
	struct holder_list list = {};
	int r = holder_list(scratch, &wanted, &list);

	free(list.mappings);
	return r;
}

static int find_opened(void)
{
	struct holder holder;

	return holder_find_open(scratch, "/dev/full", NULL, 0, &holder);
}

static int read_sysfs(void)
{
	_cleanup_free_ char *driver = NULL, *override = NULL, *name = NULL, *cdev = NULL;
	struct pci_bar read[PCI_BARS];
	int r;

	r = sysfs_read_bars(device, read);
	if (r == 0)
		r = sysfs_driver(device, &driver);
	if (r == 0)
		r = sysfs_driver_override(device, &override);
	if (r == 0)
		r = sysfs_vfio_name(device, &name);
	return r < 0 ? r : sysfs_vfio_cdev(device, &cdev);
}

static int read_group(void)
{
	_cleanup_free_ char *bdf = NULL, *driver = NULL, *others = NULL;
	_cleanup_free_ char(*cdevs)[SYSFS_CDEV_SIZE] = NULL;
	size_t n;
	int r;

	r = sysfs_iommu_group_obstacle(device, BDF, &bdf, &driver);
	if (r == 0)
		r = sysfs_list_group_cdevs(device, &cdevs, &n);
	return r < 0 ? r : sysfs_describe_group(device, BDF, &others);
}

static int read_aliases(void)
{
	_cleanup_free_ struct sysfs_alias *read = NULL;
	size_t n;

	return sysfs_read_aliases(device, &read, &n);
}

static int find_carried(void)
{
	_cleanup_free_ char *carried = NULL;

	return sysfs_find_carried(device, &carried);
}

static int find_memtype(void)
{
	_cleanup_fclose_ FILE *list = NULL;
	char type[MEMTYPE_NAME_SIZE];
	int r = open_stream_at(scratch_fd, "memtypes", &list);

	return r < 0 ? r : memtype_find(list, 0xfd000000, 1 << 20, type);
}

static int find_symbol(void)
{
	static const char *const symbols[] = { "vfio_pci_core_enable" };
	_cleanup_fclose_ FILE *list = NULL;
	bool found[ARRAY_SIZE(symbols)];
	int r = open_stream_at(scratch_fd, "kallsyms", &list);

	return r < 0 ? r : modules_find_symbols(list, symbols, ARRAY_SIZE(symbols), found);
}

static int find_cpu_flag(void)
{
	_cleanup_fclose_ FILE *cpuinfo = NULL;
	int r = open_stream_at(scratch_fd, "cpuinfo", &cpuinfo);

	return r < 0 ? r : explain_cpu_flag(cpuinfo, "pat");
}

static int find_lock(void)
{
	_cleanup_free_ char *locks = NULL;

	if (asprintf(&locks, "%s/locks", scratch) < 0) {
		locks = NULL;
		return -ENOMEM;
	}
	return status_is_locked(locks, scratch);
}

static const char *tick(double value, char *buffer, size_t size)
{
	snprintf(buffer, size, "%.0f", value);
	return buffer;
}

static int draw_plot(void)
{
	static const struct svg_point points[] = { { 64, 2e6 }, { 256, 3e7 } };
	static const struct svg_curve curve = { .name = "wc", .points = points, .n_points = 2 };
	const struct svg_plot plot = { .title = "",
				       .x_label = "",
				       .y_label = "",
				       .x_base = 4,
				       .y_base = 10,
				       .x_tick = tick,
				       .y_tick = tick,
				       .curves = &curve,
				       .n_curves = 1 };
	_cleanup_free_ char *drawn = NULL;

	return svg_format(&plot, &drawn);
}

static const struct {
	const char *name;
	int (*ask)(void);
	int answer; /* with memory */
} questions[] = {
	{ "a mark", good_mark, 0 },
	{ "a bad mark", bad_mark, -EINVAL },
	{ "a mark that does not fit", mark_that_does_not_fit, -EINVAL },
	{ "write the status", write_status, 0 },
	{ "print the table", print_table, 0 },
	{ "draw a plot", draw_plot, 0 },
	{ "write a rule", write_rule, 0 },
	{ "a rule that cannot be", refuse_rule, -EINVAL },
	{ "search the rules", search_rules, 0 },
	{ "list mappings", list_mappings, 0 },
	{ "find who has a device open", find_opened, 0 },
	{ "read sysfs", read_sysfs, 0 },
	{ "read the group", read_group, 0 },
	{ "read aliases", read_aliases, 0 },
	{ "find what is carried", find_carried, 0 },
	{ "find a memory type", find_memtype, 0 },
	{ "find a symbol", find_symbol, 0 },
	{ "find a flag of the CPU", find_cpu_flag, 1 },
	{ "find a lock", find_lock, 0 },
};

static void make(void)
{
	static const char *const names[] = { "bar",   "offset",	  "size",
					     "flags", "mappings", "memory_type" };
	static const char *const values[] = { "2\n", "0x0\n", "0x1000\n", "0x1\n", "0\n", "wc\n" };

	scratch_make();
	scratch_file(DEVICE "vendor", "0x1af4\n");
	scratch_file(DEVICE "resource",
		     "0x00000000feb00000 0x00000000feb00fff 0x0000000000040200\n"
		     "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		     "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		     "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		     "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		     "0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
	scratch_file(DEVICE "driver_override", "vfio-pci\n");
	scratch_link(DEVICE "driver", "../../drivers/vfio-pci");
	scratch_file(DEVICE "vfio-dev/vfio3/dev", "511:0\n");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = NULL;

		cr_assert_gt(asprintf(&path, DEVICE "vfio-dev/vfio3/aliases/9/%s", names[i]), 0);
		scratch_file(path, values[i]);
	}
	scratch_link(DEVICE "net/eth0/subsystem", "../../../../class/net");
	scratch_link(DEVICE "iommu_group", "../../groups/7");
	scratch_link("groups/7/devices/" BDF, "../../../devices/" BDF);
	scratch_link("groups/7/devices/0000:00:10.1", "../../../devices/0000:00:10.1");
	scratch_file(OTHER "vendor", "0x1af4\n");
	scratch_link(OTHER "driver", "../../drivers/e1000e");
	scratch_file("etc/udev/rules.d/80-card.rules",
		     "KERNEL==\"" BDF "\", \\\n ENV{VFIO_ALIAS}=\"2:wc\"\n");
	scratch_file("123/comm", "tool\n");
	scratch_file("123/cmdline", "tool");
	scratch_file("123/maps", "7f0000000000-7f0000001000 rw-s feb00000 00:17 4711            "
				 "/sys/" DEVICE "resource0\n");
	scratch_link("123/fd/3", "/dev/full");
	scratch_file("memtypes", "PAT: [mem 0x00000000fd000000-0x00000000fd100000] uncached\n");
	scratch_file("kallsyms", "0000000000000000 T vfio_pci_core_enable\t[vfio_pci_core]\n");
	scratch_file("cpuinfo", "processor\t: 0\nflags\t\t: fpu pat\n");
	scratch_file("locks", "1: FLOCK  ADVISORY  WRITE 1 00:1b:1 0 EOF\n");
	device = openat(scratch_fd, DEVICE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(device, 0);
	cr_assert_eq(write_status(), 0);
}

static void unmake(void)
{
	close_fd(device);
	scratch_remove();
}

TestSuite(nomem, .init = make, .fini = unmake);

Test(nomem, each_failed_allocation_is_enomem_and_leaves_nothing)
{
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		const char *name = questions[i].name;

		/* Libraries keep something when they are used for the first time. */
		cr_expect_eq(questions[i].ask(), questions[i].answer, "%s", name);
		for (unsigned long n = 1;; n++) {
			long before = live, after;
			bool has_failed;
			int r;

			countdown = n;
			failing = true;
			r = questions[i].ask();
			failing = false;
			has_failed = (long)countdown <= 0;
			after = live;
			cr_expect(r == questions[i].answer || r == -ENOMEM,
				  "%s, allocation %lu: %d", name, n, r);
			cr_expect_eq(after, before, "%s, allocation %lu: %ld are left", name, n,
				     after - before);
			if (!has_failed) {
				cr_expect_eq(r, questions[i].answer, "%s", name);
				break;
			}
		}
	}
}
