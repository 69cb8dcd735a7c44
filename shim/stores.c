/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stores.h"

#include <stdint.h>
#include <string.h>

#include "util.h"

/* Through volatile, so that the compiler neither merges stores nor calls memcpy() for them. */
static void store_words(void *to, const void *from, size_t length)
{
	const uint64_t *source = from;
	volatile uint64_t *target = to;

	for (size_t i = 0; i < length / sizeof(*target); i++)
		target[i] = source[i];
}

static void store_memcpy(void *to, const void *from, size_t length)
{
	memcpy(to, from, length);
}

#ifdef __x86_64__
#include <immintrin.h>

#define DEFINE_STORE(name, isa, type)                                                            \
	__attribute__((target(isa))) static void name(void *to, const void *from, size_t length) \
	{                                                                                        \
		const type *source = from;                                                       \
		volatile type *target = to;                                                      \
                                                                                                 \
		for (size_t i = 0; i < length / sizeof(*target); i++)                            \
			target[i] = source[i];                                                   \
	}

DEFINE_STORE(store_sse2, "sse2", __m128i)
DEFINE_STORE(store_avx, "avx", __m256i)
DEFINE_STORE(store_avx512, "avx512f", __m512i)

static void store_nontemporal(void *to, const void *from, size_t length)
{
	const __m128i *source = from;
	__m128i *target = to;

	for (size_t i = 0; i < length / sizeof(*target); i++)
		_mm_stream_si128(&target[i], source[i]);
}

static void store_rep_movsb(void *to, const void *from, size_t length)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
}

static bool has_avx(void)
{
	return __builtin_cpu_supports("avx");
}

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f");
}

void stores_fence(void)
{
	_mm_sfence();
}
#else
void stores_fence(void)
{
	__sync_synchronize();
}
#endif

const struct stores_way stores_ways[] = {
	{ "8 bytes", "stores of 8 bytes", NULL, store_words },
#ifdef __x86_64__
	{ "16 bytes", "SSE2 stores of 16 bytes (movdqa)", NULL, store_sse2 },
	{ "32 bytes", "AVX stores of 32 bytes (vmovdqa)", has_avx, store_avx },
	{ "64 bytes", "AVX-512 stores of 64 bytes (vmovdqa64)", has_avx512, store_avx512 },
	{ "non-temporal", "non-temporal stores of 16 bytes (movntdq)", NULL, store_nontemporal },
	{ "rep movsb", "the string instruction rep movsb", NULL, store_rep_movsb },
#endif
	{ "memcpy", "memcpy() of the C library", NULL, store_memcpy },
};
const size_t stores_n_ways = ARRAY_SIZE(stores_ways);

bool stores_possible(const struct stores_way *way)
{
	return !way->possible || way->possible();
}
