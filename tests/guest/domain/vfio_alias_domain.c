// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test only: a PCI device in a domain above ffff
 *
 * The kernel gives such domains to devices behind Intel's VMD, which QEMU does not have.
 * While this module is loaded, a device of bus 0 is in domain 10000 instead, at the same bus,
 * device and function number: as with VMD, Linux forgets the device and finds it anew below a
 * host bridge whose accesses to the configuration space lead to the same place. BARs are the
 * device's own, and so is what its registers answer. What the IOMMU knows it by is another
 * device, as VMD's own is with VMD, where the kernel has VMD; else it has no IOMMU group.
 */
#include <linux/ioport.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/pci.h>

#define DOMAIN 0x10000

static unsigned int slot = 0x10;
module_param(slot, uint, 0444);
MODULE_PARM_DESC(slot, "the device of bus 0 to have, function 0");

static unsigned int requester = 0x12;
module_param(requester, uint, 0444);
MODULE_PARM_DESC(requester, "the device of bus 0 whose IOMMU group it gets");

static struct pci_sysdata sysdata = { .domain = DOMAIN, .node = NUMA_NO_NODE };
static struct resource windows[PCI_STD_NUM_BARS];
static struct pci_bus *from, *to;
static struct pci_dev *vmd;

/* pci_lock is held, so the functions of the PCI core that take it are not for these. */
static int config_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val)
{
	if (bus->number || devfn != PCI_DEVFN(slot, 0))
		return PCIBIOS_DEVICE_NOT_FOUND;
	return from->ops->read(from, devfn, where, size, val);
}

static int config_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 val)
{
	if (bus->number || devfn != PCI_DEVFN(slot, 0))
		return PCIBIOS_DEVICE_NOT_FOUND;
	return from->ops->write(from, devfn, where, size, val);
}

static struct pci_ops ops = { .read = config_read, .write = config_write };

/* The window of bus 0 that a BAR is in. */
static struct resource *window_of(const struct resource *bar)
{
	struct resource *window;

	pci_bus_for_each_resource(from, window)
		if (window && resource_type(window) == resource_type(bar) &&
		    resource_contains(window, bar))
			return window;
	return NULL;
}

static void release_windows(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(windows); i++)
		if (windows[i].parent)
			release_resource(&windows[i]);
}

/* Once the device is gone: what its BARs had is the host bridge's. */
static int request_windows(struct list_head *resources)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(windows); i++) {
		struct resource *window = &windows[i], *parent;

		if (!window->flags)
			continue;
		parent = window_of(window);
		if (!parent || request_resource(parent, window)) {
			pci_free_resource_list(resources);
			release_windows();
			return -EBUSY;
		}
		pci_add_resource(resources, window);
	}
	return 0;
}

/* Fills in whom the IOMMU takes the device for. */
static void set_requester(void)
{
#if IS_ENABLED(CONFIG_VMD)
	sysdata.vmd_dev = vmd;
#endif
}

static int move(struct pci_dev *pdev)
{
	struct irq_domain *msi = dev_get_msi_domain(&pdev->dev);
	LIST_HEAD(resources);
	int ret;

	for (unsigned int i = 0; i < ARRAY_SIZE(windows); i++)
		if (pci_resource_len(pdev, i))
			windows[i] = (struct resource){
				.name = "vfio-alias domain",
				.start = pci_resource_start(pdev, i),
				.end = pci_resource_end(pdev, i),
				.flags = pci_resource_flags(pdev, i) &
					 (IORESOURCE_TYPE_BITS | IORESOURCE_PREFETCH |
					  IORESOURCE_MEM_64),
			};
	pci_stop_and_remove_bus_device(pdev);

	ret = request_windows(&resources);
	if (ret)
		return ret;
	to = pci_create_root_bus(NULL, 0, &ops, &sysdata, &resources);
	if (!to) {
		pci_free_resource_list(&resources);
		release_windows();
		return -ENOMEM;
	}
	dev_set_msi_domain(&to->dev, msi);
	pci_scan_child_bus(to);
	pci_bus_claim_resources(to);
	pci_bus_add_devices(to);
	return 0;
}

static int __init domain_init(void)
{
	struct pci_dev *pdev;
	int ret = -ENODEV;

	pdev = pci_get_domain_bus_and_slot(0, 0, PCI_DEVFN(slot, 0));
	vmd = pci_get_domain_bus_and_slot(0, 0, PCI_DEVFN(requester, 0));
	if (pdev && vmd && pdev != vmd) {
		pci_lock_rescan_remove();
		from = pdev->bus;
		set_requester();
		ret = move(pdev);
		if (ret)
			pci_rescan_bus(from);
		pci_unlock_rescan_remove();
	}
	pci_dev_put(pdev);
	if (ret)
		pci_dev_put(vmd);
	return ret;
}
module_init(domain_init);

static void __exit domain_exit(void)
{
	pci_lock_rescan_remove();
	pci_stop_root_bus(to);
	pci_remove_root_bus(to);
	release_windows();
	pci_rescan_bus(from);
	pci_unlock_rescan_remove();
	pci_dev_put(vmd);
}
module_exit(domain_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test only: a PCI device in a domain above ffff");
