/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "mark" and "unmark": a rules file, and udev made to apply it. */
#include <getopt.h>

#include "mark.h"
#include "rule.h"
#include "status.h"
#include "sysfs.h"
#include "trigger.h"
#include "verb.h"

static const char mark_usage[] =
	"Usage: vfio-alias mark BDF|VENDOR:DEVICE ITEM... [OPTION]...\n"
	"\n"
	"Marks a device, or all of a kind, for aliases of its BARs, by a rules file of udev. An ITEM\n"
	"is BAR:wc or BAR:uc, perhaps with @OFFSET+LENGTH and ,shared; see vfio-alias-shim.rules(5).\n"
	"A mark that was made so before is replaced.\n"
	"\n"
	"      --bind auto|force|never  whether the service may bind the device to vfio-pci: if no\n"
	"                               driver has it, whoever has it, or never\n"
	"      --owner USER, --group GROUP, --mode MODE\n"
	"                               of the files\n"
	"      --noiommu                accept a device without an IOMMU\n"
	"      --runtime                until the next boot\n"
	"      --dry-run                print the file's name and the rule, and do nothing\n"
	"  -h, --help                   show this\n";

static const char unmark_usage[] = "Usage: vfio-alias unmark BDF|VENDOR:DEVICE [OPTION]...\n"
				   "\n"
				   "Removes the rules file that \"vfio-alias mark\" has made.\n"
				   "\n"
				   "      --runtime  the one that is until the next boot\n"
				   "      --dry-run  print the file's name, and do nothing\n"
				   "  -h, --help     show this\n";

/* What is to be done. */
struct order {
	bool unmark, runtime, dry_run;
	struct rule_target target;
	struct mark_text mark; /* owns MARK_ALIAS alone */
	bool overruled;	       /* another rule has the last word */
};

/* The devices that are there and concerned. */
struct devices {
	char (*bdfs)[PCI_BDF_SIZE];
	size_t n;
};

static void order_clear(struct order *order)
{
	free(order->mark.value[MARK_ALIAS]);
}

static void devices_clear(struct devices *devices)
{
	free(devices->bdfs);
}

static int failed(int r, const char *what)
{
	if (r == -EACCES || r == -EPERM)
		verb_say("%s: %s; it takes root", what, strerror(-r));
	else
		verb_say("%s: %s", what, strerror(-r));
	return VERB_FAILED;
}

static bool is_concerned(const struct rule_target *target, const char *bdf)
{
	_cleanup_close_ int fd = -EBADF;
	uint16_t vendor, device;

	if (!target->by_ids)
		return streq(target->bdf, bdf);
	fd = sysfs_open_device(bdf);
	return fd >= 0 && sysfs_read_ids(fd, &vendor, &device) == 0 && vendor == target->vendor &&
	       device == target->device;
}

static int find_devices(const struct rule_target *target, struct devices *devices)
{
	size_t n;
	int r;

	r = sysfs_list_devices(&devices->bdfs, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (is_concerned(target, devices->bdfs[i]))
			memmove(devices->bdfs[devices->n++], devices->bdfs[i], PCI_BDF_SIZE);
	return 0;
}

/* Reads the mark as the daemon will, for device @bdf or, if that is NULL, for none. */
static int check_mark(const struct mark_text *text, const char *bdf)
{
	_cleanup_mark_ struct mark *mark = NULL;
	_cleanup_free_ char *message = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct pci_bar bars[PCI_BARS];
	struct pci_msix msix;
	int r;

	r = mark_parse(text, &mark, &message);
	if (r == -EINVAL) {
		verb_say("%s", message);
		return VERB_USAGE;
	}
	if (r < 0)
		return failed(r, "the mark cannot be checked");
	if (!bdf)
		return VERB_DONE;

	fd = sysfs_open_device(bdf);
	r = fd < 0 ? fd : sysfs_read_bars(fd, bars);
	if (r < 0)
		return failed(r, bdf);
	r = mark_check(mark, bars, &message);
	/* Who may not see the table may not write a rule either. */
	if (r == 0 && sysfs_find_msix(fd, &msix) == 0 && mark_find_msix(mark, &msix, &message))
		r = message ? -EINVAL : -ENOMEM;
	if (r == -EINVAL) {
		verb_say("%s: %s", bdf, message);
		return VERB_FAILED;
	}
	return r < 0 ? failed(r, bdf) : VERB_DONE;
}

/* What udev has made of the mark of a device. */
static void on_marked(const struct udev_event *event, void *userdata)
{
	struct order *order = userdata;
	_cleanup_free_ char *shown = NULL;
	const char *value;
	size_t i = 0;

	while (i < MARK_PROPERTIES && streq(event->mark.value[i], order->mark.value[i]))
		i++;
	if (i == MARK_PROPERTIES) {
		printf("%s: marked\n", event->bdf);
		return;
	}
	order->overruled = true;
	value = event->mark.value[i] ?: "";
	shown = printable(value, strlen(value));
	verb_say("%s: another rule changes the mark: %s is \"%s\"; "
		 "grep -r VFIO_ALIAS " RULE_DIRECTORY " " RULE_RUNTIME_DIRECTORY
		 " /usr/lib/udev/rules.d",
		 event->bdf, mark_property_names[i], shown ?: "");
}

static void on_unmarked(const struct udev_event *event, void *userdata)
{
	const char *value = event->mark.value[MARK_ALIAS];
	_cleanup_free_ char *shown = printable(value ?: "", strlen(value ?: ""));

	(void)userdata;
	if (!value || !*value)
		printf("%s: not marked any more\n", event->bdf);
	else
		printf("%s: still marked, by another rule: VFIO_ALIAS is \"%s\"; "
		       "grep -r VFIO_ALIAS " RULE_DIRECTORY " " RULE_RUNTIME_DIRECTORY
		       " /usr/lib/udev/rules.d\n",
		       event->bdf, shown ?: "");
}

/* Has udev apply the rules as they are now. */
static int apply(struct order *order, const struct devices *devices)
{
	int r;

	r = trigger_reload_rules();
	if (r < 0) {
		verb_say("the rules have changed, but udev has not read them: "
			 "udevadm control --reload: %s",
			 strerror(-r));
		return VERB_FAILED;
	}
	if (devices->n == 0) {
		char name[RULE_TARGET_SIZE];

		printf("%s: no such device is there now\n",
		       rule_format_target(name, &order->target));
		return verb_end();
	}
	r = trigger_devices(devices->bdfs, devices->n, order->unmark ? on_unmarked : on_marked,
			    order);
	if (r == -EIO) {
		verb_say("udev has not come to the end of its rules; journalctl -u systemd-udevd");
		return VERB_FAILED;
	}
	if (r == -ETIME) {
		verb_say("udev does not answer; systemctl status systemd-udevd");
		return VERB_FAILED;
	}
	if (r < 0)
		return failed(r, "udev cannot be told of the devices");
	r = verb_end();
	return order->overruled ? VERB_FAILED : r;
}

static int mark(struct order *order, const char *directory, const char *name)
{
	_cleanup_(devices_clear) struct devices devices = {};
	_cleanup_free_ char *text = NULL, *message = NULL, *hiding = NULL;
	enum status_service service;
	int r;

	r = check_mark(&order->mark, NULL);
	if (r != VERB_DONE)
		return r;
	r = rule_format(&order->target, &order->mark, &text, &message);
	if (r == -EINVAL) {
		verb_say("%s", message);
		return VERB_USAGE;
	}
	if (r == 0)
		r = find_devices(&order->target, &devices);
	if (r < 0)
		return failed(r, "the devices cannot be found");
	for (size_t i = 0; i < devices.n; i++) {
		r = check_mark(&order->mark, devices.bdfs[i]);
		if (r != VERB_DONE)
			return r;
	}

	/* Of files of one name udev reads that in /etc. */
	if (asprintf(&hiding, RULE_DIRECTORY "/%s", name) < 0) {
		hiding = NULL;
		return failed(-ENOMEM, name);
	}
	if (order->runtime && access(hiding, F_OK) == 0) {
		verb_say("%s comes before what --runtime would write; unmark that first", hiding);
		return VERB_FAILED;
	}

	if (order->dry_run) {
		printf("%s/%s:\n%s", directory, name, text);
		return verb_end();
	}
	r = rule_write(directory, name, text);
	if (r < 0)
		return failed(r, directory);
	r = apply(order, &devices);
	service = status_service();
	if (r == VERB_DONE &&
	    (service == STATUS_SERVICE_ENDED || service == STATUS_SERVICE_STOPPED))
		verb_say("the service is not running; systemctl start vfio-alias-shim");
	return r;
}

static int unmark(struct order *order, const char *directory, const char *name)
{
	const char *other = order->runtime ? RULE_DIRECTORY : RULE_RUNTIME_DIRECTORY;
	_cleanup_(devices_clear) struct devices devices = {};
	_cleanup_free_ char *path = NULL, *other_path = NULL;
	int r;

	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
		return failed(-ENOMEM, name);
	}
	if (asprintf(&other_path, "%s/%s", other, name) < 0) {
		other_path = NULL;
		return failed(-ENOMEM, name);
	}

	r = access(path, F_OK) < 0 ? -errno : 0;
	if (r == -ENOENT && access(other_path, F_OK) == 0) {
		verb_say("%s is not there, but %s; unmark that %s --runtime", path, other_path,
			 order->runtime ? "without" : "with");
		return VERB_FAILED;
	}
	if (r < 0)
		return failed(r, path);
	if (order->dry_run) {
		printf("%s would be removed\n", path);
		return verb_end();
	}
	r = find_devices(&order->target, &devices);
	if (r < 0)
		return failed(r, "the devices cannot be found");
	r = rule_remove(directory, name);
	if (r < 0)
		return failed(r, path);
	return apply(order, &devices);
}

/* The items as one value. */
static int join_items(char *const items[], size_t n, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 1;

	for (size_t i = 0; i < n; i++)
		size += strlen(items[i]) + 1;
	text = calloc(1, size);
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strcat(text, " ");
		strcat(text, items[i]);
	}
	*ret = TAKE_PTR(text);
	return 0;
}

/* The arguments that are left behind the options. */
static int read_arguments(struct order *order, int n, char *const arguments[])
{
	_cleanup_free_ char *shown = NULL;
	const char *verb = order->unmark ? "unmark" : "mark";

	if (n == 0)
		return verb_usage("%s wants a device, BDF or VENDOR:DEVICE", verb);
	if (order->unmark && n > 1)
		return verb_usage("unmark takes one device");
	if (!order->unmark && n == 1)
		return verb_usage("mark wants items, such as 2:wc");
	if (rule_parse_target(arguments[0], &order->target) < 0) {
		shown = printable(arguments[0], strlen(arguments[0]));
		return verb_usage("\"%s\" is neither the address of a PCI device, such as "
				  "0000:65:00.0, nor ids, such as 1d0f:f010",
				  shown ?: "");
	}
	if (!order->unmark &&
	    join_items(arguments + 1, (size_t)n - 1, &order->mark.value[MARK_ALIAS]) < 0)
		return failed(-ENOMEM, "the items");
	return VERB_DONE;
}

static int obey(struct order *order)
{
	const char *directory = order->runtime ? RULE_RUNTIME_DIRECTORY : RULE_DIRECTORY;
	char name[RULE_NAME_SIZE];

	rule_name(name, &order->target);
	return order->unmark ? unmark(order, directory, name) : mark(order, directory, name);
}

int verb_mark(int argc, char *argv[])
{
	enum { OPTION_PROPERTY = 0x100, OPTION_RUNTIME = 0x200, OPTION_DRY_RUN };
	static const struct option options[] = {
		{ "bind", required_argument, NULL, OPTION_PROPERTY + MARK_BIND },
		{ "owner", required_argument, NULL, OPTION_PROPERTY + MARK_OWNER },
		{ "group", required_argument, NULL, OPTION_PROPERTY + MARK_GROUP },
		{ "mode", required_argument, NULL, OPTION_PROPERTY + MARK_MODE },
		{ "noiommu", no_argument, NULL, OPTION_PROPERTY + MARK_NOIOMMU },
		{ "runtime", no_argument, NULL, OPTION_RUNTIME },
		{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	_cleanup_(order_clear) struct order order = {};
	static char yes[] = "1";
	int option, r;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_PROPERTY ... OPTION_PROPERTY + MARK_PROPERTIES - 1:
			order.mark.value[option - OPTION_PROPERTY] = optarg ?: yes;
			break;
		case OPTION_RUNTIME:
			order.runtime = true;
			break;
		case OPTION_DRY_RUN:
			order.dry_run = true;
			break;
		case 'h':
			fputs(mark_usage, stdout);
			return verb_end();
		default:
			return VERB_USAGE;
		}
	}
	r = read_arguments(&order, argc - optind, argv + optind);
	return r == VERB_DONE ? obey(&order) : r;
}

int verb_unmark(int argc, char *argv[])
{
	enum { OPTION_RUNTIME = 0x100, OPTION_DRY_RUN };
	static const struct option options[] = {
		{ "runtime", no_argument, NULL, OPTION_RUNTIME },
		{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	_cleanup_(order_clear) struct order order = { .unmark = true };
	int option, r;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_RUNTIME:
			order.runtime = true;
			break;
		case OPTION_DRY_RUN:
			order.dry_run = true;
			break;
		case 'h':
			fputs(unmark_usage, stdout);
			return verb_end();
		default:
			return VERB_USAGE;
		}
	}
	r = read_arguments(&order, argc - optind, argv + optind);
	return r == VERB_DONE ? obey(&order) : r;
}
