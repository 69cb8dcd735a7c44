/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device's address. */
#include "fuzz.h"
#include "pci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	_cleanup_free_ char *text = take_text(&input, '\0');
	unsigned int domain, bus, device, function;
	char written[64] = "";

	if (sscanf(text, "%8x:%2x:%2x.%1u", &domain, &bus, &device, &function) == 4)
		snprintf(written, sizeof(written), "%04x:%02x:%02x.%u", domain, bus, device,
			 function);
	if (pci_bdf_valid(text)) {
		check(strlen(text) < PCI_BDF_SIZE);
		check(!strchr(text, '/'));
		/* A domain may have more zeroes than the kernel writes. */
		check(streq(written, text) || (text[0] == '0' && strlen(text) > strlen(written)));
	} else {
		/* The kernel writes none that is refused. */
		check(!*written || !streq(written, text) || function > 7);
	}
	return 0;
}
