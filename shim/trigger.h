/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has udev apply rules that were changed, to some devices. */
#ifndef SHIM_TRIGGER_H
#define SHIM_TRIGGER_H

#include "udev.h"

/*
 * Has udev read its rules anew, by udevadm(8), since libudev cannot.
 * Returns 0, -errno, or -EIO if udevadm failed, which has told why.
 */
int trigger_reload_rules(void);

/*
 * Has udev look at devices anew, and waits until it has. Devices that have gone are left out.
 * @handler: called for the event of each, with the mark that it has now
 * Returns 0, -ETIME if udev does not answer, -EIO if it has not come to the end of its rules for
 * one of them, of which the handler is not called, or -errno.
 */
int trigger_devices(char (*bdfs)[PCI_BDF_SIZE], size_t n, udev_handler handler, void *userdata);

#endif
