/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of alias_fuzz share; main.c says what it does. */
#ifndef FUZZ_H
#define FUZZ_H

#define _GNU_SOURCE
#include "client.h"

#include <stdbool.h>

#define BARS 6
#define MIB (1UL << 20)
#define HUGE_PAGE (2 * MIB)
#define REGION_SHIFT 40

/* ---- input.c: inputs, their text and their mutations -------------------------------------- */

#define STEPS_MAX 64
#define OPERANDS 7

#define OPERATIONS(X)      \
	X(create, 160)     \
	X(remove, 60)      \
	X(get, 40)         \
	X(fill, 1)         \
	X(region_info, 50) \
	X(info, 20)        \
	X(map, 110)        \
	X(map_file, 60)    \
	X(touch, 300)      \
	X(unmap, 50)       \
	X(move, 25)        \
	X(protect, 25)     \
	X(advise, 10)      \
	X(fork, 1)         \
	X(read, 60)        \
	X(write, 60)       \
	X(ioeventfd, 40)   \
	X(memory, 10)      \
	X(reset, 1)        \
	X(attribute, 15)   \
	X(file, 8)         \
	X(inject, 15)      \
	X(close, 1)        \
	X(open, 3)         \
	X(unbind, 1)       \
	X(kill, 0)         \
	X(lockdown, 0)

enum operation {
#define X(name, weight) OP_##name,
	OPERATIONS(X)
#undef X
		OP_COUNT
};

struct step {
	uint8_t op;
	uint8_t v[OPERANDS];
};

struct input {
	uint8_t device;
	uint8_t n;
	struct step step[STEPS_MAX];
};

extern const char *const operation_names[OP_COUNT];

void input_print(const struct input *input, unsigned int n, FILE *to);
int input_load(const char *path, struct input *ret_input);
void input_random(struct input *input);
void input_mutate(struct input *input, const struct input *other);

void random_seed(uint64_t seed);
uint64_t random_below(uint64_t limit);

/* ---- kcov.c: which code of the module a thread has run ------------------------------------- */

#define KCOV_CHILDREN 3

void kcov_open(void);
void kcov_start(void);
bool kcov_collect(void);		   /* since kcov_start(); whether there was something new */
void kcov_child_start(unsigned int child); /* in the child */
void kcov_child_prepare(void);
bool kcov_works(void);
size_t kcov_seen(void);
void kcov_print(FILE *to);

/* ---- model.c: what must happen -------------------------------------------------------------- */

/* Why a call must fail, and with which errno: the rules of <linux/vfio_alias.h> and of VFIO. */
#define REASONS(X)                            \
	X(header_unreadable, EFAULT)          \
	X(argsz_below_header, EINVAL)         \
	X(header_flag_unknown, EINVAL)        \
	X(get_and_set, EINVAL)                \
	X(neither_get_nor_set, EINVAL)        \
	X(another_feature, ENOTTY)            \
	X(driver_with_own_mmap, ENOTTY)       \
	X(argsz_below_payload, EINVAL)        \
	X(payload_unreadable, EFAULT)         \
	X(output_unwritable, EFAULT)          \
	X(op_unknown, EINVAL)                 \
	X(create_type_zero, EINVAL)           \
	X(create_type_unknown, EINVAL)        \
	X(create_flag_unknown, EINVAL)        \
	X(create_alias_offset, EINVAL)        \
	X(create_alias_index, EINVAL)         \
	X(create_memory_types, EINVAL)        \
	X(create_reserved, EINVAL)            \
	X(create_file_without_rawio, EPERM)   \
	X(create_file_under_lockdown, EPERM)  \
	X(create_region_not_a_bar, EINVAL)    \
	X(create_region_not_mappable, EINVAL) \
	X(create_offset_unaligned, EINVAL)    \
	X(create_offset_past_end, EINVAL)     \
	X(create_size_wraps, EINVAL)          \
	X(create_size_past_end, EINVAL)       \
	X(create_size_unaligned, EINVAL)      \
	X(create_msix_table, EINVAL)          \
	X(create_type_impossible, EOPNOTSUPP) \
	X(create_overlap, EEXIST)             \
	X(create_over_ioeventfd, EBUSY)       \
	X(create_over_stock_mapping, EBUSY)   \
	X(create_too_many, ENOSPC)            \
	X(create_while_leaving, ENODEV)       \
	X(remove_region_index, EINVAL)        \
	X(remove_memory_type, EINVAL)         \
	X(remove_flags, EINVAL)               \
	X(remove_offset, EINVAL)              \
	X(remove_size, EINVAL)                \
	X(remove_alias_offset, EINVAL)        \
	X(remove_memory_types, EINVAL)        \
	X(remove_reserved, EINVAL)            \
	X(remove_no_alias, ENOENT)            \
	X(get_op, EINVAL)                     \
	X(get_memory_type, EINVAL)            \
	X(get_flags, EINVAL)                  \
	X(get_offset, EINVAL)                 \
	X(get_size, EINVAL)                   \
	X(get_alias_offset, EINVAL)           \
	X(get_alias_index, EINVAL)            \
	X(get_memory_types, EINVAL)           \
	X(get_reserved, EINVAL)               \
	X(info_argsz, EINVAL)                 \
	X(info_no_region, EINVAL)             \
	X(map_private, EINVAL)                \
	X(map_executable, EPERM)              \
	X(map_write_of_read_only, EACCES)     \
	X(map_no_alias, EINVAL)               \
	X(map_past_alias, EINVAL)             \
	X(map_past_bar, EINVAL)               \
	X(map_not_mappable, EINVAL)           \
	X(map_file_under_lockdown, EPERM)     \
	X(map_file_past_bar, EINVAL)          \
	X(map_file_no_claim, EINVAL)          \
	X(rw_no_region, EINVAL)               \
	X(rw_past_end, EINVAL)                \
	X(rw_memory_off, EIO)                 \
	X(rw_bad_buffer, EFAULT)              \
	X(ioeventfd_size, EINVAL)             \
	X(ioeventfd_region, EINVAL)           \
	X(ioeventfd_past_end, EINVAL)         \
	X(ioeventfd_msix_table, EINVAL)       \
	X(ioeventfd_over_alias, EBUSY)        \
	X(ioeventfd_again, EEXIST)            \
	X(ioeventfd_not_there, ENODEV)

enum reason {
#define X(name, code) WHY_##name,
	REASONS(X)
#undef X
		WHY_COUNT
};

/* All the reasons that there are: which of them a call is refused for is the kernel's choice. */
struct reasons {
	bool must[WHY_COUNT];
	bool may[WHY_COUNT]; /* it can fail for these, or not */
	unsigned int n;	     /* of must[] */
};

static inline void why(struct reasons *reasons, enum reason reason)
{
	reasons->n += !reasons->must[reason];
	reasons->must[reason] = true;
}

struct bar {
	uint64_t start;	 /* on the bus */
	uint64_t length; /* bytes, 0 if there is none */
	uint64_t end;	 /* whole pages */
	bool memory;
	bool mappable;
	bool data;    /* RAM: what was written is read */
	bool tainted; /* somebody mapped the stock file; VFIO's own type is anybody's guess */
	bool had_stock[VFIO_ALIAS_MEMORY_WC + 1];    /* the PCI core has a file of this type */
	bool stock[VFIO_ALIAS_MEMORY_WC + 1];	     /* and has it while ours is not in its place */
	unsigned int file[VFIO_ALIAS_MEMORY_WC + 1]; /* how many of ours there have been */
};

struct alias {
	bool live;
	uint32_t bar, type, flags;
	uint64_t offset, size;
};

struct event {
	uint32_t bar, count;
	uint64_t pos;
};

#define EVENTS_MAX 16

struct device {
	const char *bdf;
	const char *driver;
	bool own_mmap; /* the driver has an mmap() of its own: no aliases */
	bool no_iommu;
	int directory;	    /* the device's in sysfs */
	int vfio_directory; /* vfio-dev/vfioX/, where aliases/ is */

	struct session session; /* fd -1: closed, but mappings may hold the session */
	bool alive;		/* there is a session */
	unsigned int number;	/* of the session */
	bool leaving;		/* it is being taken from its driver */
	pid_t unbinder;
	bool memory_on;

	struct bar bar[BARS];
	uint32_t msix_bar;
	uint64_t msix_start, msix_end; /* the table, bytes */

	struct alias alias[VFIO_ALIAS_MAX];
	struct event event[EVENTS_MAX];
	unsigned int events;
	uint8_t *shadow; /* of the BAR that is RAM */
};

/* Mappings: each slot has an own place in the address space and is one mmap() or a part of it. */
#define SLOTS 6
#define SLOT_PAGES 4096
#define SLOT_ADDRESS(slot) (0x100000000000UL + (slot)*0x8000000UL)

enum view { VIEW_FREE, VIEW_BAR, VIEW_ALIAS, VIEW_FILE, VIEW_STOCK };

struct slot {
	enum view view;
	uint32_t bar, type;
	uint64_t offset;  /* of its first page in the BAR */
	uint8_t *address; /* of its first page */
	unsigned int pages;
	unsigned int mapped;	  /* pages that are there still */
	unsigned int session;	  /* its number */
	unsigned int file;	  /* likewise, of the view's file */
	bool read_only;		  /* the file's descriptor was */
	uint8_t prot[SLOT_PAGES]; /* PROT_x of a page, or HOLE */
};

#define HOLE 0x80

extern struct device *dev;
extern struct slot slots[SLOTS];
extern bool pat, locked_down;
extern bool broken; /* this input has failed; the model may no longer be right */
extern unsigned long operations, failures, alone[WHY_COUNT];
extern const char *const reason_names[WHY_COUNT];

/* What comes with a VFIO_DEVICE_FEATURE call besides the request */
struct call {
	uint32_t argsz, flags;
	size_t readable, writable; /* bytes from its start */
	bool rawio;
};

unsigned int alias_count(void); /* alias[] in use, with holes */
const struct alias *alias_at(uint32_t bar, uint64_t offset);
uint64_t alias_length(const struct alias *alias);
bool alias_serves(const struct alias *alias, const struct slot *slot);
bool bar_has_claims(uint32_t bar);
bool bar_has_file(uint32_t bar, uint32_t type);
const char *bar_file(uint32_t bar, uint32_t type);
void stock_returns(uint32_t bar, uint32_t type, bool check);

struct reasons why_not_feature(const struct call *call);
struct reasons why_not_create(const struct call *call,
			      const struct vfio_device_feature_alias_region *request,
			      struct alias *ret_alias, int *ret_slot);
struct reasons why_not_remove(const struct vfio_device_feature_alias_region *request);
struct reasons why_not_get(const struct vfio_device_feature_alias_region *request);
struct reasons why_not_event(uint32_t region, uint64_t pos, uint32_t count, bool remove,
			     int *ret_event);

/* The signal that must come, 0 for none, -1 where anything may */
int touch_expected(const struct slot *slot, unsigned int page, bool write);

__attribute__((format(printf, 1, 2))) void failed(const char *format, ...);

/* Whether a call did succeed, which returned @r (errno); fails where it should have done otherwise.
 */
bool verdict(const char *what, long r, const struct reasons *reasons);

/* ---- memory.c: mappings -----------------------------------------------------------------------
 */

void memory_open(void);
void slot_clear(struct slot *slot);
void slots_reread(struct slot *slot);
unsigned int mappings_of(const struct alias *alias);
void touch(struct slot *slot, unsigned int page, bool write, unsigned int at, uint8_t value,
	   bool walk);
void session_check_end(void);

void do_map(const uint8_t *v);
void do_map_file(const uint8_t *v);
void do_touch(const uint8_t *v);
void do_unmap(const uint8_t *v);
void do_move(const uint8_t *v);
void do_protect(const uint8_t *v);
void do_advise(const uint8_t *v);
void do_fork(const uint8_t *v);

/* ---- calls.c: ioctls, reads and writes, files ---------------------------------------------------
 */

extern bool injected; /* an allocation did fail in the last call */

void inject_open(void);
void inject_begin(void);
void inject_end(void);
void inject_cancel(void);

void calls_open(void);
uint32_t pick_region(uint8_t v);
uint64_t pick_offset(uint32_t bar, uint8_t v);
uint64_t pick_pages(uint64_t offset, uint64_t end, uint8_t v);
void check_region_info(uint32_t index);
void check_aliases(void);
void remove_alias(uint32_t index);

void do_create(const uint8_t *v);
void do_remove(const uint8_t *v);
void do_get(const uint8_t *v);
void do_fill(const uint8_t *v);
void do_region_info(const uint8_t *v);
void do_info(const uint8_t *v);
void do_read(const uint8_t *v);
void do_write(const uint8_t *v);
void do_ioeventfd(const uint8_t *v);
void do_memory(const uint8_t *v);
void do_reset(const uint8_t *v);
void do_attribute(const uint8_t *v);
void do_file(const uint8_t *v);
void do_inject(const uint8_t *v);

/* ---- device.c: sessions, and what ends them
 * ------------------------------------------------------- */

extern bool lockdown_due;

void device_init(struct device *device, char *argument);
void device_open(void);
void device_clean(void);
void session_is_over(void);

void do_close(const uint8_t *v);
void do_open(const uint8_t *v);
void do_unbind(const uint8_t *v);
void do_kill(const uint8_t *v);
void do_lockdown(const uint8_t *v);

#endif
