/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The capabilities behind a region's info. An input is the capability's number and the length
 * that is wanted, and then the kernel's answer.
 */
#include "fuzz.h"
#include "vfio.h"

#define LENGTH_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	_cleanup_free_ struct vfio_region_info *info = NULL;
	uint8_t found[LENGTH_MAX], untouched[LENGTH_MAX];
	size_t length, left;
	uint16_t id;
	int r;

	take_bytes(&input, &id, sizeof(id));
	length = sizeof(struct vfio_info_cap_header) +
		 take_byte(&input) % (LENGTH_MAX - sizeof(struct vfio_info_cap_header) + 1);
	left = (size_t)(input.end - input.p);
	info = malloc(left ?: 1);
	check(info);
	if (left > 0)
		memcpy(info, input.p, left);

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
	return 0;
}
