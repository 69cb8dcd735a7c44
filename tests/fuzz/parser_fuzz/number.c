/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers, sizes, and text that is made fit for a message. An input is a base and the text. */
#include <ctype.h>

#include "fuzz.h"

/* Returns what parse_u64() is to return, by arithmetic of 128 bits. */
static int expect_u64(const char *text, size_t length, unsigned int base, uint64_t *ret)
{
	unsigned __int128 value = 0;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];
		unsigned int digit;

		if (!isxdigit((unsigned char)c))
			return -EINVAL;
		digit = (unsigned int)(isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10);
		if (digit >= base)
			return -EINVAL;
		if (value <= UINT64_MAX) /* else it stays too large */
			value = value * base + digit;
	}
	if (length == 0)
		return -EINVAL;
	if (value > UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)value;
	return 0;
}

static void check_size(const char *text, size_t length)
{
	uint64_t value = 42, again = 42;
	char buffer[FORMAT_SIZE_MAX];
	int r;

	r = parse_size(text, length, &value);
	if (r < 0) {
		check((r == -EINVAL || r == -ERANGE) && value == 42);
		return;
	}
	format_size(buffer, value);
	check(parse_size(buffer, strlen(buffer), &again) == 0);
	check(again == value);
}

static void check_printable(const char *text, size_t length)
{
	_cleanup_free_ char *shown = printable(text, length);

	/* What is longer than 80 is cut. */
	check(shown && strlen(shown) == (length <= 80 ? length : 80 + strlen("...")));
	if (length > 0)
		check_message(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int bases[] = { 8, 10, 16 };
	struct input input = { data, data + size };
	unsigned int base = bases[take_byte(&input) % ARRAY_SIZE(bases)];
	size_t length = (size_t)(input.end - input.p);
	_cleanup_free_ char *text = malloc(length ?: 1); /* a span has no NUL at its end */
	uint64_t value = 42, expected = 42;

	check(text);
	take_bytes(&input, text, length);
	check(parse_u64(text, length, base, &value) == expect_u64(text, length, base, &expected));
	check(value == expected);
	check_size(text, length);
	check_printable(text, length);
	return 0;
}
