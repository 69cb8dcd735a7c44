# SPDX-License-Identifier: GPL-2.0-or-later
# vm: --no-iommu
"""A machine without an IOMMU: run with tests/guest/vm run --no-iommu."""

import json
import os
import subprocess

from guest import IVSHMEM, main, run
import story_test as story
from vfio import sysfs


class NoIommu(story.Story):
    def test_a_device_without_an_iommu_group_is_explained_and_left_alone(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.assertEqual(story.status(IVSHMEM)["state"], "waiting")
        self.assertIn("no IOMMU group", story.status(IVSHMEM)["reason"])
        self.assertIn("intel_iommu=on", run("vfio-alias", "list"))
        self.assertEqual(story.journal().count("no IOMMU group"), 1)
        self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))

    def test_explain_names_the_iommu_and_what_would_mend_it(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        done = subprocess.run(["vfio-alias", "explain", "--json", IVSHMEM], check=False,
                              text=True, stdout=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)
        told = {c["name"]: c for c in json.loads(done.stdout)["conditions"]}
        self.assertEqual([name for name, c in told.items() if c["state"] == "fails"], ["IOMMU"])
        self.assertIn("the firmware describes no IOMMU", told["IOMMU"]["text"])
        self.assertIn("VT-d", told["IOMMU"]["mend"])
        for name in ("IOMMU group", "group's holder", "session"):
            self.assertEqual(told[name]["state"], "not-reached")


if __name__ == "__main__":
    main()
