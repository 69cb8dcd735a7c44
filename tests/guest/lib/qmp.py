# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's machine protocol from inside the guest (tests/guest/vm run --qmp-in-guest).

The guest talks to the QEMU that it runs in, over a serial port, and can add and
remove its own devices.
"""

import fcntl
import itertools
import json
import os
import select
import subprocess
import time

from guest import LIMIT, until

DEVICE = "/dev/qmp"


class QmpError(Exception):
    """What QEMU answers to a command that failed."""


class Qmp:
    """The monitor; one user at a time, and others wait."""

    def __init__(self):
        self.fd = os.open(DEVICE, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        self.ids = itertools.count()
        self.buffer = b""
        self.events = []
        # Ends what somebody before us left unfinished; QEMU answers with an error.
        os.write(self.fd, b"\xff\n")
        try:
            self.command("qmp_capabilities")
        except QmpError as error:
            if error.args[0] != "CommandNotFound":  # it is known until it was given
                raise

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self, deadline):
        """The next message. Lines that are none are what was there before us."""
        while True:
            line, newline, rest = self.buffer.partition(b"\n")
            if newline:
                self.buffer = rest
                try:
                    return json.loads(line)
                except ValueError:
                    continue
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise TimeoutError(f"QEMU said nothing more in {LIMIT} s")
            self.buffer += os.read(self.fd, 65536)

    def command(self, name, **arguments):
        """Executes a command and returns what it does."""
        ident = f"{os.getpid()}-{next(self.ids)}"
        message = {"execute": name, "arguments": arguments, "id": ident}
        os.write(self.fd, json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + LIMIT
        while True:
            answer = self._read(deadline)
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") != ident:
                continue
            elif "error" in answer:
                raise QmpError(answer["error"]["class"], answer["error"]["desc"])
            else:
                return answer["return"]

    def wait(self, event, **data):
        """Waits for an event with this data, which is then used up."""
        deadline = time.monotonic() + LIMIT
        while True:
            for seen in self.events:
                if seen["event"] == event and data.items() <= seen.get("data", {}).items():
                    self.events.remove(seen)
                    return seen
            answer = self._read(deadline)
            if "event" in answer:
                self.events.append(answer)

    def device_add(self, driver, ident, **properties):
        self.command("device_add", driver=driver, id=ident, **properties)

    def device_del(self, ident):
        """Asks the guest to let a device go; see wait_deleted()."""
        self.command("device_del", id=ident)

    def wait_deleted(self, ident):
        """Waits until QEMU has taken a device away."""
        self.wait("DEVICE_DELETED", device=ident)


def wait_slot(port, on):
    """Waits until the driver of a root port (a BDF) has turned its slot on or off.

    The power indicator is the last that it changes, and nothing tells when.
    """
    def control():
        return int(subprocess.run(["setpci", "-s", port, "CAP_EXP+18.w"], check=True,
                                  text=True, stdout=subprocess.PIPE).stdout, 16)

    until(lambda: control() & 0x300 == (0x100 if on else 0x300), f"the state of {port}'s slot")


def pull(port, told=True):
    """Takes what is in the slot of a root port (a BDF) away without a warning.

    QEMU removes a device when its slot loses power. The hot-plug driver is told when
    that is there again, and takes the card for one that was pulled out; with told=False
    it never learns of it. The port must be native (--native-hotplug) and its driver, if it
    is told, is done after wait_slot(port, False). On the debug kernel lockdep has an
    objection to what the driver then does.
    """
    wait_slot(port, True)
    subprocess.run(["setpci", "-s", port,
                    "CAP_EXP+1a.w=001f",  # nothing is left of what happened before
                    "CAP_EXP+18.w=0708:0728"] +  # no power, no indicator, no interrupt
                   ["CAP_EXP+18.w=0128:0728"] * told, check=True)
