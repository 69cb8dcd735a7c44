/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of PCI that the other files share: a device's address and its BARs. */
#ifndef SHIM_PCI_H
#define SHIM_PCI_H

#include <stdbool.h>
#include <stddef.h>
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
	uint64_t start;	 /* physical address, if the kernel tells it */
	bool prefetchable;
};

/* The table of a device's MSI-X vectors. */
struct pci_msix {
	unsigned int bar;
	uint64_t offset; /* bytes from the BAR's start */
	uint64_t size;	 /* bytes */
};

/*
 * Whether @text is a device's address as the kernel writes it ("%04x:%02x:%02x.%d" in
 * pci_setup_device()): lower-case digits, a domain of 4 to 8 of them, of which more than 4 begin
 * with no 0. Such a text is safe as one component of a path.
 */
bool pci_bdf_valid(const char *text);

/*
 * Reads an address as people write it: perhaps without the domain, which is 0 then, as lspci
 * does, with more zeroes before the domain than the kernel writes, or with digits in capitals.
 * @ret: as the kernel writes it
 * Returns 0 or -EINVAL.
 */
int pci_parse_bdf(const char *text, char ret[static PCI_BDF_SIZE]);

/*
 * Reads the "resource" file of a PCI device: a line "START END FLAGS" for each resource, of
 * which the first PCI_BARS are the BARs (Documentation/ABI/testing/sysfs-bus-pci).
 * Returns 0, or -EBADMSG if it is not that.
 */
int pci_parse_resource(const char *text, struct pci_bar ret[static PCI_BARS]);

#define PCI_CONFIG_SIZE ((size_t)256)

/*
 * Finds the MSI-X table in the configuration space (PCI Local Bus Specification 3.0, 6.8.2).
 * @length: of @config; the kernel shows the first 64 bytes to everybody, and more to root
 * Returns 0, -ENOENT if the device has no such table, -ENODATA if what says so is not in
 * @config, -EBADMSG for a list of capabilities without sense.
 */
int pci_find_msix(const uint8_t *config, size_t length, struct pci_msix *ret);

/* The pages of the MSI-X table, of which no alias is possible: bytes from the BAR's start. */
void pci_msix_pages(const struct pci_msix *msix, uint64_t *ret_start, uint64_t *ret_end);

#endif
