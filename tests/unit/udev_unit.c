/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "udev.h"

#include <poll.h>

#include "sysfs.h"
#include "testbed.h"

#define BDF "0000:00:10.0"
#define OTHER "10000:e1:00.0"

/* The events that came. */
#define EVENTS_MAX 16
static struct {
	enum udev_action action;
	char bdf[PCI_BDF_SIZE];
	struct mark_text mark;
} events[EVENTS_MAX];
static size_t n_events;

static struct udev_source *source;

static void on_event(const struct udev_event *event, void *userdata)
{
	cr_assert_eq(userdata, &n_events);
	cr_assert_lt(n_events, EVENTS_MAX);
	events[n_events].action = event->action;
	snprintf(events[n_events].bdf, PCI_BDF_SIZE, "%s", event->bdf);
	cr_assert_eq(mark_text_copy(&events[n_events].mark, &event->mark), 0);
	n_events++;
}

static void forget_events(void)
{
	while (n_events > 0)
		mark_text_clear(&events[--n_events].mark);
}

static void make(void)
{
	testbed_make();
	cr_assert_eq(udev_source_new(on_event, &n_events, &source), 0);
}

static void unmake(void)
{
	source = udev_source_free(source);
	forget_events();
	testbed_remove();
}

TestSuite(udev, .init = make, .fini = unmake);

/* Handles events until there are @n. */
static void dispatch(size_t n)
{
	struct pollfd fd = { .fd = udev_source_fd(source), .events = POLLIN };

	while (n_events < n) {
		cr_assert_eq(poll(&fd, 1, 10000), 1, "there are only %zu events", n_events);
		cr_assert_eq(udev_source_dispatch(source), 1);
	}
	cr_assert_eq(n_events, n);
}

static const char *value(size_t i, enum mark_property property)
{
	return events[i].mark.value[property] ?: "";
}

Test(udev, marked_devices_that_are_there_are_enumerated_and_no_others)
{
	_cleanup_free_ char *marked = testbed_plug("pci", BDF, "2:wc");
	_cleanup_free_ char *other = testbed_plug("pci", OTHER, "0:uc");
	_cleanup_free_ char *plain = testbed_plug("pci", "0000:00:11.0", NULL);
	_cleanup_free_ char *usb = testbed_plug("usb", "1-1", "2:wc");

	cr_assert_eq(udev_source_enumerate(source), 0);
	cr_assert_eq(n_events, 2);
	for (size_t i = 0; i < n_events; i++) {
		bool first = streq(events[i].bdf, BDF);

		cr_expect_eq(events[i].action, UDEV_PRESENT);
		cr_expect(first || streq(events[i].bdf, OTHER), "%s", events[i].bdf);
		cr_expect_str_eq(value(i, MARK_ALIAS), first ? "2:wc" : "0:uc");
	}
	cr_expect_str_neq(events[0].bdf, events[1].bdf);
}

Test(udev, an_event_tells_what_has_happened_and_the_mark)
{
	static const struct {
		const char *action;
		enum udev_action expected;
	} cases[] = {
		{ "add", UDEV_PRESENT }, { "change", UDEV_PRESENT }, { "move", UDEV_PRESENT },
		{ "bind", UDEV_BIND },	 { "unbind", UDEV_UNBIND },  { "remove", UDEV_REMOVE },
	};
	_cleanup_free_ char *path = testbed_plug("pci", BDF, "2:wc");

	dispatch(1); /* plugging is one */
	forget_events();
	testbed_mark(path, MARK_GROUP, "games");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		testbed_event(path, cases[i].action);
		dispatch(i + 1);
		cr_expect_eq(events[i].action, cases[i].expected, "%s", cases[i].action);
		cr_expect_str_eq(events[i].bdf, BDF);
		cr_expect_str_eq(value(i, MARK_ALIAS), "2:wc");
		cr_expect_str_eq(value(i, MARK_GROUP), "games");
		cr_expect_null(events[i].mark.value[MARK_OWNER]);
	}
}

Test(udev, events_of_other_subsystems_and_names_are_not_for_us)
{
	_cleanup_free_ char *usb = testbed_plug("usb", "1-1", "2:wc");
	_cleanup_free_ char *odd = testbed_plug("pci", "not-an-address", "2:wc");
	_cleanup_free_ char *path = testbed_plug("pci", BDF, "2:wc");

	testbed_event(usb, "change");
	testbed_event(odd, "change");
	testbed_event(path, "bind");
	dispatch(2); /* plugged and bound */
	cr_expect_str_eq(events[0].bdf, BDF);
	cr_expect_eq(events[1].action, UDEV_BIND);
}

Test(udev, what_happens_between_listening_and_enumerating_is_not_lost)
{
	_cleanup_free_ char *path = testbed_plug("pci", BDF, "2:wc");

	testbed_mark(path, MARK_ALIAS, "2:uc");
	testbed_event(path, "change");
	cr_assert_eq(udev_source_enumerate(source), 0);
	dispatch(3); /* enumerated, plugged, changed */
	cr_expect_str_eq(value(0, MARK_ALIAS), "2:uc");
	cr_expect_str_eq(value(2, MARK_ALIAS), "2:uc");
}

Test(udev, a_device_that_is_unplugged_is_not_enumerated_any_more)
{
	_cleanup_free_ char *path = testbed_plug("pci", BDF, "2:wc");

	testbed_unplug(path);
	dispatch(2);
	cr_expect_eq(events[1].action, UDEV_REMOVE);
	forget_events();
	cr_assert_eq(udev_source_enumerate(source), 0);
	cr_expect_eq(n_events, 0);
}

/* ---- the directory of the device that udev names ---- */

Test(udev, the_device_of_an_event_is_found_in_sysfs)
{
	_cleanup_free_ char *path = testbed_plug("pci", BDF, "2:wc"), *driver = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct pci_bar bars[PCI_BARS];

	dispatch(1);
	fd = sysfs_open_device(events[0].bdf);
	cr_assert_geq(fd, 0);
	cr_assert_eq(sysfs_read_bars(fd, bars), 0);
	cr_expect_eq(bars[2].kind, PCI_BAR_MEMORY);
	cr_expect_eq(bars[2].length, 16 << 20);
	cr_expect_eq(bars[3].kind, PCI_BAR_IO);
	cr_expect_eq(bars[0].kind, PCI_BAR_NONE);

	cr_assert_eq(sysfs_driver(fd, &driver), 0);
	cr_expect_null(driver);
	testbed_bind(path, "e1000e");
	cr_assert_eq(sysfs_driver(fd, &driver), 0);
	cr_expect_str_eq(driver, "e1000e");

	cr_expect_eq(sysfs_open_device(OTHER), -ENOENT);
}

Test(udev, driver_override_is_set_and_taken_back)
{
	_cleanup_free_ char *path = testbed_plug("pci", BDF, "2:wc"), *driver = NULL;
	_cleanup_close_ int fd = sysfs_open_device(BDF);

	cr_assert_eq(sysfs_driver_override(fd, &driver), 0);
	cr_expect_null(driver);
	cr_assert_eq(sysfs_set_driver_override(fd, "vfio-pci"), 0);
	cr_assert_eq(sysfs_driver_override(fd, &driver), 0);
	cr_expect_str_eq(driver, "vfio-pci");
}

Test(udev, devices_are_listed_by_their_addresses)
{
	_cleanup_free_ char *one = testbed_plug("pci", BDF, "2:wc");
	_cleanup_free_ char *other = testbed_plug("pci", OTHER, NULL);
	_cleanup_free_ char *odd = testbed_plug("pci", "not-an-address", NULL);
	_cleanup_free_ char(*bdfs)[PCI_BDF_SIZE] = NULL;
	size_t n;

	cr_assert_eq(sysfs_list_devices(&bdfs, &n), 0);
	cr_assert_eq(n, 2);
	cr_expect(streq(bdfs[0], BDF) || streq(bdfs[1], BDF));
	cr_expect(streq(bdfs[0], OTHER) || streq(bdfs[1], OTHER));
}

Test(udev, a_machine_without_pci_is_told)
{
	char(*bdfs)[PCI_BDF_SIZE] = NULL;
	size_t n;

	cr_expect_eq(sysfs_list_devices(&bdfs, &n), -ENOENT);
	cr_expect_null(bdfs);
}

Test(udev, the_level_of_the_lockdown_is_the_one_in_brackets)
{
	static const struct {
		const char *text, *level;
	} cases[] = {
		{ "[none] integrity confidentiality\n", "none" },
		{ "none [integrity] confidentiality\n", "integrity" },
		{ "none integrity [confidentiality]\n", "confidentiality" },
		{ "none integrity confidentiality\n", NULL },
		{ "]none[ integrity\n", NULL },
		{ "", NULL },
	};
	char *none = NULL;

	cr_expect_eq(sysfs_lockdown(&none), -ENOENT);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *level = NULL;

		testbed_file("/sys/kernel/security/lockdown", cases[i].text);
		cr_expect_eq(sysfs_lockdown(&level), cases[i].level ? 0 : -EBADMSG, "%s",
			     cases[i].text);
		cr_expect(streq(level, cases[i].level), "%s", cases[i].text);
	}
}

/* ---- what the database has ---- */

Test(udev, the_mark_that_the_database_has_is_read)
{
	_cleanup_free_ char *path = testbed_plug("pci", BDF, "2:wc");
	struct mark_text text = {};
	bool initialized = true;

	testbed_mark(path, MARK_GROUP, "games");
	cr_assert_eq(udev_read_mark(BDF, &text, &initialized), 0);
	/* The testbed's devices have their properties from the kernel. */
	cr_expect_not(initialized);
	for (size_t i = 0; i < MARK_PROPERTIES; i++)
		cr_expect(streq(text.value[i], i == MARK_ALIAS ? "2:wc" :
					       i == MARK_GROUP ? "games" :
								 NULL));
	mark_text_clear(&text);
	cr_expect_eq(udev_read_mark(OTHER, &text, &initialized), -ENODEV);
}
