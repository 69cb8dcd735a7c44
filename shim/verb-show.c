/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "show": the BARs of a device. What they are is the kernel's word; the service is asked for
 * what it wants and why that is not there.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/vfio_alias.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "holder.h"
#include "json.h"
#include "layout.h"
#include "mark.h"
#include "picture.h"
#include "status.h"
#include "verb.h"

static const char usage[] =
	"Usage: vfio-alias show BDF [--json | --no-color]\n"
	"\n"
	"Shows the BARs of a PCI device, marked or not: as a picture of their pages, with the exact\n"
	"ranges, the files that map them, and the processes that have mapped them. Root sees all of\n"
	"that; others are told what they cannot see.\n"
	"\n"
	"      --json      the same as JSON; see vfio-alias(1)\n"
	"      --no-color  without colours, as with NO_COLOR in the environment\n"
	"  -h, --help      show this\n";

#define NOTES_MAX 8

struct view {
	struct holder_device device; /* with the BARs */
	uint16_t vendor_id, device_id;
	char *driver;	 /* NULL if none has it */
	int64_t group;	 /* IOMMU group, or -1 */
	char *vfio_name; /* NULL if no VFIO driver has it */
	struct sysfs_alias *aliases;
	size_t n_aliases;
	struct {
		struct layout_range *ranges;
		size_t n;
		bool has_wc_file;
	} bars[PCI_BARS];
	struct holder_list holders;

	enum status_service service;
	bool is_marked, is_unmarked; /* neither, if what the service says cannot be read */
	struct status status;	     /* if is_marked */

	char *notes[NOTES_MAX]; /* what could not be seen */
	size_t n_notes;
};

static void view_clear(struct view *view)
{
	free(view->driver);
	free(view->vfio_name);
	free(view->aliases);
	for (size_t i = 0; i < PCI_BARS; i++)
		free(view->bars[i].ranges);
	free(view->holders.mappings);
	status_clear(&view->status);
	for (size_t i = 0; i < view->n_notes; i++)
		free(view->notes[i]);
}

/* Remembers something that could not be seen. */
_printf_(2, 3) static void note(struct view *view, const char *format, ...)
{
	va_list args;
	int r;

	if (view->n_notes == NOTES_MAX)
		return;
	va_start(args, format);
	r = vasprintf(&view->notes[view->n_notes], format, args);
	va_end(args);
	view->n_notes += r >= 0;
}

/* ---- reading ---- */

/* Returns 0 or -ENOMEM. */
static int read_service(struct view *view)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	view->service = status_service();
	if (view->service == STATUS_SERVICE_UNKNOWN)
		note(view, "whether the service runs: %s", strerror(errno));
	fd = open(STATUS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : status_read(fd, view->device.bdf, &view->status);
	if (r < 0 && r != -ENOENT)
		note(view, "what the service says of the device: %s", strerror(-r));
	view->is_marked = r == 0;
	view->is_unmarked = r == -ENOENT;
	if (!view->is_marked || view->service == STATUS_SERVICE_RUNNING)
		return 0;
	return status_disown(&view->status, view->service, view->aliases, view->n_aliases);
}

/* What nothing can be shown without. Returns 0 or -errno. */
static int read_device(struct view *view, int fd)
{
	unsigned int group;
	int r;

	r = sysfs_read_ids(fd, &view->vendor_id, &view->device_id);
	if (r < 0)
		return r;
	r = sysfs_read_bars(fd, view->device.bars);
	if (r < 0)
		return r;
	r = sysfs_driver(fd, &view->driver);
	if (r < 0)
		return r;
	view->group = sysfs_iommu_group(fd, &group) == 0 ? (int64_t)group : -1;
	r = sysfs_vfio_name(fd, &view->vfio_name);
	if (r < 0 && r != -ENOENT)
		return r;
	view->device.vfio_name = view->vfio_name;
	r = sysfs_read_aliases(fd, &view->aliases, &view->n_aliases);
	return r == -ENOENT ? 0 : r;
}

static void read_holders(struct view *view)
{
	int r = holder_list("/proc", &view->device, &view->holders);

	if (r < 0)
		note(view, "the processes: %s", strerror(-r));
	/* Where /proc is mounted with hidepid, there is nothing to be counted. */
	if (geteuid() != 0)
		note(view, "the mappings of other users' processes; it takes root");
	else if (view->holders.n_unseen > 0)
		note(view, "the mappings of %zu processes: %s", view->holders.n_unseen,
		     strerror(EACCES));
	if (view->vfio_name && view->holders.n_unnamed > 0)
		note(view,
		     "which device %zu processes have mapped that opened it by its IOMMU group",
		     view->holders.n_unnamed);
}

static int read_view(struct view *view)
{
	_cleanup_close_ int fd = sysfs_open_device(view->device.bdf);
	struct pci_msix msix;
	bool has_msix;
	int r;

	if (fd == -ENOENT) {
		verb_say("there is no device %s; lspci -D lists them", view->device.bdf);
		return fd;
	}
	r = fd < 0 ? fd : read_device(view, fd);
	if (r < 0) {
		verb_say("%s: %s", view->device.bdf, strerror(-r));
		return r;
	}

	r = sysfs_find_msix(fd, &msix);
	has_msix = r == 0;
	if (r == -ENODATA)
		note(view, "the MSI-X table, if there is one; it takes root");
	else if (r < 0 && r != -ENOENT)
		note(view, "the MSI-X table: %s", strerror(-r));
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		char file[SYSFS_BAR_FILE_SIZE];

		view->bars[i].has_wc_file = faccessat(fd, sysfs_bar_file(file, i, true), F_OK, 0) ==
					    0;
		r = layout_of_bar(&view->device.bars[i], i, has_msix ? &msix : NULL, view->aliases,
				  view->n_aliases, &view->bars[i].ranges, &view->bars[i].n);
		if (r < 0) {
			verb_say("%s", strerror(-r));
			return r;
		}
	}
	r = read_service(view);
	if (r < 0) {
		verb_say("%s", strerror(-r));
		return r;
	}
	read_holders(view);
	return 0;
}

/* ---- what both ways of showing it say ---- */

/* The files of the device's directory that map a range; "" behind the last. */
struct files {
	char names[2][SYSFS_BAR_FILE_SIZE];
};

static struct files files_of(const struct view *view, unsigned int bar,
			     const struct layout_range *range)
{
	struct files files = {};

	if (range->alias) {
		if (range->alias->flags & VFIO_ALIAS_FLAG_SYSFS && range->kind != LAYOUT_OTHER)
			sysfs_bar_file(files.names[0], bar,
				       range->alias->type == VFIO_ALIAS_MEMORY_WC);
	} else if (!view->vfio_name && range->kind != LAYOUT_UNMAPPABLE) {
		/* The PCI core's. Once VFIO has the BAR, most kernels refuse to map them. */
		sysfs_bar_file(files.names[0], bar, false);
		if (view->bars[bar].has_wc_file)
			sysfs_bar_file(files.names[1], bar, true);
	}
	return files;
}

/* An alias that the service wants and the kernel does not have. */
static bool is_missing(const struct view *view, const struct status_alias *wanted)
{
	for (size_t i = 0; i < view->n_aliases; i++) {
		const struct sysfs_alias *alias = &view->aliases[i];

		if (alias->bar == wanted->bar && alias->offset == wanted->offset &&
		    alias->size == wanted->size &&
		    streq(mark_type_name(alias->type), wanted->type_wanted))
			return false;
	}
	return true;
}

/* Where the mappings of the process of mapping @i end. */
static size_t process_end(const struct holder_list *list, size_t i)
{
	size_t end = i + 1;

	while (end < list->n && list->mappings[end].pid == list->mappings[i].pid)
		end++;
	return end;
}

static const char *range_type(const struct layout_range *range)
{
	static const char *const names[LAYOUT_KINDS] = {
		[LAYOUT_PLAIN] = "-",
		[LAYOUT_WC] = "wc",
		[LAYOUT_WC_SHARED] = "wc,shared",
		[LAYOUT_UC] = "uc",
		[LAYOUT_UC_SHARED] = "uc,shared",
		[LAYOUT_OTHER] = "other",
		[LAYOUT_MSIX] = "MSI-X",
		[LAYOUT_UNMAPPABLE] = "-",
	};

	return names[range->kind];
}

/* ---- JSON ---- */

static int add_u64(struct json_object *object, const char *key, uint64_t value)
{
	return json_add(object, key, json_object_new_uint64(value));
}

static int range_to_json(const struct view *view, unsigned int bar,
			 const struct layout_range *range, struct json_object *array)
{
	static const char *const kinds[LAYOUT_KINDS] = {
		[LAYOUT_PLAIN] = "plain",     [LAYOUT_WC] = "alias",
		[LAYOUT_WC_SHARED] = "alias", [LAYOUT_UC] = "alias",
		[LAYOUT_UC_SHARED] = "alias", [LAYOUT_OTHER] = "alias",
		[LAYOUT_MSIX] = "msix",	      [LAYOUT_UNMAPPABLE] = "unmappable",
	};
	struct json_object *object = json_object_new_object(), *names = json_object_new_array();
	struct files files = files_of(view, bar, range);

	if (json_append(array, object) < 0 || json_add(object, "files", names) < 0 ||
	    add_u64(object, "offset", range->offset) < 0 ||
	    add_u64(object, "size", range->size) < 0 ||
	    json_add_string(object, "kind", kinds[range->kind]) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(files.names) && *files.names[i]; i++)
		if (json_append(names, json_object_new_string(files.names[i])) < 0)
			return -ENOMEM;
	if (!range->alias)
		return 0;
	if (json_add_string(object, "type", mark_type_name(range->alias->type) ?: "other") < 0 ||
	    json_add(object, "shared",
		     json_object_new_boolean(range->alias->flags & VFIO_ALIAS_FLAG_SHARED)) < 0 ||
	    add_u64(object, "region", range->alias->index) < 0)
		return -ENOMEM;
	return range->alias->mappings == SYSFS_MAPPINGS_UNSEEN ?
		       json_add_string(object, "mappings", NULL) :
		       add_u64(object, "mappings", range->alias->mappings);
}

static int bar_to_json(const struct view *view, unsigned int index, struct json_object *array)
{
	static const char *const kinds[] = {
		[PCI_BAR_IO] = "io",
		[PCI_BAR_MEMORY] = "memory",
		[PCI_BAR_UNASSIGNED] = "unassigned",
	};
	const struct pci_bar *bar = &view->device.bars[index];
	struct json_object *object, *ranges;

	if (bar->kind == PCI_BAR_NONE)
		return 0;
	object = json_object_new_object();
	ranges = json_object_new_array();
	if (json_append(array, object) < 0 || json_add(object, "ranges", ranges) < 0 ||
	    add_u64(object, "bar", index) < 0 || add_u64(object, "size", bar->length) < 0 ||
	    json_add_string(object, "kind", kinds[bar->kind]) < 0 ||
	    json_add(object, "prefetchable", json_object_new_boolean(bar->prefetchable)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < view->bars[index].n; i++)
		if (range_to_json(view, index, &view->bars[index].ranges[i], ranges) < 0)
			return -ENOMEM;
	return 0;
}

static int mapping_to_json(const struct holder_mapping *mapping, struct json_object *array)
{
	struct json_object *object = json_object_new_object();

	if (json_append(array, object) < 0 || add_u64(object, "bar", mapping->bar) < 0 ||
	    json_add_string(object, "file", mapping->file) < 0 ||
	    add_u64(object, "offset", mapping->offset) < 0 ||
	    add_u64(object, "size", mapping->size) < 0)
		return -ENOMEM;
	return 0;
}

static int processes_to_json(const struct holder_list *list, struct json_object *array)
{
	for (size_t i = 0, end; i < list->n; i = end) {
		struct json_object *object = json_object_new_object(),
				   *mappings = json_object_new_array();
		uint64_t bytes = 0;

		if (json_append(array, object) < 0 || json_add(object, "mappings", mappings) < 0)
			return -ENOMEM;
		end = process_end(list, i);
		for (size_t j = i; j < end; j++) {
			bytes += list->mappings[j].size;
			if (mapping_to_json(&list->mappings[j], mappings) < 0)
				return -ENOMEM;
		}
		if (add_u64(object, "pid", (uint64_t)list->mappings[i].pid) < 0 ||
		    json_add_string(object, "name", list->mappings[i].name) < 0 ||
		    add_u64(object, "bytes", bytes) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int device_to_json(const struct view *view, struct json_object *object)
{
	char vendor[sizeof("ffff")], device[sizeof("ffff")];

	snprintf(vendor, sizeof(vendor), "%04x", view->vendor_id);
	snprintf(device, sizeof(device), "%04x", view->device_id);
	if (json_add_string(object, "bdf", view->device.bdf) < 0 ||
	    json_add_string(object, "vendor", vendor) < 0 ||
	    json_add_string(object, "device", device) < 0 ||
	    json_add_string(object, "driver", view->driver) < 0 ||
	    json_add(object, "group", json_object_new_int64(view->group)) < 0 ||
	    json_add_string(object, "service", status_service_name(view->service)) < 0)
		return -ENOMEM;
	return 0;
}

/* NULL is a lack of memory. */
static struct json_object *view_to_json(const struct view *view)
{
	_cleanup_json_ struct json_object *object = json_object_new_object();
	struct json_object *bars = json_object_new_array(), *processes = json_object_new_array(),
			   *unseen = json_object_new_array(), *status = NULL;
	int r;

	/* All are taken, whether it succeeds or not. */
	r = device_to_json(view, object);
	r |= json_add(object, "bars", bars);
	r |= json_add(object, "processes", processes);
	r |= json_add(object, "unseen", unseen);
	if (r < 0)
		return NULL;
	if (view->is_marked &&
	    (status_to_json(&view->status, &status) < 0 || json_add(object, "status", status) < 0))
		return NULL;
	for (unsigned int i = 0; i < PCI_BARS; i++)
		if (bar_to_json(view, i, bars) < 0)
			return NULL;
	if (processes_to_json(&view->holders, processes) < 0)
		return NULL;
	for (size_t i = 0; i < view->n_notes; i++)
		if (json_append(unseen, json_object_new_string(view->notes[i])) < 0)
			return NULL;
	return TAKE_PTR(object);
}

/* ---- the terminal ---- */

#define MARGIN "    "

static void choose_style(struct picture *picture, bool colour)
{
	struct winsize size;

	picture->stream = stdout;
	picture->unicode = verb_use_unicode();
	picture->colour = colour && verb_use_colour();
	picture->width = 64;
	/* A terminal that does not know its size says 0. */
	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
	    size.ws_col > 0)
		picture->width = size.ws_col > sizeof(MARGIN) + 2 ? size.ws_col - sizeof(MARGIN) :
								    2;
}

static const char *format_range(char buffer[static 2 * FORMAT_SIZE_MAX], uint64_t offset,
				uint64_t size)
{
	char from[FORMAT_SIZE_MAX], length[FORMAT_SIZE_MAX];

	snprintf(buffer, 2 * FORMAT_SIZE_MAX, "%s+%s", format_size(from, offset),
		 format_size(length, size));
	return buffer;
}

static void print_head(const struct view *view)
{
	char group[48] = "";

	if (view->group >= 0)
		snprintf(group, sizeof(group), ", IOMMU group %" PRId64, view->group);
	printf("%s  %04x:%04x  %s%s%s\n", view->device.bdf, view->vendor_id, view->device_id,
	       view->driver ? "driver " : "no driver", view->driver ?: "", group);
	if (!view->is_marked) {
		printf("%s\n",
		       !view->is_unmarked ? "what the service says of it cannot be read" :
		       view->service == STATUS_SERVICE_RUNNING ? "not marked" :
		       view->service == STATUS_SERVICE_UNKNOWN ? "the service says nothing of it" :
								 "the service is not running");
		return;
	}
	printf("%s%s%s\n", view->status.state, view->status.reason ? ": " : "",
	       view->status.reason ?: "");
	for (size_t i = 0; i < view->status.n_aliases; i++) {
		const struct status_alias *wanted = &view->status.aliases[i];
		char range[2 * FORMAT_SIZE_MAX];

		if (is_missing(view, wanted))
			printf("wanted, and not there: BAR %u %s %s%s%s\n", wanted->bar,
			       format_range(range, wanted->offset, wanted->size),
			       wanted->type_wanted ?: "", wanted->reason ? ": " : "",
			       wanted->reason ?: "");
	}
}

static void print_ranges(const struct view *view, unsigned int index)
{
	printf(MARGIN "%-20s %-9s %-26s %s\n", "RANGE", "TYPE", "FILE", "MAPPINGS");
	for (size_t i = 0; i < view->bars[index].n; i++) {
		const struct layout_range *range = &view->bars[index].ranges[i];
		struct files files = files_of(view, index, range);
		char where[2 * FORMAT_SIZE_MAX], names[2 * SYSFS_BAR_FILE_SIZE + 2],
			mappings[FORMAT_SIZE_MAX] = "-";

		snprintf(names, sizeof(names), "%s%s%s", *files.names[0] ? files.names[0] : "-",
			 *files.names[1] ? ", " : "", files.names[1]);
		if (range->alias && range->alias->mappings == SYSFS_MAPPINGS_UNSEEN)
			snprintf(mappings, sizeof(mappings), "?");
		else if (range->alias)
			snprintf(mappings, sizeof(mappings), "%" PRIu64, range->alias->mappings);
		printf(MARGIN "%-20s %-9s %-26s %s\n",
		       format_range(where, range->offset, range->size), range_type(range), names,
		       mappings);
	}
}

/* The row of what is mapped, if anything is. Returns 0 or -ENOMEM. */
static int print_mapped_row(const struct view *view, unsigned int index,
			    const struct picture *picture)
{
	const struct holder_list *list = &view->holders;
	_cleanup_free_ struct picture_part *parts = calloc(list->n + 1, sizeof(*parts));
	size_t n = 0;

	if (!parts)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++)
		if (list->mappings[i].bar == index)
			parts[n++] = (struct picture_part){ list->mappings[i].offset,
							    list->mappings[i].size };
	if (n > 0) {
		fputs(MARGIN, stdout);
		picture_parts(picture, view->device.bars[index].length, parts, n);
		fputc('\n', stdout);
	}
	return 0;
}

static void print_processes(const struct view *view, unsigned int index)
{
	const struct holder_list *list = &view->holders;

	for (size_t i = 0, end; i < list->n; i = end) {
		char text[2 * FORMAT_SIZE_MAX];
		uint64_t bytes = 0;
		size_t n = 0;

		end = process_end(list, i);
		for (size_t j = i; j < end; j++) {
			if (list->mappings[j].bar != index)
				continue;
			bytes += list->mappings[j].size;
			n++;
		}
		if (n == 0)
			continue;
		printf(MARGIN "mapped by %s (pid %d), %s:", list->mappings[i].name,
		       (int)list->mappings[i].pid, format_size(text, bytes));
		for (size_t j = i; j < end; j++)
			if (list->mappings[j].bar == index)
				printf(" %s %s%s", list->mappings[j].file,
				       format_range(text, list->mappings[j].offset,
						    list->mappings[j].size),
				       --n > 0 ? "," : "\n");
	}
}

static int print_bar(const struct view *view, unsigned int index, const struct picture *picture)
{
	const struct pci_bar *bar = &view->device.bars[index];
	char length[FORMAT_SIZE_MAX], cell[FORMAT_SIZE_MAX];
	int r;

	switch (bar->kind) {
	case PCI_BAR_NONE:
		return 0;
	case PCI_BAR_IO:
		printf("\nBAR %u: %" PRIu64 " I/O ports\n", index, bar->length);
		return 0;
	case PCI_BAR_UNASSIGNED:
		printf("\nBAR %u: %s, has no address\n", index, format_size(length, bar->length));
		break;
	case PCI_BAR_MEMORY:
		printf("\nBAR %u: %s%s, a cell is %s\n", index, format_size(length, bar->length),
		       bar->prefetchable ? ", prefetchable" : "",
		       format_size(cell, picture_cell(picture, bar->length)));
		break;
	}
	fputs(MARGIN, stdout);
	picture_ranges(picture, bar->length, view->bars[index].ranges, view->bars[index].n);
	fputc('\n', stdout);
	r = print_mapped_row(view, index, picture);
	if (r < 0)
		return r;
	print_ranges(view, index);
	print_processes(view, index);
	return 0;
}

static int print_view(const struct view *view, bool colour)
{
	bool seen[LAYOUT_KINDS] = {}, any = false;
	struct picture picture;

	choose_style(&picture, colour);
	print_head(view);
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		if (print_bar(view, i, &picture) < 0) {
			verb_say("%s", strerror(ENOMEM));
			return VERB_FAILED;
		}
		if (view->device.bars[i].kind == PCI_BAR_IO)
			continue;
		for (size_t j = 0; j < view->bars[i].n; j++)
			seen[view->bars[i].ranges[j].kind] = any = true;
	}
	fputs(any ? "\n" : "", stdout);
	for (enum layout_kind kind = 0; kind < LAYOUT_KINDS; kind++)
		if (seen[kind])
			picture_legend(&picture, kind);
	return verb_end();
}

static int show(const char *bdf, bool json, bool colour)
{
	_cleanup_(view_clear) struct view view = { .device.bdf = bdf };
	int r;

	r = read_view(&view);
	if (r < 0)
		return VERB_FAILED;
	r = json ? verb_print_json(view_to_json(&view)) : print_view(&view, colour);
	for (size_t i = 0; i < view.n_notes; i++)
		verb_say("not seen: %s", view.notes[i]);
	return r;
}

int verb_show(int argc, char *argv[])
{
	struct verb_view view;
	int end;

	return verb_read_view(argc, argv, usage, &view, &end) ?
		       show(view.bdf, view.json, view.colour) :
		       end;
}
