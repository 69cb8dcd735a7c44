/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command. It asks the daemon's status files, for which nobody needs a privilege. */
#include <fcntl.h>
#include <getopt.h>

#include "status.h"
#include "table.h"

static const char usage[] = "Usage: vfio-alias list [--no-headings]\n"
			    "\n"
			    "Shows the aliases of PCI BARs that vfio-alias-shim keeps published.\n"
			    "\n"
			    "  list               a table of the marked devices and their aliases\n"
			    "\n"
			    "      --no-headings  without the line of column names\n"
			    "  -h, --help         show this\n"
			    "  -V, --version      show the version\n";

static int list(bool headings)
{
	_cleanup_close_ int fd = -EBADF;
	struct status *statuses;
	size_t n;
	int r;

	fd = open(STATUS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		fputs("vfio-alias: the service is not running; "
		      "systemctl start vfio-alias-shim\n",
		      stderr);
		return -ENOENT;
	}
	r = fd < 0 ? -errno : status_read_all(fd, &statuses, &n);
	if (r < 0) {
		fprintf(stderr, "vfio-alias: %s: %s\n", STATUS_DIRECTORY, strerror(-r));
		return r;
	}

	if (n == 0)
		fputs("vfio-alias: no marked devices\n", stderr);
	else
		r = table_print(stdout, statuses, n, headings);
	status_free_all(statuses, n);
	if (r == 0 && fflush(stdout) != 0)
		r = -errno;
	if (r < 0)
		fprintf(stderr, "vfio-alias: cannot print: %s\n", strerror(-r));
	return r;
}

int main(int argc, char *argv[])
{
	enum { OPTION_NO_HEADINGS = 0x100 };
	static const struct option options[] = {
		{ "no-headings", no_argument, NULL, OPTION_NO_HEADINGS },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{},
	};
	bool headings = true;
	int option;

	while ((option = getopt_long(argc, argv, "hV", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_NO_HEADINGS:
			headings = false;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("vfio-alias " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			return 2;
		}
	}
	if (argc - optind != 1 || !streq(argv[optind], "list")) {
		fputs(usage, stderr);
		return 2;
	}
	return list(headings) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
