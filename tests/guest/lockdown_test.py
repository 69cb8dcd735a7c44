# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
"""Lockdown, which nothing takes back: a guest of its own."""

import errno
import mmap
import os
import subprocess
import unittest

from guest import EDU, IVSHMEM, main
from ptwalk import walk
import vfio
from vfio import PAGE, SYSFS, WC, Session, address, sysfs

LOCKDOWN = "/sys/kernel/security/lockdown"


def map_wc():
    fd = os.open(sysfs(IVSHMEM, "resource2_wc"), os.O_RDWR)
    try:
        m = mmap.mmap(fd, PAGE)
        m[0] = 1
        return walk(address(m))["type"]
    finally:
        os.close(fd)


class Lockdown(unittest.TestCase):
    def test_files_work_and_stock_ones_do_not(self):
        subprocess.run(["modprobe", "-a", "vfio-pci", "vfio_iommu_type1"], check=True)
        vfio.bind(IVSHMEM)
        self.assertTrue(os.path.exists(LOCKDOWN))
        for level in ("integrity", "confidentiality"):
            with open(LOCKDOWN, "w", encoding="ascii") as f:
                f.write(level)
            with self.subTest(level):
                with Session(IVSHMEM) as s:
                    s.create(2, WC, flags=SYSFS)
                    self.assertEqual(map_wc(), "WC")
                fd = os.open(sysfs(EDU, "resource0"), os.O_RDWR)
                with self.assertRaises(OSError) as caught:
                    mmap.mmap(fd, PAGE)
                self.assertEqual(caught.exception.errno, errno.EPERM)
                os.close(fd)


if __name__ == "__main__":
    main()
