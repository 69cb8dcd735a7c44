/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls on the device's descriptor and on its files, nearly right for the most part. */
#include "fuzz.h"

#include <linux/capability.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

bool injected;

static int fail_nth = -1;
static unsigned int inject;

/* Two pages, the second of which nothing may touch, and one that is read-only before such a one */
static uint8_t *edge, *read_only_edge, *buffer;

#define BUFFER (64 * PAGE)

static uint8_t *page_before_nothing(void)
{
	uint8_t *pages =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || mprotect(pages + PAGE, PAGE, PROT_NONE) < 0)
		die("mmap");
	memset(pages, 0, PAGE);
	return pages + PAGE;
}

void calls_open(void)
{
	edge = page_before_nothing();
	read_only_edge = page_before_nothing();
	buffer = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (buffer == MAP_FAILED)
		die("mmap");
}

/* ---- failing allocations: /proc/thread-self/fail-nth of a kernel with fault injection ---------
 */

void inject_open(void)
{
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		return;
	let_allocations_fail();
}

void inject_begin(void)
{
	injected = false;
	if (inject && fail_nth >= 0 && dprintf(fail_nth, "%u", inject) < 0)
		die("fail-nth");
}

/* errno stays what the call made of it. */
void inject_end(void)
{
	int error = errno;
	char text[16];
	ssize_t n;

	if (!inject || fail_nth < 0)
		return;
	n = pread(fail_nth, text, sizeof(text) - 1, 0);
	if (n <= 0 || pwrite(fail_nth, "0", 1, 0) != 1)
		die("fail-nth");
	text[n] = '\0';
	injected = atoi(text) == 0;
	inject = 0;
	errno = error;
}

void inject_cancel(void)
{
	inject = 0;
	injected = false;
}

/* n: of the next call the n-th allocation fails */
void do_inject(const uint8_t *v)
{
	inject = 1 + v[0] % 64u;
}

/* ---- choices ------------------------------------------------------------------------------------
 */

/* Mostly a BAR that can be mapped, or an alias */
uint32_t pick_region(uint8_t v)
{
	static const uint32_t others[] = {
		VFIO_PCI_ROM_REGION_INDEX,
		VFIO_PCI_CONFIG_REGION_INDEX,
		VFIO_PCI_VGA_REGION_INDEX,
		VFIO_PCI_NUM_REGIONS,
		VFIO_PCI_NUM_REGIONS + VFIO_ALIAS_MAX - 1,
		VFIO_PCI_NUM_REGIONS + VFIO_ALIAS_MAX,
		1U << 20,
		(1U << 23) - 1, /* the last one of a file's offset */
	};
	uint32_t mappable[BARS], n = 0;

	if (v >= 0xf0)
		return v < 0xf8 ? v - 0xf0u : others[v - 0xf8];
	if (v >= 0x80) {
		uint32_t live = alias_count();

		return VFIO_PCI_NUM_REGIONS + (live ? v % live : 0);
	}
	/* The last one first: it is where the memory of QEMU's devices is. */
	for (uint32_t i = BARS; i-- > 0;)
		if (dev->bar[i].mappable)
			mappable[n++] = i;
	return n ? mappable[v / 4 % n] : 0;
}

uint64_t pick_offset(uint32_t bar, uint8_t v)
{
	uint64_t end = dev->bar[bar].end;

	if (!end)
		return v % 4 * PAGE;
	if (v < 0xc0)
		return v % 16 * PAGE % end;
	if (v < 0xd0)
		return (v - 0xc0) * HUGE_PAGE % end;
	if (v < 0xe0)
		return end - (v - 0xcf) * PAGE % end;
	if (v < 0xe4)
		return end + (v - 0xe0) * PAGE;
	if (v < 0xf0)
		return (1ULL << (v - 0xe4) * 5) * PAGE;
	return 0;
}

/* Bytes of whole pages, but at the end of a BAR that has none */
uint64_t pick_pages(uint64_t offset, uint64_t end, uint8_t v)
{
	uint64_t rest = offset < end ? end - offset : PAGE;

	if (v < 0xa0)
		return (1 + v % 8) * PAGE < rest ? (1 + v % 8) * PAGE : rest;
	if (v < 0xb0)
		return rest;
	if (v < 0xc0)
		return HUGE_PAGE;
	if (v < 0xd0)
		return (1 + v % 16) * PAGE;
	if (v < 0xd8)
		return rest + PAGE * (v - 0xcfu);
	return PAGE;
}

/* ---- VFIO_DEVICE_FEATURE
 * -------------------------------------------------------------------------- */

static void set_rawio(bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		die("capget");
	data[0].effective = on ? data[0].permitted : data[0].effective & ~(1U << CAP_SYS_RAWIO);
	if (syscall(SYS_capset, &header, data) < 0)
		die("capset");
}

/* One field, or some, are not what they were. */
static void spoil(struct vfio_device_feature_alias_region *r, uint8_t what, uint8_t how)
{
	const struct bar *bar = &dev->bar[r->region_index % BARS];
	uint32_t bit = 1U << how % 32;
	uint64_t wide = 1ULL << how % 64;

	switch (what) {
	case 0:
		r->op = how % 2 ? VFIO_ALIAS_CREATE + VFIO_ALIAS_REMOVE - r->op : how % 4 ? 0 : how;
		break;
	case 1:
		r->region_index ^= bit;
		break;
	case 2:
		r->region_index = how % 12;
		break;
	case 3:
		r->memory_type = 0;
		break;
	case 4:
		r->memory_type ^= bit;
		break;
	case 5:
		r->flags ^= bit;
		break;
	case 6:
		r->offset ^= wide;
		break;
	case 7:
		r->offset += 1 + how % (PAGE - 1);
		break;
	case 8:
		r->offset = bar->end + how / 2 * PAGE;
		break;
	case 9:
		r->size ^= wide;
		break;
	case 10:
		r->size = bar->end - r->offset + PAGE;
		break;
	case 11:
		r->size = -r->offset - (how & 1) * PAGE;
		break;
	case 12:
		r->size = bar->length - r->offset; /* the last page is not a whole one */
		break;
	case 13:
		r->size = 0;
		break;
	case 14:
		r->alias_offset ^= wide;
		break;
	case 15:
		r->alias_index ^= bit;
		break;
	case 16:
		r->memory_types ^= bit;
		break;
	case 17:
		r->reserved ^= wide;
		break;
	case 18:
		((uint8_t *)r)[how % sizeof(*r)] ^= 0xff;
		break;
	case 19: /* what the MSI-X table is on */
		r->region_index = dev->msix_bar < BARS ? dev->msix_bar : 0;
		r->offset = dev->msix_start / PAGE * PAGE + (how & 1) * PAGE;
		r->size = (1 + (how >> 1 & 3)) * PAGE;
		break;
	case 20:
		if (how & 1)
			r->offset = UINT64_MAX / PAGE * PAGE - (how >> 1) * PAGE;
		else
			r->size = UINT64_MAX / PAGE * PAGE - (how >> 1) * PAGE;
		break;
	case 21: /* with any one bit */
		((uint8_t *)r)[how % sizeof(*r)] ^= (uint8_t)(1 << how / 64);
		break;
	default:
		break;
	}
}

#define WHOLE (sizeof(struct vfio_device_feature) + sizeof(struct vfio_device_feature_alias_region))

/* What may be wrong besides the request; the address to give to the kernel */
static void *spoil_call(struct call *call, void *from, uint8_t how)
{
	static const uint32_t sizes[] = { 0, 7, 8, WHOLE - 1, WHOLE + 1, UINT32_MAX };
	static const uint32_t get_sets[] = {
		VFIO_DEVICE_FEATURE_PROBE,
		VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
		VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
		0,
		VFIO_DEVICE_FEATURE_SET | 1 << 19,
		VFIO_DEVICE_FEATURE_GET | 1U << 31,
	};
	/* How much of it there is, from its start */
	static const size_t parts[] = { 4, 8, 40, WHOLE - 1 };
	const size_t size = WHOLE;
	uint8_t *at = edge - size;

	if (how < 6) {
		call->argsz = sizes[how];
	} else if (how < 12) {
		call->flags = get_sets[how - 6] | (call->flags & VFIO_DEVICE_FEATURE_MASK);
	} else if (how < 14) {
		call->flags ^= how == 12 ? 1 : 0x5eff; /* no feature, today */
	} else if (how < 15) {
		call->flags ^= VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	} else if (how < 19) {
		call->readable = call->writable = parts[how - 15];
		at = edge - call->readable;
	} else if (how < 21) {
		call->writable = 0;
		at = read_only_edge - size;
		mprotect(read_only_edge - PAGE, PAGE, PROT_READ | PROT_WRITE);
	} else if (how < 23) {
		call->readable = call->writable = 0;
		return how == 21 ? NULL : (void *)0xffff888000000000;
	} else if (how < 28) {
		call->rawio = false;
	}

	((struct vfio_device_feature *)from)->argsz = call->argsz;
	((struct vfio_device_feature *)from)->flags = call->flags;
	memcpy(at, from, call->readable < size ? call->readable : size);
	if (!call->writable)
		mprotect(read_only_edge - PAGE, PAGE, PROT_READ);
	return at;
}

static long feature(struct call *call, struct vfio_device_feature_alias_region *request,
		    uint8_t how)
{
	struct {
		struct vfio_device_feature header;
		struct vfio_device_feature_alias_region request;
	} whole = { .request = *request };
	void *at;
	long r;

	call->argsz = call->readable = call->writable = sizeof(whole);
	call->rawio = true;
	at = spoil_call(call, &whole, how);
	if (!call->rawio)
		set_rawio(false);
	inject_begin();
	r = ioctl(dev->session.fd, VFIO_DEVICE_FEATURE, at);
	inject_end();
	if (!call->rawio) {
		int error = errno;

		set_rawio(true);
		errno = error;
	}
	if (r == 0 && call->readable == sizeof(whole)) {
		memcpy(&whole, at, sizeof(whole));
		*request = whole.request;
	}
	return r;
}

/* What the region of an alias says must be what was asked for, and nothing more. */
void check_region_info(uint32_t index)
{
	const struct alias *alias = &dev->alias[index - VFIO_PCI_NUM_REGIONS];
	struct {
		struct vfio_region_info info;
		struct vfio_region_info_cap_alias cap;
	} a = { .info.argsz = sizeof(a), .info.index = index };
	bool live = index - VFIO_PCI_NUM_REGIONS < VFIO_ALIAS_MAX && alias->live;

	if (ioctl(dev->session.fd, VFIO_DEVICE_GET_REGION_INFO, &a) < 0) {
		if (live || errno != EINVAL)
			failed("region info of %u: %m", index);
		return;
	}
	if (!live) {
		failed("region info of %u, which is no alias", index);
		return;
	}
	if (a.info.flags != (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			     VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS) ||
	    a.info.size != alias_length(alias) ||
	    a.info.offset != (uint64_t)index << REGION_SHIFT ||
	    a.info.cap_offset != sizeof(a.info) || a.cap.header.id != VFIO_REGION_INFO_CAP_ALIAS ||
	    a.cap.header.version != 1 || a.cap.header.next != 0 ||
	    a.cap.region_index != alias->bar || a.cap.memory_type != alias->type ||
	    a.cap.offset != alias->offset || a.cap.flags != alias->flags || a.cap.reserved)
		failed("region info of %u: flags %#x size %#llx cap at %u: %u of BAR %u type %u "
		       "offset %#llx flags %#x",
		       index, a.info.flags, (unsigned long long)a.info.size, a.info.cap_offset,
		       a.cap.header.id, a.cap.region_index, a.cap.memory_type,
		       (unsigned long long)a.cap.offset, a.cap.flags);
}

static unsigned int num_regions(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (ioctl(dev->session.fd, VFIO_DEVICE_GET_INFO, &info) < 0)
		failed("VFIO_DEVICE_GET_INFO: %m");
	return info.num_regions;
}

void check_aliases(void)
{
	unsigned int n = num_regions();

	if (n != VFIO_PCI_NUM_REGIONS + alias_count())
		failed("%u regions and not %u", n, VFIO_PCI_NUM_REGIONS + alias_count());
}

/* Any request, whatever became of it */
static void request(const char *what, uint32_t get_set, struct vfio_device_feature_alias_region *r,
		    uint8_t how)
{
	struct call call = { .flags = get_set | VFIO_DEVICE_FEATURE_ALIAS_REGION };
	struct vfio_device_feature_alias_region sent = *r;
	struct reasons reasons;
	struct alias alias;
	bool set, done;
	int slot = -1, error;
	long ret;

	ret = feature(&call, r, how);
	reasons = why_not_feature(&call);
	set = call.flags & VFIO_DEVICE_FEATURE_SET;
	if (reasons.n || call.flags & VFIO_DEVICE_FEATURE_PROBE) {
		verdict(what, ret, &reasons);
		return;
	}

	if (!set)
		reasons = why_not_get(&sent);
	else if (sent.op == VFIO_ALIAS_CREATE)
		reasons = why_not_create(&call, &sent, &alias, &slot);
	else if (sent.op == VFIO_ALIAS_REMOVE)
		reasons = why_not_remove(&sent);
	else
		why(&reasons, WHY_op_unknown);

	/* It is done, but not told; the caller has it again by asking again. */
	done = !reasons.n;
	if (done && call.writable < sizeof(sent) + sizeof(struct vfio_device_feature))
		why(&reasons, WHY_output_unwritable);
	error = errno;
	if (!verdict(what, ret, &reasons) &&
	    !(reasons.must[WHY_output_unwritable] && error == EFAULT))
		done = false;
	if (!done || broken)
		return;

	if (!set) {
		const struct bar *bar = &dev->bar[sent.region_index % BARS];
		uint32_t types = sent.region_index < BARS && bar->mappable ?
					 1 << VFIO_ALIAS_MEMORY_UC | pat << VFIO_ALIAS_MEMORY_WC :
					 0;

		if (ret == 0 && (r->memory_types != types ||
				 r->flags != (VFIO_ALIAS_FLAG_SYSFS | VFIO_ALIAS_FLAG_SHARED)))
			failed("get of %u: types %#x flags %#x", sent.region_index, r->memory_types,
			       r->flags);
	} else if (sent.op == VFIO_ALIAS_CREATE) {
		uint32_t index = VFIO_PCI_NUM_REGIONS + (uint32_t)slot;

		if (alias.flags & VFIO_ALIAS_FLAG_SYSFS && !bar_has_file(alias.bar, alias.type))
			dev->bar[alias.bar].file[alias.type]++;
		dev->alias[slot] = alias;
		if (ret == 0 &&
		    (r->alias_index != index || r->alias_offset != (uint64_t)index << REGION_SHIFT))
			failed("create: index %u offset %#llx and not %u", r->alias_index,
			       (unsigned long long)r->alias_offset, index);
		check_region_info(index);
	} else {
		const struct alias *gone = &dev->alias[sent.alias_index - VFIO_PCI_NUM_REGIONS];

		alias = *gone;
		dev->alias[gone - dev->alias].live = false;
		if (alias.flags & VFIO_ALIAS_FLAG_SYSFS && !bar_has_file(alias.bar, alias.type))
			stock_returns(alias.bar, alias.type, injected);
		check_region_info(sent.alias_index);
	}
}

/* region, type and flags, offset, pages, spoil, how, call */
void do_create(const uint8_t *v)
{
	struct vfio_device_feature_alias_region r = {
		.op = VFIO_ALIAS_CREATE,
		.region_index = pick_region(v[0] < 0xe0 ? v[0] & 0x7f : v[0]),
		.memory_type = v[1] % 4 ? VFIO_ALIAS_MEMORY_WC : VFIO_ALIAS_MEMORY_UC,
		.flags = v[1] >> 2 & 3,
	};

	if (dev->session.fd < 0)
		return;
	/* Files take long. */
	if (v[1] < 0x80)
		r.flags &= VFIO_ALIAS_FLAG_SHARED;
	r.offset = pick_offset(r.region_index % BARS, v[2]);
	r.size = pick_pages(r.offset, dev->bar[r.region_index % BARS].end, v[3]);
	spoil(&r, v[4] % 44, v[5]);
	request("create", VFIO_DEVICE_FEATURE_SET, &r, v[6] % 128);
}

/* index, -, -, -, spoil, how, call */
void do_remove(const uint8_t *v)
{
	struct vfio_device_feature_alias_region r = { .op = VFIO_ALIAS_REMOVE };
	uint32_t count = alias_count();

	if (dev->session.fd < 0)
		return;
	if (v[0] < 0xf0)
		r.alias_index = VFIO_PCI_NUM_REGIONS + (count ? v[0] % count : 0);
	else
		r.alias_index = pick_region(v[0]);
	spoil(&r, v[4] % 44, v[5]);
	request("remove", VFIO_DEVICE_FEATURE_SET, &r, v[6] % 128);
}

void remove_alias(uint32_t index)
{
	struct vfio_device_feature_alias_region r = {
		.op = VFIO_ALIAS_REMOVE,
		.alias_index = index,
	};

	request("remove", VFIO_DEVICE_FEATURE_SET, &r, 0xff);
}

/* region, -, -, -, spoil, how, call */
void do_get(const uint8_t *v)
{
	struct vfio_device_feature_alias_region r = { .region_index = v[0] % 8 };

	if (dev->session.fd < 0)
		return;
	spoil(&r, v[4] % 44, v[5]);
	request("get", VFIO_DEVICE_FEATURE_GET, &r, v[6] % 128);
}

/* As many as there can be, and one more */
void do_fill(const uint8_t *v)
{
	struct vfio_device_feature_alias_region r;
	uint32_t region = pick_region(v[0] & 0x7f);

	if (dev->session.fd < 0 || dev->bar[region].end < 2 * VFIO_ALIAS_MAX * PAGE)
		return;
	for (unsigned int i = 0; i <= VFIO_ALIAS_MAX && !broken; i++) {
		r = (struct vfio_device_feature_alias_region){
			.op = VFIO_ALIAS_CREATE,
			.region_index = region,
			.memory_type = i % 3 ? VFIO_ALIAS_MEMORY_WC : VFIO_ALIAS_MEMORY_UC,
			.offset = (16 + i) * PAGE,
			.size = PAGE,
		};
		if (!pat)
			r.memory_type = VFIO_ALIAS_MEMORY_UC;
		request("fill", VFIO_DEVICE_FEATURE_SET, &r, 0xff);
		operations++;
	}
}

/* ---- other ioctls
 * ------------------------------------------------------------------------------------ */

/* region, -, -, -, -, argsz, pointer */
void do_region_info(const uint8_t *v)
{
	static const uint32_t sizes[] = { 0, 31, 32, 40, 63, UINT32_MAX };
	uint32_t index = pick_region(v[0]), argsz = v[5] < 6 ? sizes[v[5]] : 64;
	struct vfio_region_info info = { .index = index, .argsz = argsz };
	struct reasons reasons = { 0 };
	size_t part = v[6] == 0 ? 16 : v[6] == 1 ? 40 : 64;
	uint8_t *at = edge - part;
	int r;
	bool alias = index >= VFIO_PCI_NUM_REGIONS &&
		     index < VFIO_PCI_NUM_REGIONS + VFIO_ALIAS_MAX &&
		     dev->alias[index - VFIO_PCI_NUM_REGIONS].live;

	if (dev->session.fd < 0)
		return;
	memset(at, 0, part);
	memcpy(at, &info, part < sizeof(info) ? part : sizeof(info));
	if (part < sizeof(info))
		why(&reasons, WHY_rw_bad_buffer);
	else if (argsz < sizeof(info))
		why(&reasons, WHY_info_argsz);
	else if ((index >= VFIO_PCI_NUM_REGIONS && !alias) || index == VFIO_PCI_VGA_REGION_INDEX)
		why(&reasons, WHY_info_no_region);
	else if (alias && argsz >= 64 && part < 64)
		why(&reasons, WHY_rw_bad_buffer);
	/* The MSI-X capability that VFIO has for a BAR is behind, as well. */
	if (index == dev->msix_bar)
		reasons.may[WHY_rw_bad_buffer] = part < 64;

	inject_begin();
	r = ioctl(dev->session.fd, VFIO_DEVICE_GET_REGION_INFO, at);
	inject_end();
	if (!verdict("region_info", r, &reasons))
		return;
	memcpy(&info, at, sizeof(info));
	if (alias && argsz < 64 && (info.argsz != 64 || info.cap_offset != 0))
		failed("region info of %u with argsz %u: argsz %u cap %u", index, argsz, info.argsz,
		       info.cap_offset);
	if (alias)
		check_region_info(index);
}

void do_info(const uint8_t *v)
{
	(void)v;
	if (dev->session.fd >= 0)
		check_aliases();
}

/* Where read() and write() of a region end, and what they cannot do */
static uint64_t rw_end(uint32_t region, struct reasons *reasons, uint64_t at)
{
	uint64_t end = 0;
	bool io = false;

	if (region < BARS) {
		end = dev->bar[region].length;
		io = !dev->bar[region].memory;
	} else if (region - VFIO_PCI_NUM_REGIONS < VFIO_ALIAS_MAX &&
		   dev->alias[region - VFIO_PCI_NUM_REGIONS].live) {
		end = alias_length(&dev->alias[region - VFIO_PCI_NUM_REGIONS]);
	}
	if (!end)
		why(reasons, WHY_rw_no_region);
	else if (at >= end)
		why(reasons, WHY_rw_past_end);
	else if (!dev->memory_on && !io)
		why(reasons, WHY_rw_memory_off);
	return end;
}

/* region, page, in page, count, buffer, value */
static void read_or_write(const uint8_t *v, bool write)
{
	static const uint16_t counts[] = { 1, 2, 3, 4, 7, 8, 16, 31, 64, 200, 256, 4104 };
	uint32_t region = pick_region(v[0]);
	uint64_t at = (v[1] < 0xf0 ? v[1] % 16 : v[1]) * PAGE + v[2] * 17u % PAGE;
	size_t count = v[3] < 12 ? counts[v[3]] : counts[v[3] % 6], good = count, left;
	struct reasons reasons = { 0 };
	uint8_t *shadow = NULL, *from = buffer;
	uint64_t end;
	ssize_t n;

	if (dev->session.fd < 0)
		return;
	/* Registers of configuration space are none of this. */
	if (region >= VFIO_PCI_ROM_REGION_INDEX && region < VFIO_PCI_NUM_REGIONS && write)
		return;
	if (region == VFIO_PCI_ROM_REGION_INDEX || region == VFIO_PCI_CONFIG_REGION_INDEX) {
		(void)!pread(dev->session.fd, buffer, count % 64,
			     (off_t)(((uint64_t)region << REGION_SHIFT) + v[2]));
		return;
	}
	if (v[1] == 0xff && region < BARS)
		at = dev->bar[region].length - 1;

	end = rw_end(region, &reasons, at);
	left = at < end ? end - at : 0;
	if (region < BARS && dev->bar[region].data) {
		shadow = dev->shadow + at;
	} else if (region >= VFIO_PCI_NUM_REGIONS && end) {
		const struct alias *alias = &dev->alias[region - VFIO_PCI_NUM_REGIONS];

		if (dev->bar[alias->bar].data)
			shadow = dev->shadow + alias->offset + at;
	}
	if (left > count)
		left = count;

	/* Part of it is not there, or fails: what was done before is what was there already. */
	if (v[4] < 0x18) {
		good = v[4] % 3 ? count / 2 : 0;
		from = good ? edge - good : v[4] & 1 ? NULL : (uint8_t *)0xffff888000000000;
		if (good < left && !reasons.n)
			why(&reasons, WHY_rw_bad_buffer);
		else if (good < count)
			reasons.may[WHY_rw_bad_buffer] = true;
	}
	if (good) {
		if (!write)
			memset(from, 0xa5, good);
		else if ((good < count || inject) && shadow && left)
			memcpy(from, shadow, good < left ? good : left);
		else
			memset(from, shadow ? v[5] : 0, good);
	}

	inject_begin();
	if (write)
		n = pwrite(dev->session.fd, from, count,
			   (off_t)(((uint64_t)region << REGION_SHIFT) + at));
	else
		n = pread(dev->session.fd, from, count,
			  (off_t)(((uint64_t)region << REGION_SHIFT) + at));
	inject_end();
	if (!verdict(write ? "write" : "read", n, &reasons))
		return;
	if ((size_t)n != left) {
		failed("%s of region %u at %#llx: %zd of %zu bytes", write ? "write" : "read",
		       region, (unsigned long long)at, n, left);
	} else if (shadow && write) {
		memcpy(shadow, from, left);
	} else if (shadow && memcmp(shadow, from, left)) {
		failed("read of region %u at %#llx: not what was written", region,
		       (unsigned long long)at);
	}
}

void do_read(const uint8_t *v)
{
	read_or_write(v, false);
}

void do_write(const uint8_t *v)
{
	read_or_write(v, true);
}

/* region, page, in page, size, remove, which */
void do_ioeventfd(const uint8_t *v)
{
	static int fd = -1;
	uint32_t region = pick_region(v[0] < 0xe0 ? v[0] & 0x7f : v[0]);
	uint32_t count = v[3] < 8 ? v[3] : 1U << v[3] % 4;
	uint64_t pos = v[1] % 16 * PAGE + (v[2] & 0x3f) * 8u;
	struct vfio_device_ioeventfd event = { .argsz = sizeof(event) };
	bool remove = v[4] & 1;
	struct reasons reasons;
	int r, at;

	if (dev->session.fd < 0 || (!remove && dev->events == EVENTS_MAX))
		return;
	if (fd < 0)
		fd = eventfd(0, EFD_CLOEXEC);
	/* Mostly one that is there */
	if (remove && dev->events && v[5] < 0xf0) {
		const struct event *there = &dev->event[v[5] % dev->events];

		region = there->bar;
		pos = there->pos;
		count = there->count;
	}
	event.flags = count;
	event.offset = ((uint64_t)region << REGION_SHIFT) + pos;
	event.fd = remove ? -1 : fd;
	reasons = why_not_event(region, pos, count, remove, &at);

	inject_begin();
	r = ioctl(dev->session.fd, VFIO_DEVICE_IOEVENTFD, &event);
	inject_end();
	if (!verdict("ioeventfd", r, &reasons))
		return;
	if (remove)
		dev->event[at] = dev->event[--dev->events];
	else
		dev->event[dev->events++] =
			(struct event){ .bar = region, .count = count, .pos = pos };
}

/* Memory space off or on, as VFIO shows it */
void do_memory(const uint8_t *v)
{
	const off_t command = ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << REGION_SHIFT) + 4;
	bool on = v[0] & 3;
	uint16_t value;

	if (dev->session.fd < 0)
		return;
	if (pread(dev->session.fd, &value, 2, command) != 2)
		failed("reading the command register: %m");
	value = (uint16_t)(on ? value | 2 : value & ~2);
	if (pwrite(dev->session.fd, &value, 2, command) != 2)
		failed("writing the command register: %m");
	dev->memory_on = on;
}

void do_reset(const uint8_t *v)
{
	(void)v;
	/* EINVAL where the device cannot be reset */
	if (dev->session.fd >= 0 && ioctl(dev->session.fd, VFIO_DEVICE_RESET) < 0 &&
	    errno != EINVAL)
		failed("reset: %m");
}

/* ---- files
 * ------------------------------------------------------------------------------------------- */

/* index, which: a file of aliases/INDEX/ */
void do_attribute(const uint8_t *v)
{
	static const char *const names[] = { "bar",   "offset",	  "size",
					     "flags", "mappings", "memory_type" };
	uint32_t count = alias_count(), index = v[0] < 0xf0 && count ? v[0] % count : v[0] % 80;
	bool live = index < VFIO_ALIAS_MAX && dev->alias[index].live && !dev->leaving;
	const struct alias *alias = &dev->alias[index % VFIO_ALIAS_MAX];
	char path[64], text[64] = "", must[64];
	const char *name = names[v[1] % 6];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "aliases/%u/%s", VFIO_PCI_NUM_REGIONS + index, name);
	fd = openat(dev->vfio_directory, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT || live)
			failed("%s: %m", path);
		return;
	}
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		failed("%s: %m", path);
	close(fd);
	if (!live) {
		failed("%s is there, and the alias is not", path);
		return;
	}
	switch (v[1] % 6) {
	case 0:
		snprintf(must, sizeof(must), "%u\n", alias->bar);
		break;
	case 1:
		snprintf(must, sizeof(must), "0x%llx\n", (unsigned long long)alias->offset);
		break;
	case 2:
		snprintf(must, sizeof(must), "0x%llx\n", (unsigned long long)alias->size);
		break;
	case 3:
		snprintf(must, sizeof(must), "0x%x\n", alias->flags);
		break;
	case 4:
		snprintf(must, sizeof(must), "%u\n", mappings_of(alias));
		break;
	default:
		snprintf(must, sizeof(must), "%s\n",
			 alias->type == VFIO_ALIAS_MEMORY_WC ? "wc" : "uc");
	}
	if (strcmp(text, must))
		failed("%s has %.*s and not %s", path, (int)strcspn(text, "\n"), text, must);
}

/* bar and type, what: the file in the device's directory */
void do_file(const uint8_t *v)
{
	uint32_t bar = v[0] % BARS;
	uint32_t type = v[0] & 8 ? VFIO_ALIAS_MEMORY_UC : VFIO_ALIAS_MEMORY_WC;
	bool ours = bar_has_file(bar, type);
	struct stat st;
	const char *path = bar_file(bar, type);
	ssize_t n;
	int fd;

	if (fstatat(dev->directory, path, &st, 0) < 0) {
		if (errno != ENOENT || ours || dev->bar[bar].stock[type])
			failed("%s: %m", path);
		return;
	}
	if (!ours && !dev->bar[bar].stock[type])
		failed("%s is there without an alias", path);
	if ((uint64_t)st.st_size != dev->bar[bar].length || (st.st_mode & 07777) != 0600)
		failed("%s: size %lld mode %o", path, (long long)st.st_size, st.st_mode);
	/* The stock file of I/O ports has bytes to read. */
	if (!ours)
		return;
	fd = openat(dev->directory, path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		failed("%s: %m", path);
		return;
	}
	n = v[1] & 1 ? pwrite(fd, buffer, 4, 0) : pread(fd, buffer, 4, 0);
	if (n >= 0 || errno != EIO)
		failed("%s of %s: %zd %m", v[1] & 1 ? "write" : "read", path, n);
	close(fd);
}
