# SPDX-License-Identifier: GPL-2.0-or-later
"""The service as an operator meets it: its sandbox, its messages."""

import os
import re
import stat
import subprocess

from guest import EDU, IVSHMEM, main, run, until
from story_test import SERVICE, Story, status, systemctl
import vfio
from vfio import sysfs


class Sandbox(Story):
    def main_pid(self):
        return int(run("systemctl", "show", "-P", "MainPID", SERVICE))

    def test_exposure_is_at_most_2_5(self):
        report = run("systemd-analyze", "security", "--no-pager", SERVICE)
        exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
        self.assertLessEqual(float(exposure[1]), 2.5, report)

    def test_the_daemon_has_the_capabilities_that_the_unit_names_and_no_others(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        numbers = dict(line.split()[:2] for line in
                       run("systemd-analyze", "capability").splitlines()[1:])
        names = run("systemctl", "show", "-P", "CapabilityBoundingSet", SERVICE).split()
        wanted = sum(1 << int(numbers[name]) for name in names)
        with open(f"/proc/{self.main_pid()}/status", encoding="ascii") as f:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        for which in ("CapEff", "CapPrm", "CapBnd"):
            self.assertEqual(int(fields[which], 16), wanted, which)
        self.assertEqual(int(fields["CapInh"], 16) | int(fields["CapAmb"], 16), 0)
        self.assertEqual(fields["NoNewPrivs"], "1")

    def test_nothing_is_writable_but_pci_devices_and_the_run_directory(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})

        def writable(path):
            return subprocess.run(["nsenter", "-m", "-t", str(self.main_pid()),
                                   "test", "-w", path], check=False).returncode == 0

        for path in ("/", "/etc", "/usr", "/var", "/run/systemd/system", "/run/udev",
                     "/proc/sys/kernel/core_pattern", "/sys/kernel/mm/ksm/run",
                     "/sys/module/vfio_iommu_type1/parameters",
                     "/sys/devices/system/cpu/cpu1/online", "/sys/fs/cgroup/cgroup.procs"):
            with self.subTest(path):
                self.assertFalse(writable(path))
        for path in ("/run/vfio-alias-shim", sysfs(IVSHMEM, "driver_override"),
                     "/sys/bus/pci/drivers_probe", "/sys/bus/pci/drivers/vfio-pci/unbind"):
            with self.subTest(path):
                self.assertTrue(writable(path))

    def test_a_group_that_belongs_to_a_user_is_opened(self):
        run("modprobe", "vfio-pci")
        vfio.bind(EDU, "vfio-pci")
        self.addCleanup(vfio.unbind, EDU)
        group = "/dev/vfio/" + os.path.basename(os.readlink(sysfs(EDU, "iommu_group")))
        os.chown(group, 1, 1)
        os.chmod(group, 0o600)
        self.start({EDU: {"VFIO_ALIAS": "0:wc"}})
        self.assertEqual(status(EDU)["state"], "published")

    def test_a_file_that_was_given_away_gets_another_mode(self):
        self.start({EDU: {"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_OWNER": "daemon"}})
        self.remark({EDU: {"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_OWNER": "daemon",
                           "VFIO_ALIAS_MODE": "0640"}})
        until(lambda: stat.filemode(os.stat(sysfs(EDU, "resource0_wc")).st_mode) ==
              "-rw-r-----", "the mode")

    def test_modules_that_were_unloaded_are_loaded_by_a_reload(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        vfio.unbind(IVSHMEM)
        self.wait_for(IVSHMEM, "waiting", "was taken from its VFIO driver")
        run("modprobe", "-r", "vfio-pci", "vfio_iommu_type1")
        systemctl("reload")
        self.wait_for(IVSHMEM, "published")


if __name__ == "__main__":
    main()
