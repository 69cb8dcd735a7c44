# SPDX-License-Identifier: GPL-2.0-or-later
# vm: --no-iommu
"""A machine without an IOMMU: run with tests/guest/vm run --no-iommu."""

import os
import unittest

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


if __name__ == "__main__":
    main()
