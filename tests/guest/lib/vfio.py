# SPDX-License-Identifier: GPL-2.0-or-later
"""VFIO sessions, for tests of the kernel without the daemon.

The numbers are those of <linux/vfio.h>, <linux/iommufd.h> and <linux/vfio_alias.h>.
"""

import ctypes
import fcntl
import mmap
import os
import re
import struct

from guest import descriptors, libc

UC, WC = 1, 2
SYSFS, SHARED = 1, 2
CREATE, REMOVE = 1, 2

PAGE = mmap.PAGESIZE


def held_by(pid):
    """What a process has of VFIO and iommufd: names of containers, groups, devices."""
    # Where a service's mount of /dev is gone, the start of the path is gone with it.
    names = map(os.path.basename, descriptors(pid).values())
    return sorted(n for n in names if re.fullmatch(r"anon_inode:\[vfio.*\]|vfio\d*|(noiommu-)?\d+|iommu", n))

_TYPE = ord(";")
_BASE = 100


def _io(nr):
    return (_TYPE << 8) | (_BASE + nr)


VFIO_SET_IOMMU = _io(2)
VFIO_GROUP_GET_STATUS = _io(3)
VFIO_GROUP_SET_CONTAINER = _io(4)
VFIO_GROUP_GET_DEVICE_FD = _io(6)
VFIO_DEVICE_GET_INFO = _io(7)
VFIO_DEVICE_GET_REGION_INFO = _io(8)
VFIO_DEVICE_GET_IRQ_INFO = _io(9)
VFIO_DEVICE_SET_IRQS = _io(10)
VFIO_DEVICE_RESET = _io(11)
VFIO_DEVICE_PCI_HOT_RESET = _io(13)
VFIO_DEVICE_IOEVENTFD = _io(16)
VFIO_DEVICE_FEATURE = _io(17)
VFIO_DEVICE_BIND_IOMMUFD = _io(18)
VFIO_DEVICE_ATTACH_IOMMUFD_PT = _io(19)
VFIO_IOMMU_MAP_DMA = _io(13)  # of a container
IOMMU_IOAS_ALLOC = (_TYPE << 8) | 0x81
IOMMU_IOAS_MAP = (_TYPE << 8) | 0x85

VFIO_TYPE1v2_IOMMU = 3
VFIO_NOIOMMU_IOMMU = 8

FEATURE_ALIAS_REGION = 0xA11A
FEATURE_LOW_POWER_ENTRY = 3
FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4
FEATURE_LOW_POWER_EXIT = 5
CAP_ALIAS = 0xA11A
FEATURE_GET, FEATURE_SET, FEATURE_PROBE = 1 << 16, 1 << 17, 1 << 18

ROM_REGION, CONFIG_REGION = 6, 7
INTX, MSI, MSIX, ERR, REQ = range(5)  # indexes of interrupts
CAP_ID_PM, CAP_ID_EXP = 0x01, 0x10
D0, D3HOT = 0, 3
MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000

_ALIAS = struct.Struct("=IIIIQQQIIQ")


def sysfs(bdf, name=""):
    return f"/sys/bus/pci/devices/{bdf}/{name}"


def bind(bdf, driver="vfio-pci"):
    """Gives a device to a driver."""
    if os.path.exists(sysfs(bdf, "driver")):
        unbind(bdf)
    with open(sysfs(bdf, "driver_override"), "w", encoding="ascii") as f:
        f.write(driver)
    with open("/sys/bus/pci/drivers_probe", "w", encoding="ascii") as f:
        f.write(bdf)


def unbind(bdf):
    with open(sysfs(bdf, "driver_override"), "w", encoding="ascii") as f:
        f.write("\n")
    with open(sysfs(bdf, "driver/unbind"), "w", encoding="ascii") as f:
        f.write(bdf)


class Device:
    """An open VFIO device, however it was opened."""

    fd = -1

    def close(self):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def num_regions(self):
        buf = bytearray(struct.pack("=IIIIII", 24, 0, 0, 0, 0, 0))
        fcntl.ioctl(self.fd, VFIO_DEVICE_GET_INFO, buf)
        return struct.unpack_from("=IIII", buf)[2]

    def region_info(self, index):
        """size, offset, flags and, for an alias, the capability's fields."""
        buf = bytearray(256)
        struct.pack_into("=IIII", buf, 0, len(buf), 0, index, 0)
        fcntl.ioctl(self.fd, VFIO_DEVICE_GET_REGION_INFO, buf)
        _, flags, _, cap, size, offset = struct.unpack_from("=IIIIQQ", buf)
        info = {"flags": flags, "size": size, "offset": offset}
        while flags & (1 << 3) and cap:
            ident, _, following = struct.unpack_from("=HHI", buf, cap)
            if ident == CAP_ALIAS:
                fields = struct.unpack_from("=IIQI", buf, cap + 8)
                info["alias"] = dict(zip(("region", "type", "offset", "flags"), fields))
            cap = following
        return info

    def feature(self, flags, payload=b"\0" * _ALIAS.size):
        buf = bytearray(struct.pack("=II", 8 + len(payload), flags | FEATURE_ALIAS_REGION)
                        + payload)
        fcntl.ioctl(self.fd, VFIO_DEVICE_FEATURE, buf)
        return _ALIAS.unpack_from(buf, 8) if len(payload) >= _ALIAS.size else None

    def low_power(self, feature, payload=b""):
        """Enters or leaves runtime power management, by one of FEATURE_LOW_POWER_*."""
        fcntl.ioctl(self.fd, VFIO_DEVICE_FEATURE,
                    struct.pack("=II", 8 + len(payload), FEATURE_SET | feature) + payload)

    def probe(self):
        self.feature(FEATURE_PROBE | FEATURE_GET | FEATURE_SET)

    def possible(self, region):
        """The mask of memory types, and of flags, that a region can have."""
        out = self.feature(FEATURE_GET, _ALIAS.pack(0, region, 0, 0, 0, 0, 0, 0, 0, 0))
        return out[8], out[3]

    def create(self, region, memory_type, offset=0, size=0, flags=0, op=CREATE, reserved=0):
        """Returns the alias's region index and mmap offset."""
        out = self.feature(FEATURE_SET, _ALIAS.pack(op, region, memory_type, flags, offset,
                                                    size, 0, 0, 0, reserved))
        return out[7], out[6]

    def remove(self, index, **fields):
        values = {"op": REMOVE, "region": 0, "type": 0, "flags": 0, "offset": 0, "size": 0,
                  "alias_offset": 0, "index": index, "types": 0, "reserved": 0} | fields
        self.feature(FEATURE_SET, _ALIAS.pack(*values.values()))

    def ioeventfd(self, region, offset, data, size, fd):
        """fd -1 takes it away again."""
        fcntl.ioctl(self.fd, VFIO_DEVICE_IOEVENTFD,
                    struct.pack("=IIQQiI", 32, size, (region << 40) + offset, data, fd, 0))

    def mmap(self, offset, size):
        return mmap.mmap(self.fd, size, offset=offset)

    def pread(self, region, offset, count):
        return os.pread(self.fd, count, (region << 40) + offset)

    def pwrite(self, region, offset, data):
        return os.pwrite(self.fd, data, (region << 40) + offset)

    def _command(self, bit, on):
        command = struct.unpack("<H", self.pread(CONFIG_REGION, 4, 2))[0]
        command = command | bit if on else command & ~bit
        self.pwrite(CONFIG_REGION, 4, struct.pack("<H", command))

    def memory_enable(self, on):
        """Sets the memory bit of the PCI command register, through VFIO."""
        self._command(2, on)

    def bus_master(self, on):
        """Likewise; a device needs it to send MSI."""
        self._command(4, on)

    def capability(self, ident):
        """Where a capability is in the configuration space."""
        at = self.pread(CONFIG_REGION, 0x34, 1)[0]
        while at:
            found, following = self.pread(CONFIG_REGION, at, 2)
            if found == ident:
                return at
            at = following
        raise LookupError(f"{self.bdf} has no capability {ident:#x}")

    def power_state(self, state):
        """Sets D0 or D3hot in the power management capability, through VFIO."""
        at = self.capability(CAP_ID_PM) + 4
        control = struct.unpack("<H", self.pread(CONFIG_REGION, at, 2))[0]
        self.pwrite(CONFIG_REGION, at, struct.pack("<H", control & ~3 | state))

    def interrupts(self, index, fds):
        """Lets eventfds have the interrupts of an index from 0 on; none turns them off."""
        # DATA_NONE or DATA_EVENTFD, ACTION_TRIGGER
        fcntl.ioctl(self.fd, VFIO_DEVICE_SET_IRQS,
                    struct.pack(f"=IIIII{len(fds)}i", 20 + 4 * len(fds), (4 if fds else 1) | 32,
                                index, 0, len(fds), *fds))

    def trigger(self, index, start, count=1):
        """Has VFIO signal the eventfds of interrupts."""
        fcntl.ioctl(self.fd, VFIO_DEVICE_SET_IRQS,
                    struct.pack("=IIIII", 20, 1 | 32, index, start, count))

    def unmask(self, index):
        fcntl.ioctl(self.fd, VFIO_DEVICE_SET_IRQS, struct.pack("=IIIII", 20, 1 | 16, index, 0, 1))

    def num_interrupts(self, index):
        buf = bytearray(struct.pack("=IIII", 16, 0, index, 0))
        fcntl.ioctl(self.fd, VFIO_DEVICE_GET_IRQ_INFO, buf)
        return struct.unpack("=IIII", buf)[3]

    def reset(self):
        fcntl.ioctl(self.fd, VFIO_DEVICE_RESET)

    def hot_reset(self):
        """Resets the slot or bus, whose devices are all ours."""
        proof = self.proof_of_ownership()
        fcntl.ioctl(self.fd, VFIO_DEVICE_PCI_HOT_RESET,
                    struct.pack(f"=III{len(proof)}i", 12 + 4 * len(proof), 0, len(proof), *proof))

    def proof_of_ownership(self):
        """What VFIO_DEVICE_PCI_HOT_RESET wants to see."""
        raise NotImplementedError

    def map_dma(self, mapping, iova):
        """Lets the device read and write a mapping of memory, for as long as the session."""
        raise NotImplementedError


class Session(Device):
    """A device opened by its group and a container."""

    modules = ("vfio_iommu_type1",)

    def __init__(self, bdf, noiommu=False):
        self.bdf = bdf
        group = os.path.basename(os.readlink(sysfs(bdf, "iommu_group")))
        self.container = os.open("/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC)
        self.group = os.open(f"/dev/vfio/{'noiommu-' * noiommu}{group}", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self.group, VFIO_GROUP_SET_CONTAINER,
                    struct.pack("i", self.container))
        fcntl.ioctl(self.container, VFIO_SET_IOMMU,
                    VFIO_NOIOMMU_IOMMU if noiommu else VFIO_TYPE1v2_IOMMU)
        # fcntl.ioctl() drops the return value of calls that take a pointer.
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.ioctl(self.group, VFIO_GROUP_GET_DEVICE_FD, bdf.encode())
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), bdf)

    def close(self):
        for fd in (self.fd, self.group, self.container):
            os.close(fd)

    def proof_of_ownership(self):
        return [self.group]

    def map_dma(self, mapping, iova):
        fcntl.ioctl(self.container, VFIO_IOMMU_MAP_DMA,
                    struct.pack("=IIQQQ", 32, 3, address(mapping), iova, len(mapping)))


class CdevSession(Device):
    """A device opened by its own character device, with iommufd."""

    modules = ("iommufd",)

    def __init__(self, bdf):
        self.bdf = bdf
        name = os.listdir(sysfs(bdf, "vfio-dev"))[0]
        self.iommufd = os.open("/dev/iommu", os.O_RDWR | os.O_CLOEXEC)
        self.fd = os.open(f"/dev/vfio/devices/{name}", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self.fd, VFIO_DEVICE_BIND_IOMMUFD,
                    bytearray(struct.pack("=IIiI", 16, 0, self.iommufd, 0)))
        ioas = bytearray(struct.pack("=III", 12, 0, 0))
        fcntl.ioctl(self.iommufd, IOMMU_IOAS_ALLOC, ioas)
        self.ioas = struct.unpack("=III", ioas)[2]
        fcntl.ioctl(self.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT,
                    bytearray(struct.pack("=III", 12, 0, self.ioas)))

    def close(self):
        os.close(self.fd)
        os.close(self.iommufd)

    def proof_of_ownership(self):
        return []  # that it is bound to the same iommufd

    def map_dma(self, mapping, iova):
        # FIXED_IOVA, WRITEABLE, READABLE
        fcntl.ioctl(self.iommufd, IOMMU_IOAS_MAP,
                    bytearray(struct.pack("=IIIIQQQ", 40, 7, self.ioas, 0, address(mapping),
                                          len(mapping), iova)))


def mmap_aligned(case, fd, offset, size, alignment):
    """As mmap.mmap(), at an address that pages of that size can have; returns the address.

    The mapping ends with the test.
    """
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    at = libc("mmap", 0, size + alignment, 0, anonymous, -1, 0)
    case.addCleanup(libc, "munmap", at, size + alignment)
    return libc("mmap", (at + alignment - 1) // alignment * alignment, size,
                mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | MAP_FIXED, fd, offset)


def pread_to(fd, where, count, offset):
    """As os.pread(), into memory that may not be there."""
    return libc("pread", fd, where, count, offset)


def address(mapping):
    """Where a mapping is in this process."""
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))
