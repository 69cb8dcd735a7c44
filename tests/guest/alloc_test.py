# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: debug
# vm: --failing-allocations --timeout 1500 --append kmemleak=on --memory 1G
"""Each allocation that the series makes fails once, and nothing is leaked."""

import subprocess
import time
import unittest

from guest import IVSHMEM, main, run
import vfio

LEAKS = "/sys/kernel/debug/kmemleak"


def leaks():
    """What kmemleak finds that is ours or was made on our behalf."""
    time.sleep(6)  # nothing younger than 5 s is taken for a leak,
    for _ in range(2):  # nor what has changed since the scan before
        with open(LEAKS, "w", encoding="ascii") as f:
            f.write("scan")
    with open(LEAKS, encoding="ascii") as f:
        found = f.read().split("unreferenced object")[1:]
    return [leak for leak in found if "vfio" in leak or '"alias_fail"' in leak]


class Allocations(unittest.TestCase):
    def test_each_failed_allocation_is_enomem_and_leaves_nothing(self):
        run("modprobe", "-a", "vfio-pci", "vfio_iommu_type1")
        failed = subprocess.run(
            ["/usr/lib/vfio-alias-shim/tests/alias_fail", IVSHMEM, "2"], text=True,
            stdout=subprocess.PIPE, check=False)
        for line in failed.stdout.splitlines():
            print(f"# {line}")
        self.assertEqual(failed.returncode, 0)
        # The modules stay: a leak is told from others by their names in its stack.
        vfio.unbind(IVSHMEM)
        self.assertEqual(leaks(), [])


if __name__ == "__main__":
    main()
