# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --timeout 1800 --native-hotplug --qmp-in-guest --device pcie-root-port,id=rp,slot=1,chassis=1,addr=0x16 --device edu,bus=rp,id=card --device pcie-root-port,id=other,slot=2,chassis=2,addr=0x17 --device edu,bus=other
"""Sessions, mappings, files, devices and modules that end in every order."""

import errno
import fcntl
import itertools
import mmap
import os
import select
import struct
import subprocess
import threading

from actor import Actor
from case import Bound, each_way, fetch, word
from guest import (DEBUG_KERNEL, IVSHMEM, LIMIT, SIGBUS, Eventfd, Uevents, libc, main, map_file,
                   outcome)
from ptwalk import walk
import qmp
import vfio
from vfio import PAGE, REQ, SYSFS, WC, address, sysfs

SIZE = 16 << 20  # of BAR 2 of the ivshmem
FILE = sysfs(IVSHMEM, "resource2_wc")
PORT, CARD = "0000:00:16.0", "0000:01:00.0"  # BAR 0: 1 MiB of registers
OTHER_PORT, OTHER_CARD = "0000:00:17.0", "0000:02:00.0"  # likewise


def attribute(bdf, index, name="mappings"):
    directory = sysfs(bdf, "vfio-dev")
    return f"{directory}/{os.listdir(directory)[0]}/aliases/{index}/{name}"


def errno_of(call, *args):
    try:
        call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    return 0


def aliased(way, bdf=IVSHMEM, bar=2):
    """A session with an alias of a BAR, and the alias's index."""
    session = way(bdf)
    return session, session.create(bar, WC, flags=SYSFS)[0]


class Holder:
    """Has the session."""

    def __init__(self, way):
        self.session, self.index = aliased(way)

    def attribute(self):
        return attribute(IVSHMEM, self.index)


class Mapper:
    """Has a mapping through the file."""

    def __init__(self):
        self.mapping = map_file(FILE, SIZE)

    def state(self):
        """What a touch of the mapping comes to."""
        if fetch(self.mapping, SIZE // 2) is None:
            present = walk(address(self.mapping) + SIZE // 2)["present"]
            return "a page without access" if present else "SIGBUS"
        return walk(address(self.mapping) + SIZE // 2)["type"]

    def touch(self):
        return outcome(lambda: word(self.mapping, 0))


class Opener:
    """Has the file open, and an attribute of the alias, but no mapping."""

    def __init__(self, path):
        self.file = os.open(FILE, os.O_RDWR)
        self.attribute = os.open(path, os.O_RDONLY)

    def state(self):
        try:
            with mmap.mmap(self.file, PAGE) as mapping:
                fetch(mapping)
                return walk(address(mapping))["type"]
        except OSError as error:
            return errno.errorcode[error.errno]

    def mappings(self):
        try:
            return os.pread(self.attribute, 16, 0).decode().strip()
        except OSError as error:
            return errno.errorcode[error.errno]


@each_way
class Processes:
    devices = (IVSHMEM,)

    def check(self, actors):
        """What each of those who live sees, by whether the session lives."""
        alive = "holder" in actors
        mappers = [name for name in ("mapper", "child") if name in actors]
        for name in mappers:
            self.assertEqual(actors[name].state(), "WC" if alive else "SIGBUS", name)
        if "opener" in actors:
            self.assertEqual(actors["opener"].state(), "WC" if alive else "ENODEV")
            self.assertEqual(actors["opener"].mappings(),
                             str(len(mappers)) if alive else "ENODEV")

    def die_in_order(self, order, end):
        holder = self.actor(Holder, self.way)
        mapper = self.actor(Mapper)
        actors = {"holder": holder, "mapper": mapper, "child": self.copy(mapper),
                  "opener": self.actor(Opener, holder.attribute())}
        try:
            self.check(actors)
            for name in order:
                end(actors.pop(name))
                self.check(actors)
        finally:
            for actor in actors.values():
                actor.kill()

    def test_killed_in_every_order(self):
        for order in itertools.permutations(("holder", "mapper", "child", "opener")):
            with self.subTest(order):
                self.die_in_order(order, Actor.kill)
        self.die_in_order(order, Actor.exit)  # and the next session finds nothing amiss

    def test_a_dead_mapping_stays_dead_through_the_next_sessions(self):
        holder, mapper = self.actor(Holder, self.way), self.actor(Mapper)
        for _ in range(3):
            self.assertEqual(mapper.state(), "WC" if _ == 0 else "SIGBUS")
            holder.kill()
            self.assertEqual(mapper.touch(), SIGBUS)
            holder, heir = self.actor(Holder, self.way), self.actor(Mapper)
            self.assertEqual(mapper.touch(), SIGBUS)
            self.assertEqual(heir.touch(), 0)
            heir.exit()
        holder.exit()
        mapper.exit()

    def test_a_session_lasts_as_long_as_somebody_holds_its_descriptor(self):
        holder = self.actor(Holder, self.way)
        mapper, heir = self.actor(Mapper), self.copy(holder)
        holder.kill()
        self.assertEqual(mapper.state(), "WC")
        heir.kill()
        self.assertEqual(mapper.state(), "SIGBUS")
        mapper.exit()

    def test_a_descriptor_of_the_file_is_not_one_of_the_next_file(self):
        holder = self.actor(Holder, self.way)
        opener = self.actor(Opener, holder.attribute())
        holder.exit()
        self.assertEqual((opener.state(), opener.mappings()), ("ENODEV", "ENODEV"))
        holder = self.actor(Holder, self.way)
        self.assertEqual((opener.state(), opener.mappings()), ("ENODEV", "ENODEV"))
        self.assertEqual(self.actor(Mapper).state(), "WC")
        holder.exit()


class Corpse(Mapper):
    """Treats its mapping as what it still is to the rest of the kernel, a mapping."""

    def abuse(self):
        """Splits it, gives it other rights, syncs, locks and moves it."""
        at = address(self.mapping)
        libc("munmap", at + 4 * PAGE, PAGE)
        libc("mprotect", at, 2 * PAGE, mmap.PROT_READ)
        libc("msync", at, 4 * PAGE, 4)  # MS_SYNC
        libc("mlock", at, PAGE)
        libc("mremap", at + 8 * PAGE, PAGE, PAGE, 3, at + 4 * PAGE)  # MREMAP_MAYMOVE, _FIXED
        with open("/proc/self/smaps", encoding="ascii") as f:
            return f.read().count("vfio-alias:")


class DeadMapping(Bound):
    devices = (IVSHMEM,)

    def test_can_be_split_moved_synced_locked_and_inherited(self):
        for dead in (False, True):
            with self.subTest(dead=dead):
                holder, mapper = self.actor(Holder, self.way), self.actor(Corpse)
                if dead:
                    holder.exit()
                # read-only, the rest up to the hole, the page moved into it, behind that: 2
                self.assertEqual(mapper.abuse(), 5)
                child = self.copy(mapper)
                for actor in (mapper, child):
                    self.assertEqual(actor.touch(), SIGBUS if dead else 0)
                mapper.kill()
                self.assertEqual(child.touch(), SIGBUS if dead else 0)
                child.kill()
                if not dead:
                    holder.exit()


class Background(threading.Thread):
    """Something that may have to wait for the session to end."""

    def __init__(self, call, *args):
        super().__init__(daemon=True)
        self.call, self.args, self.error = call, args, None
        self.start()

    def run(self):
        try:
            self.call(*self.args)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def finish(self):
        self.join(LIMIT)
        if self.is_alive():
            raise TimeoutError(f"{self.call.__name__} did not end in {LIMIT} s")
        if self.error:
            raise self.error


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


@each_way
class Devices:
    """A session, a mapping, open files, and a driver or device that goes."""

    devices = ()  # each order starts anew

    def in_order(self, order, go):
        """Does what order names; go(bdf) takes driver or device away."""
        vfio.bind(IVSHMEM)
        session, index = aliased(self.way)
        requested = Eventfd(self)
        session.interrupts(REQ, [requested.fd])
        mapping = map_file(FILE, SIZE)
        file = os.open(FILE, os.O_RDWR)
        attr = os.open(attribute(IVSHMEM, index), os.O_RDONLY)
        going = None
        open_things = {"end", "go", "unmap", "close"}

        for event in order:
            open_things.remove(event)
            if event == "end":
                session.close()
                if going:
                    going.finish()
            elif event == "unmap":
                mapping.close()
            elif event == "close":
                os.close(file)
                os.close(attr)
            elif "end" in open_things:
                going = Background(go, IVSHMEM)
                requested.wait()
                # What is there stays until the session ends, and nothing comes.
                self.assertErrno(errno.ENODEV, session.create, 0, WC)
            else:
                go(IVSHMEM)

            alive = "end" in open_things
            if "unmap" in open_things:
                self.assertEqual(fetch(mapping) is not None, alive)
                self.assertEqual(walk(address(mapping))["present"], alive)
            if "close" in open_things:
                self.assertEqual(errno_of(mmap.mmap, file, PAGE), 0 if alive else "ENODEV")
                self.assertEqual(errno_of(os.pread, attr, 16, 0),
                                 0 if alive and "go" in open_things else "ENODEV")

    def every_order(self, go, back):
        for order in itertools.permutations(("end", "go", "unmap", "close")):
            with self.subTest(order):
                self.in_order(order, go)
            back()

    def test_unbound_in_every_order(self):
        self.every_order(vfio.unbind, lambda: self.assertTrue(os.path.exists(FILE)))

    def test_removed_in_every_order(self):
        def remove(bdf):
            write(sysfs(bdf, "remove"), "1")
            self.assertFalse(os.path.exists(sysfs(bdf)))

        self.every_order(remove, lambda: write("/sys/bus/pci/rescan", "1"))


class Stuck:
    """Memory whose first access waits until somebody lets it go on: userfaultfd(2)."""

    SYSCALL, API, MODE_MISSING = 323, 0xAA, 1
    UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04

    def __init__(self):
        self.memory = mmap.mmap(-1, PAGE)
        self.fd = libc("syscall", self.SYSCALL, os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, self.UFFDIO_API, bytearray(struct.pack("=QQQ", self.API, 0, 0)))
        fcntl.ioctl(self.fd, self.UFFDIO_REGISTER, self._range(self.MODE_MISSING))

    def _range(self, mode):
        return bytearray(struct.pack("=QQQQ", address(self.memory), PAGE, mode, 0))

    def wait(self):
        if not select.select([self.fd], [], [], LIMIT)[0]:
            raise TimeoutError(f"nobody was stuck in {LIMIT} s")

    def release(self):
        fcntl.ioctl(self.fd, self.UFFDIO_ZEROPAGE, self._range(0))
        os.close(self.fd)


if not DEBUG_KERNEL:  # which has no userfaultfd
    @each_way
    class StuckAccess:
        devices = ()

        def test_an_unbind_asks_for_the_device_while_an_access_is_stuck(self):
            vfio.bind(IVSHMEM)
            session, _ = aliased(self.way)
            requested, stuck = Eventfd(self), Stuck()
            session.interrupts(REQ, [requested.fd])
            access = Background(vfio.pread_to, session.fd, address(stuck.memory), 8, 2 << 40)
            stuck.wait()
            going = Background(vfio.unbind, IVSHMEM)
            requested.wait()
            stuck.release()
            access.finish()
            session.close()
            going.finish()


class Modules(Bound):
    devices = ()

    def rmmod(self, module):
        """Whether it can be unloaded."""
        return subprocess.run(["rmmod", module], stderr=subprocess.DEVNULL,
                              check=False).returncode == 0

    def in_order(self, order):
        subprocess.run(["modprobe", "-a", "vfio-pci", "vfio_iommu_type1"], check=True)
        vfio.bind(IVSHMEM)
        session, _ = aliased(self.way)
        mapping = map_file(FILE, SIZE)
        fetch(mapping)
        session_open = mapped = pci = True
        for event in order:
            if event == "end":
                session.close()
                session_open = False
            elif event == "unmap":
                mapping.close()
                mapped = False
            else:
                unloaded = self.rmmod("vfio_pci")
                self.assertEqual(unloaded, not session_open)
                pci = not unloaded
            if mapped:
                self.assertEqual(fetch(mapping) is not None, session_open)
            if mapped or pci:
                self.assertFalse(self.rmmod("vfio_pci_core"))
        if pci:
            self.assertTrue(self.rmmod("vfio_pci"))
        for module in ("vfio_pci_core", "vfio_iommu_type1", "vfio"):
            self.assertTrue(self.rmmod(module), module)

    def test_unloaded_in_every_order(self):
        self.addCleanup(write, sysfs(IVSHMEM, "driver_override"), "\n")
        for order in itertools.permutations(("end", "unmap", "rmmod")):
            with self.subTest(order):
                self.in_order(order)


@each_way
class Pulled:
    """A card that is pulled out of its slot."""

    devices = ()
    ID = 0x010000ED

    def setUp(self):
        super().setUp()
        self.qmp = qmp.Qmp()
        self.addCleanup(self.qmp.close)

    def pull(self):
        """The card is gone, and the kernel learns of it when somebody looks."""
        qmp.pull(PORT, told=False)
        self.qmp.wait_deleted("card")

    def plug(self):
        self.qmp.device_add("edu", "card", bus="rp")
        subprocess.run(["setpci", "-s", PORT, "CAP_EXP+18.w=0100:0700"], check=True)
        write(sysfs(PORT, "rescan"), "1")

    def in_order(self, order):
        file = sysfs(CARD, "resource0_wc")
        vfio.bind(CARD)
        session, _ = aliased(self.way, CARD, 0)
        mapping = map_file(file, 1 << 20)
        self.assertEqual(word(mapping, 0), self.ID)
        fd = os.open(file, os.O_RDWR)
        present = session_open = mapped = True
        removal = None

        def end():
            nonlocal session_open
            session.close()
            session_open = False
            if removal:
                removal.finish()

        try:
            for event in order:
                if event == "end":
                    end()
                elif event == "unmap":
                    mapping.close()
                    mapped = False
                elif event == "pull":
                    self.pull()
                    present = False
                else:
                    removal = Background(write, sysfs(CARD, "remove"), "1")
                    if not session_open:
                        removal.finish()
                if mapped and session_open:
                    self.assertIsNotNone(fetch(mapping))
                    self.assertEqual(word(mapping, 0) == self.ID, present)
                elif mapped:
                    self.assertEqual(outcome(lambda: word(mapping, 0)), SIGBUS)
        finally:
            if session_open:
                end()
        self.assertEqual(errno_of(mmap.mmap, fd, PAGE), "ENODEV")
        os.close(fd)
        self.assertFalse(os.path.exists(sysfs(CARD)))

    def test_noticed_in_every_order(self):
        for order in itertools.permutations(("pull", "remove", "end", "unmap")):
            if order.index("remove") < order.index("pull"):
                continue
            with self.subTest(order):
                self.in_order(order)
            self.plug()


if not DEBUG_KERNEL:  # whose lockdep objects to what the hot-plug driver itself does
    @each_way
    class PulledFromItsDriver:
        devices = ()  # it is not there to be unbound

        def test_the_session_is_told_and_the_mapping_dies_with_it(self):
            vfio.bind(OTHER_CARD)
            session = self.way(OTHER_CARD)
            session.create(0, WC, 0, 16 * PAGE, flags=SYSFS)
            requested = Eventfd(self)
            session.interrupts(REQ, [requested.fd])
            mapping = map_file(sysfs(OTHER_CARD, "resource0_wc"), PAGE)
            self.assertIsNotNone(fetch(mapping))
            with Uevents() as uevents:
                qmp.pull(OTHER_PORT)
                requested.wait()
                self.assertErrno(errno.ENODEV, session.create, 0, WC, 16 * PAGE, PAGE)
                session.close()
                uevents.until(lambda: not os.path.exists(sysfs(OTHER_CARD)), "its end")
            self.assertEqual(outcome(lambda: word(mapping, 0)), SIGBUS)


if __name__ == "__main__":
    main()
