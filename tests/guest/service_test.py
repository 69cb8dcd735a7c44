# SPDX-License-Identifier: GPL-2.0-or-later
"""The service as an operator meets it: its sandbox, its messages."""

import ctypes
import json
import os
import re
import socket
import stat
import subprocess
import unittest

from guest import EDU, IVSHMEM, descriptors, main, run, until
from story_test import RULES, SERVICE, Story, status, systemctl, write_rules
import vfio
from vfio import sysfs


sandboxed = unittest.skipIf(os.path.exists(f"/lib/systemd/system/{SERVICE}.service.d"),
                            "sanitizers and gcov have no sandbox")


class Sandbox(Story):
    def main_pid(self):
        return int(run("systemctl", "show", "-P", "MainPID", SERVICE))

    @sandboxed
    def test_exposure_is_at_most_2_5(self):
        report = run("systemd-analyze", "security", "--no-pager", SERVICE)
        exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
        self.assertLessEqual(float(exposure[1]), 2.5, report)

    @sandboxed
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

    @sandboxed
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

    def test_the_buffer_for_events_of_udev_is_as_large_as_it_should_be(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        libc = ctypes.CDLL(None, use_errno=True)
        pid = self.main_pid()
        pidfd, sizes = os.pidfd_open(pid), []
        for fd, name in descriptors(pid).items():
            if not name.startswith("socket:"):
                continue
            copy = libc.syscall(438, pidfd, fd, 0)  # pidfd_getfd()
            self.assertGreaterEqual(copy, 0, os.strerror(ctypes.get_errno()))
            with socket.socket(fileno=copy) as s:
                if s.family == socket.AF_NETLINK:
                    sizes.append(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
        os.close(pidfd)
        self.assertEqual(len(sizes), 1)
        self.assertGreaterEqual(sizes[0], 16 << 20)

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


class Messages(Story):
    def entries(self, **fields):
        """The service's messages since the test began that have these fields."""
        run("journalctl", "--sync")
        # With a match, --after-cursor would leave out the first one.
        lines = run("journalctl", "-o", "json", "--no-pager",
                    f"--after-cursor={self.cursor}").splitlines()
        return [entry for entry in map(json.loads, lines)
                if entry.get("SYSLOG_IDENTIFIER") == SERVICE and
                all(entry.get(name) == value for name, value in fields.items())]

    def setUp(self):
        super().setUp()
        last = run("journalctl", "-n", "1", "-o", "json", "--no-pager")
        self.cursor = json.loads(last)["__CURSOR"]

    def test_a_device_its_bar_and_its_alias_are_fields(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc@1M+1M"}, EDU: {"VFIO_ALIAS": "0:wx"}})
        published, = self.entries(BDF=IVSHMEM, BAR="2", ALIAS="2:wc@1M+1M")
        self.assertIn("published 1M+1M as resource2_wc", published["MESSAGE"])
        self.assertEqual(published["PRIORITY"], "6")
        refused, = self.entries(BDF=EDU)
        self.assertEqual(refused["PRIORITY"], "4")
        self.assertNotIn("BAR", refused)
        self.assertNotEqual(refused["MESSAGE_ID"], published["MESSAGE_ID"])
        for entry in self.entries():
            self.assertRegex(entry["MESSAGE_ID"], "^[0-9a-f]{32}$")

    def test_the_journal_explains_them(self):
        run("journalctl", "--update-catalog")
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wx"}})
        run("journalctl", "--sync")
        told = run("journalctl", "-x", "--no-pager", f"--after-cursor={self.cursor}")
        self.assertIn(f"Subject: The mark of {IVSHMEM} makes no sense", told)
        self.assertIn("vfio-alias-shim.rules(5)", told)

    def test_a_device_that_flaps_does_not_flood_the_journal(self):
        """Its mark changes with each event, by an argument that the event has."""
        with open(RULES, "w", encoding="ascii") as f:
            for flap in "1", "2":
                f.write(f'ENV{{SYNTH_ARG_FLAP}}=="{flap}", KERNEL=="{IVSHMEM}", '
                        f'ENV{{VFIO_ALIAS}}="2:w{flap}"\n')
            f.write(f'ENV{{SYNTH_ARG_FLAP}}=="3", KERNEL=="{IVSHMEM}", ENV{{VFIO_ALIAS}}="2:w3"\n')
        systemctl("start")
        rounds = 60
        with open(sysfs(IVSHMEM, "uevent"), "w", encoding="ascii", buffering=1) as f:
            for i in range(rounds):
                f.write(f"change 01234567-89ab-cdef-0123-456789abcdef FLAP={1 + i % 2}\n")
            f.write("change 01234567-89ab-cdef-0123-456789abcdef FLAP=3\n")
        # What it has come to is told, however much was left out before.
        at_the_end = until(lambda: [e["MESSAGE"] for e in self.entries(BDF=IVSHMEM)
                                    if "were left out" in e["MESSAGE"]], "the summary")
        messages = [e["MESSAGE"] for e in self.entries(BDF=IVSHMEM)]
        left_out = sum(int(re.search("([0-9]+) messages were left out", m)[1])
                       for m in at_the_end)
        self.assertEqual(len(messages) - len(at_the_end) + left_out, rounds + 1)
        self.assertLess(len(messages), rounds)
        self.assertIn("now refused:", at_the_end[-1])
        self.assertIn("2:w3", at_the_end[-1])


class ByHand(Story):
    """Without systemd, as one would look for a fault."""

    def test_the_daemon_loads_modules_and_gives_everything_back(self):
        write_rules({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger", "--settle", "--subsystem-match=pci")
        run("modprobe", "-ra", "vfio-pci", "vfio_iommu_type1")
        with subprocess.Popen(["vfio-alias-shim"], stderr=subprocess.PIPE, text=True) as daemon:
            try:
                while "published" not in (line := daemon.stderr.readline()):
                    self.assertTrue(line, "it has ended")
                self.assertEqual(line, f"vfio-alias-shim: {IVSHMEM}: BAR 2: published 0+16M as "
                                       "resource2_wc, wc\n")
            finally:
                daemon.terminate()
            self.assertIn("taking the aliases back", daemon.stderr.read())
            self.assertEqual(daemon.wait(), 0)
        self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))

    def test_arguments(self):
        self.assertIn("see vfio-alias-shim(8)", run("vfio-alias-shim", "--help"))
        self.assertRegex(run("vfio-alias-shim", "--version"), r"^vfio-alias-shim [0-9.]+\n$")
        for wrong in "--no-such-option", "argument":
            result = subprocess.run(["vfio-alias-shim", wrong], check=False,
                                    stderr=subprocess.DEVNULL)
            self.assertEqual(result.returncode, 2)


if __name__ == "__main__":
    main()
