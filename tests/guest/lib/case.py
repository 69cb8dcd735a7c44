# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the kernel series share: bound devices, views of a BAR, ways to open it."""

import ctypes
import errno
import os
import subprocess
import sys
import unittest

from actor import Actor
from guest import DEBUG_KERNEL, EDU, IVSHMEM, TESTDEV, SIGBUS, map_file, outcome
from ptwalk import walk
import vfio
from vfio import SYSFS, WC, CdevSession, Session, address, sysfs


def touched(mapping, offset=0):
    """What the page table has after a write at an offset of a mapping."""
    mapping[offset] = 1
    return walk(address(mapping) + offset)


def word(mapping, offset):
    """One load of 4 bytes, which is what devices with registers want."""
    return ctypes.c_uint32.from_buffer(mapping, offset).value


def fetch(mapping, offset=0):
    """4 bytes of a mapping, read by the kernel: None where a load would be SIGBUS.

    Quicker than outcome(), and a fault all the same.
    """
    read, write = os.pipe()
    try:
        os.write(write, memoryview(mapping)[offset:offset + 4])
        return os.read(read, 4)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
        return None
    finally:
        os.close(read)
        os.close(write)


class Bound(unittest.TestCase):
    """Devices that are bound to a driver, which is for VFIO, for each test."""

    devices = (IVSHMEM, EDU, TESTDEV)
    driver = "vfio-pci"
    way = Session  # how session() opens a device

    def setUp(self):
        subprocess.run(["modprobe", "-a", self.driver, *self.way.modules], check=True)
        for bdf in self.devices:
            vfio.bind(bdf, self.driver)
            self.addCleanup(vfio.unbind, bdf)

    def session(self, bdf=IVSHMEM):
        session = self.way(bdf)
        self.addCleanup(session.close)
        return session

    def actor(self, cls, *args):
        """A process with an object of cls, which does not outlive the test."""
        actor = Actor(cls, *args)
        self.addCleanup(actor.kill)
        return actor

    def copy(self, actor):
        """A fork() of an actor, likewise."""
        copy = actor.fork()
        self.addCleanup(copy.kill)
        return copy

    def assertErrno(self, expected, call, *args, **kwargs):
        with self.assertRaises(OSError) as caught:
            call(*args, **kwargs)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[expected])


# The ways to open a device. The stock kernel has groups alone.
WAYS = (Session, CdevSession) if DEBUG_KERNEL else (Session,)


def each_way(cls):
    """Makes of a class without a base a test case for each way to open a device."""
    for way in WAYS:
        name = f"{cls.__name__}By{way.__name__.replace('Session', '') or 'Group'}"
        case = type(name, (cls, Bound), {"way": way, "__module__": cls.__module__})
        setattr(sys.modules[cls.__module__], name, case)
    return cls


class Views:
    """A WC claim on the middle of a BAR, and a mapping of each kind."""

    def __init__(self, case, session, bar, offset, size):
        self.case, self.session, self.bar, self.offset = case, session, bar, offset
        length = session.region_info(bar)["size"]
        self.index, at = session.create(bar, WC, offset, size, flags=SYSFS)
        self.alias = session.mmap(at, size)
        self.file = map_file(sysfs(session.bdf, f"resource{bar}_wc"), length)
        self.own = session.mmap(bar << 40, length)
        self.places = [
            ("alias", self.alias, 0, "WC"), ("alias, at its end", self.alias, size - 4, "WC"),
            ("file", self.file, offset, "WC"), ("file, at the end", self.file, offset + size - 4,
                                                "WC")]
        if offset:
            self.places.append(("own region before the claim", self.own, offset - 4, "UC-"))
        if offset + size < length:
            self.places.append(("own region behind the claim", self.own, offset + size, "UC-"))

    def close(self):
        """Unmaps all; mappings through the descriptor keep a session."""
        for mapping in (self.alias, self.file, self.own):
            mapping.close()

    def assert_alive(self, when):
        """Every mapping works, and under its own memory type."""
        for what, mapping, at, memory_type in self.places:
            with self.case.subTest(what, when=when):
                self.case.assertIsNotNone(fetch(mapping, at))
                word(mapping, at)
                self.case.assertEqual(walk(address(mapping) + at)["type"], memory_type)
        self._refused(self.own, self.offset, "own region at the claim", when)

    def assert_dead(self, when):
        """No mapping has a page, and none gets one."""
        for what, mapping, at, _ in self.places:
            self._refused(mapping, at, what, when)
        _, mapping, at, _ = self.places[-1]
        self.case.assertEqual(outcome(lambda: word(mapping, at)), SIGBUS)

    def assert_zapped(self, when):
        """No mapping has a page, until somebody touches it."""
        for what, mapping, at, _ in self.places:
            with self.case.subTest(what, when=when):
                self.case.assertFalse(walk(address(mapping) + at)["present"])

    def _refused(self, mapping, at, what, when):
        with self.case.subTest(what, when=when):
            self.case.assertFalse(walk(address(mapping) + at)["present"])
            self.case.assertIsNone(fetch(mapping, at))
