/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PCI device's "resource" file. */
#include <inttypes.h>

#include "fuzz.h"
#include "pci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	_cleanup_free_ char *text = take_text(&input, '\0');
	struct pci_bar bars[PCI_BARS], untouched[PCI_BARS];
	const char *line = text;
	int r;

	memset(bars, 0xa5, sizeof(bars));
	memcpy(untouched, bars, sizeof(bars));
	r = pci_parse_resource(text, bars);
	if (r < 0) {
		check(r == -EBADMSG);
		check(memcmp(bars, untouched, sizeof(bars)) == 0);
		return 0;
	}
	for (size_t i = 0; i < PCI_BARS; i++) {
		uint64_t start, end, flags;

		/* By other means, which overflow silently and so agree only where nothing does. */
		check(sscanf(line, "0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64, &start, &end,
			     &flags) == 3);
		check((bars[i].kind == PCI_BAR_NONE) == !(flags & 0x300));
		check(bars[i].length == (flags & 0x300 ? end - start + 1 : 0));
		check(bars[i].kind == PCI_BAR_NONE || (end >= start && bars[i].length > 0));
		line = strchr(line, '\n') + 1;
	}
	return 0;
}
