# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --timeout 1800 --native-hotplug --device nvme,serial=cmb,addr=0x14,cmb_size_mb=16 --device e1000e,addr=0x15 --device pcie-root-port,id=rp,chassis=1,addr=0x16 --device nvme,bus=rp,serial=slot,cmb_size_mb=16 --device virtio-rng-pci,addr=0x17
"""What VFIO does with a device besides mapping it, on a BAR that has claims."""

import ctypes
import errno
import mmap
import os
import struct

from case import Views, each_way
from guest import DEBUG_KERNEL, EDU, IVSHMEM, Eventfd, main, until
from ptwalk import walk
import vfio
from vfio import D0, D3HOT, INTX, MSI, MSIX, PAGE, ROM_REGION, SYSFS, UC, WC, address, sysfs

NVME = "0000:00:14.0"  # FLR; BAR 0: registers and the MSI-X table; BAR 2: 16 MiB of RAM
E1000E = "0000:00:15.0"  # PM reset, a ROM; BAR 0: 128 KiB of registers; BAR 3: the MSI-X table
SLOT = "0000:01:00.0"  # as NVME, alone on its bus
VIRTIO = "0000:00:17.0"  # BAR 4: 16 KiB of registers

MIB = 1 << 20


@each_way
class ReadWrite:
    devices = (IVSHMEM, NVME)

    # Around the edge of a claim: where from, and how many bytes
    ACROSS = ((0, 1), (-1, 1), (-1, 2), (-3, 8), (-8, 16), (-5, 11), (-7, 4096), (1, 4096),
              (-4096, 8192), (-4099, 8199), (-8195, 16391))

    def check(self, bdf):
        s = self.session(bdf)
        index, at = s.create(2, WC, 4 * MIB, 4 * MIB, flags=SYSFS)
        alias, own = s.mmap(at, 4 * MIB), s.mmap(2 << 40, 16 * MIB)
        data = os.urandom(32768)
        for edge in (4 * MIB, 8 * MIB):
            for start, count in self.ACROSS:
                with self.subTest(bdf, edge=edge, start=start, count=count):
                    start += edge
                    wrote, data = data[:count], data[1:] + data[:1]
                    self.assertEqual(s.pwrite(2, start - 8, b"\xaa" * (count + 16)), count + 16)
                    self.assertEqual(s.pwrite(2, start, wrote), count)
                    self.assertEqual(s.pread(2, start - 8, count + 16),
                                     b"\xaa" * 8 + wrote + b"\xaa" * 8)
                    # each page through the mapping that has it
                    for page in range(start // PAGE * PAGE, start + count, PAGE):
                        low, high = max(start, page), min(start + count, page + PAGE)
                        mapping, base = (alias, 4 * MIB) if 4 * MIB <= page < 8 * MIB else (own, 0)
                        self.assertEqual(mapping[low - base:high - base],
                                         wrote[low - start:high - start])
        self.assertEqual(s.pread(index, 4 * MIB - 5, 5), s.pread(2, 8 * MIB - 5, 5))

    def test_own_region_reads_and_writes_claimed_and_other_pages_alike(self):
        self.check(IVSHMEM)

    def test_likewise_on_a_device_whose_memory_is_behind_registers(self):
        self.check(NVME)

    def test_a_read_or_write_ends_at_the_end_of_the_bar(self):
        s = self.session()
        s.create(2, WC, 15 * MIB)
        self.assertEqual(s.pwrite(2, 16 * MIB - 3, b"0123456789"), 3)
        self.assertEqual(s.pread(2, 16 * MIB - 3, 100), b"012")
        self.assertErrno(errno.EINVAL, s.pread, 2, 16 * MIB, 1)

    def test_a_bad_buffer_is_efault_and_leaves_the_bar_usable(self):
        s = self.session()
        s.create(2, WC, 0, PAGE)
        for at in (0, PAGE):
            self.assertErrno(errno.EFAULT, vfio.pread_to, s.fd, 0, 64, (2 << 40) + at)
        s.pwrite(2, 0, b"usable")
        self.assertEqual(s.pread(2, 0, 6), b"usable")
        index, _ = s.create(2, WC, PAGE, PAGE)
        s.remove(index)


@each_way
class Ioeventfd:
    devices = (IVSHMEM,)
    DATA = 0x12345678

    def fire(self, s, fd, at):
        """Whether a signal of the eventfd is a write at the device."""
        s.pwrite(2, at, b"\0" * 4)
        os.eventfd_write(fd, 1)
        # It may be left to a thread, but only where somebody changes the device meanwhile.
        return s.pread(2, at, 4) == struct.pack("<I", self.DATA)

    def test_works_beside_a_claim_and_never_with_one(self):
        s = self.session()
        fd = Eventfd(self).fd
        s.ioeventfd(2, 2 * PAGE, self.DATA, 4, fd)
        self.assertErrno(errno.EBUSY, s.create, 2, WC, 2 * PAGE, PAGE, flags=SYSFS)
        s.create(2, WC, 3 * PAGE, PAGE, flags=SYSFS)
        self.assertTrue(self.fire(s, fd, 2 * PAGE))
        self.assertErrno(errno.EBUSY, s.ioeventfd, 2, 3 * PAGE + 8, self.DATA, 4, fd)
        s.ioeventfd(2, 4 * PAGE, self.DATA, 4, fd)
        s.ioeventfd(2, 2 * PAGE, self.DATA, 4, -1)
        s.create(2, WC, 2 * PAGE, PAGE, flags=SYSFS)
        self.assertTrue(self.fire(s, fd, 4 * PAGE))
        self.assertFalse(self.fire(s, fd, 2 * PAGE))

    def test_writes_nothing_while_memory_is_disabled_and_again_afterwards(self):
        s = self.session()
        fd = Eventfd(self).fd
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        s.ioeventfd(2, 0, self.DATA, 4, fd)
        s.pwrite(2, 0, b"\0" * 4)
        s.memory_enable(False)
        os.eventfd_write(fd, 1)
        s.memory_enable(True)
        self.assertEqual(s.pread(2, 0, 4), b"\0" * 4)
        self.assertTrue(self.fire(s, fd, 0))
        views.assert_alive("beside an ioeventfd")


class NvmeQueue:
    """The admin queue of an NVMe controller: a command that is done is an interrupt."""

    CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = 0x14, 0x1C, 0x24, 0x28, 0x30, 0x1000
    ENTRIES = 4

    def __init__(self, case, session):
        self.session, self.tail, self.head = session, 0, 0
        self.memory = mmap.mmap(-1, 2 * PAGE)  # submissions, completions
        case.addCleanup(lambda: self.memory)  # longer than the session
        self.ring = self.ring_by_write
        session.map_dma(self.memory, MIB)
        session.bus_master(True)
        self.set(self.CC, "<I", 0)
        until(lambda: not self.ready(), "the stopped controller")
        self.set(self.AQA, "<I", (self.ENTRIES - 1) << 16 | (self.ENTRIES - 1))
        self.set(self.ASQ, "<Q", MIB)
        self.set(self.ACQ, "<Q", MIB + PAGE)
        self.set(self.CC, "<I", 1 | 6 << 16 | 4 << 20)  # enable, 64 and 16 bytes an entry
        until(self.ready, "the running controller")

    def set(self, register, layout, value):
        self.session.pwrite(0, register, struct.pack(layout, value))

    def ready(self):
        return self.session.pread(0, self.CSTS, 1)[0] & 1

    def ring_by_write(self, doorbell, value):
        self.set(self.DOORBELLS + 4 * doorbell, "<I", value)

    def submit(self):
        """A command that needs nothing: Get Features, number of queues."""
        entry = bytearray(64)
        struct.pack_into("<I", entry, 0, 0x0A)
        struct.pack_into("<I", entry, 40, 7)
        self.memory[64 * self.tail:64 * self.tail + 64] = bytes(entry)
        self.tail = (self.tail + 1) % self.ENTRIES
        self.ring(0, self.tail)

    def complete(self):
        """Takes one completion and returns its status, which is 0 of what succeeded."""
        at = PAGE + 16 * self.head
        self.head = (self.head + 1) % self.ENTRIES
        self.ring(1, self.head)
        return struct.unpack_from("<H", self.memory, at + 14)[0] >> 1


@each_way
class Interrupts:
    devices = (NVME, EDU)

    def test_msix_interrupts_arrive_while_claims_come_and_go(self):
        s = self.session(NVME)
        eventfds = [Eventfd(self) for _ in range(3)]
        s.interrupts(MSIX, [e.fd for e in eventfds])
        queue = NvmeQueue(self, s)

        def fire(when):
            with self.subTest(when):
                queue.submit()
                eventfds[0].wait()
                self.assertEqual(queue.complete(), 0)
                self.assertFalse(any(e.fired() for e in eventfds))

        fire("without claims")
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        fire("a claim of another BAR")
        doorbells, at = s.create(0, WC, PAGE, PAGE, flags=SYSFS)  # the table is the next page
        fire("a claim of the doorbells, beside the table")
        registers, _ = s.create(0, WC, 0, PAGE)
        fire("a claim of the registers")
        alias = s.mmap(at, PAGE)

        def ring_by_store(doorbell, value):
            ctypes.c_uint32.from_buffer(alias, 4 * doorbell).value = value

        queue.ring = ring_by_store
        fire("the doorbells rung through their alias")
        self.assertEqual(walk(address(alias))["type"], "WC")
        queue.ring = queue.ring_by_write
        s.memory_enable(False)
        s.memory_enable(True)
        fire("after memory was disabled")
        s.remove(registers)
        s.remove(doorbells)
        fire("claims removed")
        s.interrupts(MSIX, [])
        s.interrupts(MSIX, [e.fd for e in eventfds])
        fire("turned off and on")
        views.assert_alive("at the end")

    def test_msix_is_enabled_and_triggered_on_a_bar_with_claims(self):
        s = self.session(NVME)
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        s.create(0, WC, PAGE, PAGE, flags=SYSFS)  # the doorbells; the table is the next page
        eventfds = [Eventfd(self) for _ in range(8)]
        s.interrupts(MSIX, [e.fd for e in eventfds])
        s.trigger(MSIX, 2, 3)
        self.assertEqual([e.fired() for e in eventfds],
                         [False] * 2 + [True] * 3 + [False] * 3)
        s.reset()
        views.assert_alive("after a reset with interrupts")
        s.interrupts(MSIX, [])

    def test_the_msix_table_cannot_be_claimed_and_is_hidden_beside_claims_too(self):
        s = self.session(NVME)
        eventfd = Eventfd(self)
        s.interrupts(MSIX, [eventfd.fd])
        table, size = 2 * PAGE, 16 * s.num_interrupts(MSIX)
        self.assertErrno(errno.EINVAL, s.create, 0, UC, table, PAGE)
        self.assertErrno(errno.EINVAL, s.create, 0, WC)
        plain = s.pread(0, table - 8, size + 16)
        self.assertEqual(plain[8:-8], b"\xff" * size)
        self.assertNotIn(b"\xff", plain[:8] + plain[-8:])
        s.create(0, WC, 0, 2 * PAGE)
        s.create(0, WC, 3 * PAGE, PAGE)
        self.assertEqual(s.pread(0, table - 8, size + 16), plain)
        self.assertEqual(s.pread(0, table + size - 6, 12), b"\xff" * 6 + plain[-8:-2])
        self.assertEqual(s.pwrite(0, table - 8, b"\0" * (size + 16)), size + 16)
        queue = NvmeQueue(self, s)
        queue.submit()  # with the table as it was
        eventfd.wait()

    def interrupt_of_edu(self, index):
        s = self.session(EDU)
        views = Views(self, s, 0, 16 * PAGE, 16 * PAGE)
        eventfd = Eventfd(self)
        s.bus_master(True)
        s.interrupts(index, [eventfd.fd])
        for claimed in (False, True):
            if claimed:
                s.create(0, WC, 0, PAGE, flags=SYSFS)
            with self.subTest(registers_claimed=claimed):
                s.pwrite(0, 0x60, b"\1\0\0\0")  # raise
                eventfd.wait()
                self.assertEqual(s.pread(0, 0x24, 4), b"\1\0\0\0")
                s.pwrite(0, 0x64, b"\1\0\0\0")  # acknowledge
                if index == INTX:
                    self.assertFalse(eventfd.fired())
                    s.unmask(INTX)
        views.places.pop()
        views.assert_alive("with interrupts")

    def test_msi_arrives_whether_the_registers_are_claimed_or_not(self):
        self.interrupt_of_edu(MSI)

    def test_intx_arrives_is_masked_and_unmasked_likewise(self):
        self.interrupt_of_edu(INTX)


@each_way
class Rom:
    devices = (E1000E,)

    def test_is_read_while_bars_have_claims(self):
        s = self.session(E1000E)
        size = s.region_info(ROM_REGION)["size"]
        rom = s.pread(ROM_REGION, 0, size)
        self.assertEqual((len(rom), rom[:2]), (size, b"\x55\xaa"))
        views = Views(self, s, 0, 4 * PAGE, 4 * PAGE)
        self.assertEqual(s.pread(ROM_REGION, 0, size), rom)
        self.assertEqual(s.pread(ROM_REGION, 4093, 7), rom[4093:4100])
        views.assert_alive("after reading the ROM")


@each_way
class Resets:
    devices = (NVME, E1000E, SLOT)

    def method(self, bdf):
        with open(sysfs(bdf, "reset_method"), encoding="ascii") as f:
            return f.read().split()[0]

    def reset(self, bdf, bar, offset, size, reset):
        s = self.session(bdf)
        views = Views(self, s, bar, offset, size)
        views.assert_alive("before")
        for _ in range(2):
            reset(s)
            views.assert_zapped("right after the reset")
            views.assert_alive("after the reset")
        return s, views

    def test_function_level_reset(self):
        self.assertEqual(self.method(NVME), "flr")
        self.reset(NVME, 2, 4 * MIB, 4 * MIB, lambda s: s.reset())

    def test_power_management_reset(self):
        self.assertEqual(self.method(E1000E), "pm")
        self.reset(E1000E, 0, 4 * PAGE, 4 * PAGE, lambda s: s.reset())

    def test_function_level_reset_written_to_the_capability(self):
        def reset(s):
            at = s.capability(vfio.CAP_ID_EXP) + 8
            control = struct.unpack("<H", s.pread(vfio.CONFIG_REGION, at, 2))[0]
            s.pwrite(vfio.CONFIG_REGION, at, struct.pack("<H", control | 1 << 15))

        self.reset(NVME, 2, 4 * MIB, 4 * MIB, reset)

    def test_hot_reset_of_the_slot(self):
        s, views = self.reset(SLOT, 2, 4 * MIB, 4 * MIB, lambda s: s.hot_reset())
        views.alias[0:4] = b"data"
        self.assertEqual(s.pread(2, 4 * MIB, 4), b"data")

    def test_a_claim_can_come_and_go_after_a_reset(self):
        s, views = self.reset(NVME, 2, 4 * MIB, 4 * MIB, lambda s: s.reset())
        s.remove(views.index)
        Views(self, s, 2, 8 * MIB, 4 * MIB).assert_alive("after a reset")


@each_way
class Memory:
    devices = (IVSHMEM, NVME, E1000E)

    def test_disabled_is_sigbus_and_enabled_is_wc_again(self):
        for bdf, bar, offset, size in ((IVSHMEM, 2, 4 * MIB, 4 * MIB), (NVME, 2, MIB, MIB),
                                       (E1000E, 0, 4 * PAGE, 4 * PAGE)):
            s = self.session(bdf)
            views = Views(self, s, bar, offset, size)
            views.assert_alive("before")
            s.memory_enable(False)
            views.assert_dead("disabled")
            for at in (offset, offset - 4, offset + size):
                self.assertErrno(errno.EIO, s.pread, bar, at, 4)
                self.assertErrno(errno.EIO, s.pwrite, bar, at, b"\0" * 4)
            self.assertErrno(errno.EIO, s.pread, views.index, 0, 4)
            s.memory_enable(True)
            views.assert_alive("enabled")

    def test_an_alias_made_while_disabled_works_once_enabled(self):
        s = self.session()
        s.memory_enable(False)
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        views.assert_dead("disabled")
        s.memory_enable(True)
        views.assert_alive("enabled")

    def test_an_alias_removed_while_disabled_stays_removed(self):
        s = self.session()
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        s.memory_enable(False)
        s.remove(views.index)
        s.memory_enable(True)
        views.places = [place for place in views.places if place[3] == "WC"]
        views.assert_dead("removed")


@each_way
class Power:
    devices = (NVME, E1000E)
    BARS = ((NVME, 2, 4 * MIB, 4 * MIB), (E1000E, 0, 4 * PAGE, 4 * PAGE))

    def suspended(self, bdf):
        with open(sysfs(bdf, "power/runtime_status"), encoding="ascii") as f:
            return f.read() == "suspended\n"

    def test_d3hot_is_sigbus_and_d0_is_wc_again(self):
        for bdf, bar, offset, size in self.BARS:
            s = self.session(bdf)
            views = Views(self, s, bar, offset, size)
            views.assert_alive("before")
            s.power_state(D3HOT)
            views.assert_dead("in D3hot")
            self.assertErrno(errno.EIO, s.pread, bar, offset, 4)
            s.power_state(D0)
            views.assert_alive("in D0")

    def test_low_power_is_sigbus_and_exit_is_wc_again(self):
        for bdf, bar, offset, size in self.BARS:
            s = self.session(bdf)
            views = Views(self, s, bar, offset, size)
            views.assert_alive("before")
            s.low_power(vfio.FEATURE_LOW_POWER_ENTRY)
            views.assert_dead("in low power")
            until(lambda b=bdf: self.suspended(b), "the suspended device")
            views.assert_dead("suspended")
            s.pread(bar, offset, 4)  # wakes the device for the access alone
            views.assert_dead("after an access by read()")
            until(lambda b=bdf: self.suspended(b), "the suspended device")
            s.low_power(vfio.FEATURE_LOW_POWER_EXIT)
            views.assert_alive("out of low power")

    def test_low_power_ends_with_a_wakeup(self):
        for bdf, bar, offset, size in self.BARS:
            s = self.session(bdf)
            views = Views(self, s, bar, offset, size)
            eventfd = Eventfd(self)
            s.low_power(vfio.FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
                        struct.pack("=iI", eventfd.fd, 0))
            until(lambda b=bdf: self.suspended(b), "the suspended device")
            views.assert_dead("in low power")
            for control in ("on", "auto"):
                with open(sysfs(bdf, "power/control"), "w", encoding="ascii") as f:
                    f.write(control)
            eventfd.wait()
            views.assert_alive("woken up")

    def test_aliases_come_and_go_in_low_power(self):
        s = self.session(NVME)
        s.low_power(vfio.FEATURE_LOW_POWER_ENTRY)
        until(lambda: self.suspended(NVME), "the suspended device")
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        other, _ = s.create(2, WC, 12 * MIB, MIB)
        views.assert_dead("in low power")
        s.remove(other)
        s.low_power(vfio.FEATURE_LOW_POWER_EXIT)
        views.assert_alive("out of low power")

    def test_a_session_that_ends_in_low_power_leaves_a_device_that_works(self):
        with self.way(NVME) as s:
            views = Views(self, s, 2, 4 * MIB, 4 * MIB)
            s.low_power(vfio.FEATURE_LOW_POWER_ENTRY)
            until(lambda: self.suspended(NVME), "the suspended device")
            views.alias.close()
            views.own.close()
            views.places = [place for place in views.places if place[1] is views.file]
        views.assert_dead("after the session")
        Views(self, self.session(NVME), 2, 4 * MIB, 4 * MIB).assert_alive("in the next session")


@each_way
class VariantDriver:
    """One that keeps the kernel's mapping of a BAR: guest/variant."""

    devices = (IVSHMEM,)
    driver = "vfio-alias-barmap"

    def keep(self, bar):
        """Has the driver call vfio_pci_core_setup_barmap()."""
        fd = os.open(sysfs(IVSHMEM, "barmap"), os.O_WRONLY)
        try:
            os.write(fd, b"%d" % bar)
        finally:
            os.close(fd)

    def kept_word(self):
        """What the driver reads through its pointer."""
        with open(sysfs(IVSHMEM, "barmap"), encoding="ascii") as f:
            return int(f.read(), 0)

    def test_has_aliases_like_any_other(self):
        Views(self, self.session(), 2, 4 * MIB, 4 * MIB).assert_alive("with a variant driver")

    def test_that_has_the_mapping_excludes_claims_until_the_session_ends(self):
        with self.way(IVSHMEM) as s:
            s.pwrite(2, 0, b"word")
            self.keep(2)
            for request in ((0, 0), (0, PAGE), (8 * MIB, PAGE), (16 * MIB - PAGE, PAGE)):
                self.assertErrno(errno.EBUSY, s.create, 2, WC, *request, flags=SYSFS)
                self.assertErrno(errno.EBUSY, s.create, 2, UC, *request)
            s.create(0, WC)  # of another BAR
            self.assertEqual(self.kept_word(), int.from_bytes(b"word", "little"))
            s.pwrite(2, 0, b"more")
            self.assertEqual(self.kept_word(), int.from_bytes(b"more", "little"))
        Views(self, self.session(), 2, 4 * MIB, 4 * MIB).assert_alive("in the next session")

    def test_does_not_get_the_mapping_while_there_is_a_claim(self):
        s = self.session()
        views = Views(self, s, 2, 4 * MIB, 4 * MIB)
        last, _ = s.create(2, WC, 15 * MIB)
        self.assertErrno(errno.EBUSY, self.keep, 2)
        self.keep(0)
        views.assert_alive("beside the mapping of another BAR")
        s.remove(last)
        self.assertErrno(errno.EBUSY, self.keep, 2)
        s.remove(views.index)
        self.keep(2)
        s.pwrite(2, 0, b"word")
        self.assertEqual(self.kept_word(), int.from_bytes(b"word", "little"))
        self.assertErrno(errno.EBUSY, s.create, 2, WC)

    def test_finds_its_mapping_again_after_claims_before_it(self):
        s = self.session()
        for _ in range(3):
            index, _ = s.create(2, WC)
            s.remove(index)
        self.keep(2)
        s.pwrite(2, 0, b"word")
        self.assertEqual(self.kept_word(), int.from_bytes(b"word", "little"))


if DEBUG_KERNEL:  # which alone has that driver
    @each_way
    class VirtioVfioPci:
        devices = (VIRTIO,)
        driver = "virtio_vfio_pci"

        def test_has_aliases_like_any_other(self):
            Views(self, self.session(VIRTIO), 4, PAGE, PAGE).assert_alive("with virtio-vfio-pci")


if __name__ == "__main__":
    main()
