# SPDX-License-Identifier: GPL-2.0-or-later
# vm: --device e1000e,addr=0x15
"""vfio-alias bench. What it measures is not looked at, in a guest it means nothing."""

import json
import os
import signal
import subprocess
import tempfile
from xml.etree import ElementTree

from guest import EDU, IVSHMEM, TESTDEV, descriptors, main, map_file, run, until
import story_test as story
import vfio
from vfio import sysfs

KIB, MIB = 1 << 10, 1 << 20
E1000E = "0000:00:15.0"
NO_TEST = 0xFF  # of TESTDEV; then all bytes are 0
COMMAND, COMMAND_MEMORY = 4, 2  # of the configuration space
SVG = "{http://www.w3.org/2000/svg}"


def bench(*arguments, stdout=subprocess.PIPE):
    return subprocess.run(["vfio-alias", "bench", *arguments], check=False, text=True,
                          stdout=stdout, stderr=subprocess.PIPE)


def select(test):
    """The first byte of TESTDEV selects a test, as bench's store of 0 does; the bytes tell of it."""
    with map_file(sysfs(TESTDEV, "resource0"), vfio.PAGE) as registers:
        registers[0] = test


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


class Bench(story.Story):
    def measured(self, side, longest):
        """The ways of storing of a side, each of which has every block up to the longest."""
        blocks = {}
        for rate in side["rates"]:
            self.assertGreater(rate["bytes_per_second"], 0)
            blocks.setdefault(rate["stores"], []).append(rate["block"])
        for found in blocks.values():
            self.assertEqual(found, [64 << 2 * i for i in range(len(found))])
            self.assertEqual(found[-1], longest)
        return set(blocks)


class Claims(Bench):
    """A BAR with claims of both types, filled with what is to be restored."""

    def setUp(self):
        super().setUp()
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:uc@0+64K 2:wc@64K+64K"}})
        self.views = [(map_file(sysfs(IVSHMEM, "resource2"), 64 * KIB), 0),
                      (map_file(sysfs(IVSHMEM, "resource2_wc"), 64 * KIB, 64 * KIB), 64 * KIB)]
        self.content = [os.urandom(64 * KIB) for _ in self.views]
        for (view, _), content in zip(self.views, self.content):
            view[:] = content

    def assertUnchanged(self):
        for (view, _), content in zip(self.views, self.content):
            self.assertEqual(view[:], content)

    def test_both_sides_are_measured_and_restored(self):
        done = bench(IVSHMEM, "2", "--yes-write", "--json", "--svg", "plot.svg")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")  # progress is for terminals
        told = json.loads(done.stdout)
        self.assertEqual((told["bdf"], told["bar"]), (IVSHMEM, 2))
        ways = self.measured(told["uc"], 64 * KIB)
        self.assertEqual(self.measured(told["wc"], 64 * KIB), ways)
        self.assertLessEqual({"8 bytes", "16 bytes", "non-temporal", "rep movsb", "memcpy"}, ways)
        for side, file, offset in (("uc", "resource2", 0), ("wc", "resource2_wc", 64 * KIB)):
            self.assertEqual((told[side]["file"], told[side]["offset"], told[side]["length"]),
                             (file, offset, 64 * KIB))
            self.assertTrue(told[side]["restored"])
            self.assertIsNone(told[side]["why_not"])
        self.assertUnchanged()

        plot = ElementTree.parse("plot.svg").getroot()
        self.assertEqual(plot.tag, SVG + "svg")
        names = {title.text for title in plot.iter(SVG + "title")}
        self.assertLessEqual({f"{side}, {way}" for side in ("uc", "wc") for way in ways}, names)

    def test_the_table_has_both_sides_and_their_ratio(self):
        done = bench(IVSHMEM, "2", "--yes-write", "--offset", "60K", "--length", "8K")
        self.assertEqual(done.returncode, 0, done.stderr)
        head, *lines = done.stdout.splitlines()
        self.assertEqual(head.split(), ["STORES", "BLOCK", "UC", "MB/s", "WC", "MB/s", "WC/UC"])
        self.assertEqual({line.split()[-4] for line in lines}, {"64", "256", "1K", "4K"})
        for line in lines:
            self.assertNotIn("-", line.split()[-3:])
        self.assertUnchanged()

    def test_it_refuses_to_write_without_being_told(self):
        for abbreviated in "--y", "--yes-writ":
            done = bench(IVSHMEM, "2", abbreviated)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("--yes-write takes the whole word", done.stderr)
        more = map_file(sysfs(IVSHMEM, "resource2"), vfio.PAGE)
        done = bench(IVSHMEM, "2")
        more.close()
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn("live mappings of that alias: 2; ", done.stderr)
        self.assertIn("live mappings of that alias: 1; ", done.stderr)
        self.assertIn(f"overwrite 0+64K of BAR 2 of {IVSHMEM}, by resource2\n", done.stderr)
        self.assertIn(f"overwrite 64K+64K of BAR 2 of {IVSHMEM}, by resource2_wc\n", done.stderr)
        self.assertIn("--yes-write", done.stderr)
        self.assertUnchanged()

    def meanwhile(self, act, *more, redirections=""):
        """Acts while the wc side is measured; returns what is said on standard error."""
        with subprocess.Popen(["sh", "-c", f'exec "$@" {redirections}', "sh",
                               "vfio-alias", "bench", IVSHMEM, "2", "--yes-write", "--offset",
                               "64K", *more], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            def mapped():
                with open(f"/proc/{process.pid}/maps", encoding="ascii") as f:
                    return "resource2_wc" in f.read()

            until(mapped, "the mapping")
            process.send_signal(signal.SIGSTOP)
            act(process)
            process.send_signal(signal.SIGCONT)
            out, err = process.communicate()
        self.assertEqual(process.returncode, 1)
        self.assertEqual(out, "")
        return err

    def test_an_alias_that_is_taken_back_ends_it_with_a_message(self):
        err = self.meanwhile(lambda process: story.systemctl("stop"))
        self.assertIn("resource2_wc: the mapping was taken back", err)
        self.assertIn("not restored", err)

    def test_an_interrupt_restores_what_was_overwritten_and_keeps_the_old_plot(self):
        directory = self.plots()
        err = self.meanwhile(lambda process: process.send_signal(signal.SIGINT),
                             "--svg", f"{directory}/old.svg")
        self.assertIn("interrupted; what was overwritten is restored\n", err)
        self.assertUnchanged()
        self.assertEqual(os.listdir(directory), ["old.svg"])
        self.assertEqual(read(f"{directory}/old.svg"), "old")

    def test_standard_streams_that_are_closed_are_no_files_of_its_own(self):
        seen = {}

        def look(process):
            seen.update(descriptors(process.pid))
            process.send_signal(signal.SIGINT)

        self.meanwhile(look, redirections="<&- >&- 2>&-")
        self.assertEqual([seen[fd] for fd in range(3)], ["/dev/null"] * 3)
        self.assertUnchanged()

    def plots(self, *options):
        """A directory, on a file system of its own, with an old plot."""
        directory = tempfile.mkdtemp()
        run("mount", "-t", "tmpfs", *options, "tmpfs", directory)
        self.addCleanup(run, "umount", directory)
        with open(f"{directory}/old.svg", "w", encoding="ascii") as f:
            f.write("old")
        return directory

    def plot(self, path, **kwargs):
        """Measures little, with a plot; both are in the same place."""
        return bench(IVSHMEM, "2", "--yes-write", "--length", "64", "--svg", path, **kwargs)

    def test_the_old_plot_is_replaced_as_a_whole(self):
        directory = self.plots()
        os.link(f"{directory}/old.svg", f"{directory}/precious")
        os.symlink("precious", f"{directory}/link.svg")
        for name in "old.svg", "link.svg", "new.svg":
            done = self.plot(f"{directory}/{name}")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(ElementTree.parse(f"{directory}/{name}").getroot().tag, SVG + "svg")
            self.assertFalse(os.path.islink(f"{directory}/{name}"))
        self.assertEqual(read(f"{directory}/precious"), "old")
        self.assertEqual(len(os.listdir(directory)), 4)

    def test_a_full_disk_keeps_the_old_plot_and_the_figures(self):
        directory = self.plots("-o", "size=4k")
        done = self.plot(f"{directory}/old.svg")
        self.assertEqual(done.returncode, 1)
        self.assertIn("STORES", done.stdout)
        self.assertIn("old.svg: the plot cannot be written: No space left on device", done.stderr)
        self.assertEqual(os.listdir(directory), ["old.svg"])
        self.assertEqual(read(f"{directory}/old.svg"), "old")

    def test_a_plot_that_cannot_be_written_is_told_before_anything_is(self):
        directory = self.plots()
        for path in "", directory, f"{directory}/none/new.svg", f"{directory}/old.svg/new.svg":
            with self.subTest(path):
                done = self.plot(path)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertIn(f"{path}: the plot cannot be written: ", done.stderr)
        run("mount", "-o", "remount,ro", directory)
        self.assertIn("Read-only", self.plot(f"{directory}/old.svg").stderr)

    def test_a_pipe_or_the_standard_output_is_written(self):
        directory = self.plots()
        done = self.plot("/dev/stdout")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("</svg>\nSTORES ", done.stdout)
        with open(f"{directory}/out", "w", encoding="ascii") as f:
            self.assertEqual(self.plot("/dev/stdout", stdout=f).returncode, 0)
        self.assertTrue(os.path.islink("/dev/stdout"))
        self.assertIn("</svg>\nSTORES ", read(f"{directory}/out"))
        os.mkfifo(f"{directory}/pipe")
        with subprocess.Popen(["cat", f"{directory}/pipe"], text=True,
                              stdout=subprocess.PIPE) as reader:
            self.assertEqual(self.plot(f"{directory}/pipe").returncode, 0)
            self.assertIn("</svg>", reader.communicate()[0])

    def test_a_plot_does_not_depend_on_who_reads_the_figures(self):
        directory = self.plots()
        with open("/dev/full", "w", encoding="ascii") as full:
            done = self.plot(f"{directory}/old.svg", stdout=full)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot print", done.stderr)
        self.assertIn("</svg>", read(f"{directory}/old.svg"))


class Places(Bench):
    def test_a_side_without_an_alias_says_so(self):
        self.start({IVSHMEM: {"VFIO_ALIAS": "2:wc"}})
        done = bench(IVSHMEM, "2", "--yes-write", "--length", "4K", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("uc cannot be measured: no alias of the range is uc", done.stderr)
        told = json.loads(done.stdout)
        self.assertIn("no alias", told["uc"]["why_not"])
        self.assertEqual(told["uc"]["rates"], [])
        self.measured(told["wc"], 4 * KIB)

    def test_files_of_the_pci_core_do_for_a_device_without_a_driver(self):
        done = bench(IVSHMEM, "2", "--yes-write", "--offset", "1M", "--length", "4K", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        for side in ("uc", "wc"):
            self.measured(told[side], 4 * KIB)
            self.assertEqual(told[side]["offset"], MIB)

    def test_a_bar_that_vfio_has_and_nobody_claims_cannot_be_mapped(self):
        self.start({TESTDEV: {"VFIO_ALIAS": "0:uc"}, EDU: {"VFIO_ALIAS": "0:wc@0+64K"}})
        select(0)
        done = bench(TESTDEV, "0", "--yes-write", "--length", "64", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no alias of the range is wc", done.stderr)
        done = bench(EDU, "0", "--yes-write", "--offset", "512K", "--length", "64")
        self.assertEqual(done.returncode, 1)
        self.assertIn("uc cannot be measured", done.stderr)
        self.assertIn("wc cannot be measured", done.stderr)

    def test_what_cannot_be_restored_is_a_failure_and_the_end(self):
        select(NO_TEST)
        done = bench(TESTDEV, "0", "--yes-write", "--length", "64", "--json", "--svg", "plot.svg")
        self.assertEqual(done.returncode, 1)
        self.assertIn("resource0: not all of what was overwritten could be restored", done.stderr)
        told = json.loads(done.stdout)
        self.measured(told["uc"], 64)
        self.assertFalse(told["uc"]["restored"])
        self.assertIn("could not restore", told["wc"]["why_not"])
        self.assertIn("</svg>", read("plot.svg"))

    def refused(self, bdf, bar, said):
        for more in (), ("--yes-write",):
            done = bench(bdf, bar, "--length", "64", *more)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(said, done.stderr)
            self.assertIn(f"gets lost; an alias would mend that: vfio-alias mark {bdf} {bar}:wc "
                          "--runtime\n", done.stderr)

    def test_a_device_that_sleeps_is_refused(self):
        run("modprobe", "-a", "vfio-pci", "vfio_iommu_type1")
        vfio.bind(E1000E)
        self.addCleanup(vfio.unbind, E1000E)
        until(lambda: read(sysfs(E1000E, "power_state")) == "D3hot\n", "sleep")
        self.refused(E1000E, "0", "it sleeps, in power state D3hot")
        with vfio.Session(E1000E):
            done = bench(E1000E, "0", "--length", "64")
            self.assertEqual(done.returncode, 2)
            self.assertIn("this would overwrite", done.stderr)

    def test_a_device_whose_memory_is_off_is_refused(self):
        config = os.open(sysfs(IVSHMEM, "config"), os.O_RDWR | os.O_CLOEXEC)
        self.addCleanup(os.close, config)
        before = os.pread(config, 1, COMMAND)
        self.addCleanup(os.pwrite, config, before, COMMAND)
        os.pwrite(config, bytes([before[0] & ~COMMAND_MEMORY]), COMMAND)
        self.refused(IVSHMEM, "2", "its memory is switched off")
        os.pwrite(config, bytes([before[0] | COMMAND_MEMORY]), COMMAND)
        self.assertEqual(bench(IVSHMEM, "2").returncode, 2)

    def test_what_is_in_use_or_not_there_is_refused(self):
        run("modprobe", "pci-stub")
        vfio.bind(EDU, "pci-stub")
        self.addCleanup(vfio.unbind, EDU)
        for arguments, status, said in (
                ((EDU, "0"), 1, "driver pci-stub uses the device"),
                (("0000:00:1e.7", "0"), 1, "no such PCI device"),
                ((TESTDEV, "1"), 2, "not one of memory"),
                ((IVSHMEM, "0"), 2, "of a page at least"),
                ((IVSHMEM, "6"), 2, "0 to 5"),
                ((IVSHMEM, "2", "--offset", "16M"), 2, "not in BAR 2"),
                ((IVSHMEM, "2", "--offset", "15M", "--length", "2M"), 2, "not in BAR 2"),
                ((IVSHMEM, "2", "--length", "0"), 2, "multiple of 64"),
                ((IVSHMEM, "2", "--offset", "4"), 2, "multiple of 64"),
                ((IVSHMEM,), 2, "a device and a BAR")):
            with self.subTest(arguments):
                done = bench(*arguments, "--yes-write")
                self.assertEqual((done.returncode, done.stdout), (status, ""))
                self.assertIn(said, done.stderr)


if __name__ == "__main__":
    main()
