# SPDX-License-Identifier: GPL-2.0-or-later
"""A VFIO session by group and container, for tests of the kernel without the daemon.

The numbers are those of <linux/vfio.h> and <linux/vfio_alias.h>.
"""

import ctypes
import fcntl
import mmap
import os
import struct

UC, WC = 1, 2
SYSFS, SHARED = 1, 2
CREATE, REMOVE = 1, 2

PAGE = mmap.PAGESIZE

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
VFIO_DEVICE_RESET = _io(11)
VFIO_DEVICE_IOEVENTFD = _io(16)
VFIO_DEVICE_FEATURE = _io(17)

VFIO_TYPE1v2_IOMMU = 3

FEATURE_ALIAS_REGION = 0xA11A
CAP_ALIAS = 0xA11A
FEATURE_GET, FEATURE_SET, FEATURE_PROBE = 1 << 16, 1 << 17, 1 << 18

CONFIG_REGION = 7

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


class Session:
    """An open VFIO device."""

    def __init__(self, bdf):
        self.bdf = bdf
        group = os.path.basename(os.readlink(sysfs(bdf, "iommu_group")))
        self.container = os.open("/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC)
        self.group = os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self.group, VFIO_GROUP_SET_CONTAINER,
                    struct.pack("i", self.container))
        fcntl.ioctl(self.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)
        # fcntl.ioctl() drops the return value of calls that take a pointer.
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.ioctl(self.group, VFIO_GROUP_GET_DEVICE_FD, bdf.encode())
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), bdf)

    def close(self):
        for fd in (self.fd, self.group, self.container):
            os.close(fd)

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

    def memory_enable(self, on):
        """Sets the memory bit of the PCI command register, through VFIO."""
        command = struct.unpack("<H", self.pread(CONFIG_REGION, 4, 2))[0]
        command = command | 2 if on else command & ~2
        self.pwrite(CONFIG_REGION, 4, struct.pack("<H", command))

    def reset(self):
        fcntl.ioctl(self.fd, VFIO_DEVICE_RESET)


def address(mapping):
    """Where a mapping is in this process."""
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))
