# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/demo shows, in the guest: stock, and then ours."""

import mmap
import os
import subprocess
import sys

from guest import EDU, IVSHMEM
from ptwalk import walk
import vfio
from vfio import Session, address, sysfs

RULES = "/etc/udev/rules.d/80-demo.rules"
CLIENT = "/usr/lib/vfio-alias-shim/tests/pciaccess_wc"


def title(text):
    print(f"\n== {text}", flush=True)


def command(*words):
    print(f"# {' '.join(words)}", flush=True)
    subprocess.run(words, check=True)


def page_table(what, at, pid=None):
    entry = walk(at, pid)
    print(f"  page table, {what}: {entry['level']} page, entry {entry['entry']:#x}, "
          f"PAT {entry['pat_index']} -> {entry['type']}", flush=True)
    return entry["type"]


def vfio_itself():
    """What VFIO's own mapping and the stock file give, while a session is open."""
    subprocess.run(["modprobe", "-a", "vfio-pci", "vfio_iommu_type1"], check=True)
    vfio.bind(IVSHMEM)
    with Session(IVSHMEM) as session:
        own = session.mmap(2 << 40, 16 << 20)
        own[0] = 1
        kind = page_table("VFIO's own mapping", address(own))
        own.close()
        fd = os.open(sysfs(IVSHMEM, "resource2_wc"), os.O_RDWR)
        try:
            mmap.mmap(fd, 4096)
            print("  the stock resource2_wc can be mapped")
        except OSError as e:
            print(f"  mmap of the stock resource2_wc: {e.strerror}")
        os.close(fd)
    vfio.unbind(IVSHMEM)
    return kind


def main():
    title("The devices")
    for bdf in (IVSHMEM, EDU):
        command("lspci", "-s", bdf)
    print(f"  {EDU} has no resource0_wc: "
          f"{not os.path.exists(sysfs(EDU, 'resource0_wc'))} (BAR 0 is not prefetchable)")

    title("Without: bound to vfio-pci")
    stock = vfio_itself()

    title("The rule")
    with open(RULES, "w", encoding="ascii") as f:
        f.write('ACTION!="remove", SUBSYSTEM=="pci", ATTR{device}=="0x1110", '
                'ENV{VFIO_ALIAS}="2:wc"\n'
                'ACTION!="remove", SUBSYSTEM=="pci", ATTR{device}=="0x11e8", '
                'ENV{VFIO_ALIAS}="0:uc@0+64K 0:wc@64K+960K"\n')
    command("cat", RULES)

    title("The service")
    command("systemctl", "start", "vfio-alias-shim")
    command("vfio-alias", "list")
    command("ls", "-l", sysfs(IVSHMEM, "resource2_wc"), sysfs(EDU, "resource0_wc"))

    title("With: a program that knows only libpciaccess")
    print(f"# {os.path.basename(CLIENT)} {IVSHMEM} 2", flush=True)
    with subprocess.Popen([CLIENT, IVSHMEM, "2"], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        at, size = client.stdout.readline().split()
        print(f"  mapped {int(size) >> 20} MiB at {at}, wrote 4 KiB and read the same back")
        ours = page_table("the program's mapping", int(at, 16), client.pid)
        client.stdin.close()

    title("Back")
    command("systemctl", "stop", "vfio-alias-shim")
    command("ls", "-l", sysfs(IVSHMEM, "resource2_wc"))

    print(f"\n{IVSHMEM} under VFIO: without {stock}, with {ours}")
    return ours != "WC" or stock == "WC"


if __name__ == "__main__":
    sys.exit(main())
