# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
"""Lockdown, which nothing takes back: a guest of its own."""

import errno
import mmap
import os

from case import WAYS, Bound, Views
from guest import EDU, IVSHMEM, lock_down, main, map_file
from vfio import PAGE, SYSFS, UC, sysfs

MIB = 1 << 20


class Lockdown(Bound):
    devices = (IVSHMEM,)

    def views(self, session):
        session.create(2, UC, 12 * MIB, MIB, flags=SYSFS)
        return Views(self, session, 2, 4 * MIB, 4 * MIB)

    def check(self, views, when):
        views.assert_alive(when)
        with self.subTest("file of a uc alias", when=when):
            map_file(sysfs(IVSHMEM, "resource2"), PAGE, offset=12 * MIB).close()
        with self.subTest("file of the PCI core", when=when):
            fd = os.open(sysfs(EDU, "resource0"), os.O_RDWR)
            self.addCleanup(os.close, fd)
            self.assertErrno(errno.EPERM, mmap.mmap, fd, PAGE)

    def test_files_work_where_an_iommu_contains_the_device_and_stock_ones_do_not(self):
        with WAYS[0](IVSHMEM) as session:
            views = self.views(session)
            for level in ("integrity", "confidentiality"):
                lock_down(level)
                self.check(views, f"mapped before {level}")
            views.close()
        for way in WAYS:
            with way(IVSHMEM) as session:
                views = self.views(session)
                self.check(views, f"a session under lockdown, {way.__name__}")
                views.close()


if __name__ == "__main__":
    main()
