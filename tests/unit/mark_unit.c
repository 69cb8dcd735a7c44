/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbers in these tests are of a host with pages of 4 KiB. */
#include "mark.h"

#include <criterion/criterion.h>
#include <inttypes.h>

static struct mark_text text_of(const char *alias)
{
	return (struct mark_text){ .value = { [MARK_ALIAS] = (char *)alias } };
}

static void expect_refused(const struct mark_text *text, const char *message)
{
	_cleanup_mark_ struct mark *mark = NULL;
	_cleanup_free_ char *found = NULL;

	cr_expect_eq(mark_parse(text, &mark, &found), -EINVAL, "%s", message);
	cr_expect(streq(found, message), "%s, and not %s", found ?: "accepted", message);
	cr_expect_null(mark);
}

static struct mark *expect_mark(const struct mark_text *text)
{
	struct mark *mark = NULL;
	char *message = NULL;

	cr_assert_eq(mark_parse(text, &mark, &message), 0, "%s", message);
	cr_assert_null(message);
	return mark;
}

#define ITEM(n, item, column) "VFIO_ALIAS: item " #n " \"" item "\", column " #column ": "

Test(mark, an_item_that_is_refused_is_named_with_the_column_and_the_mending)
{
	static const char bar[] = "BAR must be 0 to 5", type[] = "TYPE must be wc or uc";
	static const char offset[] = "OFFSET must be a number such as 0, 65536, 0x10000 or 64K";
	static const char length[] = "LENGTH must be a number such as 0, 65536, 0x10000 or 64K";
	static const char comma[] = "only \"shared\" may follow the comma";
	static const struct {
		const char *alias, *where, *why;
	} cases[] = {
		{ "2:wc 7:wc", ITEM(2, "7:wc", 6), bar },
		{ "6:wc", ITEM(1, "6:wc", 1), bar },
		{ "-1:wc", ITEM(1, "-1:wc", 1), bar },
		{ "02:wc", ITEM(1, "02:wc", 1), bar },
		{ "0x2:wc", ITEM(1, "0x2:wc", 1), bar },
		{ "a:wc", ITEM(1, "a:wc", 1), bar },
		{ ":wc", ITEM(1, ":wc", 1), bar },
		{ "wc", ITEM(1, "wc", 1), bar },
		{ ",", ITEM(1, ",", 1), bar },
		{ "2:wc,0:uc", ITEM(1, "2:wc,0:uc", 6), comma },
		{ "2", ITEM(1, "2", 2), "a TYPE must follow the BAR, :wc or :uc" },
		{ "2 3:wc", ITEM(1, "2", 2), "a TYPE must follow the BAR, :wc or :uc" },
		{ "2:", ITEM(1, "2:", 3), type },
		{ "2:wx", ITEM(1, "2:wx", 3), type },
		{ "2:WC", ITEM(1, "2:WC", 3), type },
		{ "2:wcx", ITEM(1, "2:wcx", 3), type },
		{ "2:wb", ITEM(1, "2:wb", 3), type },
		{ "2::wc", ITEM(1, "2::wc", 3), type },
		{ "2:@0+4K", ITEM(1, "2:@0+4K", 3), type },
		{ "2:,shared", ITEM(1, "2:,shared", 3), type },
		{ "2:wc\t3:wc", ITEM(1, "2:wc?3:wc", 3), type },
		{ "2:wc@", ITEM(1, "2:wc@", 6), offset },
		{ "2:wc@+4K", ITEM(1, "2:wc@+4K", 6), offset },
		{ "2:wc@x+4K", ITEM(1, "2:wc@x+4K", 6), offset },
		{ "2:wc@-4K+4K", ITEM(1, "2:wc@-4K+4K", 6), offset },
		{ "2:wc@4KB+4K", ITEM(1, "2:wc@4KB+4K", 6), offset },
		{ "2:wc@0x+4K", ITEM(1, "2:wc@0x+4K", 6), offset },
		{ "2:wc@4K@8K+4K", ITEM(1, "2:wc@4K@8K+4K", 6), offset },
		{ "2:wc@18446744073709551616+4K", ITEM(1, "2:wc@18446744073709551616+4K", 6),
		  "OFFSET must be less than 2^64" },
		{ "2:wc@17179869184G+4K", ITEM(1, "2:wc@17179869184G+4K", 6),
		  "OFFSET must be less than 2^64" },
		{ "2:wc@100+4K", ITEM(1, "2:wc@100+4K", 6),
		  "OFFSET must be a multiple of the page size, 4096" },
		{ "2:wc@4K", ITEM(1, "2:wc@4K", 8),
		  "a LENGTH must follow the OFFSET, as in @0+64K" },
		{ "2:wc@4K,shared", ITEM(1, "2:wc@4K,shared", 8),
		  "a LENGTH must follow the OFFSET, as in @0+64K" },
		{ "2:wc@4K+", ITEM(1, "2:wc@4K+", 9), length },
		{ "2:wc@4K+x", ITEM(1, "2:wc@4K+x", 9), length },
		{ "2:wc@4K+4Kx", ITEM(1, "2:wc@4K+4Kx", 9), length },
		{ "2:wc@4K+4K+4K", ITEM(1, "2:wc@4K+4K+4K", 9), length },
		{ "2:wc@0+0", ITEM(1, "2:wc@0+0", 8), "LENGTH must be more than 0" },
		{ "2:wc@0+1", ITEM(1, "2:wc@0+1", 8),
		  "LENGTH must be a multiple of the page size, 4096" },
		{ "2:wc@0+18446744073709551616", ITEM(1, "2:wc@0+18446744073709551616", 8),
		  "LENGTH must be less than 2^64" },
		{ "2:wc@4K+0xfffffffffffff000", ITEM(1, "2:wc@4K+0xfffffffffffff000", 9),
		  "OFFSET and LENGTH together must be less than 2^64" },
		{ "2:wc,", ITEM(1, "2:wc,", 6), comma },
		{ "2:wc,share", ITEM(1, "2:wc,share", 6), comma },
		{ "2:wc,shared,shared", ITEM(1, "2:wc,shared,shared", 6), comma },
		{ "2:wc,shared@0+4K", ITEM(1, "2:wc,shared@0+4K", 6), comma },
		{ "2:wc@0+4K,", ITEM(1, "2:wc@0+4K,", 11), comma },
		{ "2:wc 2:wc", ITEM(2, "2:wc", 6),
		  "its range meets item 1 \"2:wc\"; a page must be in one item only" },
		{ "2:wc 2:uc@4K+4K", ITEM(2, "2:uc@4K+4K", 6),
		  "its range meets item 1 \"2:wc\"; a page must be in one item only" },
		{ "2:wc@4K+4K  2:uc", ITEM(2, "2:uc", 13),
		  "its range meets item 1 \"2:wc@4K+4K\"; a page must be in one item only" },
		{ "2:wc@0+8K 0:wc 2:wc@4K+4K", ITEM(3, "2:wc@4K+4K", 16),
		  "its range meets item 1 \"2:wc@0+8K\"; a page must be in one item only" },
		{ "2:wc@8K+4K 2:uc@0+16K", ITEM(2, "2:uc@0+16K", 12),
		  "its range meets item 1 \"2:wc@8K+4K\"; a page must be in one item only" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mark_text text = text_of(cases[i].alias);
		char message[512];

		snprintf(message, sizeof(message), "%s%s", cases[i].where, cases[i].why);
		expect_refused(&text, message);
	}
}

Test(mark, a_value_without_an_item_is_refused)
{
	struct mark_text text = text_of("  ");

	expect_refused(&text, "VFIO_ALIAS: \"  \": must have an item BAR:TYPE, such as 2:wc");
}

Test(mark, a_value_that_is_refused_is_named_with_the_mending)
{
	static const struct {
		enum mark_property property;
		const char *value, *message;
	} cases[] = {
		{ MARK_BIND, "maybe", "VFIO_ALIAS_BIND: \"maybe\": must be auto, force or never" },
		{ MARK_BIND, "", "VFIO_ALIAS_BIND: \"\": must be auto, force or never" },
		{ MARK_OWNER, "no-such-user",
		  "VFIO_ALIAS_OWNER: \"no-such-user\": there is no such user" },
		{ MARK_OWNER, "4294967295",
		  "VFIO_ALIAS_OWNER: \"4294967295\": must be less than 2^32 - 1" },
		{ MARK_OWNER, "99999999999999999999",
		  "VFIO_ALIAS_OWNER: \"99999999999999999999\": must be less than 2^32 - 1" },
		{ MARK_GROUP, "no-such-group",
		  "VFIO_ALIAS_GROUP: \"no-such-group\": there is no such group" },
		{ MARK_GROUP, "", "VFIO_ALIAS_GROUP: \"\": there is no such group" },
		{ MARK_MODE, "0777",
		  "VFIO_ALIAS_MODE: \"0777\": must be octal with read and write bits only, "
		  "such as 0660" },
		{ MARK_MODE, "4660",
		  "VFIO_ALIAS_MODE: \"4660\": must be octal with read and write bits only, "
		  "such as 0660" },
		{ MARK_MODE, "0680",
		  "VFIO_ALIAS_MODE: \"0680\": must be octal with read and write bits only, "
		  "such as 0660" },
		{ MARK_MODE, "",
		  "VFIO_ALIAS_MODE: \"\": must be octal with read and write bits only, "
		  "such as 0660" },
		{ MARK_NOIOMMU, "yes", "VFIO_ALIAS_NOIOMMU: \"yes\": must be 1 or 0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mark_text text = text_of("2:wc");

		text.value[cases[i].property] = (char *)cases[i].value;
		expect_refused(&text, cases[i].message);
	}
}

Test(mark, items_are_read_as_written)
{
	static const struct mark_item expected[] = {
		{ .bar = 0, .type = VFIO_ALIAS_MEMORY_UC, .offset = 0, .length = 65536 },
		{ .bar = 0, .type = VFIO_ALIAS_MEMORY_WC, .offset = 65536, .length = 983040 },
		{ .bar = 5, .type = VFIO_ALIAS_MEMORY_WC },
		{ .bar = 4,
		  .type = VFIO_ALIAS_MEMORY_WC,
		  .offset = 4096,
		  .length = UINT64_C(2) << 30,
		  .shared = true },
		{ .bar = 3, .type = VFIO_ALIAS_MEMORY_UC, .shared = true },
	};
	struct mark_text text = text_of(" 0:uc@0+64K  0:wc@64K+960K 5:wc 4:wc@0x1000+2G,shared "
					"3:uc,shared ");
	_cleanup_mark_ struct mark *mark = expect_mark(&text);

	cr_assert_eq(mark->n_items, ARRAY_SIZE(expected));
	for (size_t i = 0; i < mark->n_items; i++) {
		cr_expect_eq(mark->items[i].bar, expected[i].bar);
		cr_expect_eq(mark->items[i].type, expected[i].type);
		cr_expect_eq(mark->items[i].offset, expected[i].offset);
		cr_expect_eq(mark->items[i].length, expected[i].length);
		cr_expect_eq(mark->items[i].shared, expected[i].shared);
	}
}

Test(mark, a_device_has_as_many_items_as_the_kernel_has_aliases)
{
	char alias[65 * 16], *p = alias;
	struct mark_text text;
	_cleanup_mark_ struct mark *mark = NULL;

	for (unsigned int i = 0; i < 64; i++)
		p += sprintf(p, "2:wc@%uK+4K ", 4 * i);
	text = text_of(alias);
	mark = expect_mark(&text);
	cr_expect_eq(mark->n_items, 64);

	sprintf(p, "2:wc@256K+4K");
	expect_refused(&text, ITEM(65, "2:wc@256K+4K", 805) "a device can have 64 items at most");
}

Test(mark, the_other_properties_have_defaults)
{
	struct mark_text text = text_of("2:wc");
	_cleanup_mark_ struct mark *mark = expect_mark(&text);

	cr_expect_eq(mark->bind, MARK_BIND_AUTO);
	cr_expect_eq(mark->owner, 0);
	cr_expect_eq(mark->group, 0);
	cr_expect_eq(mark->mode, 0600);
	cr_expect_not(mark->noiommu);
}

Test(mark, the_other_properties_are_read)
{
	struct mark_text text = { .value = { "2:wc", "force", "root", "0", "0644", "1" } };
	_cleanup_mark_ struct mark *mark = expect_mark(&text);

	cr_expect_eq(mark->bind, MARK_BIND_FORCE);
	cr_expect_eq(mark->owner, 0);
	cr_expect_eq(mark->group, 0);
	cr_expect_eq(mark->mode, 0644);
	cr_expect(mark->noiommu);
}

Test(mark, a_group_may_read_and_write_unless_the_mode_says_otherwise)
{
	struct mark_text text = { .value = { "2:wc", "never", "1000", "1001", NULL, "0" } };
	_cleanup_mark_ struct mark *mark = expect_mark(&text);

	cr_expect_eq(mark->bind, MARK_BIND_NEVER);
	cr_expect_eq(mark->owner, 1000);
	cr_expect_eq(mark->group, 1001);
	cr_expect_eq(mark->mode, 0660);
	cr_expect_not(mark->noiommu);
}

static const struct pci_bar bars[PCI_BARS] = {
	{ .kind = PCI_BAR_MEMORY, .length = 256 },
	{ .kind = PCI_BAR_IO, .length = 64 },
	{ .kind = PCI_BAR_MEMORY, .length = 16 << 20 },
	{ .kind = PCI_BAR_NONE, .length = 0 },
	{ .kind = PCI_BAR_UNASSIGNED, .length = 1 << 20 },
	{ .kind = PCI_BAR_MEMORY, .length = 4096 },
};

Test(mark, a_range_that_the_device_has_not_is_refused)
{
	static const char usable[] = "; those that can have an alias: BAR 2, BAR 5";
	static const char past[] =
		"OFFSET and LENGTH together must be at most 16M, the length of the BAR";
	static const struct {
		const char *alias, *where, *why, *more;
	} cases[] = {
		{ "2:wc 0:wc", ITEM(2, "0:wc", 6),
		  "the BAR is smaller than a page and cannot be mapped", usable },
		{ "1:uc", ITEM(1, "1:uc", 1), "the BAR is of I/O ports and not of memory", usable },
		{ "3:uc", ITEM(1, "3:uc", 1), "the device has no such BAR", usable },
		{ "4:wc", ITEM(1, "4:wc", 1), "the kernel has no address for the BAR", usable },
		{ "2:wc@0+32M", ITEM(1, "2:wc@0+32M", 6), past, "" },
		{ "2:wc@16M+4K", ITEM(1, "2:wc@16M+4K", 6), past, "" },
		{ "2:wc@4K+16M", ITEM(1, "2:wc@4K+16M", 6), past, "" },
		{ "2:uc@0+4K 2:wc@8G+4K", ITEM(2, "2:wc@8G+4K", 16), past, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mark_text text = text_of(cases[i].alias);
		_cleanup_mark_ struct mark *mark = expect_mark(&text);
		_cleanup_free_ char *found = NULL;
		char message[512];

		snprintf(message, sizeof(message), "%s%s%s", cases[i].where, cases[i].why,
			 cases[i].more);
		cr_expect_eq(mark_check(mark, bars, &found), -EINVAL, "%s", message);
		cr_expect(streq(found, message), "%s, and not %s", found ?: "accepted", message);
		cr_expect(mark->items[0].length == 0 || strchr(cases[i].alias, '@'),
			  "the mark is unchanged");
	}
}

Test(mark, a_device_without_a_usable_bar_is_told_so)
{
	static const struct pci_bar none[PCI_BARS] = {};
	struct mark_text text = text_of("0:wc");
	_cleanup_mark_ struct mark *mark = expect_mark(&text);
	_cleanup_free_ char *message = NULL;

	cr_expect_eq(mark_check(mark, none, &message), -EINVAL);
	cr_expect_str_eq(message, ITEM(1, "0:wc", 1) "the device has no such BAR; "
						     "those that can have an alias: none");
}

Test(mark, the_whole_bar_has_the_length_of_the_bar)
{
	struct mark_text text = text_of("2:wc 5:uc@0+4K");
	_cleanup_mark_ struct mark *mark = expect_mark(&text);
	_cleanup_free_ char *message = NULL;

	cr_assert_eq(mark_check(mark, bars, &message), 0, "%s", message);
	cr_expect_eq(mark->items[0].length, 16 << 20);
	cr_expect_eq(mark->items[1].length, 4096);
}

Test(mark, a_changed_property_is_a_changed_mark)
{
	struct mark_text text = {}, other = text_of("2:wc");

	cr_assert_eq(mark_text_copy(&text, &other), 0);
	cr_expect(mark_text_equal(&text, &other));
	other.value[MARK_GROUP] = "fpga";
	cr_expect_not(mark_text_equal(&text, &other));
	mark_text_clear(&text);
	cr_expect_null(text.value[MARK_ALIAS]);
}
