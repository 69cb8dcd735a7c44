# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --device nvme,serial=test,addr=0x14 --device nvme,serial=large,cmb_size_mb=4096,addr=0x15
"""The kernel series without the daemon: what the UAPI, the files and the page table say."""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import subprocess

from case import Bound, touched
from guest import EDU, IVSHMEM, TESTDEV, SIGBUS, kernel_log, libc, main, map_file, outcome
from ptwalk import walk
import vfio
from vfio import PAGE, SHARED, SYSFS, UC, WC, Session, address, sysfs

MIB = 1 << 20
HUGE = 2 * MIB
GIB = 1 << 30
IVSHMEM_BAR = 16 * MIB


def map_errno(path, size, offset):
    """As map_file(), but without the checks of the mmap module; returns the errno."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        libc("mmap", 0, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, offset)
    except OSError as error:
        return error.errno
    finally:
        os.close(fd)
    return 0


class MemoryType(Bound):
    def test_wc_alias_is_wc_in_the_page_table_with_small_and_huge_pages(self):
        s = self.session()
        _, offset = s.create(2, WC)
        entry = touched(s.mmap(offset, IVSHMEM_BAR))
        self.assertEqual((entry["level"], entry["type"]), ("2M", "WC"))
        entry = touched(s.mmap(offset + PAGE, PAGE))
        self.assertEqual((entry["level"], entry["type"]), ("4K", "WC"))

    def test_wc_file_is_wc_in_the_page_table_with_small_and_huge_pages(self):
        s = self.session()
        s.create(2, WC, flags=SYSFS)
        path = sysfs(IVSHMEM, "resource2_wc")
        self.assertEqual(os.stat(path).st_size, IVSHMEM_BAR)
        entry = touched(map_file(path, IVSHMEM_BAR), 5 * HUGE)
        self.assertEqual((entry["level"], entry["type"]), ("2M", "WC"))
        entry = touched(map_file(path, PAGE, offset=3 * PAGE))
        self.assertEqual((entry["level"], entry["type"]), ("4K", "WC"))

    def test_uc_alias_and_file_are_uc(self):
        s = self.session()
        _, offset = s.create(2, UC, flags=SYSFS)
        self.assertEqual(touched(s.mmap(offset, IVSHMEM_BAR))["type"], "UC-")
        entry = touched(map_file(sysfs(IVSHMEM, "resource2"), IVSHMEM_BAR))
        self.assertEqual((entry["level"], entry["type"]), ("2M", "UC-"))

    def test_own_region_is_uc_outside_of_claims(self):
        s = self.session()
        s.create(2, WC, offset=4 * MIB, size=4 * MIB)
        base = s.mmap(2 << 40, IVSHMEM_BAR)
        entry = touched(base, 8 * MIB)
        self.assertEqual((entry["level"], entry["type"]), ("2M", "UC-"))
        base = s.mmap((2 << 40) + 4 * MIB - PAGE, 2 * PAGE)
        entry = touched(base)
        self.assertEqual((entry["level"], entry["type"]), ("4K", "UC-"))

    def test_wc_comes_back_after_memory_disable_and_reset(self):
        s = self.session()
        s.create(2, WC, flags=SYSFS)
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), IVSHMEM_BAR)
        self.assertEqual(touched(m)["type"], "WC")
        s.memory_enable(False)
        self.assertFalse(walk(address(m))["present"])
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        s.memory_enable(True)
        entry = touched(m)
        self.assertEqual((entry["level"], entry["type"]), ("2M", "WC"))

    def test_wc_and_uc_live_side_by_side_on_one_bar(self):
        s = self.session()
        s.create(2, UC, 0, PAGE, flags=SYSFS)
        s.create(2, WC, PAGE, 0, flags=SYSFS)
        wc = map_file(sysfs(IVSHMEM, "resource2_wc"), IVSHMEM_BAR)
        uc = map_file(sysfs(IVSHMEM, "resource2"), IVSHMEM_BAR)
        self.assertEqual(touched(uc, 0)["type"], "UC-")
        self.assertEqual(touched(wc, PAGE)["type"], "WC")
        self.assertEqual(touched(wc, HUGE)["level"], "2M")
        self.assertEqual(outcome(lambda: wc[0]), SIGBUS)
        self.assertEqual(outcome(lambda: uc[PAGE]), SIGBUS)

    def test_a_bar_that_is_not_prefetchable_is_wc_too(self):
        s = self.session(EDU)
        self.assertFalse(os.path.exists(sysfs(EDU, "resource0_wc")))
        s.create(0, WC, flags=SYSFS)
        m = map_file(sysfs(EDU, "resource0_wc"), MIB)
        _ = m[0]
        self.assertEqual(walk(address(m))["type"], "WC")


class LargeBar(Bound):
    """A BAR of 4 GiB."""

    devices = ("0000:00:15.0",)

    def test_a_claim_splits_a_page_of_a_gigabyte(self):
        s = self.session(*self.devices)
        s.pread(2, 0, 4)
        at = vfio.mmap_aligned(self, s.fd, 2 << 40, 3 * GIB, GIB)

        def word(offset):
            return ctypes.c_uint32.from_address(at + offset)

        def look(offset):
            _ = word(offset).value
            entry = walk(at + offset)
            return entry["level"], entry["type"]

        self.assertEqual(look(0), ("1G", "UC-"))
        self.assertEqual(look(GIB), ("1G", "UC-"))
        index, offset = s.create(2, WC, GIB + MIB, PAGE)
        self.assertFalse(walk(at + GIB)["present"])
        self.assertEqual(look(GIB)[1], "UC-")
        self.assertEqual(outcome(lambda: word(GIB + MIB).value), SIGBUS)
        self.assertEqual(look(0), ("1G", "UC-"))
        alias = s.mmap(offset, PAGE)
        self.assertEqual(touched(alias)["type"], "WC")
        s.remove(index)
        self.assertEqual(look(GIB + MIB)[1], "UC-")

    def test_an_alias_and_a_file_have_pages_of_a_gigabyte(self):
        s = self.session(*self.devices)
        s.create(2, WC, GIB, 2 * GIB, flags=SYSFS)
        fd = os.open(sysfs(self.devices[0], "resource2_wc"), os.O_RDWR)
        at = vfio.mmap_aligned(self, fd, GIB, 2 * GIB, GIB)
        os.close(fd)
        ctypes.c_uint32.from_address(at + GIB).value = 1
        entry = walk(at + GIB)
        self.assertEqual((entry["level"], entry["type"]), ("1G", "WC"))


class Claims(Bound):
    def test_data_is_the_same_through_every_way(self):
        s = self.session()
        _, offset = s.create(2, WC, 0, 8 * MIB, flags=SYSFS)
        alias = s.mmap(offset, 8 * MIB)
        alias[0:8] = b"claimed!"
        self.assertEqual(s.pread(2, 0, 8), b"claimed!")
        self.assertEqual(map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)[0:8], b"claimed!")
        s.pwrite(2, 8 * MIB - 5, b"across the edge")
        self.assertEqual(alias[8 * MIB - 5:], b"acros")
        base = s.mmap((2 << 40) + 8 * MIB, PAGE)
        self.assertEqual(base[0:10], b"s the edge")
        self.assertEqual(s.pread(2, 8 * MIB - 5, 15), b"across the edge")

    def test_claimed_page_is_sigbus_through_the_own_region_and_the_rest_works(self):
        s = self.session()
        base = s.mmap(2 << 40, IVSHMEM_BAR)
        self.assertTrue(touched(base, 4 * MIB)["present"])
        index, _ = s.create(2, WC, 4 * MIB, 4 * MIB)
        self.assertFalse(walk(address(base) + 4 * MIB)["present"])
        self.assertEqual(outcome(lambda: base[4 * MIB]), SIGBUS)
        self.assertIn(f"SIGBUS at BAR 2 offset 0x400000: claimed as wc by alias region {index}"
                      " [0x400000+0x400000], mapped as the BAR's own region", kernel_log())
        for works in (0, 4 * MIB - 1, 8 * MIB, IVSHMEM_BAR - 1):
            self.assertEqual(outcome(lambda at=works: base[at]), 0)

    def test_file_is_sigbus_outside_of_claims_and_einval_wholly_outside(self):
        s = self.session()
        s.create(2, WC, MIB, MIB, flags=SYSFS)
        path = sysfs(IVSHMEM, "resource2_wc")
        m = map_file(path, IVSHMEM_BAR)
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        self.assertIn("SIGBUS at BAR 2 offset 0x0: no alias claims it as wc", kernel_log())
        self.assertEqual(outcome(lambda: m[MIB]), 0)
        self.assertErrno(errno.EINVAL, map_file, path, MIB)
        self.assertErrno(errno.EINVAL, map_file, path, PAGE, offset=2 * MIB)
        self.assertEqual(map_errno(path, IVSHMEM_BAR, offset=PAGE), errno.EINVAL)

    def test_file_does_not_reach_an_alias_without_the_sysfs_flag(self):
        s = self.session()
        s.create(2, WC, 0, PAGE, flags=SYSFS)
        s.create(2, WC, PAGE, PAGE)
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), 2 * PAGE)
        self.assertEqual(outcome(lambda: m[0]), 0)
        self.assertEqual(outcome(lambda: m[PAGE]), SIGBUS)
        self.assertErrno(errno.EINVAL, map_file, sysfs(IVSHMEM, "resource2_wc"), PAGE,
                         offset=PAGE)

    def test_same_request_gives_the_same_alias_and_other_overlaps_eexist(self):
        s = self.session()
        first = s.create(2, WC, MIB, MIB)
        self.assertEqual(s.create(2, WC, MIB, MIB), first)
        for request in ((2, UC, MIB, MIB), (2, WC, MIB, PAGE), (2, WC, 0, 0),
                        (2, WC, 2 * MIB - PAGE, 2 * PAGE)):
            with self.subTest(request):
                self.assertErrno(errno.EEXIST, s.create, *request)
        self.assertErrno(errno.EEXIST, s.create, 2, WC, MIB, MIB, flags=SYSFS)
        self.assertNotEqual(s.create(2, WC, 2 * MIB, MIB), first)

    def test_a_stock_mapping_of_another_type_is_ebusy_until_it_is_gone(self):
        stock = map_file(sysfs(IVSHMEM, "resource2"), PAGE, offset=MIB)
        self.assertEqual(walk(address(stock))["type"], "UC-")
        s = self.session()
        self.assertErrno(errno.EBUSY, s.create, 2, WC, flags=SYSFS)
        self.assertErrno(errno.EINVAL, s.region_info, 9)
        self.assertEqual(walk(address(stock))["type"], "UC-")
        self.assertEqual(stock[0], 0)
        stock.close()
        s.create(2, WC, flags=SYSFS)
        self.assertEqual(touched(map_file(sysfs(IVSHMEM, "resource2_wc"), IVSHMEM_BAR),
                                 MIB)["type"], "WC")

    def test_a_stock_wc_mapping_makes_a_uc_alias_ebusy(self):
        stock = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE, offset=MIB)
        self.assertEqual(walk(address(stock))["type"], "WC")
        s = self.session()
        self.assertErrno(errno.EBUSY, s.create, 2, UC)
        s.create(2, WC)
        del stock


class Uapi(Bound):
    def test_probe_and_get_tell_what_is_possible(self):
        s = self.session(TESTDEV)
        s.probe()
        both = (1 << UC | 1 << WC, SYSFS | SHARED)
        self.assertEqual(s.possible(0), both)
        for region in (1, 2, 6, 7, 8, 9, 0xFFFFFFFF):  # BAR 1 has I/O ports
            self.assertEqual(s.possible(region)[0], 0)

    def test_region_info_says_what_an_alias_is(self):
        s = self.session()
        before = s.num_regions()
        index, offset = s.create(2, WC, MIB, 2 * MIB, flags=SYSFS)
        self.assertEqual(index, before)
        self.assertEqual(s.num_regions(), before + 1)
        self.assertEqual(s.region_info(index), {
            "flags": 1 | 2 | 4 | 8, "size": 2 * MIB, "offset": offset,
            "alias": {"region": 2, "type": WC, "offset": MIB, "flags": SYSFS}})
        self.assertErrno(errno.EINVAL, s.region_info, index + 1)

    def test_size_zero_is_to_the_end_and_a_bar_below_a_page_is_a_page(self):
        s = self.session()
        index, _ = s.create(2, WC, 12 * MIB)
        self.assertEqual(s.region_info(index)["size"], 4 * MIB)
        index, _ = s.create(0, UC)
        self.assertEqual(s.region_info(index)["size"], 256)

    def test_every_bad_request_is_refused_and_leaves_nothing(self):
        s = self.session(TESTDEV)
        regions = s.num_regions()
        bad = {
            "type 0": (0, 0), "type 3": (0, 3), "type 2^31": (0, 1 << 31),
            "I/O ports": (1, UC), "no such BAR": (3, WC), "ROM": (6, WC),
            "config space": (7, UC), "a region that is not there": (99, WC),
            "offset of half a page": (0, WC, PAGE // 2),
            "size of half a page": (0, WC, 0, PAGE // 2),
            "past the end": (0, WC, 0, 2 * PAGE), "at the end": (0, WC, PAGE, PAGE),
            "all past the end": (0, WC, PAGE), "overflow": (0, WC, PAGE, (1 << 64) - PAGE),
        }
        for what, request in bad.items():
            with self.subTest(what):
                self.assertErrno(errno.EINVAL, s.create, *request)
        for what in ({"flags": 4}, {"flags": 1 << 31}, {"op": 0}, {"op": 3}, {"reserved": 1}):
            with self.subTest(what):
                self.assertErrno(errno.EINVAL, s.create, 0, WC, **what)
        with self.subTest("short"):
            self.assertErrno(errno.EINVAL, s.feature, vfio.FEATURE_SET, b"\0" * 16)
        self.assertEqual(s.num_regions(), regions)

    def test_enospc_at_the_documented_limit(self):
        s = self.session()
        for i in range(64):
            s.create(2, WC, i * PAGE, PAGE)
        self.assertErrno(errno.ENOSPC, s.create, 2, WC, 64 * PAGE, PAGE)

    def test_mmap_of_an_alias_ends_at_its_end(self):
        s = self.session()
        _, offset = s.create(2, WC, MIB, MIB)
        self.assertErrno(errno.EINVAL, s.mmap, offset, MIB + PAGE)
        self.assertErrno(errno.EINVAL, s.mmap, offset + MIB, PAGE)
        self.assertErrno(errno.EINVAL, s.mmap, offset + (1 << 40), PAGE)
        s.mmap(offset, MIB)

    def test_pages_of_the_msix_table_are_refused(self):
        nvme = "0000:00:14.0"
        vfio.bind(nvme)
        self.addCleanup(vfio.unbind, nvme)
        s = self.session(nvme)
        table = int(subprocess.run(
            ["setpci", "-s", nvme, "CAP_MSIX+4.l"], check=True, text=True,
            stdout=subprocess.PIPE).stdout, 16)
        bar, page = table & 7, (table & ~7) // PAGE * PAGE
        self.assertErrno(errno.EINVAL, s.create, bar, UC, page, PAGE)
        self.assertErrno(errno.EINVAL, s.create, bar, UC)
        if page:
            s.create(bar, UC, 0, page)


class Remove(Bound):
    def test_remove_takes_the_pages_and_gives_them_to_the_own_region(self):
        s = self.session()
        base = s.mmap(2 << 40, IVSHMEM_BAR)
        index, offset = s.create(2, WC, MIB, MIB)
        alias = s.mmap(offset, MIB)
        self.assertEqual(touched(alias)["type"], "WC")
        s.remove(index)
        self.assertFalse(walk(address(alias))["present"])
        self.assertEqual(outcome(lambda: alias[0]), SIGBUS)
        self.assertErrno(errno.EINVAL, s.region_info, index)
        self.assertErrno(errno.EINVAL, s.mmap, offset, PAGE)
        entry = touched(base, MIB)
        self.assertEqual((entry["level"], entry["type"]), ("2M", "UC-"))
        self.assertEqual(s.create(2, WC, 4 * MIB, MIB)[0], index)

    def test_the_file_goes_with_the_last_alias_and_the_stock_file_returns(self):
        path = sysfs(IVSHMEM, "resource2_wc")
        s = self.session()
        first, _ = s.create(2, WC, 0, MIB, flags=SYSFS)
        second, _ = s.create(2, WC, MIB, MIB, flags=SYSFS)
        ours = os.stat(path).st_ino
        m = map_file(path, 2 * MIB)
        s.remove(first)
        self.assertEqual(os.stat(path).st_ino, ours)
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        self.assertEqual(outcome(lambda: m[MIB]), 0)
        s.remove(second)
        self.assertNotEqual(os.stat(path).st_ino, ours)
        self.assertEqual(outcome(lambda: m[MIB]), SIGBUS)
        s.create(2, WC, 0, MIB, flags=SYSFS)
        self.assertEqual(touched(map_file(path, PAGE))["type"], "WC")
        # Who could open the file before may not be who can open this one.
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)

    def test_a_range_can_change_its_type(self):
        s = self.session()
        for memory_type, name in ((WC, "WC"), (UC, "UC-"), (WC, "WC")):
            index, offset = s.create(2, memory_type)
            self.assertEqual(touched(s.mmap(offset, PAGE))["type"], name)
            s.remove(index)

    def test_bad_removals_are_refused(self):
        s = self.session()
        index, _ = s.create(2, WC)
        for wrong in (0, 2, index - 1, index + 1, 0xFFFFFFFF):
            self.assertErrno(errno.ENOENT, s.remove, wrong)
        for field in ("region", "type", "flags", "offset", "size", "alias_offset", "types",
                      "reserved"):
            self.assertErrno(errno.EINVAL, s.remove, index, **{field: 1})
        s.remove(index)
        self.assertErrno(errno.ENOENT, s.remove, index)


class Shared(Bound):
    def test_own_region_maps_shared_pages_under_the_alias_type(self):
        s = self.session()
        base = s.mmap(2 << 40, IVSHMEM_BAR)
        index, _ = s.create(2, WC, 4 * MIB, 4 * MIB, flags=SHARED)
        self.assertEqual(s.region_info(index)["alias"]["flags"], SHARED)
        entry = touched(base, 4 * MIB)
        self.assertEqual((entry["level"], entry["type"]), ("2M", "WC"))
        self.assertEqual(touched(base, 8 * MIB)["type"], "UC-")
        s.remove(index)
        self.assertEqual(touched(base, 4 * MIB)["type"], "UC-")

    def test_a_huge_page_is_never_part_shared(self):
        s = self.session()
        base = s.mmap(2 << 40, IVSHMEM_BAR)
        s.create(2, WC, 0, PAGE, flags=SHARED)
        first, second = touched(base, 0), touched(base, PAGE)
        self.assertEqual((first["level"], first["type"]), ("4K", "WC"))
        self.assertEqual((second["level"], second["type"]), ("4K", "UC-"))

    def test_the_uc_file_does_not_reach_shared_wc_pages(self):
        s = self.session()
        s.create(2, UC, 0, PAGE, flags=SYSFS)
        s.create(2, WC, PAGE, PAGE, flags=SYSFS | SHARED)
        uc = map_file(sysfs(IVSHMEM, "resource2"), 2 * PAGE)
        self.assertEqual(outcome(lambda: uc[PAGE]), SIGBUS)


class ReadWrite(Bound):
    def test_region_of_an_alias(self):
        s = self.session()
        index, _ = s.create(2, WC, MIB, MIB)
        self.assertEqual(s.pwrite(index, 3, b"odd places"), 10)
        self.assertEqual(s.pread(2, MIB + 3, 10), b"odd places")
        self.assertEqual(s.pread(index, MIB - 4, 100), s.pread(2, 2 * MIB - 4, 4))
        self.assertErrno(errno.EINVAL, s.pread, index, MIB, 1)
        self.assertErrno(errno.EINVAL, s.pread, index + 1, 0, 1)
        s.memory_enable(False)
        self.assertErrno(errno.EIO, s.pread, index, 0, 1)
        self.assertErrno(errno.EIO, s.pwrite, 2, MIB, b"x")
        s.memory_enable(True)
        self.assertEqual(s.pread(index, 3, 3), b"odd")

    def test_own_region_before_with_and_after_a_claim(self):
        s = self.session()
        s.pwrite(2, 0, b"before")
        index, _ = s.create(2, WC, 0, PAGE)
        self.assertEqual(s.pread(2, 0, 6), b"before")
        s.pwrite(2, PAGE - 3, b"across")
        s.remove(index)
        self.assertEqual(s.pread(2, PAGE - 3, 6), b"across")


class Ioeventfd(Bound):
    def fire(self, fd, s, at):
        s.pwrite(2, at, b"\0" * 4)
        os.eventfd_write(fd, 1)
        for _ in range(1000000):
            if s.pread(2, at, 4) == b"\x78\x56\x34\x12":
                return True
        return False

    def test_works_beside_a_claim_and_excludes_one(self):
        s = self.session()
        fd = os.eventfd(0)
        s.ioeventfd(2, 2 * PAGE, 0x12345678, 4, fd)
        self.assertErrno(errno.EBUSY, s.create, 2, WC)
        self.assertErrno(errno.EBUSY, s.create, 2, WC, 2 * PAGE, PAGE)
        s.create(2, WC, 3 * PAGE)
        s.create(2, WC, 0, 2 * PAGE)
        self.assertTrue(self.fire(fd, s, 2 * PAGE))
        self.assertErrno(errno.EBUSY, s.ioeventfd, 2, 3 * PAGE, 1, 4, fd)
        s.ioeventfd(2, 2 * PAGE, 0x12345678, 4, -1)
        s.create(2, WC, 2 * PAGE, PAGE)
        os.close(fd)

    def test_an_offset_with_the_topmost_bit_is_refused(self):
        s = self.session()
        fd = os.eventfd(0)
        for offset in (1 << 63, (1 << 64) - (1 << 40), (1 << 64) - 8):
            with self.assertRaises(OSError):
                fcntl.ioctl(s.fd, vfio.VFIO_DEVICE_IOEVENTFD,
                            struct.pack("=IIQQiI", 32, 4, offset, 0, fd, 0))
        os.close(fd)


class Attributes(Bound):
    def alias(self, index, bdf=IVSHMEM):
        """The attributes of an alias, as a dictionary."""
        directory = sysfs(bdf, "vfio-dev")
        directory += f"/{os.listdir(directory)[0]}/aliases"
        if index is None:
            return sorted(os.listdir(directory)) if os.path.exists(directory) else None
        values = {}
        for name in os.listdir(f"{directory}/{index}"):
            with open(f"{directory}/{index}/{name}", encoding="ascii") as f:
                values[name] = f.read().rstrip("\n")
        return values

    def test_they_say_what_an_alias_is(self):
        with Session(IVSHMEM) as s:
            index, _ = s.create(2, WC, MIB, 2 * MIB, flags=SYSFS)
            self.assertEqual(self.alias(index), {
                "bar": "2", "offset": "0x100000", "size": "0x200000", "memory_type": "wc",
                "flags": "0x1", "mappings": "0"})
            other, _ = s.create(2, UC, 0, MIB, flags=SHARED)
            self.assertEqual(self.alias(other)["memory_type"], "uc")
            self.assertEqual(self.alias(other)["flags"], "0x2")
            s.remove(index)
            self.assertEqual(self.alias(None), [str(other)])
        self.assertEqual(self.alias(None), None)

    def test_mappings_are_those_that_live(self):
        s = self.session()
        index, offset = s.create(2, WC, 0, 8 * PAGE, flags=SYSFS)
        behind, _ = s.create(2, WC, 8 * PAGE, 8 * PAGE)
        count = lambda: (self.alias(index)["mappings"], self.alias(behind)["mappings"])
        self.assertEqual(count(), ("0", "0"))
        own = s.mmap(offset, PAGE)
        file = map_file(sysfs(IVSHMEM, "resource2_wc"), 16 * PAGE)
        self.assertEqual(count(), ("2", "0"))  # the file is not for an alias without the flag
        child = os.fork()
        if child == 0:
            signal.pause()
        self.assertEqual(count(), ("4", "0"))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.assertEqual(count(), ("2", "0"))
        libc("munmap", address(file) + 4 * PAGE, PAGE)
        self.assertEqual(count(), ("3", "0"))
        own.close()
        self.assertEqual(count(), ("2", "0"))


class Files(Bound):
    def stock(self):
        return {name: os.stat(sysfs(IVSHMEM, name)).st_ino
                for name in ("resource2", "resource2_wc")}

    def test_stock_file_makes_room_and_comes_back(self):
        before = self.stock()
        with Session(IVSHMEM) as s:
            s.create(2, WC, flags=SYSFS)
            during = self.stock()
            self.assertEqual(during["resource2"], before["resource2"])
            self.assertNotEqual(during["resource2_wc"], before["resource2_wc"])
            status = os.stat(sysfs(IVSHMEM, "resource2_wc"))
            self.assertEqual((status.st_mode & 0o7777, status.st_uid), (0o600, 0))
        self.assertEqual(os.stat(sysfs(IVSHMEM, "resource2_wc")).st_size, IVSHMEM_BAR)
        vfio.unbind(IVSHMEM)
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        self.assertEqual(touched(m)["type"], "WC")
        self.assertIn("/resource2_wc", open("/proc/self/maps", encoding="ascii").read())
        m.close()
        vfio.bind(IVSHMEM)

    def test_end_of_session_revokes_and_the_mapping_stays_dead(self):
        m = None
        with Session(IVSHMEM) as s:
            s.create(2, WC, flags=SYSFS)
            m = map_file(sysfs(IVSHMEM, "resource2_wc"), IVSHMEM_BAR)
            self.assertEqual(touched(m)["type"], "WC")
        self.assertFalse(walk(address(m))["present"])
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        with Session(IVSHMEM) as s:
            s.create(2, WC, flags=SYSFS)
            self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        vfio.unbind(IVSHMEM)
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        vfio.bind(IVSHMEM)

    def test_modules_unload_and_a_dead_mapping_keeps_only_code(self):
        with Session(IVSHMEM) as s:
            s.create(2, WC, flags=SYSFS)
            m = map_file(sysfs(IVSHMEM, "resource2_wc"), IVSHMEM_BAR)
            m[0] = 1
        subprocess.run(["rmmod", "vfio_pci"], check=True)
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        m.close()
        subprocess.run(["rmmod", "vfio_pci_core"], check=True)
        subprocess.run(["modprobe", "vfio-pci"], check=True)

    def test_sysfs_needs_cap_sys_rawio(self):
        s = self.session()

        def without():
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)
            none = (ctypes.c_uint32 * 6)()
            libc("capset", ctypes.addressof(header), ctypes.addressof(none))
            self.assertErrno(errno.EPERM, s.create, 2, WC, flags=SYSFS)
            s.create(2, WC)

        self.assertEqual(outcome(without), 0)


if __name__ == "__main__":
    main()
