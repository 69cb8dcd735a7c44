/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "explain.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "group.h"
#include "holder.h"
#include "layout.h"
#include "mark.h"
#include "memtype.h"
#include "modules.h"
#include "service.h"
#include "status.h"
#include "sysfs.h"
#include "udev-rules.h"
#include "udev.h"
#include "vfio.h"

#define SERVICE "vfio-alias-shim"
#define DEVICE_DIRECTORY SYSFS_PCI_DEVICES "/"

/* That which the patched modules have and stock ones have not. */
#define SERIES "6.12" /* of kernels that kernel/patches is for */
#define CORE_SYMBOL "vfio_pci_core_enable"
#define FEATURE_SYMBOL "vfio_pci_alias_feature"	     /* in vfio-pci-core */
#define FILE_NEEDS_SYMBOL "vfio_device_mapping_file" /* vfio-pci-core uses vfio's */

const char *const explain_state_names[EXPLAIN_STATES] = {
	[EXPLAIN_HOLDS] = "holds",
	[EXPLAIN_FAILS] = "fails",
	[EXPLAIN_UNKNOWN] = "unknown",
	[EXPLAIN_NOT_REACHED] = "not-reached",
};

/* A restart keeps every alias. */
#define MAKE_ANEW "systemctl stop " SERVICE " && systemctl start " SERVICE

#define ENABLE_IOMMU \
	"enable the IOMMU (VT-d, AMD-Vi) in the firmware, or give the virtual machine one"
#define COMMAND_LINE                                                                             \
	"the kernel's command line: GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub, " \
	"and reboot"

/* What the conditions look at, and what earlier ones have found for later ones. */
struct context {
	const char *root; /* "" or the directory in place of / */
	const char *bdf;
	bool privileged; /* else other users' processes cannot be seen */
	int sysfs_fd;
	int service_error; /* of asking systemd */
	struct service_unit service;
	struct pci_bar bars[PCI_BARS];
	struct udev_rules_device ids;
	char *rule; /* FILE:LINE that marks the device, if one was found */
	struct mark_text text;
	struct mark *mark; /* if it makes sense */
	unsigned int group;
	bool has_group; /* in no-IOMMU mode it comes with VFIO's driver */
	bool session_open;
	struct status status;
	struct sysfs_alias *aliases; /* of the kernel */
	size_t n_aliases;

	/* Conditions of an item */
	const struct mark_item *item;
	const struct sysfs_alias *alias; /* that the kernel has for it, or NULL */

	struct explain_condition *now; /* the one that is being looked at */
};

_printf_(1, 0) static char *format_text(const char *format, va_list args)
{
	char *text;

	return vasprintf(&text, format, args) < 0 ? NULL : text;
}

/* What a condition returns: the state, with what was found. */
#define DEFINE_VERDICT(name, state)                                                               \
	_printf_(2, 3) static enum explain_state name(struct context *c, const char *format, ...) \
	{                                                                                         \
		va_list args;                                                                     \
                                                                                                  \
		va_start(args, format);                                                           \
		c->now->text = format_text(format, args);                                         \
		va_end(args);                                                                     \
		return state;                                                                     \
	}

DEFINE_VERDICT(holds, EXPLAIN_HOLDS)
DEFINE_VERDICT(fails, EXPLAIN_FAILS)
DEFINE_VERDICT(unknown, EXPLAIN_UNKNOWN)

/* What would mend a condition, before it returns fails(). */
_printf_(2, 3) static void mend(struct context *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	c->now->mend = format_text(format, args);
	va_end(args);
}

bool explain_has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += length) {
		bool begins = p == text || strchr(" \t\n", p[-1]);

		if (begins && strchr(" \t\n", p[length]))
			return true;
	}
	return false;
}

int explain_cpu_flag(FILE *cpuinfo, const char *flag)
{
	static const char key[] = "flags";
	_cleanup_free_ char *line = NULL;
	size_t allocated = 0;
	ssize_t length;

	while ((length = read_line(cpuinfo, &line, &allocated)) > 0) {
		const char *flags = strchr(line, ':');

		if (flags && strncmp(line, key, strlen(key)) == 0 &&
		    strspn(line + strlen(key), " \t") == (size_t)(flags - line) - strlen(key))
			return explain_has_word(flags + 1, flag);
	}
	return length < 0 ? (int)length : -ENODATA;
}

/* Where to look for what is not below /sys. @path: absolute. To be freed; NULL without memory. */
static char *path_below_root(const struct context *c, const char *path)
{
	char *below;

	return asprintf(&below, "%s%s", c->root, path) < 0 ? NULL : below;
}

/* Returns a descriptor, or -errno. */
static int open_directory(const struct context *c, const char *path)
{
	_cleanup_free_ char *below = path_below_root(c, path);
	int fd;

	if (!below)
		return -ENOMEM;
	fd = open(below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Returns 0 or -errno. */
static int open_stream(const struct context *c, const char *path, FILE **ret)
{
	_cleanup_free_ char *below = path_below_root(c, path);

	return below ? open_stream_at(AT_FDCWD, below, ret) : -ENOMEM;
}

/* The kernel's command line; empty if it cannot be read. To be freed; NULL without memory. */
static char *read_command_line(const struct context *c)
{
	_cleanup_close_ int proc = open_directory(c, "/proc");
	char *text;

	return proc >= 0 && read_one_line_at(proc, "cmdline", &text) == 0 ? text : strdup("");
}

/* ---- the rule ---- */

static enum explain_state check_device(struct context *c)
{
	_cleanup_free_ char *shown = NULL;
	char length[FORMAT_SIZE_MAX];
	size_t size;
	FILE *stream;
	int r;

	c->sysfs_fd = sysfs_open_device(c->bdf);
	if (c->sysfs_fd == -ENOENT) {
		mend(c, "echo 1 > /sys/bus/pci/rescan");
		return fails(c, "there is no such PCI device (lspci -D lists them)");
	}
	if (c->sysfs_fd < 0)
		return unknown(c, DEVICE_DIRECTORY "%s: %s", c->bdf, strerror(-c->sysfs_fd));
	r = sysfs_read_bars(c->sysfs_fd, c->bars);
	if (r == 0)
		r = sysfs_read_ids(c->sysfs_fd, &c->ids.vendor, &c->ids.device);
	if (r < 0)
		return unknown(c, "its BARs cannot be read: %s", strerror(-r));

	stream = open_memstream(&shown, &size);
	if (!stream)
		return unknown(c, "%s", strerror(errno));
	for (unsigned int i = 0; i < PCI_BARS; i++)
		if (c->bars[i].kind == PCI_BAR_MEMORY)
			fprintf(stream, ", BAR %u of %s", i,
				format_size(length, c->bars[i].length));
	fclose(stream);
	return holds(c, "%04x:%04x%s", c->ids.vendor, c->ids.device, shown ?: "");
}

struct range {
	uint64_t start, end;
};

/* What of a BAR can have an alias; @msix: the table that is in it, whose larger side it is then */
static struct range usable_range(const struct pci_bar *bar, const struct pci_msix *msix)
{
	uint64_t start, past;

	if (bar->kind != PCI_BAR_MEMORY)
		return (struct range){};
	if (!msix)
		return (struct range){ 0, bar->length };
	pci_msix_pages(msix, &start, &past);
	if (past < bar->length && bar->length - past > start)
		return (struct range){ past, bar->length };
	return (struct range){ 0, start < bar->length ? start : bar->length };
}

#define ITEM_SIZE (sizeof("0:wc@+") + 2 * (size_t)FORMAT_SIZE_MAX)

/*
 * What a mark is most likely meant for: the largest range of a BAR that can have an alias, and
 * rather of one that is prefetchable, for such a one bears write-combining.
 * @msix: NULL for none
 * Returns @buffer, or NULL if there is none.
 */
static const char *likely_item(const struct context *c, const struct pci_msix *msix,
			       char buffer[static ITEM_SIZE])
{
	char offset[FORMAT_SIZE_MAX], length[FORMAT_SIZE_MAX];
	uint64_t largest = page_size() - 1;
	bool prefetchable = false;
	const char *item = NULL;

	for (unsigned int i = 0; i < PCI_BARS; i++) {
		struct range range =
			usable_range(&c->bars[i], msix && msix->bar == i ? msix : NULL);
		uint64_t size = range.end - range.start;

		if (size < page_size() || c->bars[i].prefetchable < prefetchable ||
		    (c->bars[i].prefetchable == prefetchable && size <= largest))
			continue;
		largest = size;
		prefetchable = c->bars[i].prefetchable;
		item = buffer;
		if (largest == c->bars[i].length)
			snprintf(buffer, ITEM_SIZE, "%u:wc", i);
		else
			snprintf(buffer, ITEM_SIZE, "%u:wc@%s+%s", i,
				 format_size(offset, range.start), format_size(length, largest));
	}
	return item;
}

static bool is_marked(const struct context *c)
{
	const char *value = c->text.value[MARK_ALIAS];

	return value && *value;
}

static enum explain_state check_mark(struct context *c)
{
	_cleanup_free_ char *shown = NULL;
	bool initialized = false;
	char buffer[ITEM_SIZE];
	const char *value, *item;
	struct pci_msix msix;
	int searched, r;

	snprintf(c->ids.bdf, sizeof(c->ids.bdf), "%s", c->bdf);
	searched = udev_rules_search(c->root, &c->ids, &c->rule);
	r = udev_read_mark(c->bdf, &c->text, &initialized);
	if (r < 0)
		return unknown(c, "udev's database cannot be read: %s", strerror(-r));

	if (is_marked(c)) {
		value = c->text.value[MARK_ALIAS];
		shown = printable(value, strlen(value));
		return holds(c, "VFIO_ALIAS=\"%s\"%s%s", shown ?: "",
			     c->rule ? ", it seems by " : "", c->rule ?: "");
	}
	if (c->rule) {
		mend(c,
		     "udevadm control --reload && "
		     "udevadm trigger --settle --action=change " DEVICE_DIRECTORY "%s",
		     c->bdf);
		return fails(
			c,
			"udev has no VFIO_ALIAS for it, though %s looks as if it set one: to "
			"nothing, or udev has not read it, or does not apply it (udevadm test " DEVICE_DIRECTORY
			"%s tells)",
			c->rule, c->bdf);
	}
	r = sysfs_find_msix(c->sysfs_fd, &msix);
	item = likely_item(c, r == 0 ? &msix : NULL, buffer);
	if (!item)
		return fails(c, "not marked, and it has no BAR that can have an alias");
	if (r == -ENODATA)
		mend(c, "run this as root, who can see where the MSI-X table leaves room for an "
			"alias, and so what to mark");
	else
		mend(c, "vfio-alias mark %s %s", c->bdf, item);
	return fails(c, "%s, and %s%s",
		     initialized ? "udev has no VFIO_ALIAS for it" : "udev has not seen it",
		     searched == -ENOENT ? "no file of rules mentions it" :
					   "not every file of rules can be read: ",
		     searched == -ENOENT ? "" : strerror(-searched));
}

/* What the mark says of the device counts, too, if something else of it makes no sense. */

static enum mark_bind wanted_bind(const struct context *c)
{
	const char *value = c->text.value[MARK_BIND];

	return streq(value, "force") ? MARK_BIND_FORCE :
	       streq(value, "never") ? MARK_BIND_NEVER :
				       MARK_BIND_AUTO;
}

static bool accepts_noiommu(const struct context *c)
{
	return streq(c->text.value[MARK_NOIOMMU], "1");
}

static void mend_rule(struct context *c, const char *how)
{
	mend(c, "%s in %s, then: systemctl reload-or-restart " SERVICE, how,
	     c->rule ?: "the rule that sets the mark");
}

static enum explain_state check_sense(struct context *c)
{
	_cleanup_free_ char *message = NULL;
	_cleanup_mark_ struct mark *mark = NULL;
	struct pci_msix msix;
	int r;

	r = mark_parse(&c->text, &mark, &message);
	if (r == 0)
		r = mark_check(mark, c->bars, &message);
	if (r == -EINVAL) {
		mend_rule(c, "change it");
		return fails(c, "%s", message);
	}
	if (r < 0)
		return unknown(c, "%s", strerror(-r));
	/* Which takes root to see */
	if (sysfs_find_msix(c->sysfs_fd, &msix) == 0 && mark_find_msix(mark, &msix, &message)) {
		mend_rule(c, "change it");
		return fails(c, "%s", message ?: strerror(ENOMEM));
	}
	c->mark = TAKE_PTR(mark);
	return holds(c, "%zu item%s that fit%s the BARs", c->mark->n_items,
		     c->mark->n_items == 1 ? "" : "s", c->mark->n_items == 1 ? "s" : "");
}

/* ---- the machine ---- */

#if defined(__x86_64__) || defined(__i386__)
/* What the mark is for, if it is known. */
static bool wants_wc(const struct context *c)
{
	if (!c->mark)
		return true;
	for (size_t i = 0; i < c->mark->n_items; i++)
		if (c->mark->items[i].type == VFIO_ALIAS_MEMORY_WC)
			return true;
	return false;
}
#endif

static enum explain_state check_pat(struct context *c)
{
#if defined(__x86_64__) || defined(__i386__)
	_cleanup_free_ char *command_line = read_command_line(c);
	_cleanup_fclose_ FILE *cpuinfo = NULL;
	int r;

	if (!wants_wc(c))
		return holds(c, "not needed for uc");
	if (command_line && explain_has_word(command_line, "nopat")) {
		mend(c, "take nopat off the kernel's command line, and reboot");
		return fails(c, "the kernel was booted with nopat: it has no write-combining");
	}
	r = open_stream(c, "/proc/cpuinfo", &cpuinfo);
	if (r == 0)
		r = explain_cpu_flag(cpuinfo, "pat");
	if (r < 0)
		return unknown(c, "/proc/cpuinfo: %s", strerror(-r));
	if (r == 0) {
		mend(c, "another CPU; in a virtual machine, a CPU model that has the flag pat");
		return fails(c, "the CPU has no page attribute table, so no write-combining");
	}
	return holds(c, "the CPU has a page attribute table, and the kernel uses it");
#else
	return holds(c, "not needed on this architecture");
#endif
}

/* The mark accepts a device without an IOMMU, which has no group. */
static enum explain_state check_noiommu_mode(struct context *c)
{
	int r = sysfs_noiommu_mode();

	if (r == -ENOENT && !modules_is_loaded("vfio")) {
		mend(c, "modprobe vfio enable_unsafe_noiommu_mode=1");
		return fails(c, "VFIO_ALIAS_NOIOMMU=1, but VFIO is not loaded, and its no-IOMMU "
				"mode is off by default");
	}
	if (r == -ENOENT) {
		mend(c, ENABLE_IOMMU);
		return fails(c, "VFIO_ALIAS_NOIOMMU=1, but this kernel has no no-IOMMU mode "
				"(CONFIG_VFIO_NOIOMMU)");
	}
	if (r < 0)
		return unknown(c, SYSFS_NOIOMMU_MODE ": %s", strerror(-r));
	if (r == 0) {
		mend(c, "echo Y > " SYSFS_NOIOMMU_MODE " && systemctl reload-or-restart " SERVICE);
		return fails(c, "VFIO_ALIAS_NOIOMMU=1, but VFIO's no-IOMMU mode is off");
	}
	if (sysfs_has_vfio(c->sysfs_fd)) {
		mend(c,
		     "echo %s > " DEVICE_DIRECTORY
		     "%s/driver/unbind && systemctl reload-or-restart " SERVICE,
		     c->bdf, c->bdf);
		return fails(c, "the device was bound before no-IOMMU mode was on");
	}
	return holds(c, "no-IOMMU mode, once the device is bound");
}

/* Whether @option is among those, with commas between them, that follow @key, "KEY=". */
static bool has_option(const char *command_line, const char *key, const char *option)
{
	for (const char *p = command_line; (p = strstr(p, key));) {
		bool begins = p == command_line || strchr(" \t\n", p[-1]);

		p += strlen(key);
		for (const char *end = p; begins && !strchr(" \t\n", *end);) {
			const char *start = end;

			end += strcspn(end, ", \t\n");
			if ((size_t)(end - start) == strlen(option) &&
			    strncmp(start, option, strlen(option)) == 0)
				return true;
			end += *end == ',';
		}
	}
	return false;
}

/* The word of the kernel's command line that turns off the IOMMU, or NULL. */
static const char *find_iommu_off(const char *command_line, enum sysfs_iommu iommu)
{
	bool intel = iommu == SYSFS_IOMMU_INTEL;

	if (has_option(command_line, intel ? "intel_iommu=" : "amd_iommu=", "off"))
		return intel ? "intel_iommu=off" : "amd_iommu=off";
	return has_option(command_line, "iommu=", "off") ? "iommu=off" : NULL;
}

/* Why the device has no IOMMU group. */
static enum explain_state explain_no_iommu(struct context *c)
{
	_cleanup_free_ char *command_line = read_command_line(c);
	enum sysfs_iommu iommu = sysfs_firmware_iommu();
	bool intel = iommu == SYSFS_IOMMU_INTEL;
	const char *off;

	if (!command_line)
		return unknown(c, "%s", strerror(ENOMEM));
	if (iommu == SYSFS_IOMMU_NONE) {
		mend(c, ENABLE_IOMMU);
		return fails(c, "the device has no IOMMU group, and the firmware describes no "
				"IOMMU");
	}
	off = find_iommu_off(command_line, iommu);
	if (off)
		mend(c, "take %s off " COMMAND_LINE, off);
	else if (intel && !has_option(command_line, "intel_iommu=", "on"))
		mend(c, "put intel_iommu=on on " COMMAND_LINE);
	else
		mend(c, "see what the kernel says of it: dmesg | grep %s",
		     intel ? "DMAR" : "AMD-Vi");
	return fails(c,
		     "the device has no IOMMU group; the firmware describes an IOMMU (%s), and "
		     "the kernel %s",
		     intel ? "VT-d" : "AMD-Vi",
		     off ? "was told not to use it" : "does not use it for this device");
}

static enum explain_state check_iommu(struct context *c)
{
	int r;

	r = sysfs_iommu_group(c->sysfs_fd, &c->group);
	c->has_group = r == 0;
	if (r == -ENOENT)
		return accepts_noiommu(c) ? check_noiommu_mode(c) : explain_no_iommu(c);
	if (r < 0)
		return unknown(c, "the IOMMU group cannot be read: %s", strerror(-r));
	if (!sysfs_group_is_noiommu(c->sysfs_fd))
		return holds(c, "on, group %u", c->group);
	if (is_marked(c) && !accepts_noiommu(c)) {
		mend_rule(c, "set VFIO_ALIAS_NOIOMMU=1");
		return fails(c, "the device is in no-IOMMU mode, in which it can write to all of "
				"memory, and the mark does not accept that");
	}
	return holds(c, "no-IOMMU mode, group %u", c->group);
}

/* Which of the two symbols of vfio-pci-core the running kernel has. Returns 0 or -errno. */
static int find_loaded_symbols(const struct context *c, bool *ret_core, bool *ret_feature)
{
	static const char *const names[] = { CORE_SYMBOL, FEATURE_SYMBOL };
	_cleanup_fclose_ FILE *kallsyms = NULL;
	bool found[ARRAY_SIZE(names)];
	int r;

	r = open_stream(c, "/proc/kallsyms", &kallsyms);
	if (r < 0)
		return r;
	r = modules_find_symbols(kallsyms, names, ARRAY_SIZE(names), found);
	if (r < 0)
		return r;
	*ret_core = found[0];
	*ret_feature = found[1];
	return 0;
}

static void mend_install(struct context *c, const char *then)
{
	struct utsname kernel;

	if (uname(&kernel) == 0 && strncmp(kernel.release, SERIES ".", strlen(SERIES ".")) != 0) {
		mend(c, "boot a kernel that the series is for: apt install linux-image-" SERIES
			"-amd64");
		return;
	}
	mend(c,
	     "in the sources of vfio-alias-shim: kernel/build --kver \"$(uname -r)\" modules && "
	     "install -D -m 644 -t \"/lib/modules/$(uname -r)/updates\" modules/*.ko && depmod%s",
	     then);
}

/* The service starts again in any case, for the sake of other devices. */
#define RELOAD_MODULES                                                        \
	"systemctl stop " SERVICE "; modprobe -r vfio-pci vfio_iommu_type1; " \
	"systemctl start " SERVICE

/* Whether lockdown keeps the kernel from loading the module; then what is found and would mend it.
 */
static bool is_barred(struct context *c, const struct modules_file *file, enum explain_state *ret)
{
	_cleanup_free_ char *level = NULL;

	if (file->is_signed || sysfs_lockdown(&level) < 0 || streq(level, "none"))
		return false;
	mend(c,
	     "sign %s and the modules beside it with a key that the machine knows, or turn "
	     "Secure Boot off",
	     file->path);
	*ret = fails(c, "%s is not signed, so the kernel does not load it: lockdown is %s",
		     file->path, level);
	return true;
}

static enum explain_state check_modules(struct context *c)
{
	_cleanup_(modules_file_clear) struct modules_file file = {};
	bool core = false, feature = false;
	enum explain_state state;
	int loaded, on_disk;

	loaded = find_loaded_symbols(c, &core, &feature);
	on_disk = modules_look_at_file("vfio_pci_core", FILE_NEEDS_SYMBOL, &file);

	if (c->n_aliases > 0 || (loaded == 0 && core && feature))
		return on_disk == 0 && !file.uses_symbol ?
			       holds(c,
				     "the vfio-pci that is loaded has alias regions; %s has not, "
				     "and is what the next boot loads",
				     file.path) :
			       holds(c, "the vfio-pci that is loaded has alias regions");
	if (loaded < 0)
		return unknown(c, "/proc/kallsyms: %s: not known until a session is open",
			       strerror(-loaded));
	if (on_disk == 0 && file.uses_symbol) {
		if (is_barred(c, &file, &state))
			return state;
		if (!core)
			return holds(c, "not loaded yet; %s has alias regions", file.path);
		mend(c, RELOAD_MODULES);
		return fails(c,
			     "the vfio-pci that is loaded has no alias regions; %s has, and a "
			     "reboot loads it, too",
			     file.path);
	}
	if (core) {
		mend_install(c, " && { " RELOAD_MODULES "; }");
		return fails(c, "the vfio-pci that is loaded has no alias regions%s%s",
			     file.path ? ", nor has " : "", file.path ?: "");
	}
	if (on_disk == 0) {
		mend_install(c, "");
		return fails(c, "%s has no alias regions", file.path);
	}
	if (on_disk == -ENOENT) {
		struct utsname name;

		(void)uname(&name); /* cannot fail */
		mend(c, "reboot into a kernel whose modules are in /lib/modules, or install those "
			"of this one");
		return fails(c, "/lib/modules/%s has no vfio-pci-core", name.release);
	}
	return unknown(c,
		       "the module's file cannot be read (%s): not known until a session is open",
		       strerror(-on_disk));
}

/* ---- the device ---- */

/* What the running system lives on is not to go by a command that somebody copies. */
static bool is_carrying(struct context *c, int fd, const char *bdf, const char *how)
{
	_cleanup_free_ char *carried = NULL;

	if (sysfs_find_carried(fd, &carried) < 0)
		return false;
	mend(c, "%s carries %s, and unbinding it takes that away: %s, if that is wanted", bdf,
	     carried, how);
	return true;
}

static enum explain_state check_driver(struct context *c)
{
	enum mark_bind bind = wanted_bind(c);
	_cleanup_free_ char *driver = NULL, *override = NULL;
	int r;

	r = sysfs_driver(c->sysfs_fd, &driver);
	if (r < 0)
		return unknown(c, "the driver cannot be read: %s", strerror(-r));
	if (sysfs_has_vfio(c->sysfs_fd))
		return holds(c, "%s", driver ?: "a driver of VFIO");

	(void)sysfs_driver_override(c->sysfs_fd, &override); /* without it, nothing is told */
	if (bind == MARK_BIND_NEVER) {
		if (!is_carrying(c, c->sysfs_fd, c->bdf, "bind it to vfio-pci yourself"))
			mend(c,
			     "modprobe vfio-pci && cd " DEVICE_DIRECTORY "%s && "
			     "echo vfio-pci > driver_override && %s%s%s"
			     "echo %s > /sys/bus/pci/drivers_probe",
			     c->bdf, driver ? "echo " : "", driver ? c->bdf : "",
			     driver ? " > driver/unbind && " : "", c->bdf);
		return fails(c, "%s%s has it, and VFIO_ALIAS_BIND=never leaves binding to others",
			     driver ? "driver " : "no driver", driver ?: "");
	}
	if (driver && bind == MARK_BIND_AUTO) {
		if (!is_carrying(c, c->sysfs_fd, c->bdf,
				 "mark it with VFIO_ALIAS_BIND=force, or unbind it yourself"))
			mend(c, "echo %s > " DEVICE_DIRECTORY "%s/driver/unbind", c->bdf, c->bdf);
		return fails(c,
			     "driver %s has it; the service takes it from a driver with "
			     "VFIO_ALIAS_BIND=force only",
			     driver);
	}
	if (driver && sysfs_has_vfs(c->sysfs_fd)) {
		if (!is_carrying(c, c->sysfs_fd, c->bdf,
				 "take its virtual functions away yourself (sriov_numvfs)"))
			mend(c,
			     "once nothing uses the virtual functions: echo 0 > " DEVICE_DIRECTORY
			     "%s/sriov_numvfs && systemctl reload-or-restart " SERVICE,
			     c->bdf);
		return fails(
			c,
			"driver %s has virtual functions of the device, which keep the service "
			"from taking it",
			driver);
	}
	if (override && !streq(override, "vfio-pci"))
		return holds(c,
			     "%s%s; the service binds it to vfio-pci, and sets driver_override, "
			     "which is %s",
			     driver ? "driver " : "none", driver ?: "", override);
	return holds(c, "%s%s; the service binds it to vfio-pci", driver ? "driver " : "none",
		     driver ?: "");
}

static enum explain_state no_group_yet(struct context *c)
{
	return holds(c, "it has no group yet: VFIO makes one when the device is bound");
}

static enum explain_state check_group(struct context *c)
{
	_cleanup_free_ char *others = NULL, *bdf = NULL, *driver = NULL;
	_cleanup_close_ int other = -EBADF;
	int r;

	if (!c->has_group)
		return no_group_yet(c);
	r = sysfs_describe_group(c->sysfs_fd, c->bdf, &others);
	if (r < 0)
		return unknown(c, "the devices of the group cannot be read: %s", strerror(-r));
	/* That the device's own driver has to go is told before. */
	r = sysfs_iommu_group_obstacle(c->sysfs_fd, c->bdf, &bdf, &driver);
	if (r == -ENOENT)
		return *others ? holds(c, "with %s", others) :
				 holds(c, "the device is alone in it");
	if (r < 0)
		return unknown(c, "the devices of the group cannot be read: %s", strerror(-r));
	other = sysfs_open_device(bdf);
	if (other < 0 || !is_carrying(c, other, bdf, "unbind it yourself"))
		mend(c, "echo %s > " DEVICE_DIRECTORY "%s/driver/unbind", bdf, bdf);
	return fails(c, "it is not viable while driver %s has %s; with %s", driver, bdf, others);
}

static void mend_holder(struct context *c, const struct holder *holder)
{
	mend(c, "end %s, if it may go: kill %d", holder->name, (int)holder->pid);
}

static enum explain_state check_holder(struct context *c)
{
	const pid_t ours[] = { 1, getpid(), c->service.main_pid };
	char path[VFIO_PATH_SIZE];
	struct holder holder;
	int r;

	if (c->session_open)
		return holds(c, "the service has it open");
	if (!c->has_group)
		return no_group_yet(c);

	r = group_find_user(c->sysfs_fd, ours, ARRAY_SIZE(ours), &holder, path);
	if (r == 0) {
		mend_holder(c, &holder);
		return fails(c, "%s (pid %d) has %s open", holder.name, (int)holder.pid, path);
	}
	if (r != -ENOENT)
		return unknown(c, "/proc: %s", strerror(-r));
	if (!c->privileged)
		return unknown(c,
			       "which files other users' processes have open, takes root to see");
	return holds(c, "no other process has a file of the group open");
}

static enum explain_state check_lockdown(struct context *c)
{
	_cleanup_free_ char *level = NULL;
	int r;

	r = sysfs_lockdown(&level);
	if (r == -ENOENT)
		return holds(c, "this kernel has none");
	if (c->has_group && !sysfs_group_is_noiommu(c->sysfs_fd))
		return holds(c, "%s; it does not matter, for an IOMMU contains the device",
			     r == 0 ? level : "not known");
	if (r == -ENODATA)
		return unknown(c, "securityfs, which tells, is not mounted");
	if (r < 0)
		return unknown(c, "/sys/kernel/security/lockdown: %s", strerror(-r));
	if (!streq(level, "none")) {
		mend(c, "use an IOMMU, or boot without lockdown (Secure Boot turns it on)");
		return fails(c, "%s: the kernel makes no files in no-IOMMU mode", level);
	}
	return holds(c, "none");
}

/* ---- the service ---- */

static enum explain_state check_service(struct context *c)
{
	const struct service_unit *unit = &c->service;

	if (c->service_error < 0) {
		const char *why = strerror(-c->service_error);
		enum status_service service = status_service();

		if (service == STATUS_SERVICE_RUNNING)
			return holds(c, "it runs; systemd cannot be asked (%s)", why);
		if (service == STATUS_SERVICE_UNKNOWN)
			return unknown(c, "systemd cannot be asked (%s)", why);
		mend(c, "systemctl start " SERVICE);
		return fails(c, "it does not run; systemd cannot be asked (%s)", why);
	}
	if (streq(unit->active_state, "active") || streq(unit->active_state, "reloading"))
		return holds(c, "%s, pid %d", unit->active_state, (int)unit->main_pid);
	if (!streq(unit->active_state, "activating") &&
	    !streq(unit->active_state, "deactivating") &&
	    status_service() == STATUS_SERVICE_RUNNING)
		return holds(c, "it runs, started by hand; systemd has it %s", unit->active_state);
	if (streq(unit->load_state, "not-found")) {
		mend(c, "install vfio-alias-shim, then: systemctl daemon-reload && "
			"systemctl start " SERVICE);
		return fails(c, "systemd has no unit " SERVICE_UNIT);
	}
	if (streq(unit->load_state, "masked"))
		mend(c, "systemctl unmask " SERVICE " && systemctl start " SERVICE);
	else
		mend(c, "systemctl start " SERVICE);
	return fails(c, "it is %s (journalctl -u " SERVICE " has its past)",
		     streq(unit->load_state, "masked") ? "masked" : unit->active_state);
}

/*
 * A reload is what mends, unless the service's own reason has something else, or something to do
 * before.
 */
static void mend_by_reload(struct context *c, const char *reason)
{
	if (!reason || strstr(reason, ": reload the service") ||
	    strstr(reason, ", or reload the service"))
		mend(c, "systemctl reload " SERVICE);
	else if (strstr(reason, ": restart it"))
		mend(c, "systemctl restart " SERVICE);
}

static enum explain_state check_session(struct context *c)
{
	if (c->session_open)
		return holds(c, "open");
	mend_by_reload(c, c->status.reason);
	if (!c->status.bdf)
		return fails(c, "the service knows nothing of the device");
	return fails(c, "the service says %s%s%s", c->status.state, c->status.reason ? ": " : "",
		     c->status.reason ?: "");
}

/* ---- an item of the mark ---- */

static const struct sysfs_alias *find_alias(const struct context *c)
{
	for (size_t i = 0; i < c->n_aliases; i++) {
		const struct sysfs_alias *alias = &c->aliases[i];

		if (alias->bar == c->item->bar && alias->offset == c->item->offset &&
		    alias->size == c->item->length && alias->flags & VFIO_ALIAS_FLAG_SYSFS &&
		    !(alias->flags & VFIO_ALIAS_FLAG_SHARED) == !c->item->shared)
			return alias;
	}
	return NULL;
}

static enum explain_state check_clear(struct context *c)
{
	struct holder_device device = { .bdf = c->bdf };
	const struct holder_claim claim = {
		.bar = c->item->bar,
		.wc = c->item->type == VFIO_ALIAS_MEMORY_WC,
		.offset = c->item->offset,
		.length = c->item->length,
		.inodes = { sysfs_bar_inode(c->sysfs_fd, c->item->bar, false),
			    sysfs_bar_inode(c->sysfs_fd, c->item->bar, true) },
	};
	struct holder holder;
	int r;

	c->alias = find_alias(c);
	if (c->alias)
		return holds(c, "the kernel has claimed the range");
	memcpy(device.bars, c->bars, sizeof(device.bars));
	r = holder_find_mapping("/proc", &device, &claim, &holder);
	if (r == 0) {
		mend_holder(c, &holder);
		return fails(c, "%s (pid %d) has mapped %s", holder.name, (int)holder.pid,
			     holder.file);
	}
	if (r != -ENOENT)
		return unknown(c, "/proc: %s", strerror(-r));
	if (!c->privileged)
		return unknown(c, "what other users' processes have mapped, takes root to see");
	return holds(c, "no mapping of BAR %u by a file is in the way", c->item->bar);
}

/* Why the service has not made the alias, as it says; NULL if it says nothing. */
static const char *service_reason(const struct context *c)
{
	for (size_t i = 0; i < c->status.n_aliases; i++) {
		const struct status_alias *alias = &c->status.aliases[i];

		if (alias->bar == c->item->bar && alias->offset == c->item->offset &&
		    alias->size == c->item->length)
			return alias->reason;
	}
	return NULL;
}

static enum explain_state check_alias(struct context *c)
{
	const char *reason = service_reason(c);

	if (c->alias)
		return holds(c, "the kernel has it");
	mend_by_reload(c, reason);
	if (!reason)
		return fails(c, "the kernel does not have it");
	return fails(c, "the kernel does not have it; the service says: %s", reason);
}

static const char *item_file(const struct context *c, char buffer[static SYSFS_BAR_FILE_SIZE])
{
	return sysfs_bar_file(buffer, c->item->bar, c->item->type == VFIO_ALIAS_MEMORY_WC);
}

static enum explain_state check_file(struct context *c)
{
	uint64_t length = c->bars[c->item->bar].length;
	char file[SYSFS_BAR_FILE_SIZE];
	struct stat st;

	item_file(c, file);
	if (fstatat(c->sysfs_fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size == length)
		return holds(c, DEVICE_DIRECTORY "%s/%s", c->bdf, file);
	mend(c, MAKE_ANEW);
	return fails(c, DEVICE_DIRECTORY "%s/%s is missing, or not of the BAR's length", c->bdf,
		     file);
}

/* "root:fpga 0660", with numbers where there is no name. To be freed; NULL without memory. */
static char *describe_access(uid_t owner, gid_t group, mode_t mode)
{
	const struct passwd *user = getpwuid(owner);
	const struct group *members = getgrgid(group);
	char user_number[16], group_number[16], *text;

	snprintf(user_number, sizeof(user_number), "%u", owner);
	snprintf(group_number, sizeof(group_number), "%u", group);
	if (asprintf(&text, "%s:%s %04o", user ? user->pw_name : user_number,
		     members ? members->gr_name : group_number, mode) < 0)
		return NULL;
	return text;
}

static enum explain_state check_access(struct context *c)
{
	_cleanup_free_ char *is = NULL, *should = NULL;
	char file[SYSFS_BAR_FILE_SIZE];
	struct stat st;

	if (fstatat(c->sysfs_fd, item_file(c, file), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return unknown(c, "%s: %s", file, strerror(errno));
	is = describe_access(st.st_uid, st.st_gid, st.st_mode & 07777);
	if (st.st_uid == c->mark->owner && st.st_gid == c->mark->group &&
	    (st.st_mode & 07777) == c->mark->mode)
		return holds(c, "%s", is ?: "as the mark says");
	should = describe_access(c->mark->owner, c->mark->group, c->mark->mode);
	mend(c, "systemctl reload " SERVICE);
	return fails(c, "%s, and the mark says %s", is ?: "not the mark's", should ?: "otherwise");
}

/* The records that mappings of user space get their type from, as root can see them. */
static int read_memtype(const struct context *c, char ret[static MEMTYPE_NAME_SIZE])
{
	_cleanup_fclose_ FILE *list = NULL;
	int r;

	r = sysfs_open_memtypes(&list);
	if (r < 0)
		return r == -ENOENT ? -ENODATA : r;
	return memtype_find(list, c->bars[c->item->bar].start + c->item->offset, c->item->length,
			    ret);
}

static enum explain_state check_page_table(struct context *c)
{
	const char *wanted = mark_type_name(c->item->type);
	bool wc = c->item->type == VFIO_ALIAS_MEMORY_WC;
	char recorded[MEMTYPE_NAME_SIZE];
	int r;

	if (c->alias->type != c->item->type) {
		mend(c, MAKE_ANEW);
		return fails(c, "the kernel's page table has %s for the range and not %s",
			     mark_type_name(c->alias->type) ?: "another type", wanted);
	}
	r = read_memtype(c, recorded);
	if (r == -ENOTUNIQ || r == -ENOENT ||
	    (r == 0 && wc != streq(recorded, "write-combining"))) {
		mend(c, MAKE_ANEW);
		return fails(c, "debugfs, x86/pat_memtype_list: the range is recorded as %s",
			     r == 0	    ? recorded :
			     r == -ENOTUNIQ ? "of several memory types" :
					      "of none, or in part only");
	}
	if (r == 0)
		return holds(c, "%s: the kernel's page table and x86/pat_memtype_list say so",
			     wanted);
	return holds(c, "%s: the kernel's page table says so (x86/pat_memtype_list: %s)", wanted,
		     !c->privileged ? "takes root to see" :
		     r == -ENODATA  ? "not there" :
				      strerror(-r));
}

/* ---- all ---- */

enum check_id {
	CHECK_DEVICE,
	CHECK_MARK,
	CHECK_SENSE,
	CHECK_PAT,
	CHECK_IOMMU,
	CHECK_MODULES,
	CHECK_DRIVER,
	CHECK_GROUP,
	CHECK_HOLDER,
	CHECK_LOCKDOWN,
	CHECK_SERVICE,
	CHECK_SESSION,
	/* The same for each item of the mark */
	CHECK_CLEAR,
	CHECK_ALIAS,
	CHECK_FILE,
	CHECK_ACCESS,
	CHECK_PAGE_TABLE,
	CHECKS,
};

#define NEEDS(id) (1U << CHECK_##id)

static const struct check {
	const char *name;
	enum explain_state (*look)(struct context *c);
	/* Else it is not reached: what may not fail, and what must hold. */
	unsigned int needs, builds_on;
} checks[CHECKS] = {
	[CHECK_DEVICE] = { "device", check_device, 0, 0 },
	[CHECK_MARK] = { "mark", check_mark, NEEDS(DEVICE), 0 },
	[CHECK_SENSE] = { "mark's sense", check_sense, 0, NEEDS(DEVICE) | NEEDS(MARK) },
	[CHECK_PAT] = { "PAT", check_pat, 0, 0 },
	[CHECK_IOMMU] = { "IOMMU", check_iommu, 0, NEEDS(DEVICE) },
	[CHECK_MODULES] = { "modules", check_modules, 0, 0 },
	[CHECK_DRIVER] = { "driver", check_driver, 0, NEEDS(DEVICE) },
	[CHECK_GROUP] = { "IOMMU group", check_group, 0, NEEDS(IOMMU) },
	[CHECK_HOLDER] = { "group's holder", check_holder, 0, NEEDS(IOMMU) },
	[CHECK_LOCKDOWN] = { "lockdown", check_lockdown, 0, NEEDS(IOMMU) },
	[CHECK_SERVICE] = { "service", check_service, 0, 0 },
	[CHECK_SESSION] = { "session", check_session, NEEDS(CLEAR) - 1, 0 },
	[CHECK_CLEAR] = { "other mappings", check_clear, 0, NEEDS(SENSE) },
	[CHECK_ALIAS] = { "alias", check_alias, NEEDS(SESSION) | NEEDS(CLEAR), 0 },
	[CHECK_FILE] = { "file", check_file, 0, NEEDS(ALIAS) },
	[CHECK_ACCESS] = { "access", check_access, 0, NEEDS(FILE) },
	[CHECK_PAGE_TABLE] = { "page table", check_page_table, 0, NEEDS(ALIAS) },
};

/* Looks at condition @id. @states: of all so far. Returns 0 or -ENOMEM. */
static int look(struct context *c, enum check_id id, enum explain_state states[static CHECKS],
		struct explanation *explanation)
{
	struct explain_condition *conditions;
	bool reached = true;

	conditions = reallocarray(explanation->conditions, explanation->n + 1, sizeof(*conditions));
	if (!conditions)
		return -ENOMEM;
	explanation->conditions = conditions;
	c->now = &conditions[explanation->n++];
	*c->now = (struct explain_condition){ .name = checks[id].name };
	if (c->item) {
		c->now->item = printable(c->item->text, c->item->text_length);
		if (!c->now->item)
			return -ENOMEM;
	}

	for (size_t i = 0; i < id; i++) {
		bool fails = states[i] == EXPLAIN_FAILS || states[i] == EXPLAIN_NOT_REACHED;

		if ((checks[id].needs & 1U << i && fails) ||
		    (checks[id].builds_on & 1U << i && states[i] != EXPLAIN_HOLDS))
			reached = false;
	}
	c->now->state = states[id] = reached ? checks[id].look(c) : EXPLAIN_NOT_REACHED;
	return reached && !c->now->text ? -ENOMEM : 0;
}

/* Whether the service has the session, as it tells; if it cannot be asked, as the kernel does. */
static bool is_session_open(const struct context *c, int status_error)
{
	/* What an end of the service has left is not the service's. */
	if (c->service_error == 0 && !streq(c->service.active_state, "active") &&
	    !streq(c->service.active_state, "reloading") &&
	    status_service() != STATUS_SERVICE_RUNNING)
		return false;
	if (status_error == -ENOENT)
		return false; /* it knows nothing of the device */
	if (status_error < 0)
		return c->n_aliases > 0;

	for (size_t i = 0; i < c->status.n_aliases; i++) {
		const struct status_alias *alias = &c->status.aliases[i];

		/* One that was tried, in a session, has a reason of its own. */
		if (alias->file || alias->reason)
			return true;
	}
	return streq(c->status.state, "published");
}

/* What the service and the kernel have, before the first condition. */
static void read_present(struct context *c)
{
	_cleanup_close_ int directory = open_directory(c, STATUS_DIRECTORY);
	int fd = sysfs_open_device(c->bdf);
	int r;

	/* What cannot be read is missed by the condition that is about it. */
	c->service_error = service_query(&c->service);
	r = directory < 0 ? directory : status_read(directory, c->bdf, &c->status);
	if (fd >= 0)
		(void)sysfs_read_aliases(fd, &c->aliases, &c->n_aliases);
	close_fd(fd);
	c->session_open = is_session_open(c, r);
}

static void context_clear(struct context *c)
{
	close_fd(c->sysfs_fd);
	service_unit_clear(&c->service);
	free(c->rule);
	mark_text_clear(&c->text);
	mark_free(c->mark);
	status_clear(&c->status);
	free(c->aliases);
}

int explain(const char *root, const char *bdf, struct explanation *ret)
{
	_cleanup_(context_clear) struct context c = {
		.root = root,
		.bdf = bdf,
		.privileged = geteuid() == 0,
		.sysfs_fd = -EBADF,
	};
	_cleanup_explanation_ struct explanation explanation = {};
	enum explain_state states[CHECKS];
	int r = 0;

	read_present(&c);
	for (unsigned int id = 0; id < CHECK_CLEAR && r == 0; id++)
		r = look(&c, (enum check_id)id, states, &explanation);

	explanation.proven = c.mark && c.mark->n_items > 0 &&
			     states[CHECK_SESSION] == EXPLAIN_HOLDS;
	for (size_t i = 0; c.mark && i < c.mark->n_items; i++) {
		c.item = &c.mark->items[i];
		for (unsigned int id = CHECK_CLEAR; id < CHECKS && r == 0; id++)
			r = look(&c, (enum check_id)id, states, &explanation);
		explanation.proven &= states[CHECK_ACCESS] == EXPLAIN_HOLDS &&
				      states[CHECK_PAGE_TABLE] == EXPLAIN_HOLDS;
	}
	if (r < 0)
		return r;

	*ret = explanation;
	explanation = (struct explanation){};
	return 0;
}

void explanation_clear(struct explanation *explanation)
{
	for (size_t i = 0; i < explanation->n; i++) {
		free(explanation->conditions[i].item);
		free(explanation->conditions[i].text);
		free(explanation->conditions[i].mend);
	}
	free(explanation->conditions);
	*explanation = (struct explanation){};
}

const struct explain_condition *explanation_first_failure(const struct explanation *explanation)
{
	for (size_t i = 0; i < explanation->n; i++)
		if (explanation->conditions[i].state == EXPLAIN_FAILS)
			return &explanation->conditions[i];
	return NULL;
}
