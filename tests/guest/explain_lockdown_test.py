# SPDX-License-Identifier: GPL-2.0-or-later
"""vfio-alias explain under lockdown, which nothing takes back: a guest of its own."""

from explain_test import UPDATES, Explain
from guest import IVSHMEM, lock_down, main, run
import story_test as story


class Lockdown(Explain):
    def test_modules_that_are_loaded_work_and_unsigned_ones_are_not_loaded_again(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        lock_down("integrity")
        self.assertIn("integrity; it does not matter",
                      self.assertAllHolds(IVSHMEM)["lockdown"]["text"])
        story.systemctl("stop")
        run("modprobe", "-r", "vfio-pci", "vfio_iommu_type1")
        condition = self.assertFails(IVSHMEM, "modules", f"{UPDATES}/vfio-pci-core.ko is not "
                                     "signed", "lockdown is integrity")
        self.assertTrue(condition["mend"].startswith("sign "))
        told = self.explain(IVSHMEM)[1]
        self.assertEqual(told["session"]["state"], "not-reached")


if __name__ == "__main__":
    main()
