/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI devices that are not there: a /sys and an udev of a test's own, by umockdev, whose
 * library has what is opened below /sys be opened there.
 */
#ifndef TESTS_UNIT_TESTBED_H
#define TESTS_UNIT_TESTBED_H

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <umockdev.h>

#include "mark.h"

/* Three BARs: 2 of 16 MiB of memory, 3 of I/O ports; and what follows the BARs. */
#define TESTBED_RESOURCE                                             \
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n" \
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n" \
	"0x00000000fd000000 0x00000000fdffffff 0x000000000014220c\n" \
	"0x000000000000c000 0x000000000000c0ff 0x0000000000040101\n" \
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n" \
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n" \
	"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"

static UMockdevTestbed *testbed;

static inline void testbed_make(void)
{
	testbed = umockdev_testbed_new();
}

static inline void testbed_remove(void)
{
	g_clear_object(&testbed);
}

/* Plugs a device in, of which udev tells with the next event. @mark: NULL if it is not marked */
static inline char *testbed_plug(const char *subsystem, const char *name, const char *mark)
{
	const char *attributes[] = { "vendor",		"0x1af4",   "resource", TESTBED_RESOURCE,
				     "driver_override", "(null)\n", NULL };
	const char *properties[] = { mark_property_names[MARK_ALIAS], mark, NULL };
	char *path;

	path = umockdev_testbed_add_devicev(testbed, subsystem, name, NULL, (char **)attributes,
					    mark ? (char **)properties : (char *[]){ NULL });
	cr_assert_not_null(path, "%s", name);
	return path;
}

/* udev has run the rules: @value is NULL where none sets the property. */
static inline void testbed_mark(const char *path, enum mark_property property, const char *value)
{
	umockdev_testbed_set_property(testbed, path, mark_property_names[property], value ?: "");
}

static inline void testbed_event(const char *path, const char *action)
{
	umockdev_testbed_uevent(testbed, path, action);
}

static inline void testbed_unplug(const char *path)
{
	umockdev_testbed_uevent(testbed, path, "remove");
	umockdev_testbed_remove_device(testbed, path);
}

/* A file of the machine, below /sys. */
static inline void testbed_file(const char *path, const char *text)
{
	_cleanup_free_ char *root = umockdev_testbed_get_root_dir(testbed), *file = NULL;
	_cleanup_free_ gchar *directory = NULL;

	cr_assert(asprintf(&file, "%s%s", root, path) > 0);
	directory = g_path_get_dirname(file);
	cr_assert_eq(g_mkdir_with_parents(directory, 0755), 0);
	cr_assert(g_file_set_contents(file, text, -1, NULL));
}

/* A driver takes the device. */
static inline void testbed_bind(const char *path, const char *driver)
{
	_cleanup_free_ char *target = NULL;

	cr_assert(asprintf(&target, "../../bus/pci/drivers/%s", driver) > 0);
	umockdev_testbed_set_attribute_link(testbed, path, "driver", target);
}

#endif
