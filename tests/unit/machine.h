/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine with one PCI device, in place of sysfs.c, vfio.c, modules.c and holder.c: what the
 * kernel does when it is told to bind a device or to make an alias, and what can go wrong.
 * As zeroes all is well: there is an IOMMU, no driver has the device, and the modules have
 * alias regions.
 */
#ifndef TESTS_UNIT_MACHINE_H
#define TESTS_UNIT_MACHINE_H

#include <criterion/criterion.h>
#include <fcntl.h>

#include "holder.h"
#include "modules.h"
#include "sysfs.h"
#include "vfio.h"

#define MACHINE_BDF "0000:00:10.0"
#define MACHINE_BESIDE "0000:00:10.1"
#define MACHINE_GROUP 7U
#define MACHINE_ALIASES 8

struct machine {
	/* What is so */
	bool gone;
	bool no_group;
	int noiommu_mode;     /* as sysfs_noiommu_mode() */
	bool cdev;	      /* VFIO's devices have character devices of their own */
	bool opened;	      /* the group, by a process that is found */
	bool opened_beside;   /* another device of the group, likewise, by its character device */
	bool opened_unlinked; /* the device itself, while it is unbound, likewise */
	const char *driver;   /* that has the device */
	const char *native;   /* driver that takes it if no other is wanted */
	char override[32];
	const char *beside; /* driver of another device in the group */
	bool has_vfs;	    /* virtual functions */
	bool vfio_refuses;  /* vfio-pci does not take the device */
	bool unbinding;	    /* and the device's lock is held until a session ends */
	bool dying;	    /* the daemon: sessions are stored and not ended */
	uint32_t missing_types, missing_flags;
	bool alias_is_lost;	/* one that was made is not listed */
	bool mapped;		/* by a process that is found */
	bool mapped_beside;	/* write-combining, likewise */
	bool busy_once;		/* and free when it is tried again */
	bool bound_before;	/* the device, before no-IOMMU mode was on: it has no group */
	bool no_bar;		/* no BAR is one of memory */
	int directory;		/* of the device, if that has files */
	struct pci_msix msix;	/* of size 0: none */
	bool no_alias_regions;	/* the modules have none */
	bool no_vfio;		/* it is not loaded */
	bool is_signed;		/* the module's file */
	enum sysfs_iommu iommu; /* that the firmware describes */
	const char *lockdown;	/* the level; NULL if the kernel has none */
	const char *carried;	/* by the device, and the one beside it; NULL for nothing */
	bool more_bars;		/* around BAR 2, which is prefetchable then */
	void (*at_unbind)(void);
	const char *bar_file; /* that stands for each one of sysfs; NULL: there is none */
	const char *memtypes; /* the kernel's record of them; NULL if it cannot be seen */
	/* What the calls return, if not success */
	int bars, open, modules, keep, request, probe, possible, create, remove, list, access;
	int find_msix, read_lockdown;

	/* What has come of it */
	bool session, stored;
	int eventfd;
	struct vfio_alias aliases[MACHINE_ALIASES];
	size_t n_aliases;
	unsigned int n_created;
	struct {
		uid_t owner;
		gid_t group;
		mode_t mode;
	} file;
};

static struct machine machine;

/* ---- sysfs.h ---- */

int sysfs_open_device(const char *bdf)
{
	if (!machine.beside || !streq(bdf, MACHINE_BESIDE))
		cr_assert_str_eq(bdf, MACHINE_BDF);
	return machine.gone ? -ENOENT : dup(machine.directory ?: STDERR_FILENO);
}

int sysfs_read_bars(int fd, struct pci_bar ret[static PCI_BARS])
{
	(void)fd;
	if (machine.bars < 0)
		return machine.bars;
	memset(ret, 0, sizeof(*ret) * PCI_BARS);
	if (machine.no_bar)
		return 0;
	ret[2] = (struct pci_bar){ .kind = PCI_BAR_MEMORY,
				   .length = 16 << 20,
				   .start = 0xfd000000,
				   .prefetchable = machine.more_bars };
	if (machine.more_bars)
		ret[0] = ret[4] = (struct pci_bar){ .kind = PCI_BAR_MEMORY,
						    .length = 64 << 20,
						    .start = 0xe0000000 };
	return 0;
}

int sysfs_read_ids(int fd, uint16_t *ret_vendor, uint16_t *ret_device)
{
	(void)fd;
	*ret_vendor = 0x1af4;
	*ret_device = 0x1110;
	return 0;
}

int sysfs_find_msix(int fd, struct pci_msix *ret)
{
	(void)fd;
	if (machine.find_msix < 0)
		return machine.find_msix;
	*ret = machine.msix;
	return machine.msix.size > 0 ? 0 : -ENOENT;
}

int sysfs_read_aliases(int fd, struct sysfs_alias **ret, size_t *ret_n)
{
	(void)fd;
	*ret = calloc(MACHINE_ALIASES, sizeof(**ret));
	for (size_t i = 0; i < machine.n_aliases; i++)
		(*ret)[i] = (struct sysfs_alias){ .index = machine.aliases[i].index,
						  .bar = machine.aliases[i].bar,
						  .offset = machine.aliases[i].offset,
						  .size = machine.aliases[i].size,
						  .type = machine.aliases[i].type,
						  .flags = machine.aliases[i].flags };
	*ret_n = machine.n_aliases;
	return 0;
}

int sysfs_driver(int fd, char **ret)
{
	(void)fd;
	*ret = machine.driver ? strdup(machine.driver) : NULL;
	return 0;
}

int sysfs_find_carried(int fd, char **ret)
{
	(void)fd;
	if (!machine.carried)
		return -ENOENT;
	*ret = strdup(machine.carried);
	return 0;
}

bool sysfs_has_vfs(int fd)
{
	(void)fd;
	return machine.has_vfs;
}

bool sysfs_has_vfio(int fd)
{
	(void)fd;
	return streq(machine.driver, "vfio-pci");
}

int sysfs_driver_override(int fd, char **ret)
{
	(void)fd;
	cr_assert_not(machine.unbinding, "it would wait for the device's lock");
	*ret = *machine.override ? strdup(machine.override) : NULL;
	return 0;
}

int sysfs_set_driver_override(int fd, const char *driver)
{
	(void)fd;
	cr_assert_not(machine.unbinding, "it would wait for the device's lock");
	snprintf(machine.override, sizeof(machine.override), "%s", driver ?: "");
	return 0;
}

int sysfs_unbind(int fd, const char *bdf)
{
	(void)fd;
	cr_assert_str_eq(bdf, MACHINE_BDF);
	cr_assert_not(machine.session, "the kernel would wait for the session");
	cr_assert_not(machine.unbinding, "it would wait for the device's lock");
	machine.driver = NULL;
	if (machine.at_unbind)
		machine.at_unbind();
	return 0;
}

int sysfs_probe(const char *bdf)
{
	cr_assert_str_eq(bdf, MACHINE_BDF);
	cr_assert_not(machine.unbinding, "it would wait for the device's lock");
	if (machine.driver)
		return 0;
	if (streq(machine.override, "vfio-pci"))
		machine.driver = machine.vfio_refuses ? NULL : "vfio-pci";
	else
		machine.driver = machine.native;
	return 0;
}

int sysfs_noiommu_mode(void)
{
	return machine.noiommu_mode;
}

/* VFIO makes a group for a device without an IOMMU when that is bound. */
static inline bool machine_has_group(void)
{
	return !machine.no_group || (machine.noiommu_mode == 1 && !machine.bound_before &&
				     streq(machine.driver, "vfio-pci"));
}

bool sysfs_group_is_noiommu(int fd)
{
	(void)fd;
	return machine.no_group && machine_has_group();
}

int sysfs_vfio_cdev(int fd, char **ret)
{
	(void)fd;
	if (!machine.cdev)
		return -ENOENT;
	*ret = strdup("vfio0");
	return 0;
}

int sysfs_iommu_group(int fd, unsigned int *ret)
{
	(void)fd;
	if (!machine_has_group())
		return -ENOENT;
	*ret = MACHINE_GROUP;
	return 0;
}

bool sysfs_group_has_vfio(int fd)
{
	return sysfs_has_vfio(fd) || machine.unbinding;
}

int sysfs_list_group_cdevs(int fd, char (**ret)[SYSFS_CDEV_SIZE], size_t *ret_n)
{
	(void)fd;
	*ret_n = machine.cdev ? 2 : 0;
	*ret = calloc(2, sizeof(**ret));
	strcpy((*ret)[0], "vfio0");
	strcpy((*ret)[1], "vfio1");
	return 0;
}

int sysfs_iommu_group_obstacle(int fd, const char *except, char **ret_bdf, char **ret_driver)
{
	(void)fd;
	cr_assert_str_eq(except, MACHINE_BDF);
	if (!machine.beside)
		return -ENOENT;
	*ret_bdf = strdup(MACHINE_BESIDE);
	*ret_driver = strdup(machine.beside);
	return 0;
}

int sysfs_describe_group(int fd, const char *bdf, char **ret)
{
	(void)fd;
	(void)bdf;
	if (!machine_has_group())
		return -ENOENT;
	if (!machine.beside)
		*ret = strdup("");
	else if (asprintf(ret, MACHINE_BESIDE " (%s)", machine.beside) < 0)
		return -ENOMEM;
	return 0;
}

enum sysfs_iommu sysfs_firmware_iommu(void)
{
	return machine.iommu;
}

int sysfs_lockdown(char **ret)
{
	if (machine.read_lockdown < 0)
		return machine.read_lockdown;
	if (!machine.lockdown)
		return -ENOENT;
	*ret = strdup(machine.lockdown);
	return 0;
}

int sysfs_open_memtypes(FILE **ret)
{
	if (!machine.memtypes)
		return -ENOENT;
	*ret = fmemopen((void *)machine.memtypes, strlen(machine.memtypes), "r");
	return 0;
}

const char *sysfs_bar_file(char buffer[static SYSFS_BAR_FILE_SIZE], unsigned int bar, bool wc)
{
	snprintf(buffer, SYSFS_BAR_FILE_SIZE, "resource%u%s", bar % 10, wc ? "_wc" : "");
	return buffer;
}

ino_t sysfs_bar_inode(int fd, unsigned int bar, bool wc)
{
	(void)fd;
	return bar * 10 + wc;
}

int sysfs_open_path(int fd, const char *name)
{
	(void)fd;
	(void)name;
	return machine.bar_file ? open(machine.bar_file, O_PATH | O_CLOEXEC) : -ENOENT;
}

int sysfs_set_access(int fd, const char *name, uid_t owner, gid_t group, mode_t mode)
{
	(void)fd;
	(void)name;
	if (machine.access < 0)
		return machine.access;
	machine.file.owner = owner;
	machine.file.group = group;
	machine.file.mode = mode;
	return 0;
}

/* ---- vfio.h ---- */

const char *vfio_path(char buffer[static VFIO_PATH_SIZE], const struct vfio_way *way)
{
	if (way->cdev)
		snprintf(buffer, VFIO_PATH_SIZE, "/dev/vfio/devices/%s", way->cdev);
	else
		snprintf(buffer, VFIO_PATH_SIZE, "/dev/vfio/%s%u", way->noiommu ? "noiommu-" : "",
			 way->group);
	return buffer;
}

int vfio_session_open(struct vfio *vfio, const struct vfio_way *way, const char *bdf,
		      struct vfio_session **ret)
{
	(void)vfio;
	cr_assert_eq(way->group, MACHINE_GROUP);
	cr_assert_eq(way->noiommu, machine.noiommu_mode == 1);
	cr_assert_eq(!way->cdev, !machine.cdev);
	cr_assert_str_eq(bdf, MACHINE_BDF);
	cr_assert_str_eq(machine.driver, "vfio-pci");
	cr_assert_not(machine.session);
	if (machine.open < 0)
		return machine.open;
	if (machine.beside)
		return -ENOTUNIQ;
	machine.session = true;
	machine.stored = false;
	*ret = (struct vfio_session *)&machine; /* never looked into */
	return 0;
}

bool vfio_session_is_stored(const char *bdf)
{
	cr_assert_str_eq(bdf, MACHINE_BDF);
	return machine.stored;
}

static void machine_end_session(void)
{
	machine.session = machine.stored = machine.unbinding = false;
	machine.n_aliases = 0;
	machine.n_created = 0;
}

void vfio_session_discard(const char *bdf)
{
	cr_assert_str_eq(bdf, MACHINE_BDF);
	if (machine.stored)
		machine_end_session();
}

int vfio_session_keep(struct vfio_session *session)
{
	(void)session;
	cr_assert_eq(machine.n_created, machine.n_aliases, "a mapping could be lost");
	return machine.keep;
}

struct vfio_session *vfio_session_close(struct vfio_session *session)
{
	if (session) {
		cr_assert(machine.session);
		if (machine.dying) {
			machine.session = false;
			machine.stored = true;
		} else {
			machine_end_session();
		}
	}
	return NULL;
}

int vfio_session_set_request_eventfd(struct vfio_session *session, int eventfd)
{
	(void)session;
	machine.eventfd = eventfd;
	return machine.request;
}

int vfio_session_probe_aliases(struct vfio_session *session)
{
	(void)session;
	return machine.probe;
}

int vfio_session_find_msix(struct vfio_session *session, struct pci_msix *ret)
{
	(void)session;
	return sysfs_find_msix(STDERR_FILENO, ret);
}

int vfio_session_get_possible(struct vfio_session *session, unsigned int bar, uint32_t *ret_types,
			      uint32_t *ret_flags)
{
	(void)session;
	(void)bar;
	*ret_types = (1U << VFIO_ALIAS_MEMORY_UC | 1U << VFIO_ALIAS_MEMORY_WC) &
		     ~machine.missing_types;
	*ret_flags = (VFIO_ALIAS_FLAG_SYSFS | VFIO_ALIAS_FLAG_SHARED) & ~machine.missing_flags;
	return machine.possible;
}

int vfio_session_create_alias(struct vfio_session *session, const struct vfio_alias *alias)
{
	(void)session;
	cr_assert(machine.session);
	for (size_t i = 0; i < machine.n_aliases; i++) {
		const struct vfio_alias *there = &machine.aliases[i];

		if (there->bar == alias->bar && there->type == alias->type &&
		    there->flags == alias->flags && there->offset == alias->offset &&
		    there->size == alias->size)
			return 0;
		if (there->bar == alias->bar && alias->offset < there->offset + there->size &&
		    there->offset < alias->offset + alias->size)
			return -EBUSY;
	}
	if (machine.busy_once) {
		machine.busy_once = false;
		return -EBUSY;
	}
	if (machine.create < 0)
		return machine.create;
	machine.n_created++;
	if (machine.alias_is_lost)
		return 0;
	cr_assert_lt(machine.n_aliases, MACHINE_ALIASES);
	machine.aliases[machine.n_aliases] = *alias;
	machine.aliases[machine.n_aliases++].index = 8 + machine.n_created;
	return 0;
}

int vfio_session_remove_alias(struct vfio_session *session, uint32_t index)
{
	(void)session;
	if (machine.remove < 0)
		return machine.remove;
	for (size_t i = 0; i < machine.n_aliases; i++) {
		if (machine.aliases[i].index != index)
			continue;
		machine.aliases[i] = machine.aliases[--machine.n_aliases];
		return 0;
	}
	return -EINVAL;
}

int vfio_session_list_aliases(struct vfio_session *session, struct vfio_alias **ret, size_t *ret_n)
{
	(void)session;
	if (machine.list < 0)
		return machine.list;
	*ret = calloc(machine.n_aliases + 1, sizeof(**ret));
	memcpy(*ret, machine.aliases, machine.n_aliases * sizeof(**ret));
	*ret_n = machine.n_aliases;
	return 0;
}

/* ---- modules.h, holder.h ---- */

int modules_load(const char *name)
{
	(void)name;
	return machine.modules;
}

bool modules_is_loaded(const char *name)
{
	cr_assert_str_eq(name, "vfio");
	return !machine.no_vfio;
}

int modules_look_at_file(const char *name, const char *symbol, struct modules_file *ret)
{
	(void)symbol;
	cr_assert_str_eq(name, "vfio_pci_core");
	*ret = (struct modules_file){ .path = strdup("/lib/modules/vfio-pci-core.ko"),
				      .uses_symbol = !machine.no_alias_regions,
				      .is_signed = machine.is_signed };
	return 0;
}

int modules_find_symbols(FILE *kallsyms, const char *const names[], size_t n, bool ret[])
{
	(void)kallsyms;
	for (size_t i = 0; i < n; i++)
		ret[i] = !machine.no_vfio &&
			 !(machine.no_alias_regions && streq(names[i], "vfio_pci_alias_feature"));
	return 0;
}

int holder_find_open(const char *proc, const char *path, const pid_t except[], size_t n,
		     struct holder *ret)
{
	bool ours = false;

	(void)proc;
	for (size_t i = 0; i < n; i++)
		ours |= except[i] == getpid();
	cr_assert(ours);
	if (!(machine.opened && streq(path, "/dev/vfio/7")) &&
	    !(machine.opened_beside && streq(path, "/dev/vfio/devices/vfio1")))
		return -ENOENT;
	*ret = (struct holder){ .pid = 4712, .name = "user" };
	return 0;
}

int holder_find_open_unlinked(const char *proc, const char *head, const pid_t except[], size_t n,
			      struct holder *ret)
{
	(void)proc;
	(void)except;
	(void)n;
	cr_assert_str_eq(head, "/vfio/devices/vfio");
	cr_assert_not(sysfs_has_vfio(STDERR_FILENO));
	if (!machine.opened_unlinked)
		return -ENOENT;
	*ret = (struct holder){ .pid = 4713, .name = "vm" };
	return 0;
}

int holder_find_mapping(const char *proc, const struct holder_device *device,
			const struct holder_claim *claim, struct holder *ret)
{
	(void)proc;
	cr_assert_str_eq(device->bdf, MACHINE_BDF);
	cr_assert_eq(device->bars[2].start, 0xfd000000);
	cr_assert(claim->bar == 2 && claim->length > 0 && claim->inodes[0] == 20 &&
		  claim->inodes[1] == 21);
	/* As of a mapping of all of the BAR, and before it of one that is beside all claims */
	if (machine.mapped_beside && claim->rest)
		*ret = (struct holder){ .pid = 4713, .name = "other", .file = "resource2_wc" };
	else if (machine.mapped && claim->wc)
		*ret = (struct holder){ .pid = 4711, .name = "tool", .file = "resource2" };
	else
		return -ENOENT;
	return 0;
}

/* ---- what others do ---- */

/* The kernel wants the device back, for an unbind that waits. */
static inline void machine_request(void)
{
	const uint64_t one = 1;

	cr_assert(machine.session);
	cr_assert_eq(write(machine.eventfd, &one, sizeof(one)), sizeof(one));
}

#endif
