/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * It asks the daemon's status files, for which nobody needs a privilege. What is left of a
 * daemon that was killed is told as that, with what the kernel has.
 */
#include <fcntl.h>
#include <getopt.h>

#include "json.h"
#include "status.h"
#include "sysfs.h"
#include "table.h"
#include "verb.h"

static const char usage[] =
	"Usage: vfio-alias list [--json | --no-headings]\n"
	"\n"
	"Lists the marked devices and their aliases, as vfio-alias-shim tells of them.\n"
	"\n"
	"      --json         all that is known, as JSON; see vfio-alias(1)\n"
	"      --no-headings  without the line of column names\n"
	"  -h, --help         show this\n";

struct list {
	enum status_service service;
	struct status *devices;
	size_t n;
};

static void list_clear(struct list *list)
{
	status_free_all(list->devices, list->n);
}

/* Reads what is there; what cannot be seen is told. Returns 0 or -errno. */
static int read_list(struct list *list)
{
	_cleanup_close_ int fd = -EBADF;
	size_t unread;
	int r;

	list->service = status_service();
	if (list->service == STATUS_SERVICE_UNKNOWN)
		verb_say("whether the service runs cannot be told: %s", strerror(errno));
	fd = open(STATUS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		list->service = STATUS_SERVICE_STOPPED;
		return 0;
	}
	r = fd < 0 ? -errno : status_read_all(fd, &list->devices, &list->n, &unread);
	if (r < 0) {
		verb_say("%s: %s", STATUS_DIRECTORY, strerror(-r));
		return r;
	}
	/* The directory may be there for a file of somebody else's. */
	if (list->service == STATUS_SERVICE_ENDED && list->n == 0)
		list->service = STATUS_SERVICE_STOPPED;
	if (unread > 0)
		verb_say("%zu files in %s cannot be read, and are left out", unread,
			 STATUS_DIRECTORY);
	return 0;
}

/* Tells what a daemon said of a device that does not vouch for it now. Returns 0 or -ENOMEM. */
static int disown(struct status *status, enum status_service service)
{
	_cleanup_close_ int fd = sysfs_open_device(status->bdf);
	_cleanup_free_ struct sysfs_alias *aliases = NULL;
	size_t n = 0;
	int r;

	r = fd < 0 ? fd : sysfs_read_aliases(fd, &aliases, &n);
	if (r < 0 && r != -ENOENT)
		verb_say("%s: what the kernel has cannot be read: %s", status->bdf, strerror(-r));
	return status_disown(status, service, aliases, n);
}

/* NULL is a lack of memory. */
static struct json_object *list_to_json(const struct list *list)
{
	_cleanup_json_ struct json_object *object = json_object_new_object();
	struct json_object *array = json_object_new_array();

	if (json_add_string(object, "service", status_service_name(list->service)) < 0) {
		json_object_put(array);
		return NULL;
	}
	if (json_add(object, "devices", array) < 0)
		return NULL;
	for (size_t i = 0; i < list->n; i++) {
		struct json_object *device;

		if (status_to_json(&list->devices[i], &device) < 0 ||
		    json_append(array, device) < 0)
			return NULL;
	}
	return TAKE_PTR(object);
}

static int print_table(const struct list *list, bool headings)
{
	int r;

	if (list->n == 0)
		return VERB_DONE;
	r = table_print(stdout, list->devices, list->n, headings);
	if (r < 0) {
		verb_say("cannot print: %s", strerror(-r));
		return VERB_FAILED;
	}
	return verb_end();
}

static int list(bool json, bool headings)
{
	_cleanup_(list_clear) struct list list = {};
	int r;

	r = read_list(&list);
	if (r < 0)
		return VERB_FAILED;
	switch (list.service) {
	case STATUS_SERVICE_STOPPED:
		verb_say("the service is not running; systemctl start vfio-alias-shim");
		break;
	case STATUS_SERVICE_ENDED:
		verb_say("the daemon has ended and left this behind; "
			 "systemctl start vfio-alias-shim");
		break;
	case STATUS_SERVICE_RUNNING:
		if (list.n == 0)
			verb_say("no marked devices");
		break;
	default: /* that is told */
		break;
	}
	for (size_t i = 0; list.service != STATUS_SERVICE_RUNNING && i < list.n; i++) {
		r = disown(&list.devices[i], list.service);
		if (r < 0) {
			verb_say("%s", strerror(-r));
			return VERB_FAILED;
		}
	}

	r = json ? verb_print_json(list_to_json(&list)) : print_table(&list, headings);
	return list.service == STATUS_SERVICE_RUNNING ? r : VERB_FAILED;
}

int verb_list(int argc, char *argv[])
{
	enum { OPTION_NO_HEADINGS = 0x100, OPTION_JSON };
	static const struct option options[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "no-headings", no_argument, NULL, OPTION_NO_HEADINGS },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	bool headings = true, json = false;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_JSON:
			json = true;
			break;
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
	return list(json, headings);
}
