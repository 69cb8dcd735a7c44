/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vfio.h"

#include <criterion/criterion.h>

#define INFO_SIZE sizeof(struct vfio_region_info)
#define HEADER_SIZE sizeof(struct vfio_info_cap_header)

/* An answer of the kernel with room for capabilities behind it. */
static _Alignas(struct vfio_region_info) uint8_t answer[256];

static struct vfio_region_info *info(uint32_t flags, uint32_t cap_offset)
{
	struct vfio_region_info *p = (void *)answer;

	memset(answer, 0, sizeof(answer));
	*p = (struct vfio_region_info){ .argsz = sizeof(answer),
					.flags = flags,
					.cap_offset = cap_offset };
	return p;
}

static void put_header(size_t offset, uint16_t id, uint32_t next)
{
	struct vfio_info_cap_header header = { .id = id, .version = 1, .next = next };

	memcpy(answer + offset, &header, sizeof(header));
}

static int find(size_t size, uint16_t id, size_t length, void *ret)
{
	/* A copy of just that size, for AddressSanitizer to watch its end. */
	_cleanup_free_ struct vfio_region_info *copy = malloc(size ?: 1);

	memcpy(copy, answer, size);
	return vfio_find_capability(copy, size, id, length, ret);
}

Test(vfio, a_capability_is_found_behind_others)
{
	struct vfio_region_info_cap_alias alias = {
		.header = { .id = VFIO_REGION_INFO_CAP_ALIAS, .version = 1 },
		.region_index = 2,
		.memory_type = VFIO_ALIAS_MEMORY_WC,
		.offset = 0x10000,
	};
	struct vfio_region_info_cap_alias found = {};

	info(VFIO_REGION_INFO_FLAG_CAPS, 64);
	put_header(64, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 200);
	put_header(200, VFIO_REGION_INFO_CAP_TYPE, 128); /* nothing forbids backwards */
	memcpy(answer + 128, &alias, sizeof(alias));
	cr_assert_eq(find(sizeof(answer), VFIO_REGION_INFO_CAP_ALIAS, sizeof(found), &found), 0);
	cr_expect_eq(found.region_index, 2);
	cr_expect_eq(found.memory_type, VFIO_ALIAS_MEMORY_WC);
	cr_expect_eq(found.offset, 0x10000);
}

Test(vfio, a_region_without_the_capability_is_not_an_alias)
{
	struct vfio_region_info_cap_alias found;

	info(0, 64); /* an offset without the flag says nothing */
	put_header(64, VFIO_REGION_INFO_CAP_ALIAS, 0);
	cr_expect_eq(find(sizeof(answer), VFIO_REGION_INFO_CAP_ALIAS, sizeof(found), &found),
		     -ENOENT);
	info(VFIO_REGION_INFO_FLAG_CAPS, 0);
	cr_expect_eq(find(sizeof(answer), VFIO_REGION_INFO_CAP_ALIAS, sizeof(found), &found),
		     -ENOENT);
	info(VFIO_REGION_INFO_FLAG_CAPS, 64);
	put_header(64, VFIO_REGION_INFO_CAP_TYPE, 0);
	cr_expect_eq(find(sizeof(answer), VFIO_REGION_INFO_CAP_ALIAS, sizeof(found), &found),
		     -ENOENT);
}

Test(vfio, a_chain_without_an_end_is_refused)
{
	uint8_t found[HEADER_SIZE];

	info(VFIO_REGION_INFO_FLAG_CAPS, 64);
	put_header(64, VFIO_REGION_INFO_CAP_TYPE, 64);
	cr_expect_eq(find(sizeof(answer), VFIO_REGION_INFO_CAP_ALIAS, sizeof(found), found),
		     -EBADMSG);
	put_header(64, VFIO_REGION_INFO_CAP_TYPE, 96);
	put_header(96, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 64);
	cr_expect_eq(find(sizeof(answer), VFIO_REGION_INFO_CAP_ALIAS, sizeof(found), found),
		     -EBADMSG);
}

Test(vfio, a_chain_that_leaves_the_answer_is_refused)
{
	static const uint32_t offsets[] = {
		1,
		INFO_SIZE - 1,
		sizeof(answer) - HEADER_SIZE + 1,
		sizeof(answer),
		sizeof(answer) + 1,
		UINT32_MAX - 3,
		UINT32_MAX,
	};
	uint8_t found[HEADER_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		info(VFIO_REGION_INFO_FLAG_CAPS, offsets[i]);
		cr_expect_eq(find(sizeof(answer), 0, sizeof(found), found), -EBADMSG, "%u",
			     offsets[i]);
		info(VFIO_REGION_INFO_FLAG_CAPS, 64);
		put_header(64, VFIO_REGION_INFO_CAP_TYPE, offsets[i]);
		cr_expect_eq(find(sizeof(answer), 0, sizeof(found), found), -EBADMSG, "%u",
			     offsets[i]);
	}
}

Test(vfio, a_capability_that_is_cut_is_refused)
{
	struct vfio_region_info_cap_alias found;

	info(VFIO_REGION_INFO_FLAG_CAPS, 64);
	put_header(64, VFIO_REGION_INFO_CAP_ALIAS, 0);
	cr_expect_eq(find(64 + sizeof(found), VFIO_REGION_INFO_CAP_ALIAS, sizeof(found), &found),
		     0);
	cr_expect_eq(find(64 + sizeof(found) - 1, VFIO_REGION_INFO_CAP_ALIAS, sizeof(found),
			  &found),
		     -EBADMSG);
	cr_expect_eq(find(INFO_SIZE - 1, VFIO_REGION_INFO_CAP_ALIAS, sizeof(found), &found),
		     -EBADMSG);
}
