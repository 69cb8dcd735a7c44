# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --native-hotplug --qmp-in-guest --device pcie-root-port,id=rp,chassis=1,slot=1,addr=0x16 --device edu,bus=rp,id=card --device pcie-root-port,id=other,chassis=2,slot=2,addr=0x17 --device edu,bus=other,id=pulled
"""The daemon lets go of a device when somebody wants it, and has it again when it is back."""

import os
import subprocess
import threading

from guest import (DEBUG_KERNEL, IVSHMEM, SIGBUS, Uevents, main, map_file, outcome, run)
import qmp
import story_test as story
from ptwalk import walk
import vfio
from vfio import PAGE, address, sysfs

# Two slots with the same card: each test leaves its slot in a state of its own.
PORT, CARD = "0000:00:16.0", "0000:01:00.0"
PULLED_PORT, PULLED = "0000:00:17.0", "0000:02:00.0"
MARKS = {CARD: "0:wc", PULLED: "0:wc", IVSHMEM: "2:wc"}


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


class LetGo(story.Story):
    """All are published, and mapped by a tool."""

    def setUp(self):
        super().setUp()
        write(story.RULES, "".join(
            f'ACTION!="remove", SUBSYSTEM=="pci", KERNEL=="{bdf}", ENV{{VFIO_ALIAS}}="{mark}"\n'
            for bdf, mark in MARKS.items()))
        story.systemctl("start")
        self.mappings = {bdf: self.map(bdf) for bdf in MARKS}

    def map(self, bdf):
        self.wait_for(bdf, "published")
        m = map_file(sysfs(bdf, f"resource{MARKS[bdf][0]}_wc"), PAGE)
        _ = m[0]
        self.assertEqual(walk(address(m))["type"], "WC")
        return m

    def assertRevoked(self, bdf):
        self.assertEqual(outcome(lambda: self.mappings[bdf][0]), SIGBUS)

    def assertAlive(self, bdf):
        self.assertEqual(outcome(lambda: self.mappings[bdf][0]), 0)
        self.assertEqual(walk(address(self.mappings[bdf]))["type"], "WC")

    def test_another_driver_takes_it_and_gives_it_back(self):
        run("modprobe", "pci-stub")
        write(sysfs(IVSHMEM, "driver_override"), "pci-stub")
        write(sysfs(IVSHMEM, "driver/unbind"), IVSHMEM)
        write("/sys/bus/pci/drivers_probe", IVSHMEM)
        self.assertEqual(os.path.basename(os.readlink(sysfs(IVSHMEM, "driver"))), "pci-stub")
        self.assertRevoked(IVSHMEM)
        self.wait_for(IVSHMEM, "waiting", "was taken from its VFIO driver")
        self.assertAlive(CARD)

        write(sysfs(IVSHMEM, "driver/unbind"), IVSHMEM)
        write(sysfs(IVSHMEM, "driver_override"), "vfio-pci")
        write("/sys/bus/pci/drivers_probe", IVSHMEM)
        self.map(IVSHMEM)
        self.assertRevoked(IVSHMEM)  # the old mapping stays dead
        write(sysfs(IVSHMEM, "driver_override"), "\n")
        vfio.unbind(IVSHMEM)  # it was not the service that has bound it

    def test_a_device_that_is_removed_and_found_again(self):
        write(sysfs(IVSHMEM, "remove"), "1")
        self.assertRevoked(IVSHMEM)
        self.assertAlive(CARD)
        write("/sys/bus/pci/rescan", "1")
        self.map(IVSHMEM)
        self.assertRevoked(IVSHMEM)

    def test_modules_stay_while_anything_is_published(self):
        refused = subprocess.run(["rmmod", "vfio_pci"], check=False, stderr=subprocess.PIPE,
                                 text=True)
        self.assertIn("in use", refused.stderr)
        self.assertAlive(IVSHMEM)
        for bdf in MARKS:
            write(sysfs(bdf, "driver/unbind"), bdf)
        run("rmmod", "vfio_pci")
        for bdf in MARKS:
            self.assertRevoked(bdf)
        story.systemctl("reload")
        for bdf in MARKS:
            self.map(bdf)

    def test_a_card_that_is_gone_when_somebody_looks(self):
        """The kernel learns that it has been pulled out when it is told to remove it."""
        with qmp.Qmp() as machine, Uevents() as uevents:
            qmp.pull(PORT, told=False)
            machine.wait_deleted("card")
            remover = threading.Thread(target=write, args=(sysfs(CARD, "remove"), "1"))
            remover.start()
            uevents.until(lambda: not os.path.exists(sysfs(CARD)), "the end of the card")
            remover.join()
            self.assertRevoked(CARD)
            self.assertAlive(IVSHMEM)
            machine.device_add("edu", "card", bus="rp")
        run("setpci", "-s", PORT, "CAP_EXP+18.w=0100:0700")
        write(sysfs(PORT, "rescan"), "1")
        self.map(CARD)
        self.assertRevoked(CARD)

    if not DEBUG_KERNEL:  # whose lockdep objects to what the hot-plug driver itself does
        def test_a_card_that_is_pulled_out_and_put_in_again(self):
            with qmp.Qmp() as machine, Uevents() as uevents:
                qmp.pull(PULLED_PORT)
                machine.wait_deleted("pulled")
                uevents.until(lambda: not os.path.exists(sysfs(PULLED)), "the end of the card")
                self.assertRevoked(PULLED)
                self.assertAlive(IVSHMEM)
                qmp.wait_slot(PULLED_PORT, False)
                machine.device_add("edu", "pulled", bus="other")
                self.map(PULLED)
                self.assertRevoked(PULLED)


if __name__ == "__main__":
    main()
