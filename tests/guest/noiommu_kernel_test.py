# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: debug
# vm: --no-iommu
"""No-IOMMU mode, in which files can be had until lockdown: a guest of its own.

Nothing takes lockdown back: the tests run in the order of their names.
"""

import errno
import mmap
import os
import subprocess

from case import Bound, Views
from guest import IVSHMEM, lock_down, locked_down, main
import vfio
from vfio import SYSFS, UC, WC, PAGE, Session, address, sysfs
from ptwalk import walk

MIB = 1 << 20
NOIOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


class NoIommu(Bound):
    devices = ()

    def setUp(self):
        subprocess.run(["modprobe", "vfio-pci"], check=True)
        with open(NOIOMMU, "w", encoding="ascii") as f:
            f.write("1")
        super().setUp()
        vfio.bind(IVSHMEM)
        self.addCleanup(vfio.unbind, IVSHMEM)

    def session(self, bdf=IVSHMEM):
        session = Session(bdf, noiommu=True)
        self.addCleanup(session.close)
        return session

    def test_a_aliases_and_files_work_without_lockdown(self):
        self.assertFalse(locked_down())
        s = self.session()
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        views.assert_alive("in no-IOMMU mode")
        s.memory_enable(False)
        views.assert_dead("disabled")
        s.memory_enable(True)
        views.assert_alive("enabled")

    def test_b_files_are_refused_under_lockdown_and_aliases_are_not(self):
        s = self.session()
        s.create(2, UC, 0, MIB, flags=SYSFS)
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        files = [os.open(sysfs(IVSHMEM, name), os.O_RDWR) for name in ("resource2",
                                                                        "resource2_wc")]
        at = 12 * MIB
        for level in ("integrity", "confidentiality"):
            with self.subTest(level):
                lock_down(level)
                for fd, offset in zip(files, (0, 4 * MIB)):
                    self.assertErrno(errno.EPERM, mmap.mmap, fd, PAGE, offset=offset)
                for memory_type in (WC, UC):
                    self.assertErrno(errno.EPERM, s.create, 2, memory_type, at, PAGE, flags=SYSFS)
                _, offset = s.create(2, WC, at, PAGE)
                alias = s.mmap(offset, PAGE)
                alias[0] = 1
                self.assertEqual(walk(address(alias))["type"], "WC")
                # as those of the PCI core's files do
                views.assert_alive("mappings from before lockdown")
                at += MIB
        for fd in files:
            os.close(fd)

    def test_c_a_session_under_lockdown_has_aliases_and_no_files(self):
        lock_down("confidentiality")
        before = os.stat(sysfs(IVSHMEM, "resource2_wc")).st_ino
        s = self.session()
        self.assertErrno(errno.EPERM, s.create, 2, WC, flags=SYSFS)
        index, offset = s.create(2, WC)
        self.assertEqual(s.region_info(index)["alias"]["flags"], 0)
        alias = s.mmap(offset, 16 * MIB)
        alias[0] = 1
        self.assertEqual(walk(address(alias))["type"], "WC")
        self.assertEqual(os.stat(sysfs(IVSHMEM, "resource2_wc")).st_ino, before)


if __name__ == "__main__":
    main()
