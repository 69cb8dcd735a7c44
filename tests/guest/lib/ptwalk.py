# SPDX-License-Identifier: GPL-2.0-or-later
"""Ask the page table which memory type the CPU uses for an address (guest only)."""

import os

DEVICE = "/dev/vfio-alias-ptwalk"


def walk(addr, pid=None):
    """Return what maps the virtual address addr in the process pid (default: this one).

    {"present": False}, or a dict with present, level ("4K", "2M", "1G"), entry, pfn,
    pat_index and type ("WC", "UC-", "UC", "WB", "WT", "WP"). An address that was never
    touched is not present. ProcessLookupError if there is no such process.
    """
    fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(fd, b"%d %x" % (pid or os.getpid(), addr))
        line = os.pread(fd, 256, 0).decode()
    finally:
        os.close(fd)

    answer = dict(field.split("=", 1) for field in line.split())
    for name in answer.keys() - {"level", "type"}:
        answer[name] = int(answer[name], 0)
    answer["present"] = bool(answer["present"])
    return answer


if __name__ == "__main__":
    import sys

    print(walk(int(sys.argv[2], 16), int(sys.argv[1])))
