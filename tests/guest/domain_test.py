# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
"""A device whose domain needs more than four digits, as those behind Intel's VMD."""

import json
import os
import signal
import subprocess

from guest import EDU, IVSHMEM, SIGBUS, main, map_file, outcome, run, until
import story_test as story
from ptwalk import walk
from vfio import address, sysfs

FAR = "10000:00:10.0"  # what IVSHMEM is while the test-only module has it
SIZE = 16 << 20


class Domain(story.Story):
    def setUp(self):
        super().setUp()
        run("modprobe", "vfio_alias_domain", "slot=0x10")
        self.addCleanup(run, "udevadm", "settle")
        self.addCleanup(run, "rmmod", "vfio_alias_domain")
        self.addCleanup(self.stock)
        self.assertFalse(os.path.exists(sysfs(IVSHMEM)))
        run("udevadm", "settle")
        # VMD's devices have the IOMMU group of VMD. The debug kernel has no VMD.
        self.noiommu = not os.path.exists(sysfs(FAR, "iommu_group"))
        if self.noiommu:
            run("modprobe", "vfio")
            self.set_noiommu_mode("Y")
            self.addCleanup(self.set_noiommu_mode, "N")

    def set_noiommu_mode(self, value):
        with open("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "w",
                  encoding="ascii") as f:
            f.write(value)

    def mark(self, bdf, item):
        """Marks by the command, for as long as the test."""
        options = ["--noiommu"] if bdf == FAR and self.noiommu else []
        self.addCleanup(subprocess.run, ["vfio-alias", "unmark", bdf], check=True)
        subprocess.run(["vfio-alias", "mark", *options, bdf, item], check=True)

    def test_it_is_marked_published_kept_and_let_go(self):
        self.mark(FAR, "2:wc")
        self.mark(EDU, "0:wc")
        story.systemctl("start")
        self.wait_for(FAR, "published")
        self.wait_for(EDU, "published")

        m = map_file(sysfs(FAR, "resource2_wc"), SIZE)
        m[SIZE - 8:] = b"12345678"
        other = map_file(sysfs(FAR, "resource2_wc"), 4096, offset=SIZE - 4096)
        self.assertEqual(other[4088:], b"12345678")
        self.assertEqual(walk(address(m) + SIZE - 8)["type"], "WC")

        pid = self.main_pid()
        with self.subTest("the daemon is killed"):
            os.kill(pid, signal.SIGKILL)
            until(lambda: self.main_pid() not in (0, pid) and story.is_active(),
                  "the restart")
            self.assertEqual(story.status(FAR)["state"], "published")
            self.assertEqual(m[SIZE - 8:], b"12345678")
            self.assertEqual(walk(address(m) + SIZE - 8)["type"], "WC")
        with self.subTest("list"):
            told = json.loads(run("vfio-alias", "list", "--json"))
            self.assertEqual({d["bdf"] for d in told["devices"]}, {FAR, EDU})
            self.assertIn(sysfs(FAR, "resource2_wc"), run("vfio-alias", "list"))
        with self.subTest("show"):
            self.assertIn(f"(pid {os.getpid()})", run("vfio-alias", "show", FAR))
        with self.subTest("explain"):
            told = json.loads(run("vfio-alias", "explain", "--json", FAR))
            self.assertEqual([c for c in told["conditions"] if c["state"] == "fails"], [])

        with open(sysfs(FAR, "driver/unbind"), "w", encoding="ascii") as f:
            f.write(FAR)
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        self.wait_for(FAR, "waiting", "was taken from its VFIO driver")
        self.assertEqual(story.status(EDU)["state"], "published")
        run("systemctl", "reload", story.SERVICE)
        self.wait_for(FAR, "published")

    def test_a_rule_by_address_is_for_that_domain_alone(self):
        """0000:00:10.0 is the end of 10000:00:10.0, and no other name of it."""
        self.mark(IVSHMEM, "2:wc")
        story.systemctl("start")
        self.assertIsNone(story.status(FAR)["state"])
        told = subprocess.run(["vfio-alias", "explain", FAR], check=False, text=True,
                              stdout=subprocess.PIPE)
        self.assertEqual(told.returncode, 1)
        self.assertIn("no file of rules mentions it", told.stdout)


if __name__ == "__main__":
    main()
