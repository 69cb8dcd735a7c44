/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service does to publish a device, without a service: the same calls of the kernel, for
 * a WC alias of BAR 0 with a file.
 *
 *	bare publish BDF...	binds the devices and publishes them
 *	bare follow BDF		publishes the device when udev says that it was bound
 *	bare await BDF		binds the device and waits until another program has published it
 *
 * Prints the nanoseconds that it took ("follow": a line when it listens), and ends with its input.
 */
#include "bench.h"

#include <libudev.h>
#include <poll.h>
#include <sys/eventfd.h>

static void publish(const char *bdf)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct session session;
	struct {
		struct vfio_irq_set set;
		__s32 eventfd;
	} request = {
		.set = { .argsz = sizeof(request),
			 .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			 .index = VFIO_PCI_REQ_IRQ_INDEX,
			 .count = 1 },
		.eventfd = eventfd(0, EFD_CLOEXEC),
	};
	int r = session_open(bdf, &session);

	if (r < 0)
		die_of(r, bdf);
	if (ioctl(session.fd, VFIO_DEVICE_GET_INFO, &info) < 0 ||
	    ioctl(session.fd, VFIO_DEVICE_SET_IRQS, &request) < 0)
		die(bdf);
	make_alias(session.fd, 0, 0, 0, true);
}

static void bind_or_die(const char *bdf)
{
	int r = bind_vfio(bdf);

	if (r < 0)
		die_of(r, bdf);
}

/* Until udev tells of the binding of the device */
static void follow(const char *bdf)
{
	struct udev *udev = udev_new();
	struct udev_monitor *monitor = udev_monitor_new_from_netlink(udev, "udev");
	struct udev_device *device;
	struct pollfd fd = { .events = POLLIN };
	bool bound = false;

	if (!monitor || udev_monitor_filter_add_match_subsystem_devtype(monitor, "pci", NULL) < 0 ||
	    udev_monitor_enable_receiving(monitor) < 0)
		die("udev");
	puts("listens");
	fflush(stdout);
	fd.fd = udev_monitor_get_fd(monitor);
	while (!bound && poll(&fd, 1, -1) == 1) {
		device = udev_monitor_receive_device(monitor);
		bound = device && !strcmp(udev_device_get_sysname(device), bdf) &&
			!strcmp(udev_device_get_action(device), "bind");
		udev_device_unref(device);
	}
}

static void await_file(const char *bdf)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s/resource0_wc", bdf);
	while (access(path, F_OK) < 0)
		usleep(100);
}

int main(int argc, char **argv)
{
	double start = now();

	/* As a program that has run for a while: nothing has to be read or linked first. */
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		die("mlockall");
	if (argc == 3 && !strcmp(argv[1], "follow")) {
		follow(argv[2]);
		publish(argv[2]);
	} else if (argc == 3 && !strcmp(argv[1], "await")) {
		bind_or_die(argv[2]);
		start = now(); /* the uevent has been sent */
		await_file(argv[2]);
		printf("%.0f\n", now() - start);
	} else if (argc > 2 && !strcmp(argv[1], "publish")) {
		for (int i = 2; i < argc; i++) {
			bind_or_die(argv[i]);
			publish(argv[i]);
		}
		printf("%.0f\n", now() - start);
	} else {
		fprintf(stderr, "usage: bare publish BDF... | follow BDF | await BDF\n");
		return 2;
	}
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
