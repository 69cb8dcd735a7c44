# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --no-iommu
"""The daemon on a machine without an IOMMU."""

import json
import os
import signal
import subprocess

from guest import DEBUG_KERNEL, IVSHMEM, SIGBUS, main, map_file, outcome, run
import story_test as story
from ptwalk import walk
from vfio import PAGE, address, sysfs

MODE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


def explain(bdf):
    """The exit status, and the conditions by their names; of the last item if of any."""
    done = subprocess.run(["vfio-alias", "explain", "--json", bdf], check=False, text=True,
                          stdout=subprocess.PIPE)
    return done.returncode, {c["name"]: c for c in json.loads(done.stdout)["conditions"]}


def first_failure(told):
    return next((name for name, c in told.items() if c["state"] == "fails"), None)


class NoIommu(story.Story):
    def test_a_device_without_an_iommu_group_is_explained_and_left_alone(self):
        before = story.journal().count("no IOMMU group")
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.assertEqual(story.status(IVSHMEM)["state"], "waiting")
        self.assertIn("no IOMMU group", story.status(IVSHMEM)["reason"])
        self.assertIn("intel_iommu=on", run("vfio-alias", "list"))
        self.assertEqual(story.journal().count("no IOMMU group"), before + 1)
        self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))

    def test_explain_names_the_iommu_and_what_would_mend_it(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        status, told = explain(IVSHMEM)
        self.assertEqual(status, 1)
        self.assertEqual([name for name, c in told.items() if c["state"] == "fails"], ["IOMMU"])
        self.assertIn("the firmware describes no IOMMU", told["IOMMU"]["text"])
        self.assertIn("VT-d", told["IOMMU"]["mend"])
        for name in ("IOMMU group", "group's holder", "session"):
            self.assertEqual(told[name]["state"], "not-reached")

    def test_a_mark_that_accepts_it_is_told_what_is_missing(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc", "VFIO_ALIAS_NOIOMMU": "1"}})
        told = explain(IVSHMEM)[1]
        self.assertEqual(first_failure(told), "IOMMU")
        self.assertIn("no-IOMMU mode is off" if DEBUG_KERNEL else "CONFIG_VFIO_NOIOMMU",
                      told["IOMMU"]["text"])
        self.assertEqual(story.status(IVSHMEM)["state"], "waiting")
        self.assertIn(MODE if DEBUG_KERNEL else "CONFIG_VFIO_NOIOMMU",
                      story.status(IVSHMEM)["reason"])
        self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))


if DEBUG_KERNEL:  # the other one has no such mode
    class Accepted(story.Story):
        def set_mode(self, value):
            with open(MODE, "w", encoding="ascii") as f:
                f.write(value)

        def setUp(self):
            super().setUp()
            subprocess.run(["modprobe", "vfio"], check=True)
            self.set_mode("Y")
            self.addCleanup(self.set_mode, "N")

        def test_it_is_published_and_outlives_the_daemon(self):
            self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc", "VFIO_ALIAS_NOIOMMU": "1"}})
            self.assertEqual(story.status(IVSHMEM)["state"], "published")
            m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
            m[0] = 1
            self.assertEqual(walk(address(m))["type"], "WC")
            self.restarted(lambda pid: os.kill(pid, signal.SIGKILL))
            self.assertEqual(walk(address(m))["type"], "WC")
            story.systemctl("stop")
            self.assertEqual(outcome(lambda: m[0]), SIGBUS)

        def test_explain_goes_with_it_from_the_mark_to_the_page_table(self):
            self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc", "VFIO_ALIAS_NOIOMMU": "1"}})
            story.systemctl("stop")
            _, told = explain(IVSHMEM)  # there is no group yet
            self.assertEqual(first_failure(told), "service", told)
            self.assertIn("once the device is bound", told["IOMMU"]["text"])
            for name in "IOMMU group", "group's holder":
                self.assertIn("no group yet", told[name]["text"])
            story.systemctl("start")
            status, told = explain(IVSHMEM)
            self.assertEqual((status, first_failure(told)), (0, None), told)
            self.assertIn("no-IOMMU mode, group", told["IOMMU"]["text"])
            self.assertEqual(told["lockdown"]["text"], "none")

        def test_without_the_property_it_is_left_alone(self):
            self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
            self.assertEqual(story.status(IVSHMEM)["state"], "waiting")
            self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))

        def test_a_device_that_somebody_else_has_bound_needs_the_property_too(self):
            subprocess.run(["modprobe", "vfio-pci"], check=True)
            story.vfio.bind(IVSHMEM)
            self.addCleanup(story.vfio.unbind, IVSHMEM)
            self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
            self.assertIn("VFIO_ALIAS_NOIOMMU=1", story.status(IVSHMEM)["reason"])
            _, told = explain(IVSHMEM)
            self.assertEqual(first_failure(told), "IOMMU", told)
            self.assertIn(f"set VFIO_ALIAS_NOIOMMU=1 in {story.RULES}:1", told["IOMMU"]["mend"])
            self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc", "VFIO_ALIAS_NOIOMMU": "1"}})
            self.wait_for(IVSHMEM, "published")


if __name__ == "__main__":
    main()
