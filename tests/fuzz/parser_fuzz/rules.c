/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of udev's rules. An input begins with which way they go:
 *
 *	even  read: a file
 *	odd   written: whether it is for ids, ids, and the properties of a mark, each with a NUL
 *	      behind it, a value of "-" being one that is not set
 */
#include "fuzz.h"
#include "rule.h"
#include "udev-rules.h"

#define BDF "0000:65:00.0"

static int find(char *text, const struct udev_rules_device *device, unsigned int *ret_line)
{
	_cleanup_fclose_ FILE *stream = *text ? fmemopen(text, strlen(text), "r") :
						fopen("/dev/null", "re");

	check(stream);
	return udev_rules_find(stream, device, ret_line);
}

/* ---- read ---- */

/*
 * What begins with line @line, with continuation lines joined. To be freed.
 * @strip: without the white space that a continuation begins with, as udev has it
 */
static char *join(const char *text, unsigned int line, bool strip)
{
	char *joined = strdup(text), *to = joined;

	check(joined);
	for (; line > 1; line--) {
		text = strchr(text, '\n');
		check(text);
		text++;
	}
	check(*text); /* there is such a line */
	while (*text) {
		if (strncmp(text, "\\\n", 2) == 0) {
			text += 2;
			/* Comments between the lines of a rule are no part of it. */
			while (text[strspn(text, " \t")] == '#') {
				text += strcspn(text, "\n");
				text += *text == '\n';
			}
			text += strip ? strspn(text, " \t") : 0;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
	return joined;
}

/* Whether there is a rule in it that may be the one. */
static bool marks(const char *rules)
{
	static const char key[] = "ENV{VFIO_ALIAS}";

	if (!strstr(rules, BDF) && !(strcasestr(rules, "1d0f") && strcasestr(rules, "f010")))
		return false;
	for (const char *p = rules; (p = strstr(p, key));) {
		p += strlen(key);
		p += strspn(p, " \t");
		if ((*p == '=' && p[1] != '=') || strncmp(p, "+=", 2) == 0 ||
		    strncmp(p, ":=", 2) == 0)
			return true;
	}
	return false;
}

static void check_read(struct input *input)
{
	static const struct udev_rules_device device = { BDF, 0x1d0f, 0xf010 };
	_cleanup_free_ char *text = take_text(input, '\0'), *joined = NULL, *stripped = NULL;
	unsigned int line = 4711;
	int r;

	r = find(text, &device, &line);
	if (r < 0) {
		check(r == -ENOENT && line == 4711);
		return;
	}
	check(line >= 1);
	joined = join(text, line, false);
	stripped = join(text, line, true);
	check(marks(joined) || marks(stripped));
}

/* ---- written ---- */

/* Steps over @word, which must be there. */
static void expect(const char **p, const char *word)
{
	check(strncmp(*p, word, strlen(word)) == 0);
	*p += strlen(word);
}

/* Steps over a value as udev does: up to the next quote, or the one behind a backslash. */
static void expect_value(const char **p, const char *value)
{
	const char *end;

	expect(p, "\"");
	end = strchr(*p, '"');
	check(end && (size_t)(end - *p) == strlen(value));
	check(strncmp(*p, value, strlen(value)) == 0);
	for (; *p < end; ++*p) {
		check(**p >= ' ' && **p <= '~');
		check(!strchr("\\$%", **p)); /* nothing is escaped or substituted */
	}
	expect(p, "\"");
}

static void check_rule(const char *rule, const struct rule_target *target,
		       const struct mark_text *mark)
{
	char id[16];

	check(*rule == '#');
	rule = strchr(rule, '\n');
	check(rule);
	expect(&rule, "\nACTION!=\"remove\", SUBSYSTEM==\"pci\", ");
	if (target->by_ids) {
		expect(&rule, "ATTR{vendor}==");
		snprintf(id, sizeof(id), "0x%04x", target->vendor);
		expect_value(&rule, id);
		expect(&rule, ", ATTR{device}==");
		snprintf(id, sizeof(id), "0x%04x", target->device);
		expect_value(&rule, id);
	} else {
		expect(&rule, "KERNEL==");
		expect_value(&rule, target->bdf);
	}
	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		expect(&rule, ", \\\n    ENV{");
		expect(&rule, mark_property_names[i]);
		expect(&rule, "}=");
		expect_value(&rule, mark->value[i] ?: "");
		check(strlen(mark->value[i] ?: "") <= 511);
	}
	expect(&rule, "\n");
	check(*rule == '\0');
}

/* Whether there is a reason to refuse a value. */
static bool is_refused(const struct mark_text *mark)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789 :@+,._-";

	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		const char *value = mark->value[i];

		if (value && (value[strspn(value, good)] || strlen(value) > 511))
			return true;
	}
	return false;
}

static void check_written(struct input *input)
{
	struct rule_target target = { .by_ids = take_byte(input) % 2 };
	_cleanup_free_ char *text = NULL, *message = NULL;
	struct mark_text mark = {};
	struct udev_rules_device device = { .bdf = BDF };
	unsigned int line;
	int r;

	take_bytes(input, &device.vendor, sizeof(device.vendor));
	take_bytes(input, &device.device, sizeof(device.device));
	target.vendor = device.vendor;
	target.device = device.device;
	if (!target.by_ids)
		strcpy(target.bdf, BDF);
	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		mark.value[i] = take_text(input, '\0');
		if (streq(mark.value[i], "-")) {
			free(mark.value[i]);
			mark.value[i] = NULL;
		}
	}

	r = rule_format(&target, &mark, &text, &message);
	check(r == (is_refused(&mark) ? -EINVAL : 0));
	if (r < 0) {
		check_message(message);
		check(!text);
	} else {
		check(!message);
		check_rule(text, &target, &mark);
		/* It is found again; in the first line is a comment. */
		check(find(text, &device, &line) == 0 && line == 2);
	}
	mark_text_clear(&mark);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };

	if (take_byte(&input) % 2 == 0)
		check_read(&input);
	else
		check_written(&input);
	return 0;
}
