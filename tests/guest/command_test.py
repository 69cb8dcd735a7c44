# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --device nvme,serial=1,addr=0x13
"""The command: what it shows, to whom, and what it changes."""

import json
import mmap
import os
import select
import shutil
import signal
import subprocess
import unittest

from case import WAYS
from guest import EDU, IVSHMEM, LIMIT, TESTDEV, Watch, main, map_file, run
import story_test as story
import vfio
from vfio import PAGE, SYSFS, UC, WC, CdevSession, sysfs

MIB = 1 << 20
RULES = ("/etc/udev/rules.d", "/run/udev/rules.d")
LOCK = "/run/vfio-alias-shim/lock"
DROP_IN = "/run/systemd/system/vfio-alias-shim.service.d"

# As a user who is nobody in particular.
NOBODY = ("runuser", "-u", "nobody", "--")


def call(*words, **kwargs):
    """Runs the command; returns its exit status, standard output and standard error."""
    done = subprocess.run(words, check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **kwargs)
    return done.returncode, done.stdout, done.stderr


def ours():
    """The rules files that the command has made."""
    return sorted(os.path.join(directory, name) for directory in RULES
                  if os.path.isdir(directory)
                  for name in os.listdir(directory) if "vfio-alias" in name)


def marked(bdf):
    """The properties of the mark, as udev has them."""
    lines = run("udevadm", "info", "-q", "property", sysfs(bdf)).splitlines()
    return dict(line.split("=", 1) for line in lines if line.startswith("VFIO_ALIAS"))


def item_of(length):
    """An item of so many bytes, for the first page of BAR 0."""
    head, tail = "0:wc@0+", "4096"
    return head + "0" * (length - len(head + tail)) + tail


def restore(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


class Command(story.Story):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.clean)

    def clean(self):
        for path in ours():
            os.unlink(path)

    def succeed(self, *words):
        status, out, err = call("vfio-alias", *words)
        self.assertEqual(status, 0, err)
        return out, err

    def fail_with(self, expected, *words):
        """Returns what is said on standard error, and nothing else may be."""
        status, out, err = call("vfio-alias", *words)
        self.assertEqual(status, expected, out + err)
        self.assertEqual(out, "")
        return err

    def gone(self, bdf):
        watch = Watch(story.STATUS)
        self.addCleanup(watch.close)
        watch.until(lambda: not os.path.exists(f"{story.STATUS}/{bdf}.json"), f"{bdf} to be gone")


class Usage(unittest.TestCase):
    def test_a_wrong_command_line_is_2_and_a_hint(self):
        for words in ([], ["lisst"], ["list", "x"], ["list", "--no-such"], ["show"],
                      ["show", "65:00"], ["show", IVSHMEM, EDU], ["show", "../" + IVSHMEM],
                      ["mark"], ["mark", IVSHMEM], ["mark", "x", "2:wc"],
                      ["mark", IVSHMEM, "2:xx"], ["mark", IVSHMEM, "2:wc", "--bind", "often"],
                      ["mark", IVSHMEM, "2:wc", "--owner", "no-such-user"],
                      ["unmark"], ["unmark", IVSHMEM, EDU], ["--no-headings", "list"]):
            with self.subTest(words):
                status, out, err = call("vfio-alias", *words)
                self.assertEqual((status, out), (2, ""))
                self.assertTrue(err)

    def test_every_verb_explains_itself(self):
        verbs = [line.split()[0] for line in run("vfio-alias", "--help").split("\n\n")[2].splitlines()]
        self.assertLessEqual({"list", "show", "mark", "unmark"}, set(verbs))
        for verb in verbs:
            self.assertTrue(run("vfio-alias", verb, "--help").startswith(f"Usage: vfio-alias {verb}"))

    def test_output_that_gets_lost_is_a_failure(self):
        for words in (["--help"], ["show", IVSHMEM], ["show", "--json", IVSHMEM]):
            with self.subTest(words), open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run(["vfio-alias", *words], check=False, stdout=full,
                                      stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 1)
                self.assertIn("cannot print", done.stderr)

    def test_words_are_completed(self):
        script = "source /usr/share/bash-completion/completions/vfio-alias; " \
                 'COMP_LINE=$1; COMP_POINT=${#1}; COMP_WORDBREAKS=$2; ' \
                 '_vfio_alias vfio-alias; printf "%s\\n" "${COMPREPLY[@]}"'

        def complete(line, breaks=""):
            return run("bash", "-c", script, "bash", line, breaks).split()

        self.assertEqual(complete("vfio-alias un"), ["unmark"])
        self.assertLessEqual({"list", "show", "mark", "unmark"}, set(complete("vfio-alias ")))
        self.assertEqual(complete("vfio-alias list --j"), ["--json"])
        self.assertEqual(complete("vfio-alias list "), [])
        self.assertEqual(complete(f"vfio-alias show {IVSHMEM[:-2]}"), [IVSHMEM])
        # Of a word with colons readline replaces the end.
        self.assertEqual(complete("vfio-alias show 0000:00:10", "\"'><=;|&(: "), ["10.0"])
        self.assertEqual(complete(f"vfio-alias show --json {IVSHMEM[:-2]}"), [IVSHMEM])
        self.assertEqual(complete(f"vfio-alias bench --length 4K {IVSHMEM[:-2]}"), [IVSHMEM])
        # Behind the device are numbers and items.
        for line in ("bench --length ", "bench --offset ", f"bench {IVSHMEM} ",
                     f"mark {IVSHMEM} ", f"show {IVSHMEM} "):
            with self.subTest(line):
                self.assertEqual(complete(f"vfio-alias {line}"), [])
        self.assertEqual(complete(f"vfio-alias mark {IVSHMEM} 2:wc --bind f"), ["force"])
        self.assertEqual(complete(f"vfio-alias mark {IVSHMEM} 2:wc --owner nobod"), ["nobody"])
        # Only within a completion there is a compopt.
        self.assertEqual(complete("vfio-alias bench --svg /etc/os-rel"), ["/etc/os-release"])
        told = run("bash", "-c", "compopt() { echo \"$@\"; }; " + script, "bash",
                   "vfio-alias bench --svg /etc/os-rel", "").split()
        self.assertEqual(told, ["-o", "filenames", "/etc/os-release"])


class Mark(Command):
    def test_a_mark_is_published_and_an_unmark_takes_it_back(self):
        self.start({TESTDEV: {"VFIO_ALIAS": "0:wc"}})
        out, err = self.succeed("mark", IVSHMEM, "2:uc@0+64K", "2:wc@64K+960K,shared",
                                "--group", "games", "--mode", "0640")
        self.assertEqual((out, err), (f"{IVSHMEM}: marked\n", ""))
        self.assertEqual(ours(), [f"{RULES[0]}/81-vfio-alias-{IVSHMEM}.rules"])
        self.wait_for(IVSHMEM, "published")
        self.assertEqual(os.stat(sysfs(IVSHMEM, "resource2_wc")).st_mode & 0o7777, 0o640)

        out, err = self.succeed("unmark", IVSHMEM[5:])
        self.assertEqual((out, err), (f"{IVSHMEM}: not marked any more\n", ""))
        self.assertEqual(ours(), [])
        self.gone(IVSHMEM)
        self.assertEqual(story.status(TESTDEV)["state"], "published")

    def test_a_mark_is_replaced_by_the_next(self):
        self.start({TESTDEV: {"VFIO_ALIAS": "0:wc"}})
        self.succeed("mark", EDU, "0:wc", "--mode", "0666")
        self.wait_for(EDU, "published")
        inode = os.stat(sysfs(EDU, "resource0_wc")).st_ino
        self.succeed("mark", EDU, "0:wc", "--mode", "0644")
        watch = Watch(sysfs(EDU))
        self.addCleanup(watch.close)
        watch.until(lambda: os.stat(sysfs(EDU, "resource0_wc")).st_mode & 0o777 == 0o644)
        self.assertEqual(os.stat(sysfs(EDU, "resource0_wc")).st_ino, inode)
        self.assertEqual(len(ours()), 1)

    def test_that_of_a_device_has_nothing_of_that_of_its_kind(self):
        self.succeed("mark", "1234:11E8", "0:wc", "--group", "games", "--bind", "force",
                     "--mode", "0666", "--noiommu", "--owner", "daemon")
        self.assertEqual(marked(EDU), {
            "VFIO_ALIAS": "0:wc", "VFIO_ALIAS_GROUP": "games", "VFIO_ALIAS_BIND": "force",
            "VFIO_ALIAS_MODE": "0666", "VFIO_ALIAS_NOIOMMU": "1", "VFIO_ALIAS_OWNER": "daemon"})
        self.assertEqual(marked(IVSHMEM), {})
        self.succeed("mark", EDU, "0:uc", "--runtime")
        self.assertEqual(marked(EDU), {"VFIO_ALIAS": "0:uc"})
        self.assertEqual(ours(), [f"{RULES[0]}/80-vfio-alias-1234:11e8.rules",
                                  f"{RULES[1]}/81-vfio-alias-{EDU}.rules"])
        out, _ = self.succeed("unmark", EDU, "--runtime")
        self.assertIn('still marked, by another rule: VFIO_ALIAS is "0:wc"', out)
        out, _ = self.succeed("unmark", "1234:11e8")
        self.assertEqual(out, f"{EDU}: not marked any more\n")
        self.assertEqual(marked(EDU), {})

    def test_another_rule_that_has_the_last_word_is_told(self):
        with open(story.RULES.replace("80-", "85-"), "w", encoding="ascii") as f:
            self.addCleanup(os.unlink, f.name)
            f.write(f'SUBSYSTEM=="pci", KERNEL=="{EDU}", ENV{{VFIO_ALIAS}}="0:uc"\n')
        status, _, err = call("vfio-alias", "mark", EDU, "0:wc")
        self.assertEqual(status, 1)
        self.assertIn(f'{EDU}: another rule changes the mark: VFIO_ALIAS is "0:uc"', err)

    def test_a_dry_run_changes_nothing(self):
        def state():
            return ours(), marked(EDU), os.stat("/run/udev/data").st_mtime_ns

        before = state()
        out, err = self.succeed("mark", EDU, "0:wc", "--dry-run")
        path, text = out.split(":\n", 1)
        self.assertEqual(path, f"{RULES[0]}/81-vfio-alias-{EDU}.rules")
        self.assertEqual(state(), before)
        self.succeed("mark", EDU, "0:wc")
        with open(path, encoding="ascii") as f:
            self.assertEqual(f.read(), text)
        before = state()
        out, err = self.succeed("unmark", EDU, "--dry-run")
        self.assertEqual((out, err), (f"{path} would be removed\n", ""))
        self.assertEqual(state(), before)

    def test_what_cannot_be_is_refused_and_nothing_is_written(self):
        for expected, said, words in (
                (1, "the device has no such BAR", [IVSHMEM, "1:wc"]),
                (1, "the length of the BAR", [EDU, "0:wc@0+2M"]),
                (1, "the device has no such BAR", ["1234:11e8", "0:wc", "1:wc"]),
                (2, "meets item 1", [EDU, "0:wc", "0:uc@0+4K"]),
                (2, "column 3", [EDU, '0:"wc"']),
                (2, "VFIO_ALIAS_MODE", [EDU, "0:wc", "--mode", '0660", RUN+="/bin/false']),
                (2, "512 bytes, and udev takes 511 at most", [EDU, item_of(512)])):
            with self.subTest(words):
                self.assertIn(said, self.fail_with(expected, "mark", *words))
                self.assertEqual(ours(), [])
        self.assertIn("No such file", self.fail_with(1, "unmark", EDU))

    def test_a_name_that_a_rule_cannot_have_is_refused_though_it_is_there(self):
        with open("/etc/group", "a+", encoding="ascii") as f:
            f.seek(0)
            self.addCleanup(restore, f.name, f.read())
            f.write("machine$:x:4711:\n")
        said = self.fail_with(2, "mark", EDU, "0:wc", "--group", "machine$")
        self.assertIn('VFIO_ALIAS_GROUP: "machine$": a rule can have letters', said)
        self.assertEqual(ours(), [])
        self.succeed("mark", EDU, "0:wc", "--group", "4711", "--dry-run")

    def test_the_longest_mark_is_udevs(self):
        # It says so of a mark that udev has not taken as it is.
        out, _ = self.succeed("mark", EDU, item_of(511), "--runtime")
        self.assertEqual(out, f"{EDU}: marked\n")
        self.assertEqual(marked(EDU), {"VFIO_ALIAS": item_of(511)})
        # A longer one is ignored, and the rest of its rule is not.
        path = ours()[0]
        with open(path, encoding="ascii") as f:
            text = f.read()
        with open(path, "w", encoding="ascii") as f:
            f.write(text.replace(item_of(511), item_of(512)).replace('_BIND}=""', '_BIND}="never"'))
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger", "--settle", sysfs(EDU))
        self.assertEqual(marked(EDU), {"VFIO_ALIAS_BIND": "never"})

    def test_others_can_read_the_directories_that_it_makes(self):
        shutil.rmtree(RULES[1], ignore_errors=True)
        run("sh", "-c", 'umask 077; exec "$@"', "sh", "vfio-alias", "mark", EDU, "0:wc", "--runtime")
        self.assertEqual(os.stat(RULES[1]).st_mode & 0o7777, 0o755)

    def test_a_device_that_is_not_there_can_be_marked(self):
        out, _ = self.succeed("mark", "0000:7f:00.0", "0:wc", "--runtime")
        self.assertEqual(out, "0000:7f:00.0: no such device is there now\n")
        self.assertIn("--runtime", self.fail_with(1, "unmark", "0000:7f:00.0"))
        self.succeed("unmark", "0000:7f:00.0", "--runtime")

    def test_what_would_have_no_effect_is_refused(self):
        self.succeed("mark", EDU, "0:wc")
        self.assertIn("comes before", self.fail_with(1, "mark", EDU, "0:uc", "--runtime"))
        self.assertEqual(marked(EDU), {"VFIO_ALIAS": "0:wc"})

    def test_it_takes_root(self):
        for options in ([], ["--runtime"]):
            with self.subTest(options):
                status, _, err = call(*NOBODY, "vfio-alias", "mark", EDU, "0:wc", *options)
                self.assertEqual(status, 1)
                self.assertIn("it takes root", err)
                self.assertEqual(ours(), [])
                self.succeed("mark", EDU, "0:wc", *options)
                there = ours()
                status, _, err = call(*NOBODY, "vfio-alias", "unmark", EDU, *options)
                self.assertEqual(status, 1)
                self.assertIn("it takes root", err)
                self.assertEqual(ours(), there)
                self.assertEqual(marked(EDU), {"VFIO_ALIAS": "0:wc"})
                self.succeed("unmark", EDU, *options)


class List(Command):
    def test_json_tells_what_the_table_tells(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:uc@0+4K 2:wc@1M+1M"}, EDU: {"VFIO_ALIAS": "7:wc"}})
        for who in ((), NOBODY):
            listed = json.loads(run(*who, "vfio-alias", "list", "--json"))
            table = run(*who, "vfio-alias", "list", "--no-headings").splitlines()
            self.assertEqual(listed["service"], "running")
            rows = []
            for device in listed["devices"]:
                if not device["aliases"]:
                    rows.append([device["bdf"], "-", "-", "-", "-", device["state"],
                                 device["reason"]])
                for alias in device["aliases"]:
                    rows.append([device["bdf"], str(alias["bar"]), alias["type_in_effect"],
                                 alias["file"], alias["state"]])
            self.assertEqual([row[0] for row in rows], [line.split()[0] for line in table])
            for row, line in zip(rows, table):
                for cell in row:
                    self.assertIn(cell, line)
            self.assertEqual([(a["offset"], a["size"], a["type_wanted"])
                              for a in listed["devices"][0]["aliases"]],
                             [(0, PAGE, "uc"), (MIB, MIB, "wc")])

    def test_a_service_that_does_not_run_is_told(self):
        story.systemctl("stop")
        status, out, err = call("vfio-alias", "list", "--json")
        self.assertEqual((status, json.loads(out)), (1, {"service": "stopped", "devices": []}))
        self.assertIn("systemctl start vfio-alias-shim", err)

    def test_what_a_stop_leaves_of_others_is_not_told_as_the_daemons(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        with open(f"{story.STATUS}/foreign", "w", encoding="ascii") as f:
            self.addCleanup(os.unlink, f.name)
        story.systemctl("stop")
        status, out, err = call("vfio-alias", "list", "--json")
        self.assertEqual((status, json.loads(out)), (1, {"service": "stopped", "devices": []}))
        self.assertIn("the service is not running", err)

    def test_what_a_killed_daemon_had_begun_to_write_goes_with_the_next(self):
        os.makedirs(story.STATUS, exist_ok=True)
        with open(f"{story.STATUS}/{EDU}.json.new", "w", encoding="ascii") as f:
            f.write("{")
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        self.assertFalse(os.path.exists(f.name))
        story.systemctl("stop")
        self.assertFalse(os.path.exists(story.STATUS))

    def killed(self):
        """Has the daemon die and stay dead for now, its sessions being kept by systemd."""
        os.makedirs(DROP_IN, exist_ok=True)
        path = f"{DROP_IN}/later.conf"
        with open(path, "w", encoding="ascii") as f:
            f.write("[Service]\nRestartSec=1h\n")
        self.addCleanup(story.systemctl, "start")  # and so a stop that gives the device back
        self.addCleanup(run, "systemctl", "daemon-reload")
        self.addCleanup(os.unlink, path)
        run("systemctl", "daemon-reload")
        pid = int(run("systemctl", "show", "-P", "MainPID", story.SERVICE))
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(select.select([pidfd], [], [], LIMIT)[0])
        os.close(pidfd)

    def test_what_a_killed_daemon_has_left_is_not_told_as_live(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}, EDU: {"VFIO_ALIAS": "7:wc"}})
        self.assertEqual(call("vfio-alias", "list")[0], 0)
        self.killed()
        for who in ((), NOBODY):
            status, out, err = call(*who, "vfio-alias", "list", "--json")
            self.assertEqual(status, 1)
            self.assertIn("the daemon has ended", err)
            listed = json.loads(out)
            self.assertEqual(listed["service"], "ended")
            self.assertEqual({device["state"] for device in listed["devices"]}, {"unknown"})
            alias = listed["devices"][0]["aliases"][0]
            # The kernel vouches for it.
            self.assertEqual((alias["state"], alias["type_in_effect"]), ("unknown", "wc"))
            self.assertIn("it said last: published", alias["reason"])
            self.assertIn("it said last: refused", listed["devices"][1]["reason"])
            status, out, _ = call(*who, "vfio-alias", "list")
            self.assertEqual(status, 1)
            self.assertNotIn(" published ", out)
            self.assertIn("the daemon has ended", call(*who, "vfio-alias", "show", IVSHMEM)[1])
            shown = json.loads(call(*who, "vfio-alias", "show", "--json", IVSHMEM)[1])
            self.assertEqual((shown["service"], shown["status"]["state"]), ("ended", "unknown"))
            self.assertEqual(shown["bars"][-1]["ranges"][0]["type"], "wc")

    def test_a_service_that_cannot_be_seen_is_not_said_to_have_ended(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        # The locks are a file that nobody may read.
        hidden = "touch locks; chmod 0 locks; mount --bind locks /proc/locks; exec \"$@\""
        for words in ("list", "--json"), ("show", "--json", IVSHMEM):
            with self.subTest(words):
                _, out, err = call("unshare", "--mount", "sh", "-ec", hidden, "sh", *NOBODY,
                                   "vfio-alias", *words)
                self.assertIn("whether the service runs", err)
                self.assertNotIn("the daemon has ended", out + err)
                told = json.loads(out)
                self.assertEqual(told["service"], "unknown")
                device = told["status"] if "status" in told else told["devices"][0]
                self.assertEqual(device["state"], "unknown")
                self.assertIn("whether the daemon runs is not known; it said last: published",
                              device["reason"])

    def test_an_alias_that_has_gone_with_its_daemon_has_no_type(self):
        # Without systemd nobody keeps the session.
        story.write_rules({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        run("udevadm", "control", "--reload")
        run("udevadm", "trigger", "--settle", "--subsystem-match=pci")
        os.makedirs(story.STATUS, exist_ok=True)
        watch = Watch(story.STATUS)
        self.addCleanup(watch.close)
        with subprocess.Popen(["vfio-alias-shim"], stderr=subprocess.DEVNULL) as daemon:
            watch.until(lambda: story.status(IVSHMEM)["state"] == "published")
            self.assertEqual(call("vfio-alias", "list")[0], 0)
            daemon.kill()
        self.addCleanup(story.systemctl, "start")  # and so a stop that gives the device back
        status, out, _ = call("vfio-alias", "list", "--json")
        self.assertEqual(status, 1)
        alias = json.loads(out)["devices"][0]["aliases"][0]
        self.assertEqual((alias["state"], alias["type_in_effect"], alias["file"]),
                         ("unknown", None, None))

    def test_nobody_can_keep_the_daemon_from_starting(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        status, _, _ = call(*NOBODY, "flock", "--shared", "--nonblock", LOCK, "true")
        self.assertNotEqual(status, 0)
        self.assertEqual(call(*NOBODY, "vfio-alias", "list")[0], 0)

    def test_a_file_that_cannot_be_read_is_told(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        with open(f"{story.STATUS}/{EDU}.json", "w", encoding="ascii") as f:
            self.addCleanup(os.unlink, f.name)
            f.write("{")
        out, err = self.succeed("list")
        self.assertIn(IVSHMEM, out)
        self.assertIn("1 files", err)


class Show(Command):
    def show(self, bdf, *who):
        return json.loads(run(*who, "vfio-alias", "show", "--json", bdf,
                              stderr=subprocess.DEVNULL))

    def test_a_device_that_nobody_has_marked(self):
        shown = self.show(TESTDEV)
        self.assertEqual((shown["bdf"], shown["vendor"], shown["device"], shown["driver"]),
                         (TESTDEV, "1b36", "0005", None))
        self.assertNotIn("status", shown)
        self.assertEqual([(bar["bar"], bar["kind"], bar["size"]) for bar in shown["bars"]],
                         [(0, "memory", 4096), (1, "io", 256)])
        self.assertEqual(shown["bars"][0]["ranges"],
                         [{"offset": 0, "size": 4096, "kind": "plain", "files": ["resource0"]}])
        self.assertEqual(shown["unseen"], [])
        out, err = self.succeed("show", TESTDEV)
        self.assertIn("no driver", out)
        self.assertIn("BAR 1: 256 I/O ports", out)
        self.assertEqual(err, "")

    def test_the_msix_table_has_its_pages(self):
        ranges = [(r["offset"], r["size"], r["kind"]) for r in self.show(IVSHMEM)["bars"][-1]["ranges"]]
        self.assertEqual(ranges, [(0, 16 * MIB, "plain")])
        nvme = "0000:00:13.0"
        bar = self.show(nvme)["bars"][0]
        self.assertEqual([(r["offset"], r["size"]) for r in bar["ranges"] if r["kind"] == "msix"],
                         [(2 * PAGE, PAGE)])
        unprivileged = self.show(nvme, *NOBODY)
        self.assertEqual([r["kind"] for r in unprivileged["bars"][0]["ranges"]], ["plain"])
        self.assertIn("MSI-X", unprivileged["unseen"][0])

    def test_aliases_files_and_processes(self):
        self.start({EDU: {"VFIO_ALIAS": "0:uc@0+64K 0:wc@64K+64K,shared"}})
        wc = map_file(sysfs(EDU, "resource0_wc"), 32 << 10, offset=64 << 10)
        uc = map_file(sysfs(EDU, "resource0"), PAGE)
        shown = self.show(EDU)
        self.assertEqual(shown["service"], "running")
        self.assertEqual(shown["status"]["state"], "published")
        ranges = shown["bars"][0]["ranges"]
        self.assertEqual(
            [(r["offset"], r["size"], r["kind"], r["files"]) for r in ranges],
            [(0, 64 << 10, "alias", ["resource0"]), (64 << 10, 64 << 10, "alias", ["resource0_wc"]),
             (128 << 10, MIB - (128 << 10), "plain", [])])
        self.assertEqual([(r["type"], r["shared"], r["mappings"]) for r in ranges[:2]],
                         [("uc", False, 1), ("wc", True, 1)])
        with open("/proc/self/comm", encoding="ascii") as f:
            name = f.read().strip()
        me = [p for p in shown["processes"] if p["pid"] == os.getpid()]
        self.assertEqual(len(me), 1, shown["processes"])
        self.assertEqual((me[0]["name"], me[0]["bytes"]), (name, (32 << 10) + PAGE))
        self.assertCountEqual(
            [(m["bar"], m["file"], m["offset"], m["size"]) for m in me[0]["mappings"]],
            [(0, "resource0", 0, PAGE), (0, "resource0_wc", 64 << 10, 32 << 10)])

        out, _ = self.succeed("show", EDU)
        lines = out.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("BAR 0"))
        self.assertEqual(lines[at], "BAR 0: 1M, a cell is 16K")
        self.assertEqual(lines[at + 1].strip(), "UUUUwwww" + "." * 56)
        self.assertEqual(lines[at + 2].rstrip(), "    =   ==")
        self.assertIn(f"    mapped by {name} (pid {os.getpid()}), 36K: ", out)
        unprivileged = self.show(EDU, *NOBODY)
        for bar in shown["bars"]:  # the kernel tells root how many mappings there are
            for r in bar["ranges"]:
                r.update({"mappings": None} if "mappings" in r else {})
        self.assertEqual(unprivileged["bars"], shown["bars"])
        self.assertEqual(unprivileged["processes"], [])
        self.assertIn("it takes root", unprivileged["unseen"][-1])
        wc.close()
        uc.close()

    def test_the_stock_files_of_the_pci_core(self):
        m = map_file(sysfs(IVSHMEM, "resource2_wc"), 2 * PAGE, offset=3 * PAGE)
        shown = self.show(IVSHMEM)
        self.assertEqual(shown["bars"][-1]["ranges"][0]["files"], ["resource2", "resource2_wc"])
        me = [p for p in shown["processes"] if p["pid"] == os.getpid()]
        self.assertEqual(me[0]["mappings"], [{"bar": 2, "file": "resource2_wc",
                                              "offset": 3 * PAGE, "size": 2 * PAGE}])
        m.close()

    def test_a_session_that_is_not_the_daemons(self):
        for way in WAYS:
            with self.subTest(way.__name__):
                run("modprobe", "-a", "vfio-pci", *way.modules)
                vfio.bind(EDU)
                try:
                    with way(EDU) as session:
                        self.show_session(session)
                finally:
                    vfio.unbind(EDU)

    def show_session(self, session):
        session.create(0, WC, 0, 64 << 10, flags=SYSFS)
        index, at = session.create(0, UC, 64 << 10, 64 << 10)
        mappings = [session.mmap(128 << 10, 2 * PAGE), session.mmap(at + PAGE, PAGE)]
        shown = self.show(EDU)
        ranges = shown["bars"][0]["ranges"]
        self.assertEqual([(r["kind"], r.get("type"), r["files"]) for r in ranges],
                         [("alias", "wc", ["resource0_wc"]), ("alias", "uc", []),
                          ("plain", None, [])])
        self.assertEqual((ranges[1]["region"], ranges[1]["mappings"]), (index, 1))
        me = [p for p in shown["processes"] if p["pid"] == os.getpid()]
        if isinstance(session, CdevSession):
            name = os.listdir(sysfs(EDU, "vfio-dev"))[0]
            self.assertCountEqual(
                [(m["bar"], m["file"], m["offset"], m["size"]) for m in me[0]["mappings"]],
                [(0, name, 128 << 10, 2 * PAGE), (0, name, (64 << 10) + PAGE, PAGE)])
            self.assertEqual(shown["unseen"], [])
        else:
            self.assertEqual(me, [])
            self.assertIn("IOMMU group", "".join(shown["unseen"]))
        for mapping in mappings:
            mapping.close()

    def test_what_the_service_wants_and_the_kernel_has_not(self):
        fd = os.open(sysfs(IVSHMEM, "resource2"), os.O_RDWR)
        m = mmap.mmap(fd, PAGE)
        os.close(fd)
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc@0+1M"}})
        out, _ = self.succeed("show", IVSHMEM)
        self.assertIn("wanted, and not there: BAR 2 0+1M wc: ", out)
        self.assertIn("resource2 0+4K", out)
        m.close()

    def on_a_terminal(self, command, **environment):
        environment = {"TERM": "vt100"} | environment
        return subprocess.run(["script", "-qec", command, "/dev/null"], check=False, text=True,
                              env=os.environ | environment, stdout=subprocess.PIPE).stdout

    def test_colours_are_for_terminals_that_want_them(self):
        for verb in "show", "explain":
            command = f"vfio-alias {verb} {IVSHMEM}"
            with self.subTest(verb):
                self.assertIn("\033[", self.on_a_terminal(command))
                self.assertNotIn("\033[", self.on_a_terminal(command + " --no-color"))
                self.assertNotIn("\033[", self.on_a_terminal(command, NO_COLOR="1"))
                self.assertIn("\033[", self.on_a_terminal(command, NO_COLOR=""))
                for terminal in "dumb", "":
                    self.assertNotIn("\033[", self.on_a_terminal(command, TERM=terminal))
                self.assertNotIn("\033[", call(*command.split())[1])

    def test_the_picture_is_as_wide_as_the_terminal(self):
        for columns, cell in (80, "256K"), (21, "1M"), (3, "8M"), (0, "256K"):
            with self.subTest(columns):
                shown = self.on_a_terminal(
                    f"stty cols {columns}; vfio-alias show {IVSHMEM} --no-color")
                self.assertIn(f"BAR 2: 16M, prefetchable, a cell is {cell}", shown)

    def test_no_such_device(self):
        self.assertIn("there is no device 0000:7f:00.0", self.fail_with(1, "show", "7f:00.0"))


if __name__ == "__main__":
    main()
