/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <getopt.h>

#include "manager.h"
#include "util.h"

static const char usage[] =
	"Usage: vfio-alias-shim\n"
	"\n"
	"Keeps aliases of PCI BARs published for the devices that udev rules mark with\n"
	"VFIO_ALIAS. A service of systemd; see vfio-alias-shim(8).\n"
	"\n"
	"  -h, --help     show this\n"
	"  -V, --version  show the version\n";

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{},
	};
	int option;

	while ((option = getopt_long(argc, argv, "hV", options, NULL)) >= 0) {
		switch (option) {
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("vfio-alias-shim " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			return 2;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	return manager_run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
