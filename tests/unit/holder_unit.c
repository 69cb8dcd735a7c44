/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "holder.h"

#include "scratch.h"

TestSuite(holder, .init = scratch_make, .fini = scratch_remove);

#define DEVICE "/sys/devices/pci0000:00/0000:00:10.0"
#define AT(offset, path) \
	"7f0000000000-7f0000002000 rw-s " offset " 00:17 4711            " path "\n"

static const struct holder_device wanted = {
	.bdf = "0000:00:10.0",
	.vfio_name = "vfio1",
	.bars = { [0] = { .kind = PCI_BAR_MEMORY, .start = 0xfebf1000, .length = 4096 },
		  [2] = { .kind = PCI_BAR_MEMORY, .start = 0xe000000000, .length = 16 << 20 } },
};

#define PLAIN_INODE 4711
#define WC_INODE 4712
#define MAP(addresses, offset, inode, path) \
	addresses " rw-s " offset " 00:17 " #inode "            " path "\n"

/* Who is in the way of an alias of a range of BAR 2; 0 for nobody */
static pid_t find_in_the_way(const char *bdf, struct holder_claim claim, struct holder *ret)
{
	struct holder_device device = wanted;
	int r;

	device.bdf = bdf;
	claim.bar = 2;
	claim.inodes[0] = PLAIN_INODE;
	claim.inodes[1] = WC_INODE;
	r = holder_find_mapping(scratch, &device, &claim, ret);
	cr_assert(r == 0 || r == -ENOENT);
	return r == 0 ? ret->pid : 0;
}

static const struct holder_claim all_wc = { .wc = true, .length = 16 << 20 };

Test(holder, a_process_that_maps_the_bar_is_named)
{
	struct holder holder;

	scratch_file("1/maps", AT("e000000000", "/usr/lib/systemd/systemd"));
	scratch_file("1/comm", "systemd\n");
	scratch_file("123/maps",
		     AT("e000000000", "/usr/bin/test tool") AT("e000000000", DEVICE "/resource2"));
	scratch_file("123/comm", "test-tool\n");
	/* In another network namespace sysfs is another file system. */
	scratch_file("124/maps", "7f0000000000-7f0000002000 rw-s e000000000 00:99 4711 "
				 "/mnt/sysfs/devices/pci0000:00/0000:00:11.0/resource2\n");
	scratch_file("124/comm", "\033[31mevil\n");
	scratch_file("self/maps", AT("e000000000", "/sys/devices/0000:00:12.0/resource2"));

	cr_assert_eq(find_in_the_way("0000:00:10.0", all_wc, &holder), 123);
	cr_expect_str_eq(holder.name, "test-tool");
	cr_expect_str_eq(holder.file, "resource2");

	cr_assert_eq(find_in_the_way("0000:00:11.0", all_wc, &holder), 124);
	cr_expect_str_eq(holder.name, "?[31mevil");

	cr_expect_eq(find_in_the_way("0000:00:12.0", all_wc, &holder), 0);
}

Test(holder, a_file_that_only_looks_like_it_is_not_the_one)
{
	struct holder holder;

	/* Of a file that has been taken away no page is mapped any more. */
	scratch_file("9/maps", AT("e000000000", DEVICE "/resource2 (deleted)")
				       AT("e000000000", DEVICE "/resource21")
					       AT("e000000000", DEVICE "x/resource2")
						       AT("e000000000", "resource2") "\n");
	scratch_file("9/comm", "nine\n");
	/* Somebody's own, beside the one that is meant */
	scratch_file("10/maps", "7f0000000000-7f0000002000 rw-s 00000000 00:1a 33 "
				"/tmp/devices/pci0000:00/0000:00:10.0/resource2\n");
	scratch_file("10/comm", "ten\n");
	/* Another BAR's */
	scratch_file("11/maps", AT("febf1000", DEVICE "/resource0"));
	scratch_file("11/comm", "eleven\n");
	cr_expect_eq(find_in_the_way("0000:00:10.0", all_wc, &holder), 0);
}

Test(holder, what_is_mapped_as_claimed_or_beside_it_is_not_in_the_way)
{
	/* Pages 2 and 3 of the BAR */
	static const char plain[] =
		MAP("7f0000000000-7f0000002000", "e000002000", 4711, DEVICE "/resource2"),
			  wc[] = MAP("7f0000000000-7f0000002000", "e000002000", 4712,
				     DEVICE "/resource2_wc");
	static const struct {
		const char *maps;
		bool wc, rest; /* the claim, in pages */
		uint64_t start, end;
		bool in_the_way;
	} claims[] = {
		{ plain, true, false, 0, 2, false },  { plain, true, false, 4, 8, false },
		{ plain, true, false, 0, 3, true },   { plain, true, false, 3, 8, true },
		{ plain, true, false, 0, 8, true },   { plain, false, false, 0, 8, false },
		{ plain, false, false, 2, 3, false }, { plain, true, true, 4, 8, false },
		{ plain, false, true, 2, 3, false },

		{ wc, true, false, 0, 8, false },     { wc, true, false, 3, 8, false },
		{ wc, true, false, 4, 8, false },     { wc, false, false, 4, 8, false },
		{ wc, false, false, 3, 8, true },     { wc, false, false, 0, 3, true },
		{ wc, true, true, 0, 8, false },      { wc, true, true, 2, 4, false },
		{ wc, true, true, 3, 8, true },	      { wc, true, true, 0, 3, true },
		{ wc, true, true, 4, 8, true },	      { wc, false, true, 4, 8, true },
	};

	scratch_file("7/comm", "seven\n");
	for (size_t i = 0; i < ARRAY_SIZE(claims); i++) {
		const uint64_t page = 4096;
		const struct holder_claim claim = {
			.wc = claims[i].wc,
			.rest = claims[i].rest,
			.offset = claims[i].start * page,
			.length = (claims[i].end - claims[i].start) * page,
		};
		struct holder holder;
		pid_t pid;

		scratch_file("7/maps", claims[i].maps);
		pid = find_in_the_way("0000:00:10.0", claim, &holder);
		cr_expect_eq(pid, claims[i].in_the_way ? 7 : 0, "%zu", i);
		if (pid > 0)
			cr_expect_str_eq(holder.file,
					 claims[i].maps == wc ? "resource2_wc" : "resource2");
	}
}

Test(holder, the_last_page_of_a_claim_is_a_whole_one)
{
	const struct holder_claim claim = { .wc = true, .rest = true, .length = 256 };
	struct holder holder;

	scratch_file("7/comm", "seven\n");
	scratch_file("7/maps",
		     MAP("7f0000000000-7f0000001000", "e000000000", 4712, DEVICE "/resource2_wc"));
	cr_expect_eq(find_in_the_way("0000:00:10.0", claim, &holder), 0);
}

static void expect_mapping(const struct holder_mapping *mapping, pid_t pid, const char *file,
			   unsigned int bar, uint64_t offset)
{
	cr_expect_eq(mapping->pid, pid);
	cr_expect_str_eq(mapping->file, file);
	cr_expect_eq(mapping->bar, bar);
	cr_expect_eq(mapping->offset, offset);
	cr_expect_eq(mapping->size, 0x2000);
}

Test(holder, all_ways_to_map_a_bar_are_found)
{
	struct holder_list list;

	scratch_file("123/comm", "tool\n");
	scratch_file("123/maps",
		     AT("e000003000", DEVICE "/resource2_wc") AT("00000000", "/usr/bin/tool")
			     AT("20000001000", "/vfio-alias:0000:00:10.0:resource2_wc (deleted)")
				     AT("20000002000", "/dev/vfio/devices/vfio1"));
	scratch_file("124/comm", "other\n");
	scratch_file(
		"124/maps",
		AT("20000001000",
		   "/vfio-alias:0000:00:11.0:resource2_wc (deleted)") AT("20000001000",
									 "/vfio-alias:0000:00:10.0")
			AT("20000002000", "/dev/vfio/devices/vfio10") AT("a0000000000",
									 "/dev/vfio/devices/vfio1")
				AT("0", DEVICE "/resource6") AT("0", DEVICE
								"/resource2_wb") AT("0",
										    "/resource2")
					AT("0",
					   "x0000:00:10.0/resource2") "junk\n\n7f00-7f01 rw-s\n");
	scratch_file("125/comm", "vm\n");
	scratch_file("125/maps", AT("20000000000", "anon_inode:[vfio-device]")
					 AT("20000000000", "anon_inode:[vfio-device]"));

	cr_assert_eq(holder_list(scratch, &wanted, &list), 0);
	cr_assert_eq(list.n, 3);
	expect_mapping(&list.mappings[0], 123, "resource2_wc", 2, 0x3000);
	expect_mapping(&list.mappings[1], 123, "resource2_wc", 2, 0x1000);
	expect_mapping(&list.mappings[2], 123, "vfio1", 2, 0x2000);
	cr_expect_str_eq(list.mappings[0].name, "tool");
	cr_expect_eq(list.n_unnamed, 1);
	cr_expect_eq(list.n_unseen, 0);
	free(list.mappings);
}

Test(holder, a_process_that_has_a_device_open_is_named_and_those_excepted_are_not)
{
	static const pid_t except[] = { 1, 12 };
	struct holder holder;

	scratch_file("full", "");
	scratch_link("1/fd/40", "/dev/full");
	scratch_file("1/comm", "systemd\n");
	scratch_link("12/fd/3", "/dev/full");
	scratch_file("12/comm", "vfio-alias-shim\n");
	/* Not the number, not a device, not there */
	scratch_link("13/fd/3", "/dev/null");
	scratch_link("13/fd/4", "../../full");
	scratch_link("13/fd/5", "/nowhere/full");
	scratch_file("13/comm", "other\n");
	cr_expect_eq(holder_find_open(scratch, "/dev/full", except, 2, &holder), -ENOENT);

	scratch_link("14/fd/9", "/dev/../dev/full"); /* whatever the path */
	scratch_file("14/comm", "qemu\n");
	cr_assert_eq(holder_find_open(scratch, "/dev/full", except, 2, &holder), 0);
	cr_expect_eq(holder.pid, 14);
	cr_expect_str_eq(holder.name, "qemu");
	cr_expect_eq(holder_find_open(scratch, "/dev/nowhere", except, 2, &holder), -ENOENT);
	cr_expect_eq(holder_find_open(scratch, "/", except, 2, &holder), -ENOENT);
}

Test(holder, a_process_that_has_a_device_open_whose_node_is_gone_is_named)
{
	static const pid_t except[] = { 1 };
	static const char *const others[] = { "/null", "/null12", "/null (deleted",
					      "/nul (deleted)", "/nullx (deleted)" };
	_cleanup_free_ char *node = NULL;
	struct holder holder;

	/* A link to a link: what the kernel shows of a node that is gone leads nowhere by itself.
	 */
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_free_ char *link = NULL;

		cr_assert(asprintf(&link, "13/fd/%zu", i) > 0);
		scratch_link(link, others[i]);
	}
	scratch_file("13/comm", "other\n");
	cr_assert(asprintf(&node, "%s/null7 (deleted)", scratch) > 0);
	cr_assert_eq(symlink("/dev/null", node), 0);
	scratch_link("1/fd/3", node);
	scratch_file("1/comm", "systemd\n");
	cr_expect_eq(holder_find_open_unlinked(scratch, "/null", except, 1, &holder), -ENOENT);

	scratch_link("14/fd/9", node);
	scratch_file("14/comm", "qemu\n");
	cr_assert_eq(holder_find_open_unlinked(scratch, "/null", except, 1, &holder), 0);
	cr_expect_eq(holder.pid, 14);
}
