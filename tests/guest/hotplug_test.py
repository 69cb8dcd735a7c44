# SPDX-License-Identifier: GPL-2.0-or-later
# kernel: stock debug
# vm: --qmp-in-guest --device pcie-root-port,id=rp,chassis=1,addr=0x16 --device nvme,bus=rp,id=card,serial=card,cmb_size_mb=16
"""A device that QEMU is told to take away, as an administrator would."""

import os

from case import Views, each_way, word
from guest import SIGBUS, Eventfd, Uevents, main, map_file, outcome
import qmp
import vfio
from vfio import REQ, SYSFS, WC, sysfs

CARD = "0000:01:00.0"  # BAR 2: 16 MiB of RAM
MIB = 1 << 20


class Holder:
    """Has the session, and lets go of it when it is asked to or dies."""

    def __init__(self, way):
        self.session = way(CARD)
        self.session.create(2, WC, flags=SYSFS)
        self.requested = os.eventfd(0)
        self.session.interrupts(REQ, [self.requested])

    def close_on_request(self):
        os.eventfd_read(self.requested)
        self.session.close()


class Mapper:
    def __init__(self):
        self.mapping = map_file(sysfs(CARD, "resource2_wc"), 16 * MIB)

    def touch(self):
        return outcome(lambda: word(self.mapping, MIB))


@each_way
class DeviceDel:
    devices = ()

    def setUp(self):
        super().setUp()
        self.qmp = qmp.Qmp()
        self.addCleanup(self.qmp.close)
        self.uevents = Uevents()
        self.addCleanup(self.uevents.close)
        if not os.path.exists(sysfs(CARD)):
            self.qmp.device_add("nvme", "card", bus="rp", serial="card", cmb_size_mb=16)
            self.uevents.until(lambda: os.path.exists(sysfs(CARD, "driver")), "the card")
        vfio.bind(CARD)

    def wait_gone(self):
        self.qmp.wait_deleted("card")
        self.uevents.until(lambda: not os.path.exists(sysfs(CARD)), "the end of the card")

    def test_takes_the_device_once_the_session_lets_go(self):
        holder, mapper = self.actor(Holder, self.way), self.actor(Mapper)
        self.assertEqual(mapper.touch(), 0)
        self.qmp.device_del("card")
        holder.close_on_request()
        self.wait_gone()
        self.assertEqual(mapper.touch(), SIGBUS)
        holder.exit()
        mapper.exit()

    def test_takes_the_device_when_the_holder_is_killed(self):
        holder, mapper = self.actor(Holder, self.way), self.actor(Mapper)
        self.qmp.device_del("card")
        self.assertEqual(mapper.touch(), 0)
        holder.kill()
        self.wait_gone()
        self.assertEqual(mapper.touch(), SIGBUS)
        mapper.kill()

    def test_takes_it_from_under_a_dead_mapping_and_the_next_device_works(self):
        holder, mapper = self.actor(Holder, self.way), self.actor(Mapper)
        holder.exit()
        self.qmp.device_del("card")
        self.wait_gone()
        self.qmp.device_add("nvme", "card", bus="rp", serial="card", cmb_size_mb=16)
        self.uevents.until(lambda: os.path.exists(sysfs(CARD, "driver")), "the card")
        vfio.bind(CARD)
        views = Views(self, self.session(CARD), 2, 4 * MIB, 4 * MIB)
        views.assert_alive("on the next device")
        self.assertEqual(mapper.touch(), SIGBUS)
        mapper.exit()


if __name__ == "__main__":
    main()
