/* SPDX-License-Identifier: GPL-2.0-or-later */
/* It asks the daemon's status files, for which nobody needs a privilege. */
#include <fcntl.h>
#include <getopt.h>

#include "status.h"
#include "table.h"
#include "verb.h"

static const char usage[] = "Usage: vfio-alias list [--no-headings]\n"
			    "\n"
			    "A table of the marked devices and their aliases.\n"
			    "\n"
			    "      --no-headings  without the line of column names\n"
			    "  -h, --help         show this\n";

static int list(bool headings)
{
	_cleanup_close_ int fd = -EBADF;
	struct status *statuses;
	size_t n;
	int r;

	fd = open(STATUS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		verb_say("the service is not running; systemctl start vfio-alias-shim");
		return VERB_FAILED;
	}
	r = fd < 0 ? -errno : status_read_all(fd, &statuses, &n);
	if (r < 0) {
		verb_say("%s: %s", STATUS_DIRECTORY, strerror(-r));
		return VERB_FAILED;
	}

	if (n == 0)
		verb_say("no marked devices");
	else
		r = table_print(stdout, statuses, n, headings);
	status_free_all(statuses, n);
	if (r < 0) {
		verb_say("cannot print: %s", strerror(-r));
		return VERB_FAILED;
	}
	return verb_end();
}

int verb_list(int argc, char *argv[])
{
	enum { OPTION_NO_HEADINGS = 0x100 };
	static const struct option options[] = {
		{ "no-headings", no_argument, NULL, OPTION_NO_HEADINGS },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	bool headings = true;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_NO_HEADINGS:
			headings = false;
			break;
		case 'h':
			fputs(usage, stdout);
			return verb_end();
		default:
			return VERB_USAGE;
		}
	}
	if (optind < argc)
		return verb_usage("list takes no arguments");
	return list(headings);
}
