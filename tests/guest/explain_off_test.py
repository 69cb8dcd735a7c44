# SPDX-License-Identifier: GPL-2.0-or-later
# vm: --append intel_iommu=off
"""vfio-alias explain on a machine whose kernel was told not to use its IOMMU."""

from explain_test import Explain
from guest import IVSHMEM, main


class Off(Explain):
    def test_the_word_that_turns_the_iommu_off_is_to_go(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        condition = self.assertFails(IVSHMEM, "IOMMU", "VT-d", "was told not to use it")
        self.assertIn("take intel_iommu=off off", condition["mend"])


if __name__ == "__main__":
    main()
