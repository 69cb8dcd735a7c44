/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grammar of marks. An input is the properties, each with a NUL behind it, a value of
 * "-" being one that is not set, and then the BARs.
 */
#include "mark.h"

#include <grp.h>
#include <pwd.h>

#include "fuzz.h"

/* The databases of users and groups, with one entry, in place of this machine's. */
#define KNOWN "fuzz"
#define KNOWN_ID 4711

int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size,
	       struct passwd **ret)
{
	(void)buffer;
	if (size < 2048)
		return ERANGE;
	*entry = (struct passwd){ .pw_uid = KNOWN_ID };
	*ret = streq(name, KNOWN) ? entry : NULL;
	return streq(name, "fail") ? EIO : 0;
}

int getgrnam_r(const char *name, struct group *entry, char *buffer, size_t size, struct group **ret)
{
	(void)buffer;
	(void)size;
	*entry = (struct group){ .gr_gid = KNOWN_ID };
	*ret = streq(name, KNOWN) ? entry : NULL;
	return streq(name, "fail") ? ERANGE : 0;
}

/* Each item is a range of pages, of one BAR, that no other item meets. @checked: and has a length
 */
static void check_items(const struct mark *mark, bool checked)
{
	check(mark->n_items > 0 && mark->n_items <= MARK_ITEMS_MAX);
	for (size_t i = 0; i < mark->n_items; i++) {
		const struct mark_item *a = &mark->items[i];

		check(a->text >= mark->text &&
		      a->text + a->text_length <= mark->text + strlen(mark->text));
		check(a->bar < PCI_BARS);
		check(mark_type_name(a->type));
		check(a->offset % page_size() == 0);
		check(a->length > 0 || (!checked && a->offset == 0));
		check(a->offset <= UINT64_MAX - a->length);
		for (size_t j = 0; j < i && checked; j++) {
			const struct mark_item *b = &mark->items[j];

			check(a->bar != b->bar || a->offset >= b->offset + b->length ||
			      b->offset >= a->offset + a->length);
		}
	}
}

static void check_against_msix(const struct mark *mark, struct input *input)
{
	const struct pci_msix msix = { .bar = take_byte(input) % PCI_BARS,
				       .offset = (uint64_t)take_byte(input)
						 << take_byte(input) % 25,
				       .size = (uint64_t)take_byte(input) << 4 };
	_cleanup_free_ char *message = NULL;
	const struct mark_item *met = mark_find_msix(mark, &msix, &message);
	uint64_t start, past;

	pci_msix_pages(&msix, &start, &past);
	check(!met == !message);
	for (size_t i = 0; i < mark->n_items; i++) {
		const struct mark_item *item = &mark->items[i];
		bool meets = item->bar == msix.bar && item->offset < past &&
			     start < item->offset + item->length;

		check(!meets || (met && met <= item));
		check(met != item || meets);
	}
}

static void check_against_bars(struct mark *mark, struct input *input)
{
	_cleanup_free_ char *message = NULL;
	struct pci_bar bars[PCI_BARS] = {};
	int r;

	for (size_t i = 0; i < PCI_BARS; i++) {
		uint8_t byte = take_byte(input);

		bars[i].kind = byte % 4;
		if (bars[i].kind != PCI_BAR_NONE)
			bars[i].length = UINT64_C(1) << (byte >> 2);
	}
	r = mark_check(mark, bars, &message);
	if (r == -EINVAL) {
		check_message(message);
		check_items(mark, false);
		return;
	}
	check(r == 0 && !message);
	check_items(mark, true);
	for (size_t i = 0; i < mark->n_items; i++) {
		const struct mark_item *item = &mark->items[i];

		check(bars[item->bar].kind == PCI_BAR_MEMORY);
		check(item->offset + item->length <= bars[item->bar].length);
	}
	check_against_msix(mark, input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	_cleanup_mark_ struct mark *mark = NULL;
	_cleanup_free_ char *message = NULL;
	struct mark_text text = {};
	int r;

	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		text.value[i] = take_text(&input, '\0');
		if (i != MARK_ALIAS && streq(text.value[i], "-")) {
			free(text.value[i]);
			text.value[i] = NULL;
		}
	}

	r = mark_parse(&text, &mark, &message);
	if (r == -EINVAL) {
		check_message(message);
		check(!mark);
	} else if (r < 0) {
		/* who cannot be looked up: the database of users is at fault */
		check(!mark && !message && (r == -EIO || r == -ERANGE));
		check(streq(text.value[MARK_OWNER], "fail") ||
		      streq(text.value[MARK_GROUP], "fail"));
	} else {
		check(r == 0 && mark && !message);
		check((mark->mode & ~(mode_t)0666) == 0);
		check(mark->owner != UINT32_MAX && mark->group != UINT32_MAX);
		check_items(mark, false);
		check_against_bars(mark, &input);
	}
	mark_text_clear(&text);
	return 0;
}
