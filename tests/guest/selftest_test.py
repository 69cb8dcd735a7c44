# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --device nvme,serial=test,addr=0x14
"""The series' own test, tools/testing/selftests/vfio: its lines are this test's.

Arguments are names of its tests, for example vfio_pci_alias.group_wc.enospc.
"""

import os
import re
import subprocess
import sys

from guest import IVSHMEM
import vfio

TEST = "/usr/lib/vfio-alias-shim/tests/vfio_pci_alias_test"
NVME = "0000:00:14.0"


def run(bdf, *options):
    """Runs the test on a device and passes its lines on, but for each test's own heading."""
    with subprocess.Popen([TEST, *options, bdf], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as test:
        for line in test.stdout:
            if not re.match(r"# +(RUN|OK|FAIL) ", line):
                print(line, end="", flush=True)
    # 1 says that a test has failed, 4 that none was run, and a signal is no status.
    return test.returncode if test.returncode >= 0 else 128 - test.returncode


def main():
    subprocess.run(["modprobe", "-a", "vfio-pci", "vfio_iommu_type1"], check=True)
    for bdf in (IVSHMEM, NVME):
        vfio.bind(bdf)
    if sys.argv[1:]:
        sys.exit(run(IVSHMEM, *(f"-r{name}" for name in sys.argv[1:])))
    # A kernel without character devices skips all that is for them.
    skip = [] if os.path.exists("/dev/iommu") else ["-Viommufd", "-Viommufd_uc", "-Viommufd_wc"]
    # MSI-X is what the one device has and the other has not.
    status = [run(IVSHMEM, "-Teinval_msix", *skip), run(NVME, *skip, "-teinval_msix")]
    sys.exit(max(status))


if __name__ == "__main__":
    main()
