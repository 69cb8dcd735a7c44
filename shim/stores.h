/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ways to store a block of bytes: by the instructions that programs use for device memory. */
#ifndef SHIM_STORES_H
#define SHIM_STORES_H

#include <stdbool.h>
#include <stddef.h>

/* Both ends of a block are multiples of this, which is the longest store. */
#define STORES_ALIGNMENT ((size_t)64)

struct stores_way {
	const char *name;
	const char *what;	/* for people */
	bool (*possible)(void); /* on this CPU; NULL: on any */
	void (*store)(void *to, const void *from, size_t length);
};

extern const struct stores_way stores_ways[];
extern const size_t stores_n_ways;

bool stores_possible(const struct stores_way *way);

/* Has the CPU send what write-combining holds back. */
void stores_fence(void);

#endif
