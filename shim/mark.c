/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mark.h"

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>

#define ACCESS_BITS 0666

const char *const mark_property_names[MARK_PROPERTIES] = {
	[MARK_ALIAS] = "VFIO_ALIAS",	   [MARK_BIND] = "VFIO_ALIAS_BIND",
	[MARK_OWNER] = "VFIO_ALIAS_OWNER", [MARK_GROUP] = "VFIO_ALIAS_GROUP",
	[MARK_MODE] = "VFIO_ALIAS_MODE",   [MARK_NOIOMMU] = "VFIO_ALIAS_NOIOMMU",
};

int mark_text_copy(struct mark_text *text, const struct mark_text *from)
{
	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		int r = replace_string(&text->value[i], from->value[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

bool mark_text_equal(const struct mark_text *a, const struct mark_text *b)
{
	for (size_t i = 0; i < MARK_PROPERTIES; i++)
		if (!streq(a->value[i], b->value[i]))
			return false;
	return true;
}

void mark_text_clear(struct mark_text *text)
{
	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		free(text->value[i]);
		text->value[i] = NULL;
	}
}

struct mark *mark_free(struct mark *mark)
{
	if (mark)
		free(mark->text);
	free(mark);
	return NULL;
}

const char *mark_type_name(uint32_t type)
{
	switch (type) {
	case VFIO_ALIAS_MEMORY_UC:
		return "uc";
	case VFIO_ALIAS_MEMORY_WC:
		return "wc";
	default:
		return NULL;
	}
}

/* Refuses item @i because of what is written at @at. Returns -EINVAL or -ENOMEM. */
_printf_(5, 6) static int refuse_item(const struct mark *mark, size_t i, const char *at,
				      char **ret_message, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *why = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&why, format, args);
	va_end(args);
	if (r < 0) {
		why = NULL;
		return -ENOMEM;
	}

	text = printable(mark->items[i].text, mark->items[i].text_length);
	if (!text)
		return -ENOMEM;
	r = asprintf(ret_message, "%s: item %zu \"%s\", column %zu: %s",
		     mark_property_names[MARK_ALIAS], i + 1, text, (size_t)(at - mark->text) + 1,
		     why);
	return r < 0 ? -ENOMEM : -EINVAL;
}

/* Refuses a property that is one value. Returns -EINVAL or -ENOMEM. */
static int refuse_value(enum mark_property property, const char *value, char **ret_message,
			const char *why)
{
	_cleanup_free_ char *text = printable(value, strlen(value));

	if (!text ||
	    asprintf(ret_message, "%s: \"%s\": %s", mark_property_names[property], text, why) < 0)
		return -ENOMEM;
	return -EINVAL;
}

/* The first of @stops in [@p, @end), or @end. */
static const char *find_any(const char *p, const char *end, const char *stops)
{
	while (p < end && !strchr(stops, *p))
		p++;
	return p;
}

static bool span_is(const char *p, const char *end, const char *word)
{
	return (size_t)(end - p) == strlen(word) && memcmp(p, word, strlen(word)) == 0;
}

/* One number of item @i, a multiple of the page size. */
static int parse_range_number(const struct mark *mark, size_t i, const char *name, const char *p,
			      const char *end, uint64_t *ret, char **ret_message)
{
	uint64_t value;
	int r;

	r = parse_size(p, (size_t)(end - p), &value);
	if (r == -EINVAL)
		return refuse_item(mark, i, p, ret_message,
				   "%s must be a number such as 0, 65536, 0x10000 or 64K", name);
	if (r == -ERANGE)
		return refuse_item(mark, i, p, ret_message, "%s must be less than 2^64", name);
	if (value % page_size() != 0)
		return refuse_item(mark, i, p, ret_message,
				   "%s must be a multiple of the page size, %" PRIu64, name,
				   page_size());
	*ret = value;
	return 0;
}

/* Reads item @i, of which the text is known already. */
static int parse_item(struct mark *mark, size_t i, char **ret_message)
{
	struct mark_item *item = &mark->items[i];
	const char *p = item->text, *end = p + item->text_length, *stop;
	uint64_t past;
	int r;

	stop = find_any(p, end, ":");
	if (stop - p != 1 || *p < '0' || *p > '5')
		return refuse_item(mark, i, p, ret_message, "BAR must be 0 to 5");
	item->bar = (unsigned int)(*p - '0');
	if (stop == end)
		return refuse_item(mark, i, end, ret_message,
				   "a TYPE must follow the BAR, :wc or :uc");

	p = stop + 1;
	stop = find_any(p, end, "@,");
	if (span_is(p, stop, "wc"))
		item->type = VFIO_ALIAS_MEMORY_WC;
	else if (span_is(p, stop, "uc"))
		item->type = VFIO_ALIAS_MEMORY_UC;
	else
		return refuse_item(mark, i, p, ret_message, "TYPE must be wc or uc");

	if (stop < end && *stop == '@') {
		p = stop + 1;
		stop = find_any(p, end, "+,");
		r = parse_range_number(mark, i, "OFFSET", p, stop, &item->offset, ret_message);
		if (r < 0)
			return r;
		if (stop == end || *stop != '+')
			return refuse_item(mark, i, stop, ret_message,
					   "a LENGTH must follow the OFFSET, as in @0+64K");

		p = stop + 1;
		stop = find_any(p, end, ",");
		r = parse_range_number(mark, i, "LENGTH", p, stop, &item->length, ret_message);
		if (r < 0)
			return r;
		if (item->length == 0)
			return refuse_item(mark, i, p, ret_message, "LENGTH must be more than 0");
		if (__builtin_add_overflow(item->offset, item->length, &past))
			return refuse_item(mark, i, p, ret_message,
					   "OFFSET and LENGTH together must be less than 2^64");
	}

	if (stop < end) {
		p = stop + 1;
		if (!span_is(p, end, "shared"))
			return refuse_item(mark, i, p, ret_message,
					   "only \"shared\" may follow the comma");
		item->shared = true;
	}
	return 0;
}

/* An item for the whole BAR meets every other one of that BAR. */
static bool items_meet(const struct mark_item *a, const struct mark_item *b)
{
	if (a->bar != b->bar)
		return false;
	if (a->length == 0 || b->length == 0)
		return true;
	return a->offset < b->offset + b->length && b->offset < a->offset + a->length;
}

static int parse_alias(struct mark *mark, char **ret_message)
{
	const char *p = mark->text, *end = p + strlen(p);

	for (p += strspn(p, " "); p < end; p += strspn(p, " ")) {
		size_t i = mark->n_items;
		struct mark_item *item = &mark->items[i];
		int r;

		item->text = p;
		item->text_length = strcspn(p, " ");
		if (i == MARK_ITEMS_MAX)
			return refuse_item(mark, i, p, ret_message,
					   "a device can have %d items at most", MARK_ITEMS_MAX);
		r = parse_item(mark, i, ret_message);
		if (r < 0)
			return r;
		for (size_t j = 0; j < i; j++) {
			_cleanup_free_ char *other = NULL;

			if (!items_meet(&mark->items[j], item))
				continue;
			other = printable(mark->items[j].text, mark->items[j].text_length);
			if (!other)
				return -ENOMEM;
			return refuse_item(mark, i, p, ret_message,
					   "its range meets item %zu \"%s\"; "
					   "a page must be in one item only",
					   j + 1, other);
		}
		mark->n_items++;
		p += item->text_length;
	}

	if (mark->n_items == 0)
		return refuse_value(MARK_ALIAS, mark->text, ret_message,
				    "must have an item BAR:TYPE, such as 2:wc");
	return 0;
}

static int parse_bind(const char *value, enum mark_bind *ret, char **ret_message)
{
	if (!value || streq(value, "auto"))
		*ret = MARK_BIND_AUTO;
	else if (streq(value, "force"))
		*ret = MARK_BIND_FORCE;
	else if (streq(value, "never"))
		*ret = MARK_BIND_NEVER;
	else
		return refuse_value(MARK_BIND, value, ret_message, "must be auto, force or never");
	return 0;
}

static int parse_mode(const char *value, mode_t *ret, char **ret_message)
{
	uint64_t mode;

	if (parse_u64(value, strlen(value), 8, &mode) < 0 || mode & ~(uint64_t)ACCESS_BITS)
		return refuse_value(MARK_MODE, value, ret_message,
				    "must be octal with read and write bits only, such as 0660");
	*ret = (mode_t)mode;
	return 0;
}

static int parse_noiommu(const char *value, bool *ret, char **ret_message)
{
	if (value && !streq(value, "0") && !streq(value, "1"))
		return refuse_value(MARK_NOIOMMU, value, ret_message, "must be 1 or 0");
	*ret = streq(value, "1");
	return 0;
}

static int lookup_user(const char *name, char *buffer, size_t size, uint32_t *ret)
{
	struct passwd entry, *found;
	int r = getpwnam_r(name, &entry, buffer, size, &found);

	if (r == 0 && found)
		*ret = entry.pw_uid;
	return r == 0 && !found ? -ENOENT : -r;
}

static int lookup_group(const char *name, char *buffer, size_t size, uint32_t *ret)
{
	struct group entry, *found;
	int r = getgrnam_r(name, &entry, buffer, size, &found);

	if (r == 0 && found)
		*ret = entry.gr_gid;
	return r == 0 && !found ? -ENOENT : -r;
}

/* A user or group: a number, which need not be in the database, or a name, which must. */
static int parse_id(enum mark_property property, const char *value,
		    int (*lookup)(const char *, char *, size_t, uint32_t *), uint32_t *ret,
		    char **ret_message)
{
	_cleanup_free_ char *buffer = NULL;
	uint64_t id;
	int r;

	r = parse_u64(value, strlen(value), 10, &id);
	if (r == 0 && id < UINT32_MAX) { /* the last one is "no change" to chown() */
		*ret = (uint32_t)id;
		return 0;
	}
	if (r != -EINVAL)
		return refuse_value(property, value, ret_message, "must be less than 2^32 - 1");

	r = -ERANGE;
	for (size_t size = 1024; r == -ERANGE && size <= (size_t)1 << 20; size *= 4) {
		free(buffer);
		buffer = malloc(size);
		if (!buffer)
			return -ENOMEM;
		r = lookup(value, buffer, size, ret);
	}
	if (r == 0)
		return 0;
	if (r == -ENOENT)
		return refuse_value(property, value, ret_message,
				    property == MARK_OWNER ? "there is no such user" :
							     "there is no such group");
	return r == -EINVAL ? -EIO : r; /* that is no fault of the mark */
}

int mark_parse(const struct mark_text *text, struct mark **ret, char **ret_message)
{
	_cleanup_mark_ struct mark *mark = calloc(1, sizeof(*mark));
	int r;

	if (!mark)
		return -ENOMEM;
	mark->text = strdup(text->value[MARK_ALIAS]);
	if (!mark->text)
		return -ENOMEM;
	mark->mode = text->value[MARK_GROUP] ? 0660 : 0600;

	r = parse_alias(mark, ret_message);
	if (r < 0)
		return r;
	r = parse_bind(text->value[MARK_BIND], &mark->bind, ret_message);
	if (r < 0)
		return r;
	r = parse_noiommu(text->value[MARK_NOIOMMU], &mark->noiommu, ret_message);
	if (r < 0)
		return r;
	if (text->value[MARK_OWNER]) {
		r = parse_id(MARK_OWNER, text->value[MARK_OWNER], lookup_user, &mark->owner,
			     ret_message);
		if (r < 0)
			return r;
	}
	if (text->value[MARK_GROUP]) {
		r = parse_id(MARK_GROUP, text->value[MARK_GROUP], lookup_group, &mark->group,
			     ret_message);
		if (r < 0)
			return r;
	}
	if (text->value[MARK_MODE]) {
		r = parse_mode(text->value[MARK_MODE], &mark->mode, ret_message);
		if (r < 0)
			return r;
	}

	*ret = TAKE_PTR(mark);
	return 0;
}

/* "BAR 0, BAR 2": those that can have an alias, for the message about one that cannot. */
static const char *list_usable(const struct pci_bar bars[static PCI_BARS],
			       char buffer[static PCI_BARS * 8])
{
	char *p = buffer;

	*p = '\0';
	for (size_t i = 0; i < PCI_BARS; i++)
		if (bars[i].kind == PCI_BAR_MEMORY && bars[i].length >= page_size())
			p += sprintf(p, "%sBAR %zu", p == buffer ? "" : ", ", i);
	return p == buffer ? "none" : buffer;
}

static int check_item(const struct mark *mark, size_t i, const struct pci_bar bars[static PCI_BARS],
		      char **ret_message)
{
	const struct mark_item *item = &mark->items[i];
	const struct pci_bar *bar = &bars[item->bar];
	char usable[PCI_BARS * 8], length[FORMAT_SIZE_MAX];
	const char *why = NULL, *range;

	switch (bar->kind) {
	case PCI_BAR_NONE:
		why = "the device has no such BAR";
		break;
	case PCI_BAR_IO:
		why = "the BAR is of I/O ports and not of memory";
		break;
	case PCI_BAR_UNASSIGNED:
		why = "the kernel has no address for the BAR";
		break;
	case PCI_BAR_MEMORY:
		if (bar->length < page_size())
			why = "the BAR is smaller than a page and cannot be mapped";
		break;
	}
	if (why)
		return refuse_item(mark, i, item->text, ret_message,
				   "%s; those that can have an alias: %s", why,
				   list_usable(bars, usable));

	range = find_any(item->text, item->text + item->text_length, "@") + 1;
	if (item->length > bar->length || item->offset > bar->length - item->length)
		return refuse_item(mark, i, range, ret_message,
				   "OFFSET and LENGTH together must be at most %s, "
				   "the length of the BAR",
				   format_size(length, bar->length));
	return 0;
}

const struct mark_item *mark_find_msix(const struct mark *mark, const struct pci_msix *msix,
				       char **ret_message)
{
	_cleanup_free_ char *text = NULL;
	char offset[FORMAT_SIZE_MAX], length[FORMAT_SIZE_MAX];
	const struct mark_item *item = mark->items;
	uint64_t start, end;

	pci_msix_pages(msix, &start, &end);
	while (item < mark->items + mark->n_items &&
	       (item->bar != msix->bar || item->offset >= end ||
		item->offset + item->length <= start))
		item++;
	if (item == mark->items + mark->n_items)
		return NULL;
	text = printable(item->text, item->text_length);
	if (asprintf(ret_message,
		     "%s meets the pages of the MSI-X table, %s+%s, which can have no alias",
		     text ?: "an item", format_size(offset, start),
		     format_size(length, end - start)) < 0)
		*ret_message = NULL;
	return item;
}

int mark_check(struct mark *mark, const struct pci_bar bars[static PCI_BARS], char **ret_message)
{
	for (size_t i = 0; i < mark->n_items; i++) {
		int r = check_item(mark, i, bars, ret_message);

		if (r < 0)
			return r;
	}

	for (size_t i = 0; i < mark->n_items; i++)
		if (mark->items[i].length == 0)
			mark->items[i].length = bars[mark->items[i].bar].length;
	return 0;
}
