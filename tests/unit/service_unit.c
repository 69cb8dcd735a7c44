/* SPDX-License-Identifier: GPL-2.0-or-later */
/* systemd is a process here, that answers as the unit's and the job's properties are. */
#include "service.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-login.h>

#include "scratch.h"

#define UNIT_PATH "/org/freedesktop/systemd1/unit/vfio_2dalias_2dshim_2eservice"
#define JOB_PATH "/org/freedesktop/systemd1/job/17"

static struct {
	const char *load_state, *active_state;
	uint32_t main_pid;    /* 0: there is no such property */
	const char *job_type; /* NULL: there is no job */
} unit;

/* The process of a test is in no unit. */
int sd_pid_get_unit(pid_t pid, char **ret)
{
	cr_assert_eq(pid, 0);
	*ret = strdup(SERVICE_UNIT);
	return 0;
}

/* ---- the bus, with systemd behind it ---- */

static int reply_string(sd_bus_message *message, const char *text)
{
	return text ? sd_bus_reply_method_return(message, "v", "s", text) :
		      sd_bus_reply_method_errnof(message, ENOENT, "no such property");
}

static int get_property(sd_bus_message *message)
{
	const char *interface, *name, *path = sd_bus_message_get_path(message);
	int r = sd_bus_message_read(message, "ss", &interface, &name);

	if (r < 0)
		return r;
	if (streq(path, JOB_PATH) && streq(name, "JobType"))
		return reply_string(message, unit.job_type);
	if (!streq(path, UNIT_PATH))
		return reply_string(message, NULL);
	if (streq(name, "LoadState"))
		return reply_string(message, unit.load_state);
	if (streq(name, "ActiveState"))
		return reply_string(message, unit.active_state);
	if (streq(name, "MainPID") && unit.main_pid > 0)
		return sd_bus_reply_method_return(message, "v", "u", unit.main_pid);
	if (streq(name, "Job"))
		return sd_bus_reply_method_return(message, "v", "(uo)", unit.job_type ? 17 : 0,
						  unit.job_type ? JOB_PATH : "/");
	return reply_string(message, NULL);
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)userdata;
	(void)error;
	if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus", "Hello"))
		return sd_bus_reply_method_return(message, "s", ":1.1");
	if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus.Properties", "Get"))
		return get_property(message);
	return 0;
}

/* Serves one connection after the other, until it is killed. */
static void serve(int listening)
{
	for (;;) {
		int fd = accept(listening, NULL, NULL);
		sd_bus *bus = NULL;
		sd_id128_t id = {};

		if (fd < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
		    sd_bus_set_server(bus, true, id) < 0 || sd_bus_start(bus) < 0 ||
		    sd_bus_add_filter(bus, NULL, on_message, NULL) < 0)
			_exit(1);
		while (sd_bus_process(bus, NULL) >= 0 && sd_bus_wait(bus, UINT64_MAX) >= 0)
			;
		sd_bus_close_unref(bus);
	}
}

static pid_t server;

static void start(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_free_ char *name = NULL;
	int fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/bus", scratch);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	cr_assert_gt(asprintf(&name, "unix:path=%s", address.sun_path), 0);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", name, 1);
	server = fork();
	cr_assert_geq(server, 0);
	if (server == 0)
		serve(fd);
	close_fd(fd);
}

static void make(void)
{
	_cleanup_free_ char *name = NULL;

	scratch_make();
	/* Until there is one */
	cr_assert_gt(asprintf(&name, "unix:path=%s/bus", scratch), 0);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", name, 1);
}

static void unmake(void)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	scratch_remove();
}

TestSuite(service, .init = make, .fini = unmake);

/* ---- */

Test(service, a_restart_is_told)
{
	unit.job_type = "restart";
	start();
	cr_expect_eq(service_end(), SERVICE_RESTARTS);
}

Test(service, a_stop_is_told)
{
	unit.job_type = "stop";
	start();
	cr_expect_eq(service_end(), SERVICE_STOPS);
}

Test(service, a_signal_of_somebody_else_is_no_stop)
{
	start();
	cr_expect_eq(service_end(), SERVICE_IS_KILLED);
}

Test(service, a_signal_of_somebody_else_meanwhile_is_no_stop)
{
	unit.job_type = "reload";
	start();
	cr_expect_eq(service_end(), SERVICE_IS_KILLED);
}

Test(service, where_systemd_cannot_be_asked_it_is_no_stop)
{
	cr_expect_eq(service_end(), SERVICE_IS_KILLED);
}

Test(service, the_unit_is_as_systemd_has_it)
{
	_cleanup_service_unit_ struct service_unit found = {};

	unit.load_state = "loaded";
	unit.active_state = "active";
	unit.main_pid = 4711;
	start();
	cr_assert_eq(service_query(&found), 0);
	cr_expect_str_eq(found.load_state, "loaded");
	cr_expect_str_eq(found.active_state, "active");
	cr_expect_eq(found.main_pid, 4711);
}

Test(service, a_unit_that_is_not_there_has_no_process)
{
	_cleanup_service_unit_ struct service_unit found = {};

	unit.load_state = "not-found";
	unit.active_state = "inactive";
	start();
	cr_assert_eq(service_query(&found), 0);
	cr_expect_str_eq(found.load_state, "not-found");
	cr_expect_eq(found.main_pid, 0);
}

Test(service, that_systemd_does_not_answer_is_told)
{
	struct service_unit found = { .main_pid = 42 };

	cr_expect_eq(service_query(&found), -ENOENT); /* no bus */
	unit.load_state = "loaded";
	start(); /* which knows no ActiveState */
	cr_expect_lt(service_query(&found), 0);
	cr_expect(!found.load_state && !found.active_state && found.main_pid == 42);
}
