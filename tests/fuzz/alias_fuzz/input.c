/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inputs: a device and a sequence of steps, each an operation and bytes that it interprets.
 * Their text is what the corpus has, what a failure prints and what --replay reads:
 *
 *	device 0
 *	create 00 01 00 00 ff ff ff
 *	# a comment
 */
#include "fuzz.h"

const char *const operation_names[OP_COUNT] = {
#define X(name, weight) [OP_##name] = #name,
	OPERATIONS(X)
#undef X
};

static const unsigned int weights[OP_COUNT] = {
#define X(name, weight) [OP_##name] = weight,
	OPERATIONS(X)
#undef X
};

#define X(name, weight) +weight
enum { WEIGHTS = 0 OPERATIONS(X) };
#undef X

static uint64_t random_state;

void random_seed(uint64_t seed)
{
	random_state = (seed + 1) * 0x9e3779b97f4a7c15ULL | 1;
}

/* xorshift64* */
uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL >> 16) % limit;
}

void input_print(const struct input *input, unsigned int n, FILE *to)
{
	fprintf(to, "device %u\n", input->device);
	for (unsigned int i = 0; i < n; i++) {
		fputs(operation_names[input->step[i].op], to);
		for (int k = 0; k < OPERANDS; k++)
			fprintf(to, " %02x", input->step[i].v[k]);
		putc('\n', to);
	}
}

static int parse_step(char *line, struct step *ret_step)
{
	struct step step = { .op = OP_COUNT };
	char *word, *end, *rest;
	int n = 0;

	word = strtok_r(line, " \t\n", &rest);
	for (int i = 0; i < OP_COUNT; i++)
		if (!strcmp(word, operation_names[i]))
			step.op = (uint8_t)i;
	if (step.op == OP_COUNT)
		return -EINVAL;
	/* What is left out is what has no special meaning. */
	memset(step.v, 0xff, sizeof(step.v));
	while ((word = strtok_r(NULL, " \t\n", &rest))) {
		unsigned long value = strtoul(word, &end, 16);

		if (n == OPERANDS || *end || value > 255)
			return -EINVAL;
		step.v[n++] = (uint8_t)value;
	}
	*ret_step = step;
	return 0;
}

int input_load(const char *path, struct input *ret_input)
{
	struct input input = { 0 };
	char line[256];
	int r = 0;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (r == 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "#")] = '\0';
		if (line[strspn(line, " \t\n")] == '\0')
			continue;
		if (sscanf(line, "device %hhu", &input.device) == 1)
			continue;
		if (input.n == STEPS_MAX)
			r = -E2BIG;
		else
			r = parse_step(line, &input.step[input.n++]);
	}
	fclose(f);
	if (r == 0 && input.n == 0)
		r = -ENODATA;
	if (r == 0)
		*ret_input = input;
	return r;
}

/* What takes long comes once in an input, if at all. */
static bool is_slow(uint8_t op)
{
	return op == OP_fill || op == OP_reset || op == OP_close || op == OP_unbind ||
	       op == OP_kill;
}

static bool has_slow(const struct input *input)
{
	for (int i = 0; i < input->n; i++)
		if (is_slow(input->step[i].op))
			return true;
	return false;
}

static uint8_t random_operation(const struct input *input)
{
	uint64_t n;
	uint8_t op;

	do {
		n = random_below(WEIGHTS);
		for (op = 0; n >= weights[op]; op++)
			n -= weights[op];
	} while (is_slow(op) && has_slow(input));
	return op;
}

static struct step random_step(const struct input *input)
{
	struct step step = { .op = random_operation(input) };

	for (int i = 0; i < OPERANDS; i++)
		step.v[i] = (uint8_t)random_below(256);
	return step;
}

void input_random(struct input *input)
{
	input->device = (uint8_t)random_below(256);
	input->n = 0;
	for (uint64_t n = 8 + random_below(STEPS_MAX - 8); n > 0; n--) {
		input->step[input->n] = random_step(input);
		input->n++;
	}
}

static void remove_step(struct input *input, unsigned int at)
{
	memmove(&input->step[at], &input->step[at + 1],
		(input->n - at - 1) * sizeof(input->step[0]));
	input->n--;
}

static void insert_step(struct input *input, unsigned int at, struct step step)
{
	if (input->n == STEPS_MAX)
		remove_step(input, (unsigned int)random_below(STEPS_MAX));
	if (at > input->n)
		at = input->n;
	memmove(&input->step[at + 1], &input->step[at], (input->n - at) * sizeof(input->step[0]));
	input->step[at] = step;
	input->n++;
}

void input_mutate(struct input *input, const struct input *other)
{
	for (unsigned int i = input->n; i-- > 0;)
		if (is_slow(input->step[i].op) && input->n > 1 && random_below(8))
			remove_step(input, i);
	for (uint64_t n = 1 + random_below(5); n > 0; n--) {
		unsigned int at = (unsigned int)random_below(input->n);
		struct step *step = &input->step[at];

		switch (random_below(10)) {
		case 0:
		case 1:
		case 2:
			step->v[random_below(OPERANDS)] = (uint8_t)random_below(256);
			break;
		case 3:
			step->v[random_below(OPERANDS)] ^= (uint8_t)(1U << random_below(8));
			break;
		case 4:
			*step = random_step(input);
			break;
		case 5:
		case 6:
			insert_step(input, at, random_step(input));
			break;
		case 7:
			if (input->n > 2)
				remove_step(input, at);
			break;
		case 8:
			if (!is_slow(step->op))
				insert_step(input, (unsigned int)random_below(input->n), *step);
			break;
		default: /* the other one's tail */
			at = (unsigned int)random_below(other->n);
			for (unsigned int i = at; i < other->n && i < at + 8; i++)
				if (!is_slow(other->step[i].op))
					insert_step(input, input->n, other->step[i]);
		}
	}
	if (random_below(50) == 0)
		input->device = (uint8_t)random_below(256);
}
