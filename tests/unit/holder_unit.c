/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "holder.h"

#include "scratch.h"

TestSuite(holder, .init = scratch_make, .fini = scratch_remove);

#define DEVICE "/sys/devices/pci0000:00/0000:00:10.0"
#define LINE(path) "7f0000000000-7f0001000000 rw-s 00000000 00:17 4711            " path "\n"

Test(holder, a_process_that_maps_the_bar_is_named)
{
	struct holder holder;

	scratch_file("1/maps", LINE("/usr/lib/systemd/systemd"));
	scratch_file("1/comm", "systemd\n");
	scratch_file("123/maps", LINE("/usr/bin/test tool") LINE(DEVICE "/resource2"));
	scratch_file("123/comm", "test-tool\n");
	scratch_file("124/maps", LINE("/mnt/sysfs/devices/pci0000:00/0000:00:11.0/resource0_wc"));
	scratch_file("124/comm", "\033[31mevil\n");
	scratch_file("self/maps", LINE(DEVICE "/resource5"));

	cr_assert_eq(holder_find_mapping(scratch, "0000:00:10.0", 2, &holder), 0);
	cr_expect_eq(holder.pid, 123);
	cr_expect_str_eq(holder.name, "test-tool");
	cr_expect_str_eq(holder.file, "resource2");

	cr_assert_eq(holder_find_mapping(scratch, "0000:00:11.0", 0, &holder), 0);
	cr_expect_eq(holder.pid, 124);
	cr_expect_str_eq(holder.name, "?[31mevil");
	cr_expect_str_eq(holder.file, "resource0_wc");

	cr_expect_eq(holder_find_mapping(scratch, "0000:00:10.0", 5, &holder), -ENOENT);
}

Test(holder, a_file_that_only_looks_like_it_is_not_the_one)
{
	struct holder holder;

	/* Of a file that has been taken away no page is mapped any more. */
	scratch_file("9/maps", LINE(DEVICE "/resource2 (deleted)") LINE(DEVICE "/resource21")
				       LINE(DEVICE "x/resource2") LINE("resource2") "\n");
	scratch_file("9/comm", "nine\n");
	cr_expect_eq(holder_find_mapping(scratch, "0000:00:10.0", 2, &holder), -ENOENT);
}

#define AT(offset, path) \
	"7f0000000000-7f0000002000 rw-s " offset " 00:17 4711            " path "\n"

static const struct holder_device wanted = {
	.bdf = "0000:00:10.0",
	.vfio_name = "vfio1",
	.bars = { [0] = { .kind = PCI_BAR_MEMORY, .start = 0xfebf1000, .length = 4096 },
		  [2] = { .kind = PCI_BAR_MEMORY, .start = 0xe000000000, .length = 16 << 20 } },
};

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
