# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests/guest/endure does in the guest."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time

from actor import Actor
from guest import LIMIT, SIGBUS, map_file, outcome
import qmp
import story_test as story
from ptwalk import walk
import vfio
from vfio import address, sysfs

CARD = "0000:01:00.0"  # an NVMe controller, BAR 2: 16 MiB of RAM
FILE = sysfs(CARD, "resource2_wc")
SIZE = 16 << 20
RULE = 'ACTION!="remove", SUBSYSTEM=="pci", ATTR{class}=="0x010802", ENV{VFIO_ALIAS}="2:wc"\n'


class Tool:
    """Maps the file as tools do."""

    def __init__(self):
        self.mapping = map_file(FILE, SIZE)

    def touch(self):
        return outcome(lambda: self.mapping[0])

    def memory_type(self):
        self.mapping[0] = 1
        return walk(address(self.mapping))["type"]


class Writer(Tool):
    """Writes all the time, beside answering."""

    def __init__(self):
        super().__init__()
        self.child = os.fork()
        if self.child == 0:
            for rounds in itertools.count():
                at = rounds * 4096 % SIZE
                self.mapping[at:at + 8] = rounds.to_bytes(8, "little")
                if rounds % 64 == 0:
                    time.sleep(0.001)  # else it has one of the guest's CPUs for itself alone

    def is_writing(self):
        return os.waitpid(self.child, os.WNOHANG) == (0, 0)


def check(what, value, expected):
    if value != expected:
        sys.exit(f"{what}: {value!r} and not {expected!r}\n{story.journal()[-4000:]}")


def wait(what, condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not come about in {LIMIT} s: {story.status(CARD)}\n"
                     f"{story.journal()[-4000:]}")
        time.sleep(0.05)


def published():
    return story.status(CARD)["state"] == "published" and os.path.exists(FILE)


def daemon_pid():
    """The process of the service that is the daemon, or 0. systemctl costs as much as a restart."""
    with contextlib.suppress(OSError):  # it ends, or is not there yet
        with open(f"/sys/fs/cgroup/system.slice/{story.SERVICE}.service/cgroup.procs",
                  encoding="ascii") as f:
            for pid in map(int, f):
                if os.readlink(f"/proc/{pid}/exe").endswith("/vfio-alias-shim"):
                    return pid
    return 0


def descriptors():
    with contextlib.suppress(OSError):
        return {"systemd": vfio.held_by(1), "daemon": vfio.held_by(daemon_pid())}
    return None


def aliases():
    directory = sysfs(CARD, "vfio-dev")
    return sorted(os.listdir(f"{directory}/{os.listdir(directory)[0]}/aliases"))


def kills(rounds):
    writer, inode = Actor(Writer), os.stat(FILE).st_ino
    before = descriptors(), aliases()
    for done in range(1, rounds + 1):
        pid = daemon_pid()
        os.kill(pid, signal.SIGKILL)
        wait("the restart", lambda: daemon_pid() not in (0, pid))
        # It has them from systemd before it is as far as its status; neither has more afterwards.
        wait("that it goes on", lambda: (descriptors(), aliases()) == before and published())
        check("the tool writes", writer.is_writing(), True)
        check("the memory type", writer.memory_type(), "WC")
        check("the file", os.stat(FILE).st_ino, inode)
        if done % 10 == 0 or done == rounds:
            wait("the service", story.is_active)
            check("descriptors and aliases", (descriptors(), aliases()), before)
        if done % 100 == 0:
            print(f"{done} kills", flush=True)
    print(f"{rounds} kills, 0 SIGBUS, 0 aliases lost; as before the first: {before}")


def replugs(rounds):
    qemu = qmp.Qmp()
    for done in range(1, rounds + 1):
        tool = Actor(Tool)
        check("the memory type", tool.memory_type(), "WC")
        qemu.device_del("card")
        qemu.wait_deleted("card")
        wait("the end of the device", lambda: not os.path.exists(sysfs(CARD)))
        check("a touch", tool.touch(), SIGBUS)
        tool.exit()
        wait("that the service knows", lambda: story.status(CARD)["state"] is None)
        qemu.device_add("nvme", "card", bus="rp", serial="card", cmb_size_mb=16)
        wait("the device", published)
        if done % 20 == 0:
            print(f"{done} times", flush=True)
    print(f"{rounds} times taken away and given back, published every time")


def main():
    with open(story.RULES, "w", encoding="ascii") as f:
        f.write(RULE)
    story.systemctl("start")
    wait("the device", published)
    {"kills": kills, "replugs": replugs}[sys.argv[1]](int(sys.argv[2]))
    story.systemctl("stop")
    check("left in systemd", vfio.held_by(1), [])
    subprocess.run(["modprobe", "-r", "vfio-pci"], check=True)  # nobody holds a device


main()
