/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel tells of a device's regions. An input begins with which function it is for:
 *
 *	even  a capability behind a region's info: its number, the length that is wanted, and
 *	      the kernel's answer
 *	odd   the aliases of a device: the number of its regions, and for each one above those of
 *	      the header an errno, or 0, the length of the answer, and the answer
 */
#include "vfio.h"

#include <stdarg.h>
#include <sys/ioctl.h>

#include "fuzz.h"
#include "pci.h"

#define LENGTH_MAX 64
#define SOME_FD 1000
#define REGIONS_MAX 64 /* that the input tells of */

/* ---- the kernel ---- */

static struct region {
	const uint8_t *answer;
	uint8_t length;
	uint8_t error;
} regions[REGIONS_MAX];
static uint32_t n_regions;

/* Of a VFIO device; nothing else is opened by these functions. */
int open(const char *path, int flags, ...)
{
	(void)flags;
	check(streq(path, "/dev/iommu") || streq(path, "/dev/vfio/devices/vfio0"));
	return SOME_FD;
}

static int get_region_info(void *argument)
{
	struct vfio_region_info info;
	const struct region *region;
	size_t length;

	memcpy(&info, argument, sizeof(info));
	check(info.argsz >= sizeof(info));
	check(info.index >= VFIO_PCI_NUM_REGIONS && info.index < n_regions);
	if (info.index - VFIO_PCI_NUM_REGIONS >= REGIONS_MAX) {
		errno = EINVAL;
		return -1;
	}
	region = &regions[info.index - VFIO_PCI_NUM_REGIONS];
	if (region->error) {
		errno = region->error;
		return -1;
	}
	/* What has no room is left out, and the length that it wants is told. */
	length = region->length < info.argsz ? region->length : info.argsz;
	memcpy(argument, region->answer, length);
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	check(fd == SOME_FD);
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		((struct vfio_device_info *)argument)->num_regions = n_regions;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info(argument);
	default: /* binding to an iommufd */
		return 0;
	}
}

/* ---- */

static struct vfio_session *session;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct vfio vfio;
	const struct vfio_way way = { .cdev = "vfio0" };

	(void)argc;
	(void)argv;
	check(vfio_session_open(&vfio, &way, "0000:00:10.0", &session) == 0);
	return 0;
}

/* The number is one that the kernel has written, with zeroes behind it. */
static void check_told(const struct region *region, uint64_t number)
{
	uint8_t answer[UINT8_MAX + sizeof(number)] = {};

	memcpy(answer, region->answer, region->length);
	check(memmem(answer, sizeof(answer), &number, sizeof(number)));
}

static void check_aliases(struct input *input)
{
	_cleanup_free_ struct vfio_alias *aliases = NULL;
	uint16_t number;
	size_t n = 4711;
	bool error = false;
	int r;

	take_bytes(input, &number, sizeof(number));
	n_regions = number;
	for (size_t i = 0; i < REGIONS_MAX; i++) {
		struct region *region = &regions[i];
		size_t left;

		region->error = take_byte(input);
		region->length = take_byte(input);
		left = (size_t)(input->end - input->p);
		if (region->length > left)
			region->length = (uint8_t)left;
		region->answer = input->p;
		input->p += region->length;
		error |= region->error;
	}

	r = vfio_session_list_aliases(session, &aliases, &n);
	if (r < 0) {
		check(r == -EBADMSG || error);
		check(!aliases && n == 4711);
		return;
	}
	check(n_regions >= VFIO_PCI_NUM_REGIONS && n <= n_regions - VFIO_PCI_NUM_REGIONS);
	for (size_t i = 0; i < n; i++) {
		const struct vfio_alias *alias = &aliases[i];
		const struct region *region = &regions[alias->index - VFIO_PCI_NUM_REGIONS];

		check(alias->index >= VFIO_PCI_NUM_REGIONS && alias->index < n_regions);
		check(i == 0 || alias->index > aliases[i - 1].index);
		check(alias->bar < PCI_BARS);
		check(region->error == 0);
		check_told(region, alias->size);
		check_told(region, alias->offset);
	}
}

static void check_capability(struct input *input)
{
	_cleanup_free_ struct vfio_region_info *info = NULL;
	uint8_t found[LENGTH_MAX], untouched[LENGTH_MAX];
	size_t length, left;
	uint16_t id;
	int r;

	take_bytes(input, &id, sizeof(id));
	length = sizeof(struct vfio_info_cap_header) +
		 take_byte(input) % (LENGTH_MAX - sizeof(struct vfio_info_cap_header) + 1);
	left = (size_t)(input->end - input->p);
	info = malloc(left ?: 1);
	check(info);
	if (left > 0)
		memcpy(info, input->p, left);

	memset(found, 0xa5, sizeof(found));
	memcpy(untouched, found, sizeof(found));
	r = vfio_find_capability(info, left, id, length, found);
	if (r == 0) {
		struct vfio_info_cap_header header;

		memcpy(&header, found, sizeof(header));
		check(header.id == id);
		check(memcmp(found + length, untouched + length, sizeof(found) - length) == 0);
		check(memmem(info, left, found, length));
	} else {
		check(r == -ENOENT || r == -EBADMSG);
		check(memcmp(found, untouched, sizeof(found)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };

	if (take_byte(&input) % 2 == 0)
		check_capability(&input);
	else
		check_aliases(&input);
	return 0;
}
