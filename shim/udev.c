/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "udev.h"

#include <libudev.h>

/* Room for the events of some thousand devices: PCI ones come in bursts, at boot and by trigger. */
#define RECEIVE_BUFFER_SIZE (16 << 20)

struct udev_source {
	struct udev *udev;
	struct udev_monitor *monitor;
	udev_handler handler;
	void *userdata;
};

DEFINE_CLEANUP(struct udev *, udev_unref)
DEFINE_CLEANUP(struct udev_source *, udev_source_free)
DEFINE_CLEANUP(struct udev_device *, udev_device_unref)
DEFINE_CLEANUP(struct udev_enumerate *, udev_enumerate_unref)

struct udev_source *udev_source_free(struct udev_source *source)
{
	if (source) {
		udev_monitor_unref(source->monitor);
		udev_unref(source->udev);
	}
	free(source);
	return NULL;
}

int udev_source_new(udev_handler handler, void *userdata, struct udev_source **ret)
{
	_cleanup_(udev_source_freep) struct udev_source *source = calloc(1, sizeof(*source));
	int r;

	if (!source)
		return -ENOMEM;
	source->handler = handler;
	source->userdata = userdata;

	source->udev = udev_new();
	if (!source->udev)
		return -errno;
	source->monitor = udev_monitor_new_from_netlink(source->udev, "udev");
	if (!source->monitor)
		return -errno;
	r = udev_monitor_filter_add_match_subsystem_devtype(source->monitor, "pci", NULL);
	if (r < 0)
		return r;
	/* Without it the default size does; lost events are told by -ENOBUFS. */
	(void)udev_monitor_set_receive_buffer_size(source->monitor, RECEIVE_BUFFER_SIZE);
	r = udev_monitor_enable_receiving(source->monitor);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(source);
	return 0;
}

int udev_source_fd(struct udev_source *source)
{
	return udev_monitor_get_fd(source->monitor);
}

int udev_read_mark(const char *bdf, struct mark_text *ret, bool *ret_initialized)
{
	_cleanup_(udev_unrefp) struct udev *udev = udev_new();
	_cleanup_(udev_device_unrefp) struct udev_device *device = NULL;
	struct mark_text text = {};
	int r;

	if (!udev)
		return -errno;
	device = udev_device_new_from_subsystem_sysname(udev, "pci", bdf);
	if (!device)
		return -ENODEV;
	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		const char *value = udev_device_get_property_value(device, mark_property_names[i]);

		r = replace_string(&text.value[i], value);
		if (r < 0) {
			mark_text_clear(&text);
			return r;
		}
	}
	*ret = text;
	*ret_initialized = udev_device_get_is_initialized(device) > 0;
	return 0;
}

bool udev_is_undecided(const char *bdf)
{
	_cleanup_(mark_text_clear) struct mark_text text = {};
	bool initialized;

	return udev_read_mark(bdf, &text, &initialized) == 0 && !initialized;
}

static enum udev_action parse_action(const char *action)
{
	if (streq(action, "remove"))
		return UDEV_REMOVE;
	if (streq(action, "bind"))
		return UDEV_BIND;
	if (streq(action, "unbind"))
		return UDEV_UNBIND;
	return UDEV_PRESENT;
}

static void handle(struct udev_source *source, struct udev_device *device)
{
	struct udev_event event = {
		.action = parse_action(udev_device_get_action(device)),
		.bdf = udev_device_get_sysname(device),
		.uuid = udev_device_get_property_value(device, "SYNTH_UUID"),
	};

	if (!event.bdf || !pci_bdf_valid(event.bdf))
		return;
	event.failed = udev_device_get_property_value(device, "UDEV_WORKER_FAILED");
	for (size_t i = 0; i < MARK_PROPERTIES; i++) {
		const char *value = udev_device_get_property_value(device, mark_property_names[i]);

		/* The handler copies what it keeps, mark_text_copy(). */
		event.mark.value[i] = (char *)value;
	}
	source->handler(&event, source->userdata);
}

int udev_source_dispatch(struct udev_source *source)
{
	_cleanup_(udev_device_unrefp) struct udev_device *device = NULL;

	do {
		errno = 0;
		device = udev_monitor_receive_device(source->monitor);
	} while (!device && errno == EINTR);
	if (!device)
		return errno == ENOBUFS ? -ENOBUFS : 0;
	handle(source, device);
	return 1;
}

int udev_source_enumerate(struct udev_source *source)
{
	_cleanup_(udev_enumerate_unrefp) struct udev_enumerate *enumerate = NULL;
	struct udev_list_entry *entry;
	int r;

	enumerate = udev_enumerate_new(source->udev);
	if (!enumerate)
		return -ENOMEM;
	r = udev_enumerate_add_match_subsystem(enumerate, "pci");
	if (r < 0)
		return r;
	r = udev_enumerate_add_match_property(enumerate, mark_property_names[MARK_ALIAS], "?*");
	if (r < 0)
		return r;
	r = udev_enumerate_add_match_is_initialized(enumerate);
	if (r < 0)
		return r;
	r = udev_enumerate_scan_devices(enumerate);
	if (r < 0)
		return r;

	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumerate)) {
		_cleanup_(udev_device_unrefp) struct udev_device *device = NULL;

		device =
			udev_device_new_from_syspath(source->udev, udev_list_entry_get_name(entry));
		if (device) /* else it has just gone, and its event comes */
			handle(source, device);
	}
	return 0;
}
