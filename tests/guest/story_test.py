# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --timeout 1500
"""The whole story: mark by udev rule, start the service, unmodified tools map the files."""

import grp
import json
import mmap
import os
import shutil
import signal
import stat
import subprocess
import time
import unittest

from guest import (EDU, IVSHMEM, TESTDEV, SIGBUS, Watch, descriptors, kernel_log, main,
                   map_file, outcome, run, until)
from ptwalk import walk
import vfio
from vfio import PAGE, address, sysfs

MIB = 1 << 20
IVSHMEM_BAR = 16 * MIB

RULES = "/etc/udev/rules.d/80-test.rules"
STATUS = "/run/vfio-alias-shim/devices"
SERVICE = "vfio-alias-shim"
TRIGGER = "/proc/sysrq-trigger"
IDS = {IVSHMEM: ("0x1af4", "0x1110"), EDU: ("0x1234", "0x11e8"), TESTDEV: ("0x1b36", "0x0005")}


def write_rules(marks):
    """marks: for each BDF the properties; writes them into one file, as an operator would."""
    with open(RULES, "w", encoding="ascii") as f:
        for bdf, properties in marks.items():
            vendor, device = IDS[bdf]
            rule = f'ACTION!="remove", SUBSYSTEM=="pci", ATTR{{vendor}}=="{vendor}", ' \
                   f'ATTR{{device}}=="{device}"'
            for name, value in properties.items():
                rule += f', ENV{{{name}}}="{value}"'
            f.write(rule + "\n")


def systemctl(verb):
    run("systemctl", verb, SERVICE)


def is_active():
    return subprocess.run(["systemctl", "-q", "is-active", SERVICE], check=False).returncode == 0


def journal():
    run("journalctl", "--sync")
    return run("journalctl", "-u", SERVICE, "-o", "cat", "--no-pager")


def journal_of_all():
    run("journalctl", "--sync")
    return run("journalctl", "-t", "vfio-alias-shim", "-o", "cat", "--no-pager")


def status_text():
    """What the service tells systemd."""
    return run("systemctl", "show", "-P", "StatusText", SERVICE).strip()


def status(bdf):
    try:
        with open(f"{STATUS}/{bdf}.json", encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {"state": None, "reason": None, "aliases": []}


class Story(unittest.TestCase):
    """Each test starts with the stock state and leaves it."""

    def setUp(self):
        self.addCleanup(self.stock)

    def stock(self):
        systemctl("stop")
        if os.path.exists(RULES):
            os.unlink(RULES)
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger", "--settle", "--subsystem-match=pci")

    def start(self, marks):
        write_rules(marks)
        systemctl("start")

    def remark(self, marks):
        """Writes the rules anew and has udev look again, while the service runs."""
        write_rules(marks)
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger", "--settle", "--subsystem-match=pci")

    def wait_for(self, bdf, state, reason=""):
        watch = Watch(STATUS)
        self.addCleanup(watch.close)

        def there():
            now = status(bdf)
            return now["state"] == state and reason in (now["reason"] or "") and now

        try:
            return watch.until(there, f"{bdf} {state} {reason}")
        except TimeoutError as e:
            self.fail(f"{e}; it is {status(bdf)}; journal:\n{journal()}")

    def main_pid(self):
        return int(run("systemctl", "show", "-P", "MainPID", SERVICE))

    def restarted(self, how):
        """Has the service end and come back, and returns when it has published."""
        pid = self.main_pid()
        watch = Watch(STATUS)
        how(pid)
        watch.until(lambda: self.main_pid() not in (0, pid) and is_active() and
                    status(IVSHMEM)["state"] == "published", "the restart")
        watch.close()


class Published(Story):
    def setUp(self):
        super().setUp()
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"},
                    EDU: {"VFIO_ALIAS": "0:uc@0+64K 0:wc@64K+960K"}})

    def test_start_returns_when_the_files_are_there_and_are_wc(self):
        path = sysfs(IVSHMEM, "resource2_wc")
        self.assertEqual(os.stat(path).st_size, IVSHMEM_BAR)
        m = map_file(path, IVSHMEM_BAR)
        m[0:8] = b"12345678"
        self.assertEqual(m[0:8], b"12345678")
        entry = walk(address(m))
        self.assertEqual((entry["level"], entry["type"]), ("2M", "WC"))
        other = map_file(path, PAGE)
        self.assertEqual(other[0:8], b"12345678")
        self.assertEqual((walk(address(other))["level"], walk(address(other))["type"]),
                         ("4K", "WC"))

    def test_edu_answers_through_uc_beside_wc(self):
        uc = map_file(sysfs(EDU, "resource0"), MIB)
        words = memoryview(uc).cast("I")
        self.assertEqual(words[0], 0x010000ED)
        words[1] = 0x12345678
        self.assertEqual(words[1], 0x12345678 ^ 0xFFFFFFFF)
        self.assertEqual(walk(address(uc))["type"], "UC-")
        wc = map_file(sysfs(EDU, "resource0_wc"), MIB)
        _ = wc[64 << 10]
        self.assertEqual(walk(address(wc) + (64 << 10))["type"], "WC")
        self.assertEqual(outcome(lambda: wc[0]), SIGBUS)
        self.assertEqual(outcome(lambda: uc[64 << 10]), SIGBUS)
        self.assertIn("claimed as wc by alias region", kernel_log())
        self.assertEqual(outcome(lambda: uc[0]), 0)
        words.release()

    def test_libpciaccess_maps_write_combining(self):
        with subprocess.Popen(["/usr/lib/vfio-alias-shim/tests/pciaccess_wc", IVSHMEM, "2"],
                              text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as client:
            at, length = client.stdout.readline().split()
            self.assertEqual(int(length), IVSHMEM_BAR)
            self.assertEqual(walk(int(at, 16), client.pid)["type"], "WC")
            client.stdin.close()
            self.assertEqual(client.wait(), 0)

    def test_every_way_of_mapping_that_tools_use(self):
        path = sysfs(IVSHMEM, "resource2_wc")
        with self.subTest("O_SYNC"):
            m = map_file(path, MIB, flags=os.O_RDWR | os.O_SYNC)
            m[0] = 1
            self.assertEqual(walk(address(m))["type"], "WC")
        with self.subTest("O_RDONLY"):
            self.assertEqual(map_file(path, MIB, flags=os.O_RDONLY)[0], 1)
        with self.subTest("a part at an offset"):
            part, whole = map_file(path, 2 * PAGE, offset=3 * PAGE), map_file(path, IVSHMEM_BAR)
            part[PAGE:PAGE + 4] = b"part"
            self.assertEqual(whole[4 * PAGE:4 * PAGE + 4], b"part")
        with self.subTest("MAP_POPULATE"):
            fd = os.open(path, os.O_RDWR)
            m = mmap.mmap(fd, MIB, mmap.MAP_SHARED | mmap.MAP_POPULATE)
            m[MIB - 1] = 7
            self.assertEqual(m[MIB - 1], 7)
            os.close(fd)
        with self.subTest("close after mmap"):
            script = "import ctypes, mmap, os, sys\n" \
                     "libc = ctypes.CDLL(None)\n" \
                     "libc.mmap.restype = ctypes.c_void_p\n" \
                     "libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + " \
                     "[ctypes.c_int] * 3 + [ctypes.c_long]\n" \
                     "fd = os.open(sys.argv[1], os.O_RDWR)\n" \
                     "at = libc.mmap(None, 4096, 3, 1, fd, 0)\n" \
                     "os.close(fd)\n" \
                     "ctypes.memset(at, 0x5a, 64)\n" \
                     "sys.exit(ctypes.string_at(at, 64) != b'Z' * 64)\n"
            run("python3", "-c", script, path)
        with self.subTest("O_RDONLY cannot be written"):
            fd = os.open(path, os.O_RDONLY)
            with self.assertRaises(PermissionError):
                mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_WRITE)
            os.close(fd)

    def test_list_says_what_is_published(self):
        table = run("vfio-alias", "list")
        lines = [line.split() for line in table.splitlines()]
        self.assertEqual(lines[0][:7],
                         ["DEVICE", "BAR", "RANGE", "TYPE", "FILE", "STATE", "REASON"])
        self.assertIn([IVSHMEM, "2", "0+16M", "wc", sysfs(IVSHMEM, "resource2_wc"),
                       "published", "-"][:6], [line[:6] for line in lines])
        self.assertEqual(sum(line[0] == EDU for line in lines[1:]), 2)

    def test_systemd_is_told_how_many(self):
        self.assertEqual(status_text(), "2 published, 0 waiting, 0 refused")


class Lifecycle(Story):
    def test_stop_revokes_and_gives_everything_back(self):
        before = {bdf: sorted(n for n in os.listdir(sysfs(bdf)) if n.startswith("resource"))
                  for bdf in (IVSHMEM, EDU)}
        inode = os.stat(sysfs(IVSHMEM, "resource2_wc")).st_ino
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:uc@0+4K 2:wc@4K+16380K"}, EDU: {"VFIO_ALIAS": "0:wc"}})
        self.assertNotEqual(os.stat(sysfs(IVSHMEM, "resource2_wc")).st_ino, inode)
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), IVSHMEM_BAR)
        m[PAGE] = 1
        systemctl("stop")
        self.assertFalse(walk(address(m) + PAGE)["present"])
        self.assertEqual(outcome(lambda: m[PAGE]), SIGBUS)
        after = {bdf: sorted(n for n in os.listdir(sysfs(bdf)) if n.startswith("resource"))
                 for bdf in (IVSHMEM, EDU)}
        self.assertEqual(after, before)
        for bdf in (IVSHMEM, EDU):
            self.assertFalse(os.path.exists(sysfs(bdf, "driver")))
            with open(sysfs(bdf, "driver_override"), encoding="ascii") as f:
                self.assertEqual(f.read().strip(), "(null)")
        stock = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        stock[0] = 1
        self.assertEqual(walk(address(stock))["type"], "WC")
        self.assertFalse(is_active())
        run("rmmod", "vfio_pci")
        m.close()
        run("rmmod", "vfio_pci_core")

    def test_a_marked_device_starts_the_service_by_itself(self):
        write_rules({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        run("udevadm", "control", "--reload")
        self.assertFalse(is_active())
        # The device goes and comes back, as by hot-plug.
        with open(sysfs(IVSHMEM, "remove"), "w", encoding="ascii") as f:
            f.write("1")
        with open("/sys/bus/pci/rescan", "w", encoding="ascii") as f:
            f.write("1")
        run("udevadm", "settle")
        deadline = time.monotonic() + 60
        while not is_active() and time.monotonic() < deadline:
            # systemd offers no event that a job of somebody else has been queued and done
            run("systemctl", "show", "-P", "Job", SERVICE)
        self.wait_for(IVSHMEM, "published")
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        m[0] = 1
        self.assertEqual(walk(address(m))["type"], "WC")

    def test_marking_and_unmarking_while_the_service_runs(self):
        self.start({EDU: {"VFIO_ALIAS": "0:wc"}})
        m = map_file(sysfs(EDU, "resource0_wc"), PAGE)
        _ = m[0]
        self.remark({EDU: {"VFIO_ALIAS": "0:wc"}, IVSHMEM: {"VFIO_ALIAS": "2:wc@1M+1M"}})
        self.wait_for(IVSHMEM, "published")
        self.assertEqual(outcome(lambda: m[0]), 0)
        self.remark({EDU: {"VFIO_ALIAS": "0:wc"}})
        watch = Watch(STATUS)
        watch.until(lambda: not os.path.exists(f"{STATUS}/{IVSHMEM}.json"))
        self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))
        self.assertEqual(outcome(lambda: m[0]), 0)

    def test_a_changed_mark_is_applied_as_a_difference(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc@0+1M 2:wc@1M+1M"}})
        path = sysfs(IVSHMEM, "resource2_wc")
        inode = os.stat(path).st_ino
        m = map_file(path, 2 * MIB)
        m[0], m[MIB] = 1, 2
        kept = walk(address(m))
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc@0+1M 2:uc@1M+64K,shared"}})
        watch = Watch(STATUS)
        self.addCleanup(watch.close)
        watch.until(lambda: [a["state"] for a in status(IVSHMEM)["aliases"]
                             if a["type_wanted"] == "uc"] == ["published"])
        self.assertEqual(os.stat(path).st_ino, inode)
        self.assertEqual(walk(address(m)), kept)
        self.assertEqual(outcome(lambda: m[MIB]), SIGBUS)
        uc = map_file(sysfs(IVSHMEM, "resource2"), 2 * MIB)
        self.assertEqual(uc[MIB], 2)
        self.assertEqual(walk(address(uc) + MIB)["type"], "UC-")

    def test_unbind_does_not_hang_and_the_tool_gets_sigbus(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        m[0] = 1
        with open(sysfs(IVSHMEM, "driver/unbind"), "w", encoding="ascii") as f:
            f.write(IVSHMEM)
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        self.wait_for(IVSHMEM, "waiting", "was taken from its VFIO driver")

    def test_owner_group_and_mode(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc", "VFIO_ALIAS_GROUP": "games"},
                    EDU: {"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_OWNER": "daemon",
                          "VFIO_ALIAS_MODE": "0640"}})
        st = os.stat(sysfs(IVSHMEM, "resource2_wc"))
        self.assertEqual((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)),
                         (0, grp.getgrnam("games").gr_gid, 0o660))
        st = os.stat(sysfs(EDU, "resource0_wc"))
        self.assertEqual((st.st_uid, stat.S_IMODE(st.st_mode)), (1, 0o640))

    def test_bind_policies(self):
        run("modprobe", "pci-stub")
        vfio.bind(TESTDEV, "pci-stub")
        self.addCleanup(vfio.unbind, TESTDEV)
        self.start({TESTDEV: {"VFIO_ALIAS": "0:wc"},
                    EDU: {"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_BIND": "never"}})
        self.assertIn("driver pci-stub has the device", status(TESTDEV)["reason"])
        self.assertIn("VFIO_ALIAS_BIND=never", status(EDU)["reason"])
        self.assertEqual(os.path.basename(os.readlink(sysfs(TESTDEV, "driver"))), "pci-stub")
        self.remark({TESTDEV: {"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_BIND": "force"}})
        self.wait_for(TESTDEV, "published")
        self.assertEqual(os.path.basename(os.readlink(sysfs(TESTDEV, "driver"))), "vfio-pci")
        systemctl("stop")
        self.assertEqual(os.path.basename(os.readlink(sysfs(TESTDEV, "driver"))), "pci-stub")


class Conflict(Story):
    def test_a_stock_mapping_is_named_and_waited_for(self):
        holder = subprocess.Popen(
            ["python3", "-c",
             "import mmap, os, sys\n"
             "fd = os.open(sys.argv[1], os.O_RDWR)\n"
             "m = mmap.mmap(fd, 4096)\n"
             "print('mapped', flush=True)\n"
             "sys.stdin.readline()\n"
             "m.close(); os.close(fd)\n"
             "print('unmapped', flush=True)\n"
             "sys.stdin.readline()\n", sysfs(IVSHMEM, "resource2")],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.communicate)
        self.assertEqual(holder.stdout.readline(), "mapped\n")
        inode = os.stat(sysfs(IVSHMEM, "resource2_wc")).st_ino
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}, EDU: {"VFIO_ALIAS": "0:wc"}})

        said = f"{IVSHMEM}/resource2 is mapped by python3 (pid {holder.pid})"
        self.assertEqual(status(IVSHMEM)["state"], "waiting")
        self.assertIn(said, status(IVSHMEM)["reason"])
        self.assertIn(said, journal())
        self.assertIn(said, run("vfio-alias", "list"))
        self.assertEqual(os.stat(sysfs(IVSHMEM, "resource2_wc")).st_ino, inode)
        self.assertEqual(status(EDU)["state"], "published")
        self.assertEqual(journal().count(said), 1)

        holder.stdin.write("\n")
        holder.stdin.flush()
        self.assertEqual(holder.stdout.readline(), "unmapped\n")
        self.wait_for(IVSHMEM, "published")
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        m[0] = 1
        self.assertEqual(walk(address(m))["type"], "WC")


class BadMarks(Story):
    # What is in the mark, and what the message says about it.
    BAD = {
        "7:wc": "item 1 \"7:wc\", column 1",
        "x:wc": "item 1 \"x:wc\", column 1",
        "2:wb": "item 1 \"2:wb\", column 3",
        "2": "item 1 \"2\"",
        "2:wc@0": "item 1 \"2:wc@0\"",
        "2:wc@0+": "item 1 \"2:wc@0+\"",
        "2:wc@0+0": "item 1 \"2:wc@0+0\"",
        "2:wc@100+4K": "item 1 \"2:wc@100+4K\"",
        "2:wc@0+100": "item 1 \"2:wc@0+100\"",
        "2:wc,exclusive": "item 1 \"2:wc,exclusive\"",
        "2:wc@0+99999999999G": "item 1 \"2:wc@0+99999999999G\"",
        "2:wc@0+1M 2:uc@512K+1M": "item 2 \"2:uc@512K+1M\"",
        "2:wc 2:uc@0+4K": "item 2",
        "2:wc 0:uc 2:zz": "item 3 \"2:zz\", column 13",
        "2:wc@8M+16M": "item 1 \"2:wc@8M+16M\", column 6: OFFSET and LENGTH together must be",
        "2:wc@1G+4K": "at most 16M, the length of the BAR",
        "1:wc": "item 1 \"1:wc\", column 1: the device has no such BAR",
    }

    def test_each_bad_mark_is_one_clear_message_and_nothing_half_applied(self):
        self.start({EDU: {"VFIO_ALIAS": "0:wc"}})
        m = map_file(sysfs(EDU, "resource0_wc"), PAGE)
        for mark, said in self.BAD.items():
            with self.subTest(mark):
                before = len(journal().splitlines())
                self.remark({EDU: {"VFIO_ALIAS": "0:wc"}, IVSHMEM: {"VFIO_ALIAS": mark}})
                self.wait_for(IVSHMEM, "refused", said)
                told = [line for line in journal().splitlines()[before:] if IVSHMEM in line]
                self.assertEqual(len(told), 1, told)
                self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))
                self.assertEqual(outcome(lambda: m[0]), 0)
                self.assertEqual(status(EDU)["state"], "published")

    def test_io_ports_and_bad_settings(self):
        for properties, said in (
                ({"VFIO_ALIAS": "1:wc"}, "I/O"),
                ({"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_BIND": "maybe"}, "VFIO_ALIAS_BIND"),
                ({"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_OWNER": "nobody-there"},
                 "VFIO_ALIAS_OWNER"),
                ({"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_GROUP": "none-there"}, "VFIO_ALIAS_GROUP"),
                ({"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_MODE": "0777"}, "VFIO_ALIAS_MODE"),
                ({"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_NOIOMMU": "2"}, "VFIO_ALIAS_NOIOMMU")):
            with self.subTest(properties):
                self.start({TESTDEV: properties})
                self.assertEqual(status(TESTDEV)["state"], "refused")
                self.assertIn(said, status(TESTDEV)["reason"])
                systemctl("stop")

    def test_a_mistake_does_not_cost_a_mapping(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        m[0] = 1
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wx"}})
        self.wait_for(IVSHMEM, "refused", "the mark before stays in force")
        self.assertEqual(outcome(lambda: m[0]), 0)
        # Once the aliases are lost nothing is in force, and that is said.
        with open(sysfs(IVSHMEM, "driver/unbind"), "w", encoding="ascii") as f:
            f.write(IVSHMEM)
        self.wait_for(IVSHMEM, "waiting", "was taken from its VFIO driver")
        systemctl("reload")
        self.assertNotIn("in force", self.wait_for(IVSHMEM, "refused")["reason"])
        self.assertEqual(status(IVSHMEM)["aliases"], [])
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.wait_for(IVSHMEM, "published")

    def test_a_mend_is_taken_up(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wx"}})
        self.assertEqual(status(IVSHMEM)["state"], "refused")
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.wait_for(IVSHMEM, "published")


class Restart(Story):
    def test_a_second_daemon_does_not_start(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        for how, said in ([], "another vfio-alias-shim runs"), \
                (["setpriv", "--reuid=1", "--clear-groups"], "it takes root"):
            with self.subTest(said):
                second = subprocess.run(how + ["vfio-alias-shim"], check=False, timeout=30,
                                        stderr=subprocess.PIPE, text=True)
                self.assertEqual(second.returncode, 1)
                self.assertIn(said, second.stderr + journal_of_all())
        self.assertEqual(outcome(lambda: m[0]), 0)
        self.assertIn("published", run("vfio-alias", "list"))

    def test_an_alias_that_the_kernel_has_is_found_again(self):
        """A second session of the same container would; here: reload asks the kernel anew."""
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        m[0] = 1
        os.unlink(f"{STATUS}/{IVSHMEM}.json")
        watch = Watch(STATUS)
        systemctl("reload")
        watch.until(lambda: status(IVSHMEM)["state"] == "published")
        self.assertEqual(status(IVSHMEM)["aliases"][0]["type_in_effect"], "wc")
        self.assertEqual(outcome(lambda: m[0]), 0)

    def settings(self, text):
        """More settings for the service's unit."""
        path = f"/run/systemd/system/{SERVICE}.service.d/test.conf"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(f"[Service]\n{text}\n")
        run("systemctl", "daemon-reload")
        self.addCleanup(run, "systemctl", "daemon-reload")
        self.addCleanup(os.unlink, path)

    def oom_kill(self, pid):
        """Has the kernel out of memory, with the daemon for its first choice."""
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as f:
            f.write("1000")
        run("dmesg", "--console-level", "emerg")  # it tells at length, with a trace of its own call
        self.addCleanup(run, "dmesg", "--console-level", "info")
        with open(TRIGGER, "w", encoding="ascii") as f:
            f.write("f")
        until(lambda: f"Out of memory: Killed process {pid}" in kernel_log(), "the OOM killer")

    def upgrade(self, _):
        """What a package does to a service that runs: other files, and a restart."""
        for path in "/usr/sbin/vfio-alias-shim", f"/usr/lib/systemd/system/{SERVICE}.service":
            shutil.copy2(path, f"{path}.new")
            os.rename(f"{path}.new", path)
        run("systemctl", "daemon-reload")
        systemctl("try-restart")

    def test_mappings_outlive_the_daemon(self):
        # One that is stopped does not serve it, and can be killed only.
        self.settings("WatchdogSec=10\nTimeoutAbortSec=1")
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        path = sysfs(IVSHMEM, "resource2_wc")
        m = map_file(path, IVSHMEM_BAR)
        m[0] = 1
        inode, kept = os.stat(path).st_ino, vfio.held_by(1)
        self.assertTrue(kept)
        for name, how in {
                "kill -9": lambda pid: os.kill(pid, signal.SIGKILL),
                "kill": lambda pid: os.kill(pid, signal.SIGTERM),
                "the watchdog": lambda pid: os.kill(pid, signal.SIGSTOP),
                # The debug kernel has no such trigger.
                **({"the OOM killer": self.oom_kill} if os.path.exists(TRIGGER) else {}),
                "an upgrade": self.upgrade,
                "restart": lambda pid: systemctl("restart"),
                "try-restart": lambda pid: systemctl("try-restart"),
        }.items():
            with self.subTest(name):
                self.restarted(how)
                self.assertEqual(walk(address(m))["type"], "WC")
                self.assertEqual(os.stat(path).st_ino, inode)
                self.assertEqual(vfio.held_by(1), kept)
        self.assertEqual(status(IVSHMEM)["aliases"][0]["type_in_effect"], "wc")
        systemctl("stop")
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))
        self.assertEqual(vfio.held_by(1), [])

    def test_a_device_that_udev_has_lost_is_not_one_without_a_mark(self):
        """As when a worker of udev has died of it: the record is gone."""
        self.settings("ExecStartPre=\nExecReload=\nExecReload=kill -HUP $MAINPID")
        write_rules({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger", "--settle", "--subsystem-match=pci")
        systemctl("start")
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), PAGE)
        m[0] = 1
        os.unlink(f"/run/udev/data/+pci:{IVSHMEM}")
        systemctl("reload")
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc"}, EDU: {"VFIO_ALIAS": "0:wc"}})
        self.wait_for(EDU, "published")  # what came before has been handled
        self.assertEqual(walk(address(m))["type"], "WC")

        os.unlink(f"/run/udev/data/+pci:{IVSHMEM}")
        systemctl("restart")
        self.assertEqual(walk(address(m))["type"], "WC")
        self.remark({EDU: {"VFIO_ALIAS": "0:wc"}})
        until(lambda: status(IVSHMEM)["state"] is None, "the end, once udev knows")
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)

    def test_a_restart_ends_the_session_of_what_is_not_marked_any_more(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}, EDU: {"VFIO_ALIAS": "0:wc"}})
        m = map_file(sysfs(EDU, "resource0_wc"), PAGE)
        _ = m[0]
        write_rules({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.restarted(lambda pid: systemctl("restart"))
        self.assertEqual(outcome(lambda: m[0]), SIGBUS)
        self.assertFalse(os.path.exists(sysfs(EDU, "driver")))

    def test_a_device_that_is_asked_for_goes_after_a_restart_too(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.restarted(lambda pid: os.kill(pid, signal.SIGKILL))
        vfio.unbind(IVSHMEM)
        self.assertFalse(os.path.exists(sysfs(IVSHMEM, "driver")))
        self.assertEqual(vfio.held_by(1), [])


if __name__ == "__main__":
    main()
