/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What udev tells of devices: a libudev that tells what the input says. An input is events,
 * each an action, a device's name and its properties, with NULs behind them; "-" is one that
 * is not set.
 */
#include "udev.h"

#include <libudev.h>

#include "fuzz.h"

struct udev_device {
	char *action;
	char *name;
	char *values[MARK_PROPERTIES];
};

static struct input events;
static struct mark_text known; /* as a device of the daemon has it */

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

struct udev_device *udev_monitor_receive_device(struct udev_monitor *monitor)
{
	struct udev_device *device;

	(void)monitor;
	if (events.p == events.end)
		return NULL;
	device = calloc(1, sizeof(*device));
	check(device);
	device->action = take_value();
	device->name = take_value();
	for (size_t i = 0; i < MARK_PROPERTIES; i++)
		device->values[i] = take_value();
	return device;
}

struct udev_device *udev_device_unref(struct udev_device *device)
{
	if (device) {
		free(device->action);
		free(device->name);
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
	abort();
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
	check(pci_bdf_valid(event->bdf));
	check(event->action <= UDEV_REMOVE);
	if (!event->mark.value[MARK_ALIAS])
		return;
	check(mark_text_copy(&known, &event->mark) == 0);
	check(mark_text_equal(&known, &event->mark));
	r = mark_parse(&known, &mark, &message);
	check(r == 0 || r == -EINVAL);
	check((r == 0) == !message && (r == 0) == !!mark);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct udev_source *source = NULL;

	events = (struct input){ data, data + size };
	check(udev_source_new(on_event, &known, &source) == 0);
	check(udev_source_dispatch(source) == 0);
	udev_source_free(source);
	mark_text_clear(&known);
	return 0;
}
