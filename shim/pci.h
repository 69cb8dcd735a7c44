/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of PCI that the other files share: a device's address and its BARs. */
#ifndef SHIM_PCI_H
#define SHIM_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_BARS 6

/* "DOMAIN:BUS:DEVICE.FUNCTION", with up to 8 digits of domain, and its NUL */
#define PCI_BDF_SIZE sizeof("00000000:00:00.0")

enum pci_bar_kind {
	PCI_BAR_NONE, /* not implemented, or the upper half of a 64-bit one */
	PCI_BAR_IO,
	PCI_BAR_MEMORY,
	PCI_BAR_UNASSIGNED, /* the kernel found no address for it */
};

struct pci_bar {
	enum pci_bar_kind kind;
	uint64_t length; /* bytes */
};

/*
 * Whether @text is a device's address as the kernel writes it ("%04x:%02x:%02x.%d" in
 * pci_setup_device()): lower-case digits, a domain of 4 to 8 of them. Such a text is safe as
 * one component of a path.
 */
bool pci_bdf_valid(const char *text);

/*
 * Reads the "resource" file of a PCI device: a line "START END FLAGS" for each resource, of
 * which the first PCI_BARS are the BARs (Documentation/ABI/testing/sysfs-bus-pci).
 * Returns 0, or -EBADMSG if it is not that.
 */
int pci_parse_resource(const char *text, struct pci_bar ret[static PCI_BARS]);

#endif
