# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests/bench/service does in the guest."""

import contextlib
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, "guest")

from guest import EDU, run  # pylint: disable=wrong-import-position
import story_test as story  # pylint: disable=wrong-import-position
import vfio  # pylint: disable=wrong-import-position
from vfio import sysfs  # pylint: disable=wrong-import-position

ALL = sorted(set(os.listdir("/sys/bus/pci/devices")) - {EDU})
RULE = 'ACTION!="remove", SUBSYSTEM=="pci", ATTR{vendor}=="0x1234", ATTR{device}=="0x11e8", '
IDLE_SECONDS = 60


def is_edu(bdf):
    with open(sysfs(bdf, "vendor"), encoding="ascii") as vendor, \
            open(sysfs(bdf, "device"), encoding="ascii") as device:
        return vendor.read() == "0x1234\n" and device.read() == "0x11e8\n"


def never_reset(bdf):
    """A reset is QEMU's work for the most part, and the more the more devices there are."""
    with open(sysfs(bdf, "reset_method"), "w", encoding="ascii") as f:
        f.write("\n")


@contextlib.contextmanager
def bare(*args):
    """Runs the bare program, and gives the line that it prints."""
    with subprocess.Popen(["./bare", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        yield process.stdout.readline()
        process.stdin.close()
        assert process.wait() == 0


def mark(rule):
    with open(story.RULES, "w", encoding="ascii") as f:
        f.write(RULE + rule + "\n")
    run("udevadm", "control", "--reload")
    run("udevadm", "trigger", "--settle", "--subsystem-match=pci")


def settle():
    run("udevadm", "settle")


def published(bdf):
    return os.path.exists(sysfs(bdf, "resource0_wc"))


def show(name):
    return run("systemctl", "show", "-P", name, story.SERVICE).strip()


def bare_publishes(bdfs):
    """Milliseconds for each."""
    settle()
    with bare("publish", *bdfs) as line:
        assert all(map(published, bdfs))
    for bdf in bdfs:
        vfio.unbind(bdf)
    return int(line) / 1e6 / len(bdfs)


def service_publishes(bdfs):
    """From the start of the process until it says that it is ready, in milliseconds for each."""
    settle()
    story.systemctl("start")
    assert all(map(published, bdfs))
    took = int(show("ActiveEnterTimestampMonotonic")) - int(show("ExecMainStartTimestampMonotonic"))
    return took / 1e3 / len(bdfs)


def awaited():
    settle()
    with bare("await", EDU) as line:
        pass
    return int(line) / 1e6


def bare_follows():
    with bare("follow", EDU):
        took = awaited()
    vfio.unbind(EDU)
    return took


def service_follows():
    took = awaited()
    vfio.unbind(EDU)
    return took


def main_status(field):
    with open(f"/proc/{show('MainPID')}/status", encoding="ascii") as f:
        return int(re.search(rf"^{field}:\s+(\d+)", f.read(), re.M)[1])


def compare(what, ours, bares):
    ours, bares = statistics.median(ours), statistics.median(bares)
    print(f"{what:48} {bares:9.2f} {ours:9.2f} {ours / bares:6.2f}", flush=True)


def start_with(bdfs, rounds, what):
    bares, ours = [], []
    for _ in range(max(3, rounds // 5)):
        bares.append(bare_publishes(bdfs))
        ours.append(service_publishes(bdfs))
        story.systemctl("stop")
    compare(what, ours, bares)


def main():
    n, rounds = map(int, sys.argv[1:])
    bdfs = [bdf for bdf in ALL if is_edu(bdf)]
    assert len(bdfs) == n, bdfs
    run("modprobe", "-a", "vfio-pci", "vfio_iommu_type1")
    print(f"{'milliseconds':48} {'bare':>9} {'service':>9} {'ratio':>6}")

    mark(f'KERNEL!="{EDU}", ENV{{VFIO_ALIAS}}="0:wc"')
    start_with(bdfs, rounds, f"{n} devices published at the start, for each")
    for bdf in bdfs:
        never_reset(bdf)
    start_with(bdfs, rounds, "the same without VFIO's resets")

    story.systemctl("start")
    settle()
    time.sleep(10)  # what follows the start has come to its end
    before = main_status("voluntary_ctxt_switches")
    time.sleep(IDLE_SECONDS)
    wakeups = main_status("voluntary_ctxt_switches") - before
    resident = main_status("VmRSS") / 1024
    story.systemctl("stop")

    bares, ours = [], []
    mark(f'KERNEL=="{EDU}", ENV{{VFIO_ALIAS}}="0:wc", ENV{{VFIO_ALIAS_BIND}}="never"')
    for _ in range(rounds):
        bares.append(bare_follows())
    story.systemctl("start")
    for _ in range(rounds):
        ours.append(service_follows())
    story.systemctl("stop")
    compare("one device, from its bind uevent to its file", ours, bares)

    print(f"the service with {n} devices published: {resident:.1f} MiB resident, "
          f"{wakeups} wake-ups in {IDLE_SECONDS} s")


main()
