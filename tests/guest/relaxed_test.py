# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --append iomem=relaxed --device nvme,serial=stale,cmb_size_mb=16,addr=0x14
"""A kernel that lets anybody map what VFIO has: nobody changes the type of VFIO's own pages."""

import errno
import mmap
import os

from case import Bound, fetch, touched
from guest import IVSHMEM, libc, main, map_file
from ptwalk import walk
from vfio import PAGE, WC, address, sysfs

MIB = 1 << 20
SIZE = 16 * MIB
NVME = "0000:00:14.0"


class Relaxed(Bound):
    devices = (IVSHMEM, NVME)

    def check_own(self, session, own):
        """The pages beside the claim, by a new fault and by read()."""
        session.memory_enable(False)
        session.memory_enable(True)
        for at in (0, 4 * MIB - PAGE, 8 * MIB, SIZE - PAGE):
            self.assertEqual(touched(own, at)["type"], "UC-")
            self.assertEqual(session.pread(2, at, 1), b"\1")

    def test_a_stock_mapping_does_not_change_the_type_beside_a_claim(self):
        s = self.session()
        own = s.mmap(2 << 40, SIZE)
        s.create(2, WC, 4 * MIB, 4 * MIB)  # without a file: those of the PCI core stay
        self.check_own(s, own)
        for name in ("resource2", "resource2_wc"):
            with self.subTest(name):
                # parts of two types
                self.assertErrno(errno.EINVAL, map_file, sysfs(IVSHMEM, name), SIZE)
                with map_file(sysfs(IVSHMEM, name), 4 * MIB) as stock:
                    self.assertEqual(touched(stock)["type"], "UC-")
                    self.check_own(s, own)
                with map_file(sysfs(IVSHMEM, name), 4 * MIB, 4 * MIB) as stock:
                    self.assertEqual(touched(stock)["type"], "WC")
                    self.check_own(s, own)

    def test_pages_that_cannot_be_uncached_again_are_nobodys_until_they_can(self):
        s = self.session()
        own = s.mmap(2 << 40, SIZE)
        index, _ = s.create(2, WC, 0, 8 * MIB)
        self.assertEqual(touched(own, 12 * MIB)["type"], "UC-")
        with map_file(sysfs(IVSHMEM, "resource2_wc"), 8 * MIB) as stock:
            self.assertEqual(touched(stock)["type"], "WC")
            s.remove(index)
            for at in (0, 12 * MIB):
                self.assertFalse(walk(address(own) + at)["present"])
                self.assertIsNone(fetch(own, at))
                self.assertErrno(errno.ENOMEM, s.pread, 2, at, 4)
            self.assertErrno(errno.EBUSY, s.create, 2, WC, 12 * MIB, MIB)
        for at in (0, 12 * MIB):
            self.assertEqual(touched(own, at)["type"], "UC-")
        s.create(2, WC, 12 * MIB, MIB)

    def test_a_type_that_was_left_behind_is_ebusy(self):
        fd = os.open(sysfs(NVME, "resource2_wc"), os.O_RDWR)
        at = libc("mmap", 0, SIZE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        os.close(fd)
        # The kernel keeps a record of the first page when it goes by itself.
        libc("munmap", at, PAGE)
        libc("munmap", at + PAGE, SIZE - PAGE)
        with map_file(sysfs(NVME, "resource2"), PAGE) as stale:
            _ = stale[0]
            self.assertEqual(touched(stale)["type"], "WC")
        s = self.session(NVME)
        self.assertErrno(errno.EBUSY, s.create, 2, WC, 4 * MIB, 4 * MIB)
        s.pread(2, 0, 4)


if __name__ == "__main__":
    main()
