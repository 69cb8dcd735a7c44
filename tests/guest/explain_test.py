# SPDX-License-Identifier: GPL-2.0-or-later
# vm: --device pci-testdev,addr=0x13.0,multifunction=on --device edu,addr=0x13.1 --device nvme,serial=1,addr=0x14 --device e1000e,addr=0x15
"""vfio-alias explain: conditions fail, and are mended as it says.

What cannot be made to fail here is in tests/unit/explain_unit.c.
"""

import json
import os
import pty
import subprocess

from guest import EDU, IVSHMEM, TESTDEV, main, run
import story_test as story
import vfio
from vfio import sysfs

# Two functions of one device, and so of one IOMMU group
FIRST, SECOND = "0000:00:13.0", "0000:00:13.1"

NVME = "0000:00:14.0"  # with an MSI-X table
NIC = "0000:00:15.0"

UPDATES = f"/lib/modules/{os.uname().release}/updates"
AWAY = "/root/updates"  # where depmod does not look
STOCK = f"/lib/modules/{os.uname().release}/kernel/drivers/vfio"

HOLD = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 4096) if "resource" in sys.argv[1] else None
print("held", flush=True)
sys.stdin.readline()
"""


def mount_debugfs():
    if not os.path.ismount("/sys/kernel/debug"):
        run("mount", "-t", "debugfs", "none", "/sys/kernel/debug")


class Explain(story.Story):
    def explain(self, bdf, *before):
        """The exit status, and what is told: by name, or by item and name."""
        done = subprocess.run([*before, "vfio-alias", "explain", "--json", bdf], check=False,
                              text=True, stdout=subprocess.PIPE)
        told = json.loads(done.stdout)
        self.assertEqual(told["bdf"], bdf)
        self.assertEqual(done.returncode, 0 if told["proven"] else 1, told)
        return done.returncode, {
            c["name"] if c["item"] is None else (c["item"], c["name"]): c
            for c in told["conditions"]}

    def assertAllHolds(self, bdf):
        status, told = self.explain(bdf)
        self.assertEqual([], [c for c in told.values() if c["state"] != "holds"])
        self.assertEqual(status, 0)
        return told

    def assertFails(self, bdf, name, *said):
        """The condition is the first that fails. Returns it."""
        status, told = self.explain(bdf)
        self.assertEqual(status, 1)
        failed = [key for key, c in told.items() if c["state"] == "fails"]
        self.assertEqual(failed[:1], [name], told)
        for text in said:
            self.assertIn(text, told[name]["text"])
        return told[name]

    def mend(self, condition):
        run("sh", "-ec", condition["mend"])

    def end(self, condition, holder):
        """Mends by the command in a mend that says whom it ends."""
        self.assertEqual(condition["mend"],
                         f"end python3, if it may go: kill {holder.pid}")
        run("sh", "-ec", condition["mend"].split(": ")[1])

    def hold(self, path):
        """A process that has a file open, and mapped if it is one of a BAR."""
        holder = subprocess.Popen(["python3", "-c", HOLD, path], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.communicate)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline(), "held\n")
        return holder


class Rule(Explain):
    def test_no_rule(self):
        self.addCleanup(run, "vfio-alias", "unmark", IVSHMEM)
        self.mend(self.assertFails(IVSHMEM, "mark", "no file of rules mentions it"))
        self.assertEqual(self.explain(IVSHMEM)[1]["mark"]["state"], "holds")
        story.systemctl("start")
        self.assertAllHolds(IVSHMEM)

    def test_a_rule_that_udev_has_not_applied_yet(self):
        story.write_rules({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.mend(self.assertFails(IVSHMEM, "mark", f"{story.RULES}:1", "udevadm test"))
        mark = self.explain(IVSHMEM)[1]["mark"]
        self.assertEqual(mark["state"], "holds")
        self.assertIn('VFIO_ALIAS="2:wc"', mark["text"])
        self.assertIn(f"{story.RULES}:1", mark["text"])

    def test_a_mark_that_makes_no_sense(self):
        story.systemctl("start")
        for mark, said in (("2:wb", "column 3"), ("1:wc", "no such BAR"),
                           ("2:wc@8M+16M", "at most 16M")):
            with self.subTest(mark):
                self.remark({IVSHMEM: {"VFIO_ALIAS": mark}})
                failed = self.assertFails(IVSHMEM, "mark's sense", said)
                self.assertIn(f"{story.RULES}:1", failed["mend"])
                told = self.explain(IVSHMEM)[1]
                self.assertEqual(told["service"]["state"], "holds")
                self.assertEqual(told["session"]["state"], "not-reached")

    def test_what_is_proposed_is_possible(self):
        """Beside the MSI-X table of the device's only BAR"""
        run("modprobe", "vfio-pci")
        vfio.bind(NVME)
        self.addCleanup(vfio.unbind, NVME)
        condition = self.assertFails(NVME, "mark")
        self.assertEqual(condition["mend"], f"vfio-alias mark {NVME} 0:wc@0+8K")
        story.systemctl("start")
        self.addCleanup(run, "vfio-alias", "unmark", NVME)
        run(*condition["mend"].split())
        self.wait_for(NVME, "published")
        run("vfio-alias", "explain", NVME)

    def test_an_item_that_meets_the_msix_table(self):
        with open(story.RULES, "w", encoding="ascii") as f:
            f.write(f'ACTION!="remove", KERNEL=="{NVME}", ENV{{VFIO_ALIAS}}="0:uc"\n')
        story.systemctl("start")
        condition = self.assertFails(NVME, "mark's sense", "0:uc meets the pages of the MSI-X "
                                     "table, 8K+4K")
        self.assertIn(f"{story.RULES}:1", condition["mend"])

    def test_of_two_rules_the_last_is_named(self):
        last = "/run/udev/rules.d/85-test.rules"
        os.makedirs(os.path.dirname(last), exist_ok=True)
        with open(last, "w", encoding="ascii") as f:
            self.addCleanup(os.unlink, last)
            f.write(f'KERNEL=="{IVSHMEM}", ENV{{VFIO_ALIAS}}="2:uc"\n')
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        text = self.explain(IVSHMEM)[1]["mark"]["text"]
        self.assertEqual(text, f'VFIO_ALIAS="2:uc", it seems by {last}:1')

    def test_no_device_and_wrong_usage(self):
        condition = self.assertFails("0000:00:1e.7", "device")
        self.assertTrue(condition["mend"])
        for arguments in ([], ["x"], [IVSHMEM, EDU], ["--wrong", IVSHMEM]):
            with self.subTest(arguments):
                done = subprocess.run(["vfio-alias", "explain", *arguments], check=False,
                                      stderr=subprocess.PIPE, stdout=subprocess.PIPE)
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stdout, b"")


class Modules(Explain):
    def unload(self):
        story.systemctl("stop")
        run("modprobe", "-r", "vfio-pci", "vfio_iommu_type1")

    def test_stock_modules_that_were_loaded_before(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.unload()
        run("modprobe", "irqbypass")
        for module in ("vfio", "vfio_iommu_type1", "pci/vfio-pci-core", "pci/vfio-pci"):
            run("insmod", f"{STOCK}/{module}.ko")
        self.addCleanup(self.unload)
        story.systemctl("start")
        self.mend(self.assertFails(IVSHMEM, "modules", "that is loaded has no alias regions",
                                   f"{UPDATES}/vfio-pci-core.ko has"))
        self.assertAllHolds(IVSHMEM)

    def test_modules_that_are_not_installed(self):
        def restore():
            if os.path.exists(AWAY):
                os.rename(AWAY, UPDATES)
            run("depmod")

        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.addCleanup(restore)
        os.rename(UPDATES, AWAY)
        run("depmod")
        # What is loaded is good, and will not be after the next boot.
        self.assertIn("the next boot", self.assertAllHolds(IVSHMEM)["modules"]["text"])
        self.unload()
        condition = self.assertFails(IVSHMEM, "modules",
                                     f"{STOCK}/pci/vfio-pci-core.ko has no alias regions")
        self.assertIn("depmod", condition["mend"])
        restore()
        told = self.explain(IVSHMEM)[1]
        self.assertEqual(told["modules"]["state"], "holds")
        self.assertIn("not loaded yet", told["modules"]["text"])


class Device(Explain):
    def test_a_driver_in_the_way(self):
        run("modprobe", "pci-stub")
        vfio.bind(TESTDEV, "pci-stub")
        self.addCleanup(vfio.unbind, TESTDEV)
        self.start({TESTDEV: {"VFIO_ALIAS": "0:wc"}})
        self.mend(self.assertFails(TESTDEV, "driver", "driver pci-stub has it"))
        self.wait_for(TESTDEV, "published")
        self.assertAllHolds(TESTDEV)

    def test_binding_that_is_left_to_others(self):
        self.start({EDU: {"VFIO_ALIAS": "0:wc", "VFIO_ALIAS_BIND": "never"}})
        self.addCleanup(vfio.unbind, EDU)
        self.mend(self.assertFails(EDU, "driver", "VFIO_ALIAS_BIND=never"))
        self.wait_for(EDU, "published")
        self.assertAllHolds(EDU)

    def test_a_group_that_is_not_viable(self):
        run("modprobe", "uio_pci_generic")
        vfio.bind(SECOND, "uio_pci_generic")
        with open(story.RULES, "w", encoding="ascii") as f:
            f.write(f'ACTION!="remove", KERNEL=="{FIRST}", ENV{{VFIO_ALIAS}}="0:wc"\n')
        story.systemctl("start")
        self.mend(self.assertFails(FIRST, "IOMMU group",
                                   f"driver uio_pci_generic has {SECOND}"))
        with open(sysfs(SECOND, "driver_override"), "w", encoding="ascii") as f:
            f.write("\n")
        self.wait_for(FIRST, "published")
        self.assertIn(SECOND, self.assertAllHolds(FIRST)["IOMMU group"]["text"])

    def test_a_group_that_another_process_has_open(self):
        run("modprobe", "-a", "vfio-pci", "vfio_iommu_type1")
        vfio.bind(IVSHMEM)
        self.addCleanup(vfio.unbind, IVSHMEM)
        group = os.path.basename(os.readlink(sysfs(IVSHMEM, "iommu_group")))
        holder = self.hold(f"/dev/vfio/{group}")
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.end(self.assertFails(IVSHMEM, "group's holder",
                                  f"python3 (pid {holder.pid}) has /dev/vfio/{group} open"),
                 holder)
        self.wait_for(IVSHMEM, "published")
        self.assertAllHolds(IVSHMEM)
        story.systemctl("stop")

    def test_aliases_of_another_program_are_not_the_services(self):
        run("modprobe", "-a", "vfio-pci", "vfio_iommu_type1")
        vfio.bind(IVSHMEM)
        self.addCleanup(vfio.unbind, IVSHMEM)
        with vfio.Session(IVSHMEM) as session:
            session.create(2, vfio.WC, 0, 0, flags=vfio.SYSFS)
            self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
            status, told = self.explain(IVSHMEM)
            self.assertEqual(status, 1)
            self.assertEqual(told["group's holder"]["state"], "fails", told)
            self.assertIn(f"(pid {os.getpid()})", told["group's holder"]["text"])
            self.assertEqual(told["session"]["state"], "not-reached")
        self.wait_for(IVSHMEM, "published")
        self.assertAllHolds(IVSHMEM)
        story.systemctl("stop")

    def test_a_stock_file_that_another_process_has_mapped(self):
        holder = self.hold(sysfs(IVSHMEM, "resource2"))
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.end(self.assertFails(IVSHMEM, ("2:wc", "other mappings"),
                                  f"python3 (pid {holder.pid}) has mapped resource2"), holder)
        self.wait_for(IVSHMEM, "published")
        self.assertAllHolds(IVSHMEM)

    def test_a_stock_file_that_is_mapped_beside_the_range_or_alike(self):
        for file, mark in (("resource2", "2:wc@64K+960K"), ("resource2", "2:uc"),
                           ("resource2_wc", "2:wc@0+64K"), ("resource2_wc", "2:wc@64K+960K"),
                           ("resource2_wc", "2:uc@64K+960K")):
            with self.subTest(file=file, mark=mark):
                story.systemctl("stop")
                holder = self.hold(sysfs(IVSHMEM, file))
                self.remark({IVSHMEM: {"VFIO_ALIAS": mark}})
                told = self.explain(IVSHMEM)[1]
                self.assertIn("is in the way", told[(mark, "other mappings")]["text"])
                self.assertEqual(told[(mark, "other mappings")]["state"], "holds")
                self.start({IVSHMEM: {"VFIO_ALIAS": mark}})
                self.wait_for(IVSHMEM, "published")
                self.assertAllHolds(IVSHMEM)
                holder.kill()
                holder.wait()

    def test_a_write_combining_file_in_the_way_of_an_uncached_item(self):
        holder = self.hold(sysfs(IVSHMEM, "resource2_wc"))
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:uc"}})
        self.end(self.assertFails(IVSHMEM, ("2:uc", "other mappings"),
                                  f"python3 (pid {holder.pid}) has mapped resource2_wc"), holder)
        self.wait_for(IVSHMEM, "published")
        self.assertAllHolds(IVSHMEM)

    def test_a_file_of_the_same_name_is_nobodys_mapping_of_the_device(self):
        path = f"/tmp/devices/{IVSHMEM}/resource2"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            self.addCleanup(os.unlink, path)
            f.truncate(4096)
        self.hold(path)
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.assertEqual(self.explain(IVSHMEM)[1][("2:wc", "other mappings")]["state"], "holds")

    def test_a_device_that_carries_an_interface_is_not_unbound_by_a_command(self):
        run("modprobe", "e1000e")
        self.addCleanup(run, "modprobe", "-r", "e1000e")
        run("udevadm", "settle")  # it names it
        name = os.listdir(sysfs(NIC, "net"))[0]
        driver = self.explain(NIC)[1]["driver"]
        self.assertEqual(driver["state"], "fails")
        self.assertIn(f"{NIC} carries {name}, and unbinding it takes that away", driver["mend"])
        self.assertNotIn("echo", driver["mend"])


class Service(Explain):
    def test_a_service_that_does_not_run(self):
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        story.systemctl("stop")
        self.mend(self.assertFails(IVSHMEM, "service", "inactive"))
        self.assertAllHolds(IVSHMEM)

    def test_a_masked_service(self):
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        story.systemctl("stop")
        self.addCleanup(run, "systemctl", "unmask", "--runtime", story.SERVICE)
        run("systemctl", "mask", "--runtime", story.SERVICE)
        condition = self.assertFails(IVSHMEM, "service", "masked")
        self.assertIn("unmask", condition["mend"])

    def test_a_device_that_was_taken_from_the_service(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        vfio.unbind(IVSHMEM)
        self.wait_for(IVSHMEM, "waiting")
        self.mend(self.assertFails(IVSHMEM, "session", "was taken from its VFIO driver"))
        self.wait_for(IVSHMEM, "published")
        self.assertAllHolds(IVSHMEM)

    def test_everything_holds_and_the_page_table_proves_it(self):
        mount_debugfs()
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:uc@0+64K 2:wc@64K+960K"}})
        told = self.assertAllHolds(IVSHMEM)
        for item, kind in (("2:uc@0+64K", "uc"), ("2:wc@64K+960K", "wc")):
            text = told[(item, "page table")]["text"]
            self.assertTrue(text.startswith(kind), text)
            self.assertIn("and x86/pat_memtype_list say so", text)
        self.assertIn("does not matter", told["lockdown"]["text"])

    def test_a_file_that_belongs_to_somebody_else(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc", "VFIO_ALIAS_GROUP": "games"}})
        os.chown(sysfs(IVSHMEM, "resource2_wc"), 1, 1)
        self.mend(self.assertFails(IVSHMEM, ("2:wc", "access"), "daemon:daemon 0660",
                                   "root:games 0660"))
        watch = story.Watch(story.STATUS)
        self.addCleanup(watch.close)
        watch.until(lambda: os.stat(sysfs(IVSHMEM, "resource2_wc")).st_uid == 0)
        self.assertAllHolds(IVSHMEM)


class Caller(Explain):
    NOBODY = ("runuser", "-u", "nobody", "--")

    def test_without_privileges_what_is_published_is_proven(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc", "VFIO_ALIAS_GROUP": "games"}})
        status, told = self.explain(IVSHMEM, *self.NOBODY)
        self.assertEqual(status, 0, told)
        self.assertEqual([], [c for c in told.values() if c["state"] != "holds"])
        self.assertIn("takes root", told[("2:wc", "page table")]["text"])

    def test_without_privileges_what_cannot_be_seen_is_said(self):
        self.remark({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        story.systemctl("stop")
        status, told = self.explain(IVSHMEM, *self.NOBODY)
        self.assertEqual(status, 1)
        for name in ("group's holder", ("2:wc", "other mappings")):
            self.assertEqual(told[name]["state"], "unknown")
            self.assertIn("takes root", told[name]["text"])

    def test_colour_is_for_terminals_that_want_it(self):
        def output(terminal, **environment):
            environment = {"PATH": os.environ["PATH"], "TERM": "vt100"} | environment
            command = ["vfio-alias", "explain", IVSHMEM]
            if not terminal:
                return subprocess.run(command, check=False, env=environment,
                                      stdout=subprocess.PIPE).stdout
            ours, theirs = pty.openpty()
            try:
                subprocess.run(command, check=False, env=environment, stdout=theirs)
                return os.read(ours, 65536)
            finally:
                os.close(ours)
                os.close(theirs)

        # The guest has no other locale.
        plain = output(False, LC_ALL="C")
        self.assertIn(b"  x mark ", plain)
        self.assertIn(b"  + device ", plain)
        self.assertIn(b"\nmend: vfio-alias mark ", plain)
        self.assertNotIn(b"\033", plain)
        self.assertIn(b"\033[31mx\033[0m mark ", output(True, LC_ALL="C"))
        self.assertNotIn(b"\033", output(True, LC_ALL="C", NO_COLOR="1"))
        self.assertNotIn(b"\033", output(True, LC_ALL="C", TERM="dumb"))


if __name__ == "__main__":
    main()
