/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device.h"

#include "machine.h"
#include "scratch.h"
#include "status.h"

static sd_event *event;
static struct vfio vfio;
static struct device *device;

/* The properties that udev has next. */
static struct mark_text mark;

static void make(void)
{
	scratch_make();
	cr_assert_eq(sd_event_new(&event), 0);
	mark = (struct mark_text){ .value = { [MARK_ALIAS] = "2:wc" } };
}

static void appear(void)
{
	cr_assert_eq(device_new(MACHINE_BDF, event, &vfio, scratch_fd, &device), 0);
}

static void unmake(void)
{
	device = device_free(device);
	cr_expect_not(machine.session);
	event = sd_event_unref(event);
	scratch_remove();
}

TestSuite(device, .init = make, .fini = unmake);

static void tell(enum udev_action action)
{
	const struct udev_event told = { .action = action, .bdf = MACHINE_BDF, .mark = mark };

	device_handle(device, &told);
}

/* Lets the loop do what is there to be done. */
static void settle(void)
{
	int r;

	while ((r = sd_event_run(event, 0)) > 0)
		;
	cr_assert_eq(r, 0);
}

/* What the device is to be, and what it tells. @reason: contained in the one that is told */
static void expect(const char *what, enum device_state state, const char *reason)
{
	static const char *const names[] = { [DEVICE_PUBLISHED] = "published",
					     [DEVICE_WAITING] = "waiting",
					     [DEVICE_REFUSED] = "refused" };
	_cleanup_status_ struct status status = {};

	cr_expect_eq(device_state(device), state, "%s: the state is %d, %s", what,
		     device_state(device), device->reason ?: "without a reason");
	cr_assert_eq(status_read(scratch_fd, MACHINE_BDF, &status), 0, "%s", what);
	cr_expect_str_eq(status.state, names[state], "%s", what);
	if (reason)
		cr_expect(status.reason && strstr(status.reason, reason), "%s: %s", what,
			  status.reason ?: "no reason");
	else
		cr_expect_null(status.reason, "%s: %s", what, status.reason);
	if (state == DEVICE_PUBLISHED)
		cr_expect(machine.session && machine.n_aliases > 0, "%s", what);
}

/* ---- obstacles: each one stops the device, is told, and ends as it should ---- */

static const struct obstacle {
	const char *name;
	struct machine machine;
	struct mark_text mark;
	enum device_obstacle obstacle;
	const char *reason;
} obstacles[] = {
#define MARK(...)                        \
	{                                \
		.value = { __VA_ARGS__ } \
	}
#define PLAIN MARK([MARK_ALIAS] = "2:wc")
#define ACCEPTED MARK([MARK_ALIAS] = "2:wc", [MARK_NOIOMMU] = "1")
	{ "bad mark", {}, MARK([MARK_ALIAS] = "2:wx"), OBSTACLE_MARK, "column 3" },
	{ "bad setting",
	  {},
	  MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "so"),
	  OBSTACLE_MARK,
	  "VFIO_ALIAS_BIND" },
	{ "no such BAR", {}, MARK([MARK_ALIAS] = "3:wc"), OBSTACLE_MARK, "no such BAR" },
	{ "gone", { .gone = true }, PLAIN, OBSTACLE_EVENT, "cannot open its sysfs directory" },
	{ "no BARs", { .bars = -EIO }, PLAIN, OBSTACLE_EVENT, "cannot read the BARs: Input" },
	{ "no IOMMU", { .no_group = true }, PLAIN, OBSTACLE_EVENT, "no IOMMU group" },
	{ "no IOMMU, not accepted",
	  { .no_group = true, .noiommu_mode = 1 },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "no IOMMU group" },
	{ "no-IOMMU mode, not accepted",
	  { .no_group = true, .noiommu_mode = 1, .driver = "vfio-pci" },
	  PLAIN,
	  OBSTACLE_STOP,
	  "VFIO_ALIAS_NOIOMMU=1" },
	{ "no-IOMMU mode off",
	  { .no_group = true },
	  ACCEPTED,
	  OBSTACLE_STOP,
	  "VFIO's no-IOMMU mode is off" },
	{ "no no-IOMMU mode",
	  { .no_group = true, .noiommu_mode = -ENOENT },
	  ACCEPTED,
	  OBSTACLE_STOP,
	  "CONFIG_VFIO_NOIOMMU" },
	{ "no-IOMMU mode not known",
	  { .no_group = true, .noiommu_mode = -EIO },
	  ACCEPTED,
	  OBSTACLE_EVENT,
	  "cannot read VFIO's parameters" },
	{ "driver",
	  { .driver = "e1000e" },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "driver e1000e has the device: unbind it" },
	{ "never",
	  {},
	  MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "never"),
	  OBSTACLE_EVENT,
	  "no driver has the device, which must be bound" },
	{ "never, driver",
	  { .driver = "e1000e" },
	  MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "never"),
	  OBSTACLE_EVENT,
	  "driver e1000e has the device, which must be bound" },
	{ "no module",
	  { .modules = -ENOENT },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "the module vfio-pci is not loaded (No such file" },
	{ "no backend",
	  { .driver = "vfio-pci", .modules = -EPERM },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "the module vfio_iommu_type1 is not loaded (Operation not" },
	{ "not taken",
	  { .driver = "e1000e", .native = "e1000e", .vfio_refuses = true },
	  MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "force"),
	  OBSTACLE_STOP,
	  "vfio-pci has not taken the device (No such device)" },
	{ "not taken, perhaps too early",
	  { .vfio_refuses = true },
	  PLAIN,
	  OBSTACLE_BUSY,
	  "vfio-pci has not taken the device yet" },
	{ "reset by somebody else",
	  { .open = -EAGAIN },
	  PLAIN,
	  OBSTACLE_BUSY,
	  "by /dev/vfio/7: Resource temporarily unavailable; trying again" },
	{ "group busy",
	  { .open = -EBUSY },
	  PLAIN,
	  OBSTACLE_BUSY,
	  "another process uses the device or its IOMMU group 7" },
	{ "group busy, by whom is seen",
	  { .open = -EBUSY, .opened = true },
	  PLAIN,
	  OBSTACLE_BUSY,
	  "user (pid 4712) has /dev/vfio/7 open" },
	{ "device busy, and its group seen",
	  { .open = -EBUSY, .opened = true, .cdev = true },
	  PLAIN,
	  OBSTACLE_BUSY,
	  "user (pid 4712) has /dev/vfio/7 open" },
	{ "device beside it busy",
	  { .open = -ENOTUNIQ, .opened_beside = true, .cdev = true },
	  PLAIN,
	  OBSTACLE_BUSY,
	  "user (pid 4712) has /dev/vfio/devices/vfio1 open" },
	{ "group not viable",
	  { .beside = "nvme" },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "IOMMU group 7 is not viable: driver nvme has 0000:00:10.1" },
	{ "group not viable, unknown why",
	  { .open = -ENOTUNIQ },
	  PLAIN,
	  OBSTACLE_BUSY,
	  "another process uses the device or its IOMMU group 7" },
	{ "other API", { .open = -EPROTO }, PLAIN, OBSTACLE_STOP, "no type1 IOMMU backend" },
	{ "no session",
	  { .open = -EMFILE },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "cannot open a VFIO session by /dev/vfio/7: Too many open files" },
	{ "interrupts", { .open = -EOPNOTSUPP }, PLAIN, OBSTACLE_STOP, "allow_unsafe_interrupts" },
	{ "not allowed", { .open = -EPERM }, PLAIN, OBSTACLE_STOP, "may not open /dev/vfio/7" },
	{ "stock modules", { .probe = -ENOTTY }, PLAIN, OBSTACLE_STOP, "has no alias regions" },
	{ "no probe", { .probe = -EIO }, PLAIN, OBSTACLE_STOP, "cannot probe for alias regions" },
	{ "no request",
	  { .request = -EINVAL },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "cannot set the request eventfd" },
	{ "not known what is possible",
	  { .possible = -EIO },
	  PLAIN,
	  OBSTACLE_STOP,
	  "cannot ask which aliases are possible" },
	{ "not mappable",
	  { .missing_types = UINT32_MAX },
	  PLAIN,
	  OBSTACLE_STOP,
	  "VFIO cannot map it" },
	{ "no PAT",
	  { .missing_types = 1U << VFIO_ALIAS_MEMORY_WC },
	  PLAIN,
	  OBSTACLE_STOP,
	  "cannot give the memory type wc" },
	{ "no files",
	  { .missing_flags = VFIO_ALIAS_FLAG_SYSFS },
	  PLAIN,
	  OBSTACLE_STOP,
	  "have no files in sysfs" },
	{ "not shared",
	  { .missing_flags = VFIO_ALIAS_FLAG_SHARED },
	  MARK([MARK_ALIAS] = "2:wc,shared"),
	  OBSTACLE_STOP,
	  "cannot be shared" },
	{ "no list", { .list = -EIO }, PLAIN, OBSTACLE_EVENT, "cannot list or remove aliases" },
	{ "mapped",
	  { .create = -EBUSY, .mapped = true },
	  PLAIN,
	  OBSTACLE_BUSY,
	  MACHINE_BDF "/resource2 is mapped by tool (pid 4711)" },
	{ "mapped beside the range",
	  { .create = -EBUSY, .mapped_beside = true },
	  PLAIN,
	  OBSTACLE_BUSY,
	  MACHINE_BDF "/resource2_wc is mapped by other (pid 4713)" },
	{ "mapped, and beside the range",
	  { .create = -EBUSY, .mapped = true, .mapped_beside = true },
	  PLAIN,
	  OBSTACLE_BUSY,
	  MACHINE_BDF "/resource2 is mapped by tool (pid 4711)" },
	{ "in use",
	  { .create = -EBUSY },
	  PLAIN,
	  OBSTACLE_BUSY,
	  "in use under another memory type, or by the kernel" },
	{ "virtual functions",
	  { .driver = "ixgbe", .has_vfs = true },
	  MARK([MARK_ALIAS] = "2:wc", [MARK_BIND] = "force"),
	  OBSTACLE_STOP,
	  "driver ixgbe has virtual functions of the device" },
	{ "MSI-X",
	  { .msix = { 2, 0x2000, 0x10 } },
	  MARK([MARK_ALIAS] = "2:wc@0+4K 2:wc@8K+8K"),
	  OBSTACLE_STOP,
	  "2:wc@8K+8K meets the pages of the MSI-X table, 8K+4K, which can have no alias; change" },
	{ "an MSI-X table that cannot be read",
	  { .create = -EINVAL },
	  MARK([MARK_ALIAS] = "2:wc@4K+8K"),
	  OBSTACLE_EVENT,
	  "the kernel refuses the range 4K+8K" },
	{ "no space",
	  { .create = -ENOSPC },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "cannot make the alias of 0+16M: No space" },
	{ "lost", { .alias_is_lost = true }, PLAIN, OBSTACLE_EVENT, "the kernel does not list" },
	{ "no access",
	  { .access = -EPERM },
	  PLAIN,
	  OBSTACLE_EVENT,
	  "cannot set the owner and mode of resource2_wc: Operation not permitted" },
};

Test(device, every_obstacle_is_told_and_ends_as_it_should)
{
	for (size_t i = 0; i < ARRAY_SIZE(obstacles); i++) {
		const struct obstacle *o = &obstacles[i];
		enum device_state beside = o->obstacle == OBSTACLE_MARK ? DEVICE_REFUSED :
									  DEVICE_WAITING;

		machine = o->machine;
		mark = o->mark;
		appear();
		tell(UDEV_PRESENT);
		expect(o->name, beside, o->reason);
		cr_expect_eq(device->obstacle, o->obstacle, "%s: %d", o->name, device->obstacle);

		/* It stays as long as its cause. */
		device_retry(device);
		tell(UDEV_PRESENT);
		device_reload(device);
		expect(o->name, beside, o->reason);

		/* Its cause has ended: who may go on, does, at an event of another device. */
		machine = (struct machine){ .session = machine.session,
					    .eventfd = machine.eventfd,
					    .driver = sysfs_has_vfio(-1) ? "vfio-pci" : NULL };
		device_retry(device);
		if (o->obstacle == OBSTACLE_MARK || o->obstacle == OBSTACLE_STOP) {
			expect(o->name, beside, o->reason);
			machine.driver = "vfio-pci";
			mark = (struct mark_text)PLAIN;
			tell(UDEV_BIND);
		} else if (mark.value[MARK_BIND]) {
			machine.driver = "vfio-pci";
			tell(UDEV_BIND);
		}
		expect(o->name, DEVICE_PUBLISHED, NULL);

		device = device_free(device);
	}
}

Test(device, a_session_that_systemd_does_not_keep_is_published_all_the_same)
{
	machine.keep = -EIO;
	appear();
	tell(UDEV_PRESENT);
	expect("not kept", DEVICE_PUBLISHED, NULL);
}

/* ---- what happens to a device, in every state ---- */

enum happening {
	NOTHING, /* an event of udev, with the same mark */
	OTHER,	 /* an event of another device */
	RELOAD,
	REMARK,	 /* another mark */
	MISMARK, /* one that is wrong */
	UNBIND,	 /* somebody takes the device from its driver */
	REBIND,	 /* somebody binds it to vfio-pci */
	HAPPENINGS,
};

static void happen(enum happening happening)
{
	switch (happening) {
	case NOTHING:
		tell(UDEV_PRESENT);
		break;
	case OTHER:
		device_retry(device);
		break;
	case RELOAD:
		device_reload(device);
		break;
	case REMARK:
		mark.value[MARK_ALIAS] = "2:uc@0+1M";
		tell(UDEV_PRESENT);
		break;
	case MISMARK:
		mark.value[MARK_ALIAS] = "2:wb";
		tell(UDEV_PRESENT);
		break;
	case UNBIND:
		if (machine.session) {
			machine_request(); /* and waits until the session has ended */
			settle();
			cr_assert_not(machine.session);
		}
		machine.driver = NULL;
		tell(UDEV_UNBIND);
		break;
	case REBIND:
		if (!machine.driver)
			machine.driver = "vfio-pci";
		tell(UDEV_BIND);
		break;
	case HAPPENINGS:
		break;
	}
	settle();
}

#define REFUSED DEVICE_REFUSED
#define WAITING DEVICE_WAITING
#define PUBLISHED DEVICE_PUBLISHED

static const struct {
	const char *name;
	struct machine machine;
	const char *mark;
	bool taken; /* and then taken by somebody */
	enum device_state state, after[HAPPENINGS];
} states[] = {
	{ "refused",
	  {},
	  "2:wx",
	  false,
	  REFUSED,
	  { [NOTHING] = REFUSED,
	    [OTHER] = REFUSED,
	    [RELOAD] = REFUSED,
	    [REMARK] = PUBLISHED,
	    [MISMARK] = REFUSED,
	    [UNBIND] = REFUSED,
	    [REBIND] = REFUSED } },
	{ "waiting for an event",
	  { .no_group = true },
	  "2:wc",
	  false,
	  WAITING,
	  { [NOTHING] = WAITING,
	    [OTHER] = WAITING,
	    [RELOAD] = WAITING,
	    [REMARK] = WAITING,
	    [MISMARK] = REFUSED,
	    [UNBIND] = WAITING,
	    [REBIND] = WAITING } },
	{ "waiting for a file",
	  { .create = -EBUSY },
	  "2:wc",
	  false,
	  WAITING,
	  { [NOTHING] = WAITING,
	    [OTHER] = WAITING,
	    [RELOAD] = WAITING,
	    [REMARK] = WAITING,
	    [MISMARK] = REFUSED,
	    [UNBIND] = WAITING,
	    [REBIND] = WAITING } },
	/* Only who says so gets it back. */
	{ "taken",
	  {},
	  "2:wc",
	  true,
	  WAITING,
	  { [NOTHING] = WAITING,
	    [OTHER] = WAITING,
	    [RELOAD] = PUBLISHED,
	    [REMARK] = PUBLISHED,
	    [MISMARK] = REFUSED,
	    [UNBIND] = WAITING,
	    [REBIND] = PUBLISHED } },
	/* A mistake costs nobody a mapping. */
	{ "published",
	  {},
	  "2:wc",
	  false,
	  PUBLISHED,
	  { [NOTHING] = PUBLISHED,
	    [OTHER] = PUBLISHED,
	    [RELOAD] = PUBLISHED,
	    [REMARK] = PUBLISHED,
	    [MISMARK] = REFUSED,
	    [UNBIND] = WAITING,
	    [REBIND] = PUBLISHED } },
};

static const char *const happenings[] = {
	[NOTHING] = "nothing", [OTHER] = "another device", [RELOAD] = "reload", [REMARK] = "remark",
	[MISMARK] = "mismark", [UNBIND] = "unbind",	   [REBIND] = "rebind",
};

Test(device, every_state_answers_every_event_as_it_should)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		for (enum happening j = 0; j < HAPPENINGS; j++) {
			_cleanup_free_ char *what = NULL;

			cr_assert(asprintf(&what, "%s, then %s", states[i].name, happenings[j]) >
				  0);
			machine = states[i].machine;
			mark = (struct mark_text){ .value = { (char *)states[i].mark } };
			appear();
			tell(UDEV_PRESENT);
			if (states[i].taken)
				happen(UNBIND);
			cr_assert_eq(device_state(device), states[i].state, "%s", what);
			happen(j);
			cr_expect_eq(device_state(device), states[i].after[j], "%s: %d, %s", what,
				     device_state(device), device->reason ?: "no reason");
			device_remove(device);
			device = device_free(device);
		}
	}
}

/* ---- aliases ---- */

Test(device, a_new_mark_is_applied_as_a_difference)
{
	uint32_t kept;

	mark.value[MARK_ALIAS] = "2:wc@0+1M 2:wc@1M+1M";
	appear();
	tell(UDEV_PRESENT);
	cr_assert_eq(machine.n_aliases, 2);
	kept = machine.aliases[0].index;

	mark.value[MARK_ALIAS] = "2:uc@1M+64K,shared 2:wc@0+1M";
	tell(UDEV_PRESENT);
	cr_expect_eq(device_state(device), DEVICE_PUBLISHED);
	cr_assert_eq(machine.n_aliases, 2);
	cr_expect_eq(machine.n_created, 3);
	cr_expect_eq(machine.aliases[0].index, kept);
	cr_expect_eq(machine.aliases[1].type, VFIO_ALIAS_MEMORY_UC);
	cr_expect_eq(machine.aliases[1].flags, VFIO_ALIAS_FLAG_SYSFS | VFIO_ALIAS_FLAG_SHARED);

	machine.remove = -EIO;
	mark.value[MARK_ALIAS] = "2:wc";
	tell(UDEV_PRESENT);
	expect("not removed", DEVICE_WAITING, "cannot list or remove aliases: Input/output error");
}

Test(device, a_mistake_does_not_cost_an_alias)
{
	appear();
	tell(UDEV_PRESENT);
	mark.value[MARK_ALIAS] = "2:wx";
	tell(UDEV_PRESENT);
	expect("mistake", DEVICE_REFUSED, "the mark before stays in force");
	cr_expect_eq(machine.n_aliases, 1);
	cr_expect_eq(machine.n_created, 1);

	/* Of what is lost nothing is in force. */
	happen(UNBIND);
	expect("taken", DEVICE_WAITING, "was taken from its VFIO driver");
	device_reload(device);
	expect("lost", DEVICE_REFUSED, "TYPE must be wc or uc");
	cr_expect_null(strstr(device->refusal, "in force"));
}

Test(device, one_alias_that_waits_does_not_keep_the_others)
{
	_cleanup_status_ struct status status = {};

	mark.value[MARK_ALIAS] = "2:wc@0+1M";
	appear();
	tell(UDEV_PRESENT);
	machine.create = -EBUSY;
	mark.value[MARK_ALIAS] = "2:wc@0+1M 2:uc@1M+1M";
	tell(UDEV_PRESENT);
	cr_expect_eq(device_state(device), DEVICE_WAITING);
	cr_assert_eq(status_read(scratch_fd, MACHINE_BDF, &status), 0);
	cr_assert_eq(status.n_aliases, 2);
	cr_expect_str_eq(status.aliases[0].state, "published");
	cr_expect_str_eq(status.aliases[0].file,
			 "/sys/bus/pci/devices/" MACHINE_BDF "/resource2_wc");
	cr_expect_str_eq(status.aliases[1].state, "waiting");
	cr_expect_null(status.aliases[1].file);
	cr_expect_str_eq(status.reason, status.aliases[1].reason);
}

Test(device, the_file_gets_the_owner_and_mode_of_the_mark)
{
	mark.value[MARK_OWNER] = "1";
	mark.value[MARK_GROUP] = "2";
	appear();
	tell(UDEV_PRESENT);
	cr_expect_eq(machine.file.owner, 1);
	cr_expect_eq(machine.file.group, 2);
	cr_expect_eq(machine.file.mode, 0660);
	mark.value[MARK_MODE] = "0600";
	tell(UDEV_PRESENT);
	cr_expect_eq(machine.file.mode, 0600);
	cr_expect_eq(machine.n_created, 1);
}

Test(device, what_the_kernel_does_not_tell_of_is_tried_again)
{
	uint64_t usec;

	machine.create = -EBUSY;
	appear();
	tell(UDEV_PRESENT);
	cr_assert_not_null(device->retry);
	cr_assert_geq(sd_event_source_get_time(device->retry, &usec), 0);
	machine.create = 0;
	device_retry(device);
	expect("free", DEVICE_PUBLISHED, NULL);
	cr_expect_null(device->retry, "it would wake the machine for nothing");
}

Test(device, what_ends_before_it_is_watched_is_not_waited_for)
{
	machine.busy_once = true;
	appear();
	tell(UDEV_PRESENT);
	expect("ended", DEVICE_PUBLISHED, NULL);
	cr_expect_null(device->retry);
}

Test(device, a_file_that_is_closed_all_the_time_is_no_reason_to_wait_for_ever)
{
	_cleanup_free_ char *path = NULL;
	unsigned int n = 0;

	scratch_file("resource2", "");
	cr_assert_gt(asprintf(&path, "%s/resource2", scratch), 0);
	machine.bar_file = path;
	machine.create = -EBUSY;
	machine.mapped = true;
	appear();
	tell(UDEV_PRESENT);
	expect("mapped", DEVICE_WAITING, "is mapped by tool");
	machine.create = 0;
	machine.mapped = false;
	/* Of 5 s, after which it is tried whatever is closed */
	while (device_state(device) == DEVICE_WAITING && n++ < 200) {
		usleep(20000);
		close_fd(open(path, O_RDONLY | O_CLOEXEC));
		settle();
	}
	expect("free", DEVICE_PUBLISHED, NULL);
	cr_expect_lt(n, 200);
}

/* ---- binding and giving back ---- */

Test(device, what_nobody_takes_is_not_tried_for_ever)
{
	machine.vfio_refuses = true;
	appear();
	tell(UDEV_PRESENT);
	expect("not yet", DEVICE_WAITING, "has not taken the device yet");
	cr_expect_not_null(device->retry);
	device->probed_usec = 1;
	device_retry(device);
	expect("not", DEVICE_WAITING, "has not taken the device (No such device)");
	cr_expect_null(device->retry);
	device_reload(device);
	expect("reloaded", DEVICE_WAITING, "has not taken the device yet");
	machine.vfio_refuses = false;
	device_retry(device);
	expect("taken", DEVICE_PUBLISHED, NULL);
}

static struct status at_unbind;

static void keep_status(void)
{
	cr_assert_eq(status_read(scratch_fd, MACHINE_BDF, &at_unbind), 0);
}

Test(device, a_run_that_dies_while_it_gives_back_leaves_that_to_the_next)
{
	machine.driver = machine.native = "e1000e";
	mark.value[MARK_BIND] = "force";
	appear();
	tell(UDEV_PRESENT);
	machine.at_unbind = keep_status;
	device_release(device);
	device = device_free(device);
	machine.driver = NULL; /* it has not got that far */
	cr_assert_eq(status_write(scratch_fd, &at_unbind), 0);
	status_clear(&at_unbind);

	appear();
	cr_expect_str_eq(machine.driver, "e1000e");
	cr_expect_str_eq(machine.override, "");
}

Test(device, a_driver_that_was_there_before_gets_the_device_back)
{
	machine.driver = machine.native = "e1000e";
	snprintf(machine.override, sizeof(machine.override), "e1000e");
	mark.value[MARK_BIND] = "force";
	appear();
	tell(UDEV_PRESENT);
	expect("forced", DEVICE_PUBLISHED, NULL);
	cr_expect_str_eq(machine.driver, "vfio-pci");
	device_release(device);
	cr_expect_str_eq(machine.driver, "e1000e");
	cr_expect_str_eq(machine.override, "e1000e");
	cr_expect_eq(faccessat(scratch_fd, MACHINE_BDF ".json", F_OK, 0), -1);
}

Test(device, a_driver_that_does_not_take_it_back_is_no_fault)
{
	machine.driver = "e1000e";
	mark.value[MARK_BIND] = "force";
	appear();
	tell(UDEV_PRESENT);
	device_release(device);
	cr_expect_null(machine.driver);
	cr_expect_str_eq(machine.override, "");
}

Test(device, what_somebody_else_has_bound_stays_as_it_is)
{
	machine.driver = "vfio-pci";
	snprintf(machine.override, sizeof(machine.override), "vfio-pci");
	appear();
	tell(UDEV_PRESENT);
	expect("bound before", DEVICE_PUBLISHED, NULL);
	device_release(device);
	cr_expect_str_eq(machine.driver, "vfio-pci");
	cr_expect_str_eq(machine.override, "vfio-pci");
	cr_expect_not(machine.session);
}

Test(device, what_somebody_else_has_open_is_not_unbound)
{
	appear();
	tell(UDEV_PRESENT);
	device_withdraw(device);
	machine.opened = true; /* the unbind would wait */
	cr_expect(device_must_wait(device, NULL));
	expect("unmarked", DEVICE_WAITING, "when user (pid 4712) has closed /dev/vfio/7");
	machine.opened = false;
	machine.has_vfs = true;
	cr_expect(device_must_wait(device, NULL));
	expect("with functions", DEVICE_WAITING, "no virtual functions any more");
	machine.has_vfs = false;
	cr_expect_not(device_must_wait(device, NULL));
	machine.opened = true; /* and nobody can wait, at the end of the service */
	device_release(device);
	cr_expect_str_eq(machine.driver, "vfio-pci");
}

Test(device, what_was_taken_is_left_alone_by_the_next_run_too)
{
	appear();
	tell(UDEV_PRESENT);
	happen(UNBIND);
	device = device_free(device); /* it has died */

	appear();
	tell(UDEV_PRESENT);
	expect("after a restart", DEVICE_WAITING, "was taken from its VFIO driver");
	cr_expect_null(machine.driver);
	machine.opened = true; /* an unbind waits for that, perhaps */
	device_reload(device);
	expect("while somebody has it", DEVICE_WAITING, "was taken from its VFIO driver");
	machine.opened = false;
	device_reload(device);
	expect("reloaded", DEVICE_PUBLISHED, NULL);
}

Test(device, what_another_driver_has_was_unbound_whether_that_was_heard_of_or_not)
{
	appear();
	tell(UDEV_PRESENT);
	machine_request();
	settle();
	machine.driver = "e1000e"; /* and the event was lost */
	device_reload(device);
	expect("reloaded", DEVICE_WAITING, "driver e1000e has the device");
}

Test(device, nor_has_it_to_be_heard_of_for_a_reload_to_bind_it_again)
{
	appear();
	tell(UDEV_PRESENT);
	machine_request();
	settle();
	machine.driver = NULL; /* and the event was lost */
	expect("unbound", DEVICE_WAITING, "was taken from its VFIO driver");
	device_reload(device);
	expect("reloaded", DEVICE_PUBLISHED, NULL);
}

Test(device, a_device_waits_for_the_others_of_its_group_to_be_given_back)
{
	struct device other = { .session = (struct vfio_session *)&other,
				.sysfs_fd = STDERR_FILENO };

	machine.driver = machine.native = "e1000e";
	mark.value[MARK_BIND] = "force";
	appear();
	tell(UDEV_PRESENT);
	device_withdraw(device);
	snprintf(other.bdf, sizeof(other.bdf), "0000:00:11.0");
	cr_expect(device_must_wait(device, &other));
	expect("unmarked", DEVICE_WAITING, "when 0000:00:11.0, of the same IOMMU group");
	tell(UDEV_PRESENT);
	expect("marked again", DEVICE_PUBLISHED, NULL);
	device_withdraw(device);
	other.session = NULL;
	cr_expect_not(device_must_wait(device, &other));
	device_release(device);
	cr_expect_str_eq(machine.driver, "e1000e");
}

Test(device, what_udev_has_failed_at_is_no_news)
{
	struct udev_event failed = { .action = UDEV_PRESENT, .bdf = MACHINE_BDF, .failed = true };

	appear();
	tell(UDEV_PRESENT);
	device_handle(device, &failed);
	expect("failed", DEVICE_PUBLISHED, NULL);
	happen(UNBIND);
	machine.driver = "vfio-pci";
	failed.action = UDEV_BIND;
	device_handle(device, &failed);
	expect("but what has happened is", DEVICE_PUBLISHED, NULL);
}

Test(device, the_next_run_needs_no_database_of_users_to_go_on)
{
	_cleanup_status_ struct status status = {};

	mark.value[MARK_OWNER] = "daemon";
	appear();
	tell(UDEV_PRESENT);
	expect("by name", DEVICE_PUBLISHED, NULL);
	cr_assert_eq(status_read(scratch_fd, MACHINE_BDF, &status), 0);
	cr_expect_str_eq(status.mark.value[MARK_OWNER], "1");
	cr_expect_null(status.mark.value[MARK_GROUP]);
}

Test(device, a_device_that_is_bound_needs_no_override)
{
	appear();
	tell(UDEV_PRESENT);
	cr_expect_str_eq(machine.driver, "vfio-pci");
	cr_expect_str_eq(machine.override, "");
	happen(UNBIND);
	expect("unbound", DEVICE_WAITING, "was taken from its VFIO driver");
	snprintf(machine.override, sizeof(machine.override), "e1000e");
	device_release(device);
	cr_expect_str_eq(machine.override, "e1000e", "it is somebody else's");
}

Test(device, the_next_run_knows_whom_the_device_belonged_to)
{
	machine.driver = machine.native = "e1000e";
	mark.value[MARK_BIND] = "force";
	appear();
	tell(UDEV_PRESENT);
	device = device_free(device); /* without giving it back: it has died */

	appear();
	device_release(device);
	cr_expect_str_eq(machine.driver, "e1000e");
	cr_expect_str_eq(machine.override, "");
}

/* What a run leaves that ends between its writes to sysfs */
Test(device, the_next_run_mends_a_device_that_was_half_bound)
{
	_cleanup_status_ struct status half = { .bdf = strdup(MACHINE_BDF),
						.state = strdup("marked"),
						.driver = strdup("e1000e"),
						.group = MACHINE_GROUP,
						.bound_by_service = true,
						.previous_driver = strdup("e1000e") };

	cr_assert_eq(status_write(scratch_fd, &half), 0);
	machine.native = "e1000e";
	snprintf(machine.override, sizeof(machine.override), "vfio-pci");
	appear();
	cr_expect_str_eq(machine.override, "");
	cr_expect_str_eq(machine.driver, "e1000e", "whether or not it is still marked");
	mark.value[MARK_BIND] = "force";
	tell(UDEV_PRESENT);
	expect("bound", DEVICE_PUBLISHED, NULL);
	device_release(device);
	cr_expect_str_eq(machine.driver, "e1000e");
}

/* The daemon ends without a word, and systemd keeps the session. */
static void die(void)
{
	machine.dying = true;
	device = device_free(device);
	machine.dying = false;
}

Test(device, a_restart_is_by_the_mark_that_was_in_force)
{
	uint32_t kept;

	appear();
	tell(UDEV_PRESENT);
	kept = machine.aliases[0].index;
	mark.value[MARK_ALIAS] = "2:wx";
	tell(UDEV_PRESENT);
	die();

	appear();
	expect("before udev has said anything", DEVICE_PUBLISHED, NULL);
	tell(UDEV_PRESENT);
	expect("after", DEVICE_REFUSED, "the mark before stays in force");
	cr_assert_eq(machine.n_aliases, 1);
	cr_expect_eq(machine.aliases[0].index, kept);
	cr_expect_eq(machine.n_created, 1);

	mark.value[MARK_ALIAS] = "2:wc";
	tell(UDEV_PRESENT);
	expect("mended", DEVICE_PUBLISHED, NULL);
	cr_expect_eq(machine.n_created, 1);
}

Test(device, an_unbind_that_waits_for_the_next_run_is_not_kept_waiting)
{
	appear();
	tell(UDEV_PRESENT);
	die();
	machine.unbinding = true;
	machine.driver = NULL;

	appear();
	tell(UDEV_PRESENT);
	expect("while it waits", DEVICE_WAITING, "was taken from its VFIO driver");
	cr_expect_not(machine.stored);
	tell(UDEV_UNBIND);
	expect("when it is done", DEVICE_WAITING, "was taken from its VFIO driver");
	device_reload(device);
	expect("reloaded", DEVICE_PUBLISHED, NULL);
}

Test(device, an_unbind_that_waits_for_somebody_else_is_left_alone)
{
	machine.open = -EBUSY;
	appear();
	tell(UDEV_PRESENT);
	machine.unbinding = true;
	machine.driver = NULL;
	device_retry(device);
	expect("while it waits", DEVICE_WAITING, "was taken from its VFIO driver");
	device_reload(device);
	expect("reloaded", DEVICE_WAITING, "was taken from its VFIO driver");
	machine.unbinding = false;
	machine.open = 0;
	tell(UDEV_UNBIND);
	device_reload(device);
	expect("when it is done", DEVICE_PUBLISHED, NULL);
}

Test(device, nor_is_one_that_nothing_is_known_of)
{
	/* It has begun before this run, and before the device was marked. */
	machine.unbinding = machine.opened = true;
	appear();
	tell(UDEV_PRESENT);
	expect("by its group", DEVICE_WAITING, "user (pid 4712) has /dev/vfio/7 open");
	machine.opened = false;
	machine.cdev = machine.opened_unlinked = true;
	device_retry(device);
	expect("by itself", DEVICE_WAITING,
	       "vm (pid 4713) has a device that is being unbound open");
	machine.unbinding = machine.opened_unlinked = false;
	tell(UDEV_UNBIND);
	expect("when it is done", DEVICE_PUBLISHED, NULL);
}

Test(device, a_reload_does_not_mistake_an_unbind_that_waits_by_a_character_device)
{
	machine.cdev = true;
	machine.open = -EBUSY;
	appear();
	tell(UDEV_PRESENT);
	machine.unbinding = machine.opened_unlinked = true;
	machine.driver = NULL;
	device_retry(device);
	expect("while it waits", DEVICE_WAITING, "was taken from its VFIO driver");
	device_reload(device);
	expect("reloaded", DEVICE_WAITING, "was taken from its VFIO driver");
}

Test(device, a_mark_that_is_not_possible_costs_nobody_an_alias)
{
	machine.missing_types = 1U << VFIO_ALIAS_MEMORY_WC;
	mark.value[MARK_ALIAS] = "2:uc@0+1M";
	appear();
	tell(UDEV_PRESENT);
	mark.value[MARK_ALIAS] = "2:uc@0+1M 2:wc@1M+1M";
	tell(UDEV_PRESENT);
	expect("impossible", DEVICE_WAITING, "cannot give the memory type wc");
	cr_expect(machine.session);
	cr_expect_eq(machine.n_aliases, 1);
}

Test(device, nor_does_a_mark_that_meets_the_msix_table)
{
	machine.msix = (struct pci_msix){ 2, 1 << 20, 0x10 };
	mark.value[MARK_ALIAS] = "2:wc@0+512K 2:wc@512K+512K";
	appear();
	tell(UDEV_PRESENT);
	mark.value[MARK_ALIAS] = "2:wc@0+512K 2:wc@1M+1M";
	tell(UDEV_PRESENT);
	expect("impossible", DEVICE_WAITING, "meets the pages of the MSI-X table");
	cr_expect(machine.session);
	cr_expect_eq(machine.n_aliases, 2);
	cr_expect_eq(machine.n_created, 2);
	cr_expect(device->aliases[0].published, "it is there");
	cr_expect_not(device->aliases[1].published);
	mark.value[MARK_ALIAS] = "2:wx";
	tell(UDEV_PRESENT);
	expect("and refused", DEVICE_REFUSED, "the mark before stays in force");
}

Test(device, no_session_outlives_the_mark_that_accepts_it)
{
	machine.no_group = true;
	machine.noiommu_mode = 1;
	mark.value[MARK_NOIOMMU] = "1";
	appear();
	tell(UDEV_PRESENT);
	expect("accepted", DEVICE_PUBLISHED, NULL);
	mark.value[MARK_NOIOMMU] = NULL;
	tell(UDEV_PRESENT);
	expect("not any more", DEVICE_WAITING, "VFIO_ALIAS_NOIOMMU=1");
	cr_expect_not(machine.session);
}

Test(device, a_device_that_goes_leaves_nothing)
{
	appear();
	tell(UDEV_PRESENT);
	machine.gone = true;
	device_remove(device);
	cr_expect_not(machine.session);
	cr_expect_eq(faccessat(scratch_fd, MACHINE_BDF ".json", F_OK, 0), -1);
}

/* ---- messages ---- */

Test(device, a_device_that_flaps_says_what_was_left_out)
{
	uint64_t usec = 0;

	appear();
	for (unsigned int i = 0; i < 3 * LOG_LIMIT_BURST; i++) {
		mark.value[MARK_ALIAS] = i % 2 ? "2:wx" : "2:wy";
		tell(UDEV_PRESENT);
	}
	cr_expect_eq(device->limit.suppressed, 2 * LOG_LIMIT_BURST);
	cr_assert_not_null(device->limit_end);
	cr_assert_geq(sd_event_source_get_time(device->limit_end, &usec), 0);
	cr_expect_eq(usec, device->limit.begin_usec + LOG_LIMIT_USEC);
}
