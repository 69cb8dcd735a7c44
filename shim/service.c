/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "service.h"

#include <inttypes.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>

#include "log.h"

#define SYSTEMD "org.freedesktop.systemd1"

/* The type of the job that systemd has for this unit, or "" without one. Returns 0 or -errno. */
static int job_type(char **ret)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_free_ char *unit = NULL, *path = NULL;
	const char *job;
	uint32_t id;
	int r;

	r = sd_pid_get_unit(0, &unit);
	if (r < 0)
		return r;
	r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);
	if (r < 0)
		return r;
	r = sd_bus_open_system(&bus);
	if (r < 0)
		return r;
	/* of org.freedesktop.systemd1(5): the job's number, 0 for none, and its path */
	r = sd_bus_get_property(bus, SYSTEMD, path, SYSTEMD ".Unit", "Job", NULL, &reply, "(uo)");
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "(uo)", &id, &job);
	if (r < 0)
		return r;
	if (id == 0)
		return replace_string(ret, "");
	r = sd_bus_get_property_string(bus, SYSTEMD, job, SYSTEMD ".Job", "JobType", NULL, ret);
	return r < 0 ? r : 0;
}

/* The longest that the steps of one device may take, and how often it is worth telling */
#define DEVICE_USEC (90 * UINT64_C(1000000))
#define GO_ON_SECONDS 10

void service_go_on(void)
{
	static time_t told;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	if (told && now.tv_sec - told < GO_ON_SECONDS)
		return;
	told = now.tv_sec;
	/* Of the two the timeout counts while the service starts or stops. */
	(void)sd_notifyf(false, "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=%" PRIu64, DEVICE_USEC);
}

enum service_end service_end(void)
{
	_cleanup_free_ char *type = NULL;
	int r;

	r = job_type(&type);
	if (r < 0) {
		(void)log_error(r, "cannot ask systemd whether this is its stop: %m");
		return SERVICE_IS_KILLED;
	}
	if (streq(type, "stop"))
		return SERVICE_STOPS;
	return streq(type, "restart") ? SERVICE_RESTARTS : SERVICE_IS_KILLED;
}

void service_unit_clear(struct service_unit *unit)
{
	free(unit->load_state);
	free(unit->active_state);
	*unit = (struct service_unit){};
}

int service_query(struct service_unit *ret)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	_cleanup_service_unit_ struct service_unit unit = {};
	_cleanup_free_ char *path = NULL;
	uint32_t pid = 0;
	int r;

	r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", SERVICE_UNIT, &path);
	if (r < 0)
		return r;
	r = sd_bus_open_system(&bus);
	if (r < 0)
		return r;
	r = sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", "LoadState", NULL,
				       &unit.load_state);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", "ActiveState",
					       NULL, &unit.active_state);
	if (r < 0)
		return r;
	/* A unit that is not there has none. */
	(void)sd_bus_get_property_trivial(bus, SYSTEMD, path, SYSTEMD ".Service", "MainPID", NULL,
					  'u', &pid);
	unit.main_pid = (pid_t)pid;
	*ret = unit;
	unit = (struct service_unit){};
	return 0;
}
