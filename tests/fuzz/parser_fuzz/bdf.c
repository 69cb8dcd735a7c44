/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device's address, as the kernel and as people write it, and what a rule can be for. */
#include <ctype.h>

#include "fuzz.h"
#include "pci.h"
#include "rule.h"

/* Whether @text is what the kernel writes of some device. */
static bool is_kernels(const char *text)
{
	unsigned int domain, bus, device, function;
	char written[64];

	if (sscanf(text, "%8x:%2x:%2x.%1u", &domain, &bus, &device, &function) != 4)
		return false;
	snprintf(written, sizeof(written), "%04x:%02x:%02x.%u", domain, bus, device, function);
	return streq(written, text) && function <= 7;
}

static void check_written_by_people(const char *text)
{
	char bdf[PCI_BDF_SIZE] = "untouched";
	_cleanup_free_ char *full = NULL;

	check(asprintf(&full, "%s%s", strcspn(text, ":") == 2 ? "0000:" : "", text) >= 0);
	for (char *p = full; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (pci_parse_bdf(text, bdf) < 0) {
		check(streq(bdf, "untouched"));
		check(!is_kernels(full));
		return;
	}
	check(is_kernels(bdf));
	/* It is what was written, but for zeroes. */
	check(strlen(bdf) <= strlen(full));
	check(streq(full + strlen(full) - strlen(bdf), bdf));
	check(strspn(full, "0") >= strlen(full) - strlen(bdf));
}

static void check_target(const char *text)
{
	struct rule_target target = { .vendor = 42 }, again;
	char written[RULE_TARGET_SIZE], name[RULE_NAME_SIZE], rest;
	unsigned int vendor, device;

	if (rule_parse_target(text, &target) < 0) {
		check(target.vendor == 42 && !*target.bdf);
		return;
	}
	if (target.by_ids) {
		check(sscanf(text, "%4x:%4x%c", &vendor, &device, &rest) == 2);
		check(vendor == target.vendor && device == target.device);
	} else {
		check(is_kernels(target.bdf));
	}
	rule_format_target(written, &target);
	check(rule_parse_target(written, &again) == 0 && again.by_ids == target.by_ids);
	check(again.vendor == target.vendor && again.device == target.device);
	check(streq(again.bdf, target.bdf));

	rule_name(name, &target);
	check(strlen(name) < sizeof(name) && !strchr(name, '/'));
	check(streq(name + strlen(name) - strlen(".rules"), ".rules"));
	check(strstr(name, written));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	_cleanup_free_ char *text = take_text(&input, '\0');

	check(pci_bdf_valid(text) == is_kernels(text));
	if (pci_bdf_valid(text))
		check(strlen(text) < PCI_BDF_SIZE && !strchr(text, '/'));
	check_written_by_people(text);
	check_target(text);
	return 0;
}
