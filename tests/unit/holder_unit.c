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
