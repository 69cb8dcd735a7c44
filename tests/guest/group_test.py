# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --timeout 1500 --device pcie-pci-bridge,id=br,addr=0x16 --device edu,bus=br,addr=1 --device pci-testdev,bus=br,addr=2
"""Two devices in one IOMMU group, behind a bridge of conventional PCI."""

import os
import subprocess
import threading

from actor import Actor
from case import WAYS
from guest import IVSHMEM, descriptors, main, map_file, until
import story_test as story
from ptwalk import walk
import vfio
from vfio import address, sysfs

FIRST, SECOND = "0000:01:01.0", "0000:01:02.0"
FIRST_MARK, SECOND_MARK = {"VFIO_ALIAS": "0:wc"}, {"VFIO_ALIAS": "0:uc"}


class Holder:
    """Has a session of a device that is not the service's."""

    def __init__(self, bdf):
        self.session = WAYS[-1](bdf)

    def paths(self):
        return list(descriptors().values())


class Group(story.Story):
    def setUp(self):
        super().setUp()
        self.assertEqual(os.readlink(sysfs(FIRST, "iommu_group")),
                         os.readlink(sysfs(SECOND, "iommu_group")))

    def write(self, marks):
        """By address: other devices of the guest have the same ids."""
        with open(story.RULES, "w", encoding="ascii") as f:
            for bdf, properties in marks.items():
                values = "".join(f', ENV{{{name}}}="{value}"'
                                 for name, value in properties.items())
                f.write(f'ACTION!="remove", SUBSYSTEM=="pci", KERNEL=="{bdf}"{values}\n')

    def start(self, marks):
        self.write(marks)
        story.systemctl("start")

    def wait_for_end(self, bdf):
        """Until the service has given the device back."""
        until(lambda: story.status(bdf)["state"] is None, f"the end of {bdf}")

    def assertWc(self, bdf):
        m = map_file(sysfs(bdf, "resource0_wc"), vfio.PAGE)
        _ = m[0]
        self.assertEqual(walk(address(m))["type"], "WC")

    def test_both_are_published(self):
        self.start({FIRST: FIRST_MARK, SECOND: SECOND_MARK})
        self.assertEqual(story.status(FIRST)["state"], "published")
        self.assertEqual(story.status(SECOND)["state"], "published")
        self.assertWc(FIRST)

    def test_one_is_published_beside_one_without_a_driver(self):
        self.start({FIRST: FIRST_MARK})
        self.assertEqual(story.status(FIRST)["state"], "published")
        self.assertWc(FIRST)

    def test_a_driver_in_the_group_is_named_and_waited_for(self):
        subprocess.run(["modprobe", "uio_pci_generic"], check=True)
        vfio.bind(SECOND, "uio_pci_generic")
        self.start({FIRST: FIRST_MARK})
        self.wait_for(FIRST, "waiting", f"driver uio_pci_generic has {SECOND}")
        vfio.unbind(SECOND)
        self.wait_for(FIRST, "published")
        self.assertWc(FIRST)

    def test_both_are_given_back_to_their_drivers(self):
        """Neither can be while VFIO has the group by the other."""
        subprocess.run(["modprobe", "uio_pci_generic"], check=True)
        for bdf in FIRST, SECOND:
            vfio.bind(bdf, "uio_pci_generic")
            self.addCleanup(vfio.unbind, bdf)
        forced = {bdf: {**mark, "VFIO_ALIAS_BIND": "force"}
                  for bdf, mark in ((FIRST, FIRST_MARK), (SECOND, SECOND_MARK))}
        for name, end in {"stop": lambda: story.systemctl("stop"),
                          "unmark": lambda: (self.write({}), story.systemctl("reload"))}.items():
            with self.subTest(name):
                self.start(forced)
                self.assertEqual(story.status(SECOND)["state"], "published")
                end()
                for bdf in FIRST, SECOND:
                    self.wait_for_end(bdf)
                    self.assertEqual(os.path.basename(os.readlink(sysfs(bdf, "driver"))),
                                     "uio_pci_generic")

    def test_one_that_is_unmarked_waits_for_the_other(self):
        subprocess.run(["modprobe", "uio_pci_generic"], check=True)
        vfio.bind(FIRST, "uio_pci_generic")
        self.addCleanup(vfio.unbind, FIRST)
        self.start({FIRST: {**FIRST_MARK, "VFIO_ALIAS_BIND": "force"}, SECOND: SECOND_MARK})
        self.write({SECOND: SECOND_MARK})
        story.systemctl("reload")
        self.wait_for(FIRST, "waiting", f"when {SECOND}, of the same IOMMU group")
        self.assertEqual(story.status(SECOND)["state"], "published")
        until(lambda: story.status_text() == "1 published, 1 waiting, 0 refused",
              "the service to count it")
        with self.subTest("marked again"):
            self.write({FIRST: FIRST_MARK, SECOND: SECOND_MARK})
            story.systemctl("reload")
            self.wait_for(FIRST, "published")
            self.assertWc(FIRST)
        with self.subTest("a restart, and the other one later"):
            self.write({SECOND: SECOND_MARK})
            story.systemctl("reload")
            self.wait_for(FIRST, "waiting", f"when {SECOND}, of the same IOMMU group")
            story.systemctl("restart")
            self.assertEqual(story.status(FIRST)["state"], "waiting")
            self.write({})
            story.systemctl("reload")
            self.wait_for_end(FIRST)
            self.assertEqual(os.path.basename(os.readlink(sysfs(FIRST, "driver"))),
                             "uio_pci_generic")

    def test_another_user_of_the_device_is_named_and_waited_for(self):
        subprocess.run(["modprobe", "-a", "vfio-pci", *WAYS[-1].modules], check=True)
        vfio.bind(FIRST)
        self.addCleanup(vfio.unbind, FIRST)
        holder = Actor(Holder, FIRST)
        self.addCleanup(holder.kill)
        self.start({FIRST: FIRST_MARK})
        now = self.wait_for(FIRST, "waiting", f"(pid {holder.pid}) has /dev/vfio/")
        self.assertTrue(any(path in now["reason"] for path in holder.paths()
                            if path.startswith("/dev/vfio/")))
        holder.exit()
        self.wait_for(FIRST, "published")
        self.assertWc(FIRST)

    def test_an_unbind_that_waits_for_another_user_keeps_nobody_else_waiting(self):
        subprocess.run(["modprobe", "-a", "vfio-pci", *WAYS[-1].modules], check=True)
        vfio.bind(FIRST)
        holder = Actor(Holder, FIRST)
        self.addCleanup(holder.kill)
        unbind = threading.Thread(target=vfio.unbind, args=(FIRST,))
        unbind.start()
        until(lambda: not os.path.exists(sysfs(FIRST, "driver")), "the begin of the unbind")
        # Neither the device nor its unbind is known to the service yet.
        self.start({FIRST: FIRST_MARK, IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.wait_for(FIRST, "waiting", f"(pid {holder.pid}) has ")
        self.assertEqual(story.status(IVSHMEM)["state"], "published")
        story.systemctl("reload")
        self.assertTrue(unbind.is_alive())
        vfio.unbind(IVSHMEM)  # is answered
        self.wait_for(IVSHMEM, "waiting", "was taken from its VFIO driver")
        holder.exit()
        unbind.join()
        self.wait_for(FIRST, "published")
        self.assertWc(FIRST)

    def test_another_user_of_the_group_is_named_and_waited_for(self):
        subprocess.run(["modprobe", "-a", "vfio-pci", *WAYS[-1].modules], check=True)
        vfio.bind(SECOND)
        self.addCleanup(vfio.unbind, SECOND)
        holder = Actor(Holder, SECOND)
        self.addCleanup(holder.kill)
        self.start({FIRST: FIRST_MARK})
        self.wait_for(FIRST, "waiting", f"(pid {holder.pid}) has /dev/vfio/")
        holder.exit()
        self.wait_for(FIRST, "published")


if __name__ == "__main__":
    main()
