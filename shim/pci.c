/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pci.h"

#include <ctype.h>
#include <linux/pci_regs.h>

#include "util.h"

/* Resource flags, from include/linux/ioport.h: they are ABI by way of the "resource" file. */
#define IORESOURCE_IO 0x00000100
#define IORESOURCE_MEM 0x00000200
#define IORESOURCE_PREFETCH 0x00002000
#define IORESOURCE_UNSET 0x20000000

static bool hex_span(const char *text, size_t length)
{
	return strspn(text, "0123456789abcdef") == length;
}

bool pci_bdf_valid(const char *text)
{
	size_t domain = strcspn(text, ":");

	if (domain < 4 || domain > 8 || !hex_span(text, domain) || text[domain] != ':')
		return false;
	if (domain > 4 && text[0] == '0')
		return false;
	text += domain + 1;
	if (!hex_span(text, 2) || text[2] != ':')
		return false;
	text += 3;
	return hex_span(text, 2) && text[2] == '.' && text[3] >= '0' && text[3] <= '7' &&
	       text[4] == '\0';
}

int pci_parse_bdf(const char *text, char ret[static PCI_BDF_SIZE])
{
	char bdf[PCI_BDF_SIZE];
	int n;

	while (*text == '0' && strcspn(text, ":") > 4)
		text++;
	n = snprintf(bdf, sizeof(bdf), "%s%s", strcspn(text, ":") == 2 ? "0000:" : "", text);
	if (n >= (int)sizeof(bdf))
		return -EINVAL;
	for (char *p = bdf; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (!pci_bdf_valid(bdf))
		return -EINVAL;
	strcpy(ret, bdf);
	return 0;
}

/* One "0x..." field, up to @stop, which is stepped over. */
static int parse_field(const char **p, char stop, uint64_t *ret)
{
	const char *end = strchr(*p, stop);
	int r;

	if (!end || strncmp(*p, "0x", 2) != 0)
		return -EBADMSG;
	r = parse_u64(*p + 2, (size_t)(end - *p) - 2, 16, ret);
	if (r < 0)
		return -EBADMSG;
	*p = end + 1;
	return 0;
}

int pci_parse_resource(const char *text, struct pci_bar ret[static PCI_BARS])
{
	struct pci_bar bars[PCI_BARS] = {};

	for (size_t i = 0; i < PCI_BARS; i++) {
		uint64_t start, end, flags;

		if (parse_field(&text, ' ', &start) < 0 || parse_field(&text, ' ', &end) < 0 ||
		    parse_field(&text, '\n', &flags) < 0)
			return -EBADMSG;
		if (!(flags & (IORESOURCE_IO | IORESOURCE_MEM)))
			continue;
		if (end < start || end - start == UINT64_MAX)
			return -EBADMSG;

		bars[i].length = end - start + 1;
		bars[i].start = start;
		bars[i].prefetchable = flags & IORESOURCE_PREFETCH;
		if (flags & IORESOURCE_UNSET)
			bars[i].kind = PCI_BAR_UNASSIGNED;
		else if (flags & IORESOURCE_IO)
			bars[i].kind = PCI_BAR_IO;
		else
			bars[i].kind = PCI_BAR_MEMORY;
	}

	memcpy(ret, bars, sizeof(bars));
	return 0;
}

static uint32_t read_le(const uint8_t *p, size_t bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | p[bytes];
	return value;
}

int pci_find_msix(const uint8_t *config, size_t length, struct pci_msix *ret)
{
	size_t at;

	if (length < PCI_STD_HEADER_SIZEOF)
		return -ENODATA;
	if (!(read_le(config + PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return -ENOENT;

	/* As many steps as capabilities have room. */
	at = config[PCI_CAPABILITY_LIST] & ~3U;
	for (size_t i = 0; at != 0; i++) {
		uint32_t table;

		if (at < PCI_STD_HEADER_SIZEOF ||
		    i == (PCI_CONFIG_SIZE - PCI_STD_HEADER_SIZEOF) / PCI_CAP_SIZEOF)
			return -EBADMSG;
		if (at + PCI_CAP_SIZEOF > length)
			return -ENODATA;
		if (config[at + PCI_CAP_LIST_ID] != PCI_CAP_ID_MSIX) {
			at = config[at + PCI_CAP_LIST_NEXT] & ~3U;
			continue;
		}
		if (at + PCI_CAP_MSIX_SIZEOF > length)
			return length < PCI_CONFIG_SIZE ? -ENODATA : -EBADMSG;

		table = read_le(config + at + PCI_MSIX_TABLE, 4);
		if ((table & PCI_MSIX_TABLE_BIR) >= PCI_BARS)
			return -EBADMSG;
		ret->bar = table & PCI_MSIX_TABLE_BIR;
		ret->offset = table & PCI_MSIX_TABLE_OFFSET;
		ret->size =
			((read_le(config + at + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1) *
			PCI_MSIX_ENTRY_SIZE;
		return 0;
	}
	return -ENOENT;
}

void pci_msix_pages(const struct pci_msix *msix, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t page = page_size();

	*ret_start = msix->offset & ~(page - 1);
	*ret_end = (msix->offset + msix->size + page - 1) & ~(page - 1);
}
