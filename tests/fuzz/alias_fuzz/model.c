/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must happen: a model of one device and its session, made from <linux/vfio_alias.h>,
 * sysfs-doc/ and the design, and not from the code.
 */
#include "fuzz.h"

#include <signal.h>
#include <stdarg.h>

struct device *dev;
struct slot slots[SLOTS];
bool pat = true, locked_down, broken;
unsigned long operations, failures, alone[WHY_COUNT];

const char *const reason_names[WHY_COUNT] = {
#define X(name, code) [WHY_##name] = #name,
	REASONS(X)
#undef X
};

static const int reason_errno[WHY_COUNT] = {
#define X(name, code) [WHY_##name] = code,
	REASONS(X)
#undef X
};

#define REQUEST sizeof(struct vfio_device_feature_alias_region)
#define HEADER sizeof(struct vfio_device_feature)
#define ALIAS_FLAGS (VFIO_ALIAS_FLAG_SYSFS | VFIO_ALIAS_FLAG_SHARED)

void failed(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("FAILURE at operation %lu, %s: ", operations, dev->bdf);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	failures++;
	broken = true;
}

bool verdict(const char *what, long r, const struct reasons *reasons)
{
	int error = r < 0 ? errno : 0;
	bool known = false;

	for (int i = 0; i < WHY_COUNT; i++) {
		if (!reasons->must[i] && !reasons->may[i])
			continue;
		if (error == reason_errno[i]) {
			known = true;
			if (reasons->n == reasons->must[i])
				alone[i]++;
		} else if (!error && reasons->must[i]) {
			failed("%s: it worked in spite of %s", what, reason_names[i]);
		}
	}
	if (!error)
		return true;
	if (known)
		return false;
	/* To request a BAR without memory is EBUSY. */
	if (injected && (error == ENOMEM || error == ENFILE || error == EAGAIN || error == EBUSY))
		return false;
	failed("%s: %s", what, strerror(error));
	for (int i = 0; i < WHY_COUNT; i++)
		if (reasons->must[i] || reasons->may[i])
			printf("  it %s fail for %s\n", reasons->must[i] ? "should" : "may",
			       reason_names[i]);
	return false;
}

unsigned int alias_count(void)
{
	unsigned int n = VFIO_ALIAS_MAX;

	while (n > 0 && !dev->alias[n - 1].live)
		n--;
	return n;
}

static const struct alias *alias_overlapping(uint32_t bar, uint64_t start, uint64_t end)
{
	for (int i = 0; i < VFIO_ALIAS_MAX; i++) {
		const struct alias *alias = &dev->alias[i];

		if (alias->live && alias->bar == bar && alias->offset < end &&
		    start < alias->offset + alias->size)
			return alias;
	}
	return NULL;
}

const struct alias *alias_at(uint32_t bar, uint64_t offset)
{
	return alias_overlapping(bar, offset, offset + 1);
}

/* The bytes that the BAR really has */
uint64_t alias_length(const struct alias *alias)
{
	uint64_t left = dev->bar[alias->bar].length - alias->offset;

	return alias->size < left ? alias->size : left;
}

bool alias_serves(const struct alias *alias, const struct slot *slot)
{
	switch (slot->view) {
	case VIEW_BAR:
		return alias->flags & VFIO_ALIAS_FLAG_SHARED;
	case VIEW_ALIAS:
		return alias->type == slot->type;
	case VIEW_FILE:
		return alias->type == slot->type && (alias->flags & VFIO_ALIAS_FLAG_SYSFS) &&
		       slot->file == dev->bar[slot->bar].file[slot->type];
	default:
		return false;
	}
}

bool bar_has_claims(uint32_t bar)
{
	for (int i = 0; i < VFIO_ALIAS_MAX; i++)
		if (dev->alias[i].live && dev->alias[i].bar == bar)
			return true;
	return false;
}

/* Whether there is a file that is not the PCI core's */
bool bar_has_file(uint32_t bar, uint32_t type)
{
	for (int i = 0; i < VFIO_ALIAS_MAX; i++) {
		const struct alias *alias = &dev->alias[i];

		if (alias->live && alias->bar == bar && alias->type == type &&
		    (alias->flags & VFIO_ALIAS_FLAG_SYSFS))
			return true;
	}
	return false;
}

/* The name of the file in the device's directory, of who may have it */
const char *bar_file(uint32_t bar, uint32_t type)
{
	static char name[32];

	snprintf(name, sizeof(name), "resource%u%s", bar,
		 type == VFIO_ALIAS_MEMORY_WC ? "_wc" : "");
	return name;
}

/* Our file is gone, and the PCI core's is back, unless an allocation for that failed. */
void stock_returns(uint32_t bar, uint32_t type, bool check)
{
	struct bar *b = &dev->bar[bar];

	b->stock[type] = b->had_stock[type] &&
			 (!check || faccessat(dev->directory, bar_file(bar, type), F_OK, 0) == 0);
}

/* The call as such: its header, and whether the request can be read */
struct reasons why_not_feature(const struct call *call)
{
	uint32_t get_set = call->flags & (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET);
	struct reasons reasons = { 0 };

	if (call->readable < HEADER) {
		why(&reasons, WHY_header_unreadable);
		return reasons;
	}
	if (call->argsz < HEADER)
		why(&reasons, WHY_argsz_below_header);
	if (call->flags & ~(VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_GET |
			    VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE))
		why(&reasons, WHY_header_flag_unknown);
	if (get_set == (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET) &&
	    !(call->flags & VFIO_DEVICE_FEATURE_PROBE))
		why(&reasons, WHY_get_and_set);
	if (reasons.n)
		return reasons;

	if ((call->flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_ALIAS_REGION) {
		why(&reasons, WHY_another_feature);
		return reasons;
	}
	if (dev->own_mmap) {
		why(&reasons, WHY_driver_with_own_mmap);
		return reasons;
	}
	if (call->flags & VFIO_DEVICE_FEATURE_PROBE)
		return reasons;
	if (!get_set) {
		why(&reasons, WHY_neither_get_nor_set);
		return reasons;
	}
	if (call->argsz < HEADER + REQUEST)
		why(&reasons, WHY_argsz_below_payload);
	else if (call->readable < HEADER + REQUEST)
		why(&reasons, WHY_payload_unreadable);
	return reasons;
}

/* What a request for a range of a region means, and what speaks against it */
static void why_not_range(struct reasons *reasons,
			  const struct vfio_device_feature_alias_region *request,
			  struct alias *ret_alias)
{
	uint64_t offset = request->offset, size = request->size;
	const struct bar *bar;

	if (request->region_index >= BARS) {
		why(reasons, WHY_create_region_not_a_bar);
		return;
	}
	bar = &dev->bar[request->region_index];
	if (!bar->mappable) {
		why(reasons, WHY_create_region_not_mappable);
		return;
	}
	if (offset % PAGE)
		why(reasons, WHY_create_offset_unaligned);
	if (offset >= bar->end) {
		why(reasons, WHY_create_offset_past_end);
		return;
	}
	if (size == 0)
		size = bar->end - offset;
	if (offset + size < offset) {
		why(reasons, WHY_create_size_wraps);
		return;
	}
	if (offset + size > bar->end)
		why(reasons, WHY_create_size_past_end);
	if (offset + size == bar->length)
		size = bar->end - offset;
	if (size % PAGE)
		why(reasons, WHY_create_size_unaligned);
	if (request->region_index == dev->msix_bar &&
	    offset < (dev->msix_end + PAGE - 1) / PAGE * PAGE &&
	    dev->msix_start / PAGE * PAGE < offset + size)
		why(reasons, WHY_create_msix_table);

	ret_alias->offset = offset;
	ret_alias->size = size;
}

/* @ret_slot: where in alias[] the alias is or would be */
struct reasons why_not_create(const struct call *call,
			      const struct vfio_device_feature_alias_region *request,
			      struct alias *ret_alias, int *ret_slot)
{
	struct reasons reasons = { 0 };
	const struct alias *there;
	uint64_t end;

	*ret_alias = (struct alias){
		.live = true,
		.bar = request->region_index,
		.type = request->memory_type,
		.flags = request->flags,
	};
	if (request->memory_type == 0)
		why(&reasons, WHY_create_type_zero);
	else if (request->memory_type > VFIO_ALIAS_MEMORY_WC)
		why(&reasons, WHY_create_type_unknown);
	else if (request->memory_type == VFIO_ALIAS_MEMORY_WC && !pat)
		why(&reasons, WHY_create_type_impossible);
	if (request->flags & ~(uint32_t)ALIAS_FLAGS)
		why(&reasons, WHY_create_flag_unknown);
	if (request->alias_offset)
		why(&reasons, WHY_create_alias_offset);
	if (request->alias_index)
		why(&reasons, WHY_create_alias_index);
	if (request->memory_types)
		why(&reasons, WHY_create_memory_types);
	if (request->reserved)
		why(&reasons, WHY_create_reserved);
	if (request->flags & VFIO_ALIAS_FLAG_SYSFS) {
		if (!call->rawio)
			why(&reasons, WHY_create_file_without_rawio);
		if (locked_down && dev->no_iommu)
			why(&reasons, WHY_create_file_under_lockdown);
	}
	why_not_range(&reasons, request, ret_alias);
	if (reasons.n)
		return reasons;

	end = ret_alias->offset + ret_alias->size;
	there = alias_overlapping(ret_alias->bar, ret_alias->offset, end);
	if (there) {
		*ret_slot = (int)(there - dev->alias);
		if (there->offset != ret_alias->offset || there->size != ret_alias->size ||
		    there->type != ret_alias->type || there->flags != ret_alias->flags)
			why(&reasons, WHY_create_overlap);
		return reasons;
	}
	if (dev->leaving)
		why(&reasons, WHY_create_while_leaving);
	for (unsigned int i = 0; i < dev->events; i++) {
		const struct event *event = &dev->event[i];

		if (event->bar == ret_alias->bar && event->pos < end &&
		    ret_alias->offset < event->pos + event->count)
			why(&reasons, WHY_create_over_ioeventfd);
	}
	for (*ret_slot = 0; *ret_slot < VFIO_ALIAS_MAX; ++*ret_slot)
		if (!dev->alias[*ret_slot].live)
			break;
	if (*ret_slot == VFIO_ALIAS_MAX)
		why(&reasons, WHY_create_too_many);
	for (int i = 0; i < SLOTS; i++)
		if ((slots[i].view == VIEW_STOCK && slots[i].bar == ret_alias->bar) ||
		    dev->bar[ret_alias->bar].tainted)
			reasons.may[WHY_create_over_stock_mapping] = true;
	return reasons;
}

struct reasons why_not_remove(const struct vfio_device_feature_alias_region *request)
{
	uint32_t slot = request->alias_index - VFIO_PCI_NUM_REGIONS;
	struct reasons reasons = { 0 };

	if (request->region_index)
		why(&reasons, WHY_remove_region_index);
	if (request->memory_type)
		why(&reasons, WHY_remove_memory_type);
	if (request->flags)
		why(&reasons, WHY_remove_flags);
	if (request->offset)
		why(&reasons, WHY_remove_offset);
	if (request->size)
		why(&reasons, WHY_remove_size);
	if (request->alias_offset)
		why(&reasons, WHY_remove_alias_offset);
	if (request->memory_types)
		why(&reasons, WHY_remove_memory_types);
	if (request->reserved)
		why(&reasons, WHY_remove_reserved);
	if (slot >= VFIO_ALIAS_MAX || !dev->alias[slot].live)
		why(&reasons, WHY_remove_no_alias);
	return reasons;
}

struct reasons why_not_get(const struct vfio_device_feature_alias_region *request)
{
	struct reasons reasons = { 0 };

	if (request->op)
		why(&reasons, WHY_get_op);
	if (request->memory_type)
		why(&reasons, WHY_get_memory_type);
	if (request->flags)
		why(&reasons, WHY_get_flags);
	if (request->offset)
		why(&reasons, WHY_get_offset);
	if (request->size)
		why(&reasons, WHY_get_size);
	if (request->alias_offset)
		why(&reasons, WHY_get_alias_offset);
	if (request->alias_index)
		why(&reasons, WHY_get_alias_index);
	if (request->memory_types)
		why(&reasons, WHY_get_memory_types);
	if (request->reserved)
		why(&reasons, WHY_get_reserved);
	return reasons;
}

struct reasons why_not_event(uint32_t region, uint64_t pos, uint32_t count, bool remove,
			     int *ret_event)
{
	struct reasons reasons = { 0 };

	*ret_event = -1;
	if (count != 1 && count != 2 && count != 4 && count != 8)
		why(&reasons, WHY_ioeventfd_size);
	if (region >= BARS) {
		why(&reasons, WHY_ioeventfd_region);
		return reasons;
	}
	if (pos + count > dev->bar[region].length)
		why(&reasons, WHY_ioeventfd_past_end);
	if (region == dev->msix_bar && pos < dev->msix_end && dev->msix_start < pos + count)
		why(&reasons, WHY_ioeventfd_msix_table);
	if (reasons.n)
		return reasons;

	for (unsigned int i = 0; i < dev->events; i++) {
		const struct event *event = &dev->event[i];

		if (event->bar == region && event->pos == pos && event->count == count)
			*ret_event = (int)i;
	}
	if (remove && *ret_event < 0)
		why(&reasons, WHY_ioeventfd_not_there);
	if (!remove && *ret_event >= 0)
		why(&reasons, WHY_ioeventfd_again);
	else if (!remove && alias_overlapping(region, pos, pos + count))
		why(&reasons, WHY_ioeventfd_over_alias);
	return reasons;
}

int touch_expected(const struct slot *slot, unsigned int page, bool write)
{
	const struct alias *alias;

	/* What x86 can write it can read. */
	if (slot->prot[page] == HOLE ||
	    !(slot->prot[page] & (write ? PROT_WRITE : PROT_READ | PROT_WRITE)))
		return SIGSEGV;
	if (slot->view == VIEW_STOCK)
		return -1;
	if (!dev->alive || slot->session != dev->number || !dev->memory_on)
		return SIGBUS;
	alias = alias_at(slot->bar, slot->offset + page * PAGE);
	if (!alias)
		return slot->view == VIEW_BAR ? 0 : SIGBUS;
	return alias_serves(alias, slot) ? 0 : SIGBUS;
}
