/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that knows only libpciaccess: maps a BAR write-combining, fills its
 * first bytes, reads them back, and keeps the mapping until its input ends.
 *
 *	pciaccess_wc DOMAIN:BUS:DEVICE.FUNCTION BAR
 *
 * Prints "ADDRESS LENGTH" when it has mapped and checked.
 */
#include <errno.h>
#include <pciaccess.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, int r)
{
	fprintf(stderr, "pciaccess_wc: %s: %s\n", what, strerror(r));
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	unsigned int domain, bus, dev, func, bar;
	struct pci_device *device;
	volatile uint32_t *words;
	struct pci_mem_region *region;
	void *memory;
	int r;

	if (argc != 3 || sscanf(argv[1], "%x:%x:%x.%x", &domain, &bus, &dev, &func) != 4 ||
	    sscanf(argv[2], "%u", &bar) != 1 || bar > 5) {
		fprintf(stderr, "usage: pciaccess_wc DOMAIN:BUS:DEVICE.FUNCTION BAR\n");
		return 2;
	}

	r = pci_system_init();
	if (r)
		return fail("pci_system_init", r);
	device = pci_device_find_by_slot(domain, bus, dev, func);
	if (!device)
		return fail(argv[1], ENODEV);
	r = pci_device_probe(device);
	if (r)
		return fail("pci_device_probe", r);

	region = &device->regions[bar];
	r = pci_device_map_range(device, region->base_addr, region->size,
				 PCI_DEV_MAP_FLAG_WRITABLE | PCI_DEV_MAP_FLAG_WRITE_COMBINE,
				 &memory);
	if (r)
		return fail("pci_device_map_range", r);

	words = memory;
	for (uint32_t i = 0; i < 1024; i++)
		words[i] = i * 0x9e3779b9;
	for (uint32_t i = 0; i < 1024; i++)
		if (words[i] != i * 0x9e3779b9)
			return fail("what was written is not what is read", EIO);

	printf("%p %llu\n", memory, (unsigned long long)region->size);
	fflush(stdout);
	while (getchar() != EOF)
		;

	pci_device_unmap_range(device, memory, region->size);
	pci_system_cleanup();
	return EXIT_SUCCESS;
}
