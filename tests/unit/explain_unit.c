/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "explain.h"

#include <pwd.h>
#include <sys/utsname.h>

#include "machine.h"
#include "mark.h"
#include "scratch.h"
#include "service.h"
#include "status.h"
#include "udev.h"

Test(explain, a_word_is_a_whole_one)
{
	cr_expect(explain_has_word("nopat", "nopat"));
	cr_expect(explain_has_word("quiet nopat", "nopat"));
	cr_expect(explain_has_word("nopath nopat quiet", "nopat"));
	cr_expect(explain_has_word("a\tpat\n", "pat"));
	cr_expect_not(explain_has_word("", "pat"));
	cr_expect_not(explain_has_word("nopat path pat=1", "pat"));
}

static int flag(const char *text, const char *name)
{
	_cleanup_fclose_ FILE *stream = fmemopen((void *)text, strlen(text), "r");

	return explain_cpu_flag(stream, name);
}

Test(explain, the_flags_of_the_first_cpu_tell)
{
	static const char text[] = "processor\t: 0\nmodel name\t: X flags CPU\n"
				   "flags\t\t: fpu pat pse36\nbugs\t\t: nopse\n\n"
				   "processor\t: 1\nflags\t\t: fpu later\n";

	cr_expect_eq(flag(text, "pat"), 1);
	cr_expect_eq(flag(text, "pse"), 0);
	cr_expect_eq(flag(text, "later"), 0);
	cr_expect_eq(flag("processor\t: 0\nFeatures\t: fp\n", "pat"), -ENODATA);
}

/* ---- a machine, and what is told of it ---- */

#define FILES "sys/" MACHINE_BDF "/" /* the device's directory */
#define STATUS (&STATUS_DIRECTORY[1])
#define RULES "etc/udev/rules.d/80-test.rules"

static struct situation {
	struct machine machine;
	struct mark_text mark;
	int udev; /* what udev_read_mark() returns */
	const char *command_line;
	const char *cpu_flags; /* NULL: "pat" */
	struct status status;  /* without a BDF the service tells nothing of the device */
	int service;	       /* what service_query() returns */
	const char *active;    /* state of the unit; NULL: "active" */
	bool unprivileged;
	const char *rules;  /* NULL for none */
	const char *kernel; /* its release; NULL for one that the series is for */
} now;

int uname(struct utsname *name)
{
	*name = (struct utsname){};
	snprintf(name->release, sizeof(name->release), "%s", now.kernel ?: "6.12.9-amd64");
	return 0;
}

int udev_read_mark(const char *bdf, struct mark_text *ret, bool *ret_initialized)
{
	cr_assert_str_eq(bdf, MACHINE_BDF);
	*ret_initialized = true;
	return now.udev < 0 ? now.udev : mark_text_copy(ret, &now.mark);
}

int service_query(struct service_unit *ret)
{
	if (now.service < 0)
		return now.service;
	*ret = (struct service_unit){ .load_state = strdup("loaded"),
				      .active_state = strdup(now.active ?: "active"),
				      .main_pid = 512 };
	return 0;
}

void service_unit_clear(struct service_unit *unit)
{
	free(unit->load_state);
	free(unit->active_state);
}

/* In place of libc's */
uid_t geteuid(void)
{
	return now.unprivileged ? 65534 : 0;
}

/* Likewise: the users are known by somebody who cannot be reached. */
int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size,
	       struct passwd **ret)
{
	(void)name;
	(void)entry;
	(void)buffer;
	(void)size;
	*ret = NULL;
	return EIO;
}

static void enter(const struct situation *situation)
{
	_cleanup_free_ char *cpuinfo = NULL;
	int directory;

	now = *situation;
	machine = situation->machine;
	machine.directory = openat(scratch_fd, FILES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	scratch_file("proc/cmdline", now.command_line ?: "quiet");
	cr_assert_gt(asprintf(&cpuinfo, "flags\t\t: fpu %s\n", now.cpu_flags ?: "pat"), 0);
	scratch_file("proc/cpuinfo", cpuinfo);
	scratch_file("proc/kallsyms", "");
	scratch_file(RULES, now.rules ?: "");

	directory = openat(scratch_fd, STATUS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	status_remove(directory, MACHINE_BDF);
	if (now.status.bdf)
		cr_assert_eq(status_write(directory, &now.status), 0);
	close_fd(directory);
}

static void leave(void)
{
	machine.directory = close_fd(machine.directory);
}

static void make(void)
{
	int file;

	scratch_make();
	scratch_file(FILES "resource2_wc", "");
	file = openat(scratch_fd, FILES "resource2_wc", O_WRONLY | O_CLOEXEC);
	cr_assert_eq(ftruncate(file, 16 << 20), 0); /* as long as the BAR */
	close_fd(file);
	scratch_file(&(STATUS_DIRECTORY "/other")[1], "");
}

TestSuite(explain_machine, .init = make, .fini = scratch_remove);

/* The condition @name, of whichever item. */
static const struct explain_condition *find(const struct explanation *explanation, const char *name)
{
	for (size_t i = 0; i < explanation->n; i++)
		if (streq(explanation->conditions[i].name, name))
			return &explanation->conditions[i];
	return NULL;
}

static bool contains(const char *text, const char *part)
{
	return part ? text && strstr(text, part) : !text;
}

/* What is told of one condition. @text, @mend: contained; NULL for none */
struct told {
	const char *condition;
	enum explain_state state;
	const char *text, *mend;
};

/* A condition that fails is the first that does. */
static void expect(const char *what, const struct situation *situation, const struct told *told)
{
	_cleanup_explanation_ struct explanation explanation = {};
	const struct explain_condition *condition;

	enter(situation);
	cr_assert_eq(explain(scratch, MACHINE_BDF, &explanation), 0, "%s", what);
	leave();

	condition = find(&explanation, told->condition);
	cr_assert_not_null(condition, "%s: %s is not there", what, told->condition);
	cr_expect_eq(condition->state, told->state, "%s: %s %s: %s", what, told->condition,
		     explain_state_names[condition->state], condition->text ?: "");
	cr_expect(contains(condition->text, told->text), "%s: \"%s\" is not \"%s\"", what,
		  condition->text ?: "nothing", told->text ?: "nothing");
	cr_expect(contains(condition->mend, told->mend), "%s: \"%s\" does not mend it", what,
		  condition->mend ?: "nothing");
	if (told->state == EXPLAIN_FAILS) {
		const struct explain_condition *first = explanation_first_failure(&explanation);

		cr_expect_eq(first, condition, "%s: the first to fail is %s, %s", what,
			     first ? first->name : "none", first ? first->text : "");
	}
	cr_expect_not(explanation.proven && told->state == EXPLAIN_FAILS, "%s", what);
}

#define MARK(...)                        \
	{                                \
		.value = { __VA_ARGS__ } \
	}
#define PLAIN MARK([MARK_ALIAS] = "2:wc")
#define UC MARK([MARK_ALIAS] = "2:uc")
#define ACCEPTED MARK([MARK_ALIAS] = "2:wc", [MARK_NOIOMMU] = "1")

#define THE_ALIAS                                                             \
	{                                                                     \
		.index = 9, .bar = 2, .type = VFIO_ALIAS_MEMORY_WC,           \
		.flags = VFIO_ALIAS_FLAG_SYSFS, .offset = 0, .size = 16 << 20 \
	}
#define WITH_ALIAS .driver = "vfio-pci", .n_aliases = 1, .aliases = { THE_ALIAS }

static const struct {
	const char *name;
	struct situation situation;
	struct told told;
} cases[] = {
	{ "no group yet, in no-IOMMU mode",
	  { .machine = { .no_group = true, .noiommu_mode = 1 }, .mark = ACCEPTED },
	  { "IOMMU", EXPLAIN_HOLDS, "no-IOMMU mode, once the device is bound", NULL } },
	{ "no group yet, and who is beside it",
	  { .machine = { .no_group = true, .noiommu_mode = 1 }, .mark = ACCEPTED },
	  { "IOMMU group", EXPLAIN_HOLDS, "it has no group yet", NULL } },
	{ "no group yet, and who has it",
	  { .machine = { .no_group = true, .noiommu_mode = 1, .opened = true }, .mark = ACCEPTED },
	  { "group's holder", EXPLAIN_HOLDS, "it has no group yet", NULL } },
	{ "no group yet, and lockdown",
	  { .machine = { .no_group = true,
			 .noiommu_mode = 1,
			 .lockdown = "integrity",
			 .is_signed = true },
	    .mark = ACCEPTED },
	  { "lockdown", EXPLAIN_FAILS, "integrity: the kernel makes no files in no-IOMMU mode",
	    "use an IOMMU" } },
	{ "lockdown with an IOMMU",
	  { .machine = { .lockdown = "integrity", .is_signed = true }, .mark = PLAIN },
	  { "lockdown", EXPLAIN_HOLDS, "does not matter", NULL } },

	{ "udev cannot be asked",
	  { .udev = -EIO },
	  { "mark", EXPLAIN_UNKNOWN, "Input/output error", NULL } },
	{ "the sense of a mark that cannot be read",
	  { .udev = -EIO },
	  { "mark's sense", EXPLAIN_NOT_REACHED, NULL, NULL } },
	{ "the sense of a mark whose BARs cannot be read",
	  { .machine = { .bars = -EIO }, .mark = PLAIN },
	  { "mark's sense", EXPLAIN_NOT_REACHED, NULL, NULL } },

#if defined(__x86_64__) || defined(__i386__)
	{ "nopat",
	  { .mark = PLAIN, .command_line = "quiet nopat" },
	  { "PAT", EXPLAIN_FAILS, "booted with nopat", "take nopat off" } },
	{ "a CPU without PAT",
	  { .mark = PLAIN, .cpu_flags = "pae" },
	  { "PAT", EXPLAIN_FAILS, "no page attribute table", "another CPU" } },
	{ "nopat, and a mark of uc",
	  { .mark = UC, .command_line = "nopat" },
	  { "PAT", EXPLAIN_HOLDS, "not needed for uc", NULL } },
	{ "nopat, and a mark of both",
	  { .mark = MARK([MARK_ALIAS] = "2:uc@0+4K 2:wc@4K+4K"), .command_line = "nopat" },
	  { "PAT", EXPLAIN_FAILS, "booted with nopat", "take nopat off" } },
#endif

	{ "no-IOMMU mode that the mark does not accept",
	  { .machine = { .no_group = true, .noiommu_mode = 1, .driver = "vfio-pci" },
	    .mark = PLAIN },
	  { "IOMMU", EXPLAIN_FAILS, "no-IOMMU mode", "set VFIO_ALIAS_NOIOMMU=1 in" } },
	{ "no-IOMMU mode that the mark accepts",
	  { .machine = { .no_group = true, .noiommu_mode = 1, .driver = "vfio-pci" },
	    .mark = ACCEPTED },
	  { "IOMMU", EXPLAIN_HOLDS, "no-IOMMU mode, group 7", NULL } },
	{ "no-IOMMU mode that is off",
	  { .machine = { .no_group = true }, .mark = ACCEPTED },
	  { "IOMMU", EXPLAIN_FAILS, "no-IOMMU mode is off", "echo Y > " SYSFS_NOIOMMU_MODE } },
	{ "no-IOMMU mode that is not loaded",
	  { .machine = { .no_group = true, .noiommu_mode = -ENOENT, .no_vfio = true },
	    .mark = ACCEPTED },
	  { "IOMMU", EXPLAIN_FAILS, "is not loaded",
	    "modprobe vfio enable_unsafe_noiommu_mode=1" } },
	{ "no-IOMMU mode that the kernel does not have",
	  { .machine = { .no_group = true, .noiommu_mode = -ENOENT }, .mark = ACCEPTED },
	  { "IOMMU", EXPLAIN_FAILS, "no no-IOMMU mode (CONFIG_VFIO_NOIOMMU)", "in the firmware" } },
	{ "no-IOMMU mode that came after the binding",
	  { .machine = { .no_group = true,
			 .noiommu_mode = 1,
			 .driver = "vfio-pci",
			 .bound_before = true },
	    .mark = ACCEPTED },
	  { "IOMMU", EXPLAIN_FAILS, "bound before no-IOMMU mode was on",
	    "/driver/unbind && systemctl reload" } },

	{ "no IOMMU",
	  { .machine = { .no_group = true }, .mark = PLAIN },
	  { "IOMMU", EXPLAIN_FAILS, "the firmware describes no IOMMU", "in the firmware" } },
	{ "VT-d that is not used",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_INTEL }, .mark = PLAIN },
	  { "IOMMU", EXPLAIN_FAILS, "does not use it", "put intel_iommu=on on" } },
	{ "VT-d that is used, but not for the device",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_INTEL },
	    .mark = PLAIN,
	    .command_line = "intel_iommu=on" },
	  { "IOMMU", EXPLAIN_FAILS, "does not use it", "dmesg | grep DMAR" } },
	{ "VT-d that is used with more options, but not for the device",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_INTEL },
	    .mark = PLAIN,
	    .command_line = "quiet intel_iommu=on,sm_on splash" },
	  { "IOMMU", EXPLAIN_FAILS, "does not use it", "dmesg | grep DMAR" } },
	{ "VT-d of which the command line only seems to have it",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_INTEL },
	    .mark = PLAIN,
	    .command_line = "xintel_iommu=on intel_iommu=sm_on,only on" },
	  { "IOMMU", EXPLAIN_FAILS, "does not use it", "put intel_iommu=on on" } },
	{ "VT-d that was turned off among other options",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_INTEL },
	    .mark = PLAIN,
	    .command_line = "intel_iommu=sm_on,off" },
	  { "IOMMU", EXPLAIN_FAILS, "told not to use it", "take intel_iommu=off off" } },
	{ "VT-d that was turned off",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_INTEL },
	    .mark = PLAIN,
	    .command_line = "quiet intel_iommu=off" },
	  { "IOMMU", EXPLAIN_FAILS, "told not to use it", "take intel_iommu=off off" } },
	{ "all IOMMUs that were turned off",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_INTEL },
	    .mark = PLAIN,
	    .command_line = "iommu=off" },
	  { "IOMMU", EXPLAIN_FAILS, "told not to use it", "take iommu=off off" } },
	{ "AMD-Vi that is not used",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_AMD },
	    .mark = PLAIN,
	    .command_line = "intel_iommu=off" },
	  { "IOMMU", EXPLAIN_FAILS, "does not use it", "dmesg | grep AMD-Vi" } },
	{ "AMD-Vi that was turned off",
	  { .machine = { .no_group = true, .iommu = SYSFS_IOMMU_AMD },
	    .mark = PLAIN,
	    .command_line = "amd_iommu=off" },
	  { "IOMMU", EXPLAIN_FAILS, "told not to use it", "take amd_iommu=off off" } },

	{ "lockdown that cannot be seen, with an IOMMU",
	  { .machine = { .read_lockdown = -ENODATA }, .mark = PLAIN },
	  { "lockdown", EXPLAIN_HOLDS, "not known; it does not matter", NULL } },
	{ "lockdown that cannot be seen, in no-IOMMU mode",
	  { .machine = { .no_group = true, .noiommu_mode = 1, .read_lockdown = -ENODATA },
	    .mark = ACCEPTED },
	  { "lockdown", EXPLAIN_UNKNOWN, "securityfs, which tells, is not mounted", NULL } },

	{ "modules that are not loaded, and lockdown",
	  { .machine = { .no_vfio = true, .lockdown = "integrity" }, .mark = PLAIN },
	  { "modules", EXPLAIN_FAILS, "not signed", "sign " } },
	{ "signed modules, and lockdown",
	  { .machine = { .no_vfio = true, .lockdown = "integrity", .is_signed = true },
	    .mark = PLAIN },
	  { "modules", EXPLAIN_HOLDS, "not loaded yet", NULL } },
	{ "modules that are not loaded, and no lockdown",
	  { .machine = { .no_vfio = true, .lockdown = "none" }, .mark = PLAIN },
	  { "modules", EXPLAIN_HOLDS, "not loaded yet", NULL } },
	{ "modules without alias regions",
	  { .machine = { .no_alias_regions = true }, .mark = PLAIN },
	  { "modules", EXPLAIN_FAILS, "has no alias regions",
	    "depmod && { systemctl stop vfio-alias-shim; modprobe -r vfio-pci vfio_iommu_type1; "
	    "systemctl start vfio-alias-shim; }" } },

	{ "a kernel that the series is not for",
	  { .machine = { .no_alias_regions = true }, .mark = PLAIN, .kernel = "6.1.0-41-amd64" },
	  { "modules", EXPLAIN_FAILS, "has no alias regions", "apt install linux-image-6.12" } },

	{ "a driver",
	  { .machine = { .driver = "nvme" }, .mark = PLAIN },
	  { "driver", EXPLAIN_FAILS, "driver nvme has it", "/driver/unbind" } },
	{ "a driver, and a disk that goes with it",
	  { .machine = { .driver = "nvme", .carried = "nvme0n1" }, .mark = PLAIN },
	  { "driver", EXPLAIN_FAILS, "driver nvme has it",
	    MACHINE_BDF " carries nvme0n1, and unbinding it takes that away: mark it with "
			"VFIO_ALIAS_BIND=force, or unbind it yourself" } },
	{ "a driver, and binding that is left to others",
	  { .machine = { .driver = "nvme" },
	    .mark = MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "never") },
	  { "driver", EXPLAIN_FAILS, "VFIO_ALIAS_BIND=never", "driver/unbind && echo" } },
	{ "a driver, a disk that goes with it, and binding that is left to others",
	  { .machine = { .driver = "nvme", .carried = "nvme0n1" },
	    .mark = MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "never") },
	  { "driver", EXPLAIN_FAILS, "VFIO_ALIAS_BIND=never",
	    "carries nvme0n1, and unbinding it takes that away: bind it" } },
	{ "virtual functions",
	  { .machine = { .driver = "ixgbe", .has_vfs = true },
	    .mark = MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "force") },
	  { "driver", EXPLAIN_FAILS, "has virtual functions of the device",
	    "once nothing uses the virtual functions: echo 0 > " } },
	{ "virtual functions, and a network interface",
	  { .machine = { .driver = "ixgbe", .has_vfs = true, .carried = "eth0" },
	    .mark = MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "force") },
	  { "driver", EXPLAIN_FAILS, "has virtual functions of the device",
	    "carries eth0, and unbinding it takes that away: take its virtual functions" } },
	{ "another driver in the group, and a disk that goes with it",
	  { .machine = { .beside = "nvme", .carried = "vda" }, .mark = PLAIN },
	  { "IOMMU group", EXPLAIN_FAILS, "driver nvme has " MACHINE_BESIDE,
	    MACHINE_BESIDE " carries vda, and unbinding it takes that away: unbind it" } },
	{ "another driver in the group",
	  { .machine = { .beside = "nvme" }, .mark = PLAIN },
	  { "IOMMU group", EXPLAIN_FAILS, "driver nvme has " MACHINE_BESIDE,
	    "echo " MACHINE_BESIDE " > " } },
	{ "another driver in the group, and the device has one",
	  { .machine = { .beside = "nvme", .driver = "e1000e" },
	    .mark = MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "force") },
	  { "IOMMU group", EXPLAIN_FAILS, "driver nvme has " MACHINE_BESIDE,
	    "echo " MACHINE_BESIDE " > " } },
	{ "a group that is open",
	  { .machine = { .opened = true }, .mark = PLAIN },
	  { "group's holder", EXPLAIN_FAILS, "user (pid 4712) has /dev/vfio/7 open",
	    "end user, if it may go: kill 4712" } },
	{ "another device of the group that is open",
	  { .machine = { .opened_beside = true, .cdev = true, .driver = "vfio-pci" },
	    .mark = PLAIN },
	  { "group's holder", EXPLAIN_FAILS, "user (pid 4712) has /dev/vfio/devices/vfio1 open",
	    "end user, if it may go: kill 4712" } },

	{ "a service that has not started",
	  { .mark = PLAIN, .active = "inactive" },
	  { "service", EXPLAIN_FAILS, "inactive", "systemctl start" } },
	{ "an alias that is another program's",
	  { .machine = { WITH_ALIAS, .opened = true },
	    .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF, .state = "waiting", .reason = "the group is busy" } },
	  { "group's holder", EXPLAIN_FAILS, "user (pid 4712) has /dev/vfio/7 open",
	    "end user, if it may go: kill 4712" } },
	{ "an alias of which the service knows nothing",
	  { .machine = { WITH_ALIAS }, .mark = PLAIN },
	  { "session", EXPLAIN_FAILS, "knows nothing of the device", "systemctl reload" } },
	{ "a device that waits, and the service says what would mend it",
	  { .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF,
			.state = "waiting",
			.reason = "BAR 2: VFIO cannot map it" } },
	  { "session", EXPLAIN_FAILS, "VFIO cannot map it", NULL } },
	{ "a device that waits for a reload",
	  { .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF,
			.state = "waiting",
			.reason = "the device was taken from its VFIO driver; bind it to one "
				  "again, or reload the service" } },
	  { "session", EXPLAIN_FAILS, "taken", "systemctl reload" } },
	{ "a device that waits for a module",
	  { .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF,
			.state = "waiting",
			.reason = "the module vfio-pci is not loaded (No such file or directory): "
				  "reload the service, which has it loaded" } },
	  { "session", EXPLAIN_FAILS, "is not loaded", "systemctl reload" } },
	{ "a device that waits for something else, and then a reload",
	  { .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF,
			.state = "waiting",
			.reason = "accept it with vfio_iommu_type1.allow_unsafe_interrupts=1 and "
				  "reload the service" } },
	  { "session", EXPLAIN_FAILS, "allow_unsafe_interrupts", NULL } },
	{ "a device that vfio-pci has not taken",
	  { .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF,
			.state = "waiting",
			.reason = "vfio-pci has not taken the device (No such device), see the "
				  "kernel's log; reload the service to try again" } },
	  { "session", EXPLAIN_FAILS, "has not taken", NULL } },
	{ "a device that waits for a restart",
	  { .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF,
			.state = "waiting",
			.reason = "the service may not open /dev/vfio/7, as VFIO's modules were "
				  "loaded after it was started: restart it, which keeps all "
				  "mappings" } },
	  { "session", EXPLAIN_FAILS, "may not open", "systemctl restart vfio-alias-shim" } },

	{ "an item that meets the MSI-X table",
	  { .machine = { .msix = { 2, 0x10800, 0x100 } }, .mark = PLAIN },
	  { "mark's sense", EXPLAIN_FAILS, "2:wc meets the pages of the MSI-X table, 64K+4K",
	    "change it in" } },
	{ "an item that meets the last page of the MSI-X table",
	  { .machine = { .msix = { 2, 0x10f00, 0x200 } },
	    .mark = MARK([MARK_ALIAS] = "2:wc@0+64K 2:wc@68K+4K") },
	  { "mark's sense", EXPLAIN_FAILS, "2:wc@68K+4K meets the pages of the MSI-X table, 64K+8K",
	    "change it in" } },
	{ "items around the MSI-X table",
	  { .machine = { .msix = { 2, 0x10800, 0x100 } },
	    .mark = MARK([MARK_ALIAS] = "2:wc@0+64K 2:wc@68K+4K") },
	  { "mark's sense", EXPLAIN_HOLDS, "2 items that fit", NULL } },
	{ "an MSI-X table in another BAR",
	  { .machine = { .msix = { 1, 0, 0x100 } }, .mark = PLAIN },
	  { "mark's sense", EXPLAIN_HOLDS, "1 item that fits", NULL } },

	{ "no mark, and a BAR that begins with the MSI-X table",
	  { .machine = { .msix = { 2, 0, 0x100 } } },
	  { "mark", EXPLAIN_FAILS, "no file of rules mentions it",
	    "vfio-alias mark " MACHINE_BDF " 2:wc@4K+16380K" } },
	{ "no mark, and a BAR that ends with the MSI-X table",
	  { .machine = { .msix = { 2, (16 << 20) - 0x100, 0x100 } } },
	  { "mark", EXPLAIN_FAILS, "no file of rules mentions it",
	    "vfio-alias mark " MACHINE_BDF " 2:wc@0+16380K" } },
	{ "no mark, and nothing but the MSI-X table",
	  { .machine = { .msix = { 2, 0, 16 << 20 } } },
	  { "mark", EXPLAIN_FAILS, "it has no BAR that can have an alias", NULL } },

	{ "no mark",
	  { .command_line = "" },
	  { "mark", EXPLAIN_FAILS, "no file of rules mentions it",
	    "vfio-alias mark " MACHINE_BDF " 2:wc" } },
	{ "no mark, and an MSI-X table that cannot be seen",
	  { .machine = { .find_msix = -ENODATA }, .unprivileged = true },
	  { "mark", EXPLAIN_FAILS, "no file of rules mentions it", "run this as root" } },
	{ "no mark, and larger BARs that are not prefetchable",
	  { .machine = { .more_bars = true } },
	  { "mark", EXPLAIN_FAILS, "no file of rules mentions it",
	    "vfio-alias mark " MACHINE_BDF " 2:wc" } },
	{ "no mark, and no BAR for one",
	  { .machine = { .no_bar = true } },
	  { "mark", EXPLAIN_FAILS, "it has no BAR that can have an alias", NULL } },
	{ "two rules, of which the last counts",
	  { .mark = PLAIN,
	    .rules = "KERNEL==\"" MACHINE_BDF "\", ENV{VFIO_ALIAS}=\"2:uc\"\n"
		     "KERNEL==\"" MACHINE_BDF "\", ENV{VFIO_ALIAS}=\"2:wc\"\n" },
	  { "mark", EXPLAIN_HOLDS, RULES ":2", NULL } },
	{ "a rule that is likely the one",
	  { .mark = PLAIN, .rules = "KERNEL==\"" MACHINE_BDF "\", ENV{VFIO_ALIAS}=\"2:wc\"\n" },
	  { "mark", EXPLAIN_HOLDS, "VFIO_ALIAS=\"2:wc\", it seems by /", NULL } },
	{ "a rule that udev has not read",
	  { .rules = "KERNEL==\"" MACHINE_BDF "\", ENV{VFIO_ALIAS}=\"2:wc\"\n" },
	  { "mark", EXPLAIN_FAILS, RULES ":1 looks as if it set one", "udevadm trigger" } },

	{ "an alias that is not there",
	  { .machine = { .driver = "vfio-pci" },
	    .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF, .state = "published" } },
	  { "alias", EXPLAIN_FAILS, "the kernel does not have it", "systemctl reload" } },
	{ "an alias that is not shared, and should be",
	  { .machine = { WITH_ALIAS },
	    .mark = MARK([MARK_ALIAS] = "2:wc,shared"),
	    .status = { .bdf = MACHINE_BDF, .state = "published" } },
	  { "alias", EXPLAIN_FAILS, "the kernel does not have it", "systemctl reload" } },
	{ "an alias that is not there, and the service says what would mend it",
	  { .machine = { .driver = "vfio-pci" },
	    .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF,
			.state = "waiting",
			.n_aliases = 1,
			.aliases = &(struct status_alias){ .bar = 2,
							   .size = 16 << 20,
							   .state = "waiting",
							   .reason = "in use; waiting until it "
								     "is free" } } },
	  { "alias", EXPLAIN_FAILS, "waiting until it is free", NULL } },
	{ "a file that is not there",
	  { .machine = { .driver = "vfio-pci",
			 .n_aliases = 1,
			 .aliases = { { .bar = 2,
					.type = VFIO_ALIAS_MEMORY_UC,
					.flags = VFIO_ALIAS_FLAG_SYSFS,
					.size = 16 << 20 } } },
	    .mark = UC,
	    .status = { .bdf = MACHINE_BDF, .state = "published" } },
	  { "file", EXPLAIN_FAILS, "resource2 is missing",
	    "systemctl stop vfio-alias-shim && systemctl start vfio-alias-shim" } },
	{ "a page table of another type",
	  { .machine = { .driver = "vfio-pci",
			 .n_aliases = 1,
			 .aliases = { { .bar = 2,
					.type = VFIO_ALIAS_MEMORY_UC,
					.flags = VFIO_ALIAS_FLAG_SYSFS,
					.size = 16 << 20 } } },
	    .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF, .state = "published" } },
	  { "page table", EXPLAIN_FAILS, "has uc for the range and not wc",
	    "systemctl stop vfio-alias-shim && systemctl start vfio-alias-shim" } },
	{ "a record of another type",
	  { .machine = { WITH_ALIAS, .memtypes = "PAT: [mem 0x00000000fd000000-0x00000000fe000000] "
						 "uncached-minus\n" },
	    .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF, .state = "published" } },
	  { "page table", EXPLAIN_FAILS, "recorded as uncached-minus",
	    "systemctl stop vfio-alias-shim && systemctl start vfio-alias-shim" } },

	{ "other users' files",
	  { .mark = PLAIN, .unprivileged = true },
	  { "group's holder", EXPLAIN_UNKNOWN, "takes root to see", NULL } },
	{ "other users' mappings",
	  { .mark = PLAIN, .unprivileged = true },
	  { "other mappings", EXPLAIN_UNKNOWN, "takes root to see", NULL } },
	{ "a mapping that is not in the way",
	  { .machine = { .mapped = true },
	    .mark = UC,
	    .status = { .bdf = MACHINE_BDF, .state = "waiting", .reason = "no" } },
	  { "other mappings", EXPLAIN_HOLDS, "no mapping of BAR 2 by a file is in the way",
	    NULL } },
	{ "a mapping",
	  { .machine = { .mapped = true },
	    .mark = PLAIN,
	    .status = { .bdf = MACHINE_BDF, .state = "published" } },
	  { "other mappings", EXPLAIN_FAILS, "tool (pid 4711) has mapped resource2",
	    "end tool, if it may go: kill 4711" } },
};

Test(explain_machine, what_is_in_the_way_is_told_and_what_would_mend_it)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i].name, &cases[i].situation, &cases[i].told);
}

/* A mark that is refused says all the same how the device is to be bound. */
Test(explain_machine, a_mark_without_sense_is_not_taken_for_none)
{
	static const struct {
		struct situation situation;
		const char *condition;
		enum explain_state state;
		const char *text;
	} refused[] = {
		{ { .machine = { .driver = "nvme" },
		    .mark = MARK([MARK_ALIAS] = "2:wb", [MARK_BIND] = "force") },
		  "driver",
		  EXPLAIN_HOLDS,
		  "driver nvme; the service binds it" },
		{ { .machine = { .driver = "nvme" },
		    .mark = MARK([MARK_ALIAS] = "2:wb", [MARK_BIND] = "never") },
		  "driver",
		  EXPLAIN_FAILS,
		  "VFIO_ALIAS_BIND=never" },
		{ { .machine = { .no_group = true },
		    .mark = MARK([MARK_ALIAS] = "2:wb", [MARK_NOIOMMU] = "1") },
		  "IOMMU",
		  EXPLAIN_FAILS,
		  "no-IOMMU mode is off" },
		{ { .machine = { .no_group = true, .noiommu_mode = 1, .driver = "vfio-pci" },
		    .mark = MARK([MARK_ALIAS] = "2:wb") },
		  "IOMMU",
		  EXPLAIN_FAILS,
		  "the mark does not accept that" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_explanation_ struct explanation explanation = {};
		const struct explain_condition *condition;

		enter(&refused[i].situation);
		cr_assert_eq(explain(scratch, MACHINE_BDF, &explanation), 0);
		leave();
		cr_expect_eq(find(&explanation, "mark's sense")->state, EXPLAIN_FAILS);
		condition = find(&explanation, refused[i].condition);
		cr_expect_eq(condition->state, refused[i].state, "%zu: %s", i, condition->text);
		cr_expect(contains(condition->text, refused[i].text), "%zu: %s", i,
			  condition->text);
	}
}

Test(explain_machine, nothing_is_proven_of_a_mark_whose_sense_is_not_known)
{
	_cleanup_explanation_ struct explanation explanation = {};

	enter(&(struct situation){ .machine = { WITH_ALIAS },
				   .mark = MARK([MARK_ALIAS] = "2:wc", [MARK_OWNER] = "somebody"),
				   .status = { .bdf = MACHINE_BDF, .state = "published" } });
	cr_assert_eq(explain(scratch, MACHINE_BDF, &explanation), 0);
	leave();
	cr_expect_eq(find(&explanation, "mark's sense")->state, EXPLAIN_UNKNOWN);
	cr_expect_eq(find(&explanation, "session")->state, EXPLAIN_HOLDS);
	cr_expect_not(explanation.proven);
}

Test(explain_machine, everything_holds)
{
	_cleanup_explanation_ struct explanation explanation = {};
	char owner[16], group[16];
	const struct situation situation = {
		.machine = { WITH_ALIAS, .memtypes =
						 "PAT: [mem 0x00000000fd000000-0x00000000fe000000] "
						 "write-combining\n" },
		.mark = MARK([MARK_ALIAS] = "2:wc", [MARK_OWNER] = owner, [MARK_GROUP] = group,
			     [MARK_MODE] = "0600"),
		.status = { .bdf = MACHINE_BDF, .state = "published" },
	};

	snprintf(owner, sizeof(owner), "%u", getuid());
	snprintf(group, sizeof(group), "%u", getgid());
	enter(&situation);
	cr_assert_eq(explain(scratch, MACHINE_BDF, &explanation), 0);
	leave();
	for (size_t i = 0; i < explanation.n; i++)
		cr_expect_eq(explanation.conditions[i].state, EXPLAIN_HOLDS, "%s: %s",
			     explanation.conditions[i].name,
			     explanation.conditions[i].text ?: "not reached");
	cr_expect(explanation.proven);
}

Test(explain_machine, a_device_that_is_not_there_fails_first_and_the_rest_is_not_reached)
{
	_cleanup_explanation_ struct explanation explanation = {};
	const struct explain_condition *failure;

	enter(&(struct situation){ .machine = { .gone = true } });
	cr_assert_eq(explain(scratch, MACHINE_BDF, &explanation), 0);
	leave();
	cr_expect_not(explanation.proven);
	failure = explanation_first_failure(&explanation);
	cr_assert_not_null(failure);
	cr_expect_eq(failure, explanation.conditions);
	cr_expect_str_eq(failure->name, "device");
	cr_expect_not_null(failure->mend);
	cr_expect_eq(explanation.conditions[1].state, EXPLAIN_NOT_REACHED);
	cr_expect_null(explanation.conditions[1].text);
}
