# SPDX-License-Identifier: GPL-2.0-or-later
# vm: --append nopat
"""vfio-alias explain on a machine without a page attribute table."""

from explain_test import Explain
from guest import IVSHMEM, main


class NoPat(Explain):
    def test_no_write_combining_without_pat(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        condition = self.assertFails(IVSHMEM, "PAT", "nopat")
        self.assertIn("reboot", condition["mend"])

    def test_uncached_needs_none(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:uc"}})
        self.assertIn("not needed", self.assertAllHolds(IVSHMEM)["PAT"]["text"])


if __name__ == "__main__":
    main()
