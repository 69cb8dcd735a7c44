/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stores.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#define LENGTH ((size_t)4096)

Test(stores, each_way_stores_the_block_and_nothing_beside_it)
{
	static _Alignas(STORES_ALIGNMENT) uint8_t from[LENGTH], to[LENGTH + 2 * STORES_ALIGNMENT];

	for (size_t i = 0; i < LENGTH; i++)
		from[i] = (uint8_t)(i * 13 + i / 256);
	for (size_t i = 0; i < stores_n_ways; i++) {
		const struct stores_way *way = &stores_ways[i];

		for (size_t length = STORES_ALIGNMENT; length <= LENGTH; length *= 4) {
			const uint8_t *end = to + STORES_ALIGNMENT + length;

			if (!stores_possible(way))
				continue;
			memset(to, 0xee, sizeof(to));
			way->store(to + STORES_ALIGNMENT, from, length);
			stores_fence();
			cr_expect_eq(memcmp(to + STORES_ALIGNMENT, from, length), 0, "%s of %zu",
				     way->name, length);
			for (size_t j = 0; j < STORES_ALIGNMENT; j++)
				cr_expect(to[j] == 0xee && end[j] == 0xee, "%s of %zu", way->name,
					  length);
		}
	}
}
