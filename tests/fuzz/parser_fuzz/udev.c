/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What udev tells of devices: a libudev that tells what the input says. An input is devices, each
 * an action, a name, SYNTH_UUID ("failed": udevd's worker has) and the properties of a mark, with
 * NULs behind them; "-" is one that is not set. The first is what the database has of a device; the
 * others come as events.
 */
#include "udev.h"

#include <libudev.h>

#include "fuzz.h"

#define BDF "0000:00:10.0"

struct udev_device {
	char *action;
	char *name;
	char *uuid;
	char *values[MARK_PROPERTIES];
};

static struct input events;
static struct udev_device *now; /* the last that was handed out */
static struct mark_text known;	/* as a device of the daemon has it */

/* ---- libudev ---- */

/* Never looked into */
static char object;

struct udev *udev_new(void)
{
	return (struct udev *)&object;
}

struct udev *udev_unref(struct udev *udev)
{
	(void)udev;
	return NULL;
}

struct udev_monitor *udev_monitor_new_from_netlink(struct udev *udev, const char *name)
{
	(void)udev;
	(void)name;
	return (struct udev_monitor *)&object;
}

struct udev_monitor *udev_monitor_unref(struct udev_monitor *monitor)
{
	(void)monitor;
	return NULL;
}

int udev_monitor_filter_add_match_subsystem_devtype(struct udev_monitor *monitor,
						    const char *subsystem, const char *devtype)
{
	(void)monitor;
	(void)devtype;
	check(streq(subsystem, "pci"));
	return 0;
}

int udev_monitor_set_receive_buffer_size(struct udev_monitor *monitor, int size)
{
	(void)monitor;
	(void)size;
	return 0;
}

int udev_monitor_enable_receiving(struct udev_monitor *monitor)
{
	(void)monitor;
	return 0;
}

static char *take_value(void)
{
	char *value = take_text(&events, '\0');

	if (!streq(value, "-"))
		return value;
	free(value);
	return NULL;
}

static struct udev_device *take_device(void)
{
	struct udev_device *device;

	if (events.p == events.end)
		return NULL;
	device = calloc(1, sizeof(*device));
	check(device);
	device->action = take_value();
	device->name = take_value();
	device->uuid = take_value();
	for (size_t i = 0; i < MARK_PROPERTIES; i++)
		device->values[i] = take_value();
	now = device;
	return device;
}

struct udev_device *udev_monitor_receive_device(struct udev_monitor *monitor)
{
	(void)monitor;
	return take_device();
}

struct udev_device *udev_device_new_from_subsystem_sysname(struct udev *udev, const char *subsystem,
							   const char *sysname)
{
	(void)udev;
	check(streq(subsystem, "pci") && streq(sysname, BDF));
	return take_device();
}

/* udev has seen a device of which it knows an action. */
int udev_device_get_is_initialized(struct udev_device *device)
{
	return !!device->action;
}

struct udev_device *udev_device_unref(struct udev_device *device)
{
	if (device) {
		free(device->action);
		free(device->name);
		free(device->uuid);
		for (size_t i = 0; i < MARK_PROPERTIES; i++)
			free(device->values[i]);
	}
	free(device);
	return NULL;
}

const char *udev_device_get_action(struct udev_device *device)
{
	return device->action;
}

const char *udev_device_get_sysname(struct udev_device *device)
{
	return device->name;
}

const char *udev_device_get_property_value(struct udev_device *device, const char *key)
{
	for (size_t i = 0; i < MARK_PROPERTIES; i++)
		if (streq(key, mark_property_names[i]))
			return device->values[i];
	if (streq(key, "UDEV_WORKER_FAILED"))
		return streq(device->uuid, "failed") ? "1" : NULL;
	check(streq(key, "SYNTH_UUID"));
	return device->uuid;
}

/* Enumerating hands devices to the same function. */
int udev_monitor_get_fd(struct udev_monitor *monitor)
{
	(void)monitor;
	return -EBADF;
}

struct udev_enumerate *udev_enumerate_new(struct udev *udev)
{
	(void)udev;
	return NULL;
}

struct udev_enumerate *udev_enumerate_unref(struct udev_enumerate *enumerate)
{
	(void)enumerate;
	return NULL;
}

int udev_enumerate_add_match_subsystem(struct udev_enumerate *enumerate, const char *subsystem)
{
	(void)enumerate;
	(void)subsystem;
	return 0;
}

int udev_enumerate_add_match_property(struct udev_enumerate *enumerate, const char *property,
				      const char *value)
{
	(void)enumerate;
	(void)property;
	(void)value;
	return 0;
}

int udev_enumerate_add_match_is_initialized(struct udev_enumerate *enumerate)
{
	(void)enumerate;
	return 0;
}

int udev_enumerate_scan_devices(struct udev_enumerate *enumerate)
{
	(void)enumerate;
	return 0;
}

struct udev_list_entry *udev_enumerate_get_list_entry(struct udev_enumerate *enumerate)
{
	(void)enumerate;
	return NULL;
}

struct udev_list_entry *udev_list_entry_get_next(struct udev_list_entry *entry)
{
	(void)entry;
	return NULL;
}

const char *udev_list_entry_get_name(struct udev_list_entry *entry)
{
	(void)entry;
	return NULL;
}

struct udev_device *udev_device_new_from_syspath(struct udev *udev, const char *path)
{
	(void)udev;
	(void)path;
	return NULL;
}

/* ---- the daemon ---- */

static void on_event(const struct udev_event *event, void *userdata)
{
	_cleanup_mark_ struct mark *mark = NULL;
	_cleanup_free_ char *message = NULL;
	int r;

	check(userdata == &known);
	check(pci_bdf_valid(event->bdf) && streq(event->bdf, now->name));
	check(streq(event->uuid, now->uuid));
	check(event->failed == streq(now->uuid, "failed"));
	check((event->action == UDEV_REMOVE) == streq(now->action, "remove"));
	check(event->action <= UDEV_REMOVE);
	if (!event->mark.value[MARK_ALIAS])
		return;
	check(mark_text_copy(&known, &event->mark) == 0);
	check(mark_text_equal(&known, &event->mark));
	r = mark_parse(&known, &mark, &message);
	check(r == 0 || r == -EINVAL);
	check((r == 0) == !message && (r == 0) == !!mark);
}

static void check_database(void)
{
	struct input input = events;
	struct mark_text text = {};
	bool initialized;
	int r;

	r = udev_read_mark(BDF, &text, &initialized);
	if (r < 0) {
		check(r == -ENODEV && input.p == input.end);
		return;
	}
	for (size_t i = 0; i < 3 + MARK_PROPERTIES; i++) {
		_cleanup_free_ char *value = take_text(&input, '\0');

		if (i == 0)
			check(initialized == !streq(value, "-"));
		if (i >= 3)
			check(streq(text.value[i - 3], streq(value, "-") ? NULL : value));
	}
	mark_text_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct udev_source *source = NULL;
	int r;

	events = (struct input){ data, data + size };
	check_database();
	check(udev_source_new(on_event, &known, &source) == 0);
	do
		r = udev_source_dispatch(source);
	while (r > 0);
	check(r == 0);
	udev_source_free(source);
	mark_text_clear(&known);
	return 0;
}
