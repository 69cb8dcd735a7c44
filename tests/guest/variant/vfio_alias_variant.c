// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test only: variant drivers of VFIO, which bind where driver_override says so
 *
 * vfio-alias-barmap keeps a pointer into the kernel's mapping of a BAR. In tree
 * virtio-vfio-pci does that, but for virtual functions that QEMU does not have.
 * This one is vfio-pci with one file more in the device's directory: what is written to
 * barmap, while the device is open, is the number of a BAR for
 * vfio_pci_core_setup_barmap(), whose error is that of the write. Reading gives the
 * first word of that BAR, through the pointer that was kept.
 *
 * vfio-alias-own-mmap has an mmap() of its own, as those have that hide a part of a BAR:
 * its devices have no alias regions. Else it is the same.
 */
#include <linux/io.h>
#include <linux/iommufd.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sysfs.h>
#include <linux/vfio_pci_core.h>

struct barmap_device {
	struct vfio_pci_core_device core;
	struct mutex lock;	/* the device is not closed meanwhile */
	bool open;
	void __iomem *io;	/* what vfio_pci_core_setup_barmap() has given */
};

static struct barmap_device *to_barmap(struct vfio_device *core_vdev)
{
	return container_of(core_vdev, struct barmap_device, core.vdev);
}

static struct barmap_device *dev_to_barmap(struct device *dev)
{
	/* vfio_pci_core_register_device() insists on the core's structure there */
	return container_of(dev_get_drvdata(dev), struct barmap_device, core);
}

static ssize_t barmap_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t count)
{
	struct barmap_device *barmap = dev_to_barmap(dev);
	unsigned int bar;
	int ret;

	ret = kstrtouint(buf, 0, &bar);
	if (ret)
		return ret;
	if (bar >= PCI_STD_NUM_BARS)
		return -EINVAL;

	mutex_lock(&barmap->lock);
	ret = -ENODEV;
	if (barmap->open)
		ret = vfio_pci_core_setup_barmap(&barmap->core, bar);
	if (!ret)
		barmap->io = barmap->core.barmap[bar];
	mutex_unlock(&barmap->lock);

	return ret ?: count;
}

static ssize_t barmap_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct barmap_device *barmap = dev_to_barmap(dev);
	ssize_t ret = -ENODEV;

	mutex_lock(&barmap->lock);
	if (barmap->io)
		ret = sysfs_emit(buf, "0x%08x\n", ioread32(barmap->io));
	mutex_unlock(&barmap->lock);

	return ret;
}
static DEVICE_ATTR_ADMIN_RW(barmap);

static struct attribute *barmap_attrs[] = {
	&dev_attr_barmap.attr,
	NULL
};
ATTRIBUTE_GROUPS(barmap);

static int barmap_init_dev(struct vfio_device *core_vdev)
{
	mutex_init(&to_barmap(core_vdev)->lock);
	return vfio_pci_core_init_dev(core_vdev);
}

static int barmap_open_device(struct vfio_device *core_vdev)
{
	struct barmap_device *barmap = to_barmap(core_vdev);
	int ret;

	ret = vfio_pci_core_enable(&barmap->core);
	if (ret)
		return ret;
	vfio_pci_core_finish_enable(&barmap->core);

	mutex_lock(&barmap->lock);
	barmap->open = true;
	mutex_unlock(&barmap->lock);
	return 0;
}

static void barmap_close_device(struct vfio_device *core_vdev)
{
	struct barmap_device *barmap = to_barmap(core_vdev);

	mutex_lock(&barmap->lock);
	barmap->open = false;
	barmap->io = NULL;
	mutex_unlock(&barmap->lock);

	vfio_pci_core_close_device(core_vdev);
}

static int own_mmap(struct vfio_device *core_vdev, struct vm_area_struct *vma)
{
	return vfio_pci_core_mmap(core_vdev, vma);
}

#define VARIANT_OPS(driver_name, driver_mmap)				\
{									\
	.name		= driver_name,					\
	.init		= barmap_init_dev,				\
	.release	= vfio_pci_core_release_dev,			\
	.open_device	= barmap_open_device,				\
	.close_device	= barmap_close_device,				\
	.ioctl		= vfio_pci_core_ioctl,				\
	.device_feature	= vfio_pci_core_ioctl_feature,			\
	.read		= vfio_pci_core_read,				\
	.write		= vfio_pci_core_write,				\
	.mmap		= driver_mmap,					\
	.request	= vfio_pci_core_request,			\
	.match		= vfio_pci_core_match,				\
	.bind_iommufd	= vfio_iommufd_physical_bind,			\
	.unbind_iommufd	= vfio_iommufd_physical_unbind,			\
	.attach_ioas	= vfio_iommufd_physical_attach_ioas,		\
	.detach_ioas	= vfio_iommufd_physical_detach_ioas,		\
}

static const struct vfio_device_ops barmap_ops =
	VARIANT_OPS("vfio-alias-barmap", vfio_pci_core_mmap);
static const struct vfio_device_ops own_mmap_ops =
	VARIANT_OPS("vfio-alias-own-mmap", own_mmap);

static int variant_probe(struct pci_dev *pdev, const struct vfio_device_ops *ops)
{
	struct barmap_device *barmap;
	int ret;

	barmap = vfio_alloc_device(barmap_device, core.vdev, &pdev->dev, ops);
	if (IS_ERR(barmap))
		return PTR_ERR(barmap);

	dev_set_drvdata(&pdev->dev, &barmap->core);
	ret = vfio_pci_core_register_device(&barmap->core);
	if (ret)
		vfio_put_device(&barmap->core.vdev);
	return ret;
}

static int barmap_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return variant_probe(pdev, &barmap_ops);
}

static int own_mmap_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return variant_probe(pdev, &own_mmap_ops);
}

static void variant_remove(struct pci_dev *pdev)
{
	struct barmap_device *barmap = dev_to_barmap(&pdev->dev);

	vfio_pci_core_unregister_device(&barmap->core);
	vfio_put_device(&barmap->core.vdev);
}

/* For driver_override alone */
static const struct pci_device_id variant_table[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_ANY_ID, PCI_ANY_ID) },
	{}
};

#define VARIANT_DRIVER(driver_name, driver_probe)			\
{									\
	.name			= driver_name,				\
	.id_table		= variant_table,			\
	.probe			= driver_probe,				\
	.remove			= variant_remove,			\
	.dev_groups		= barmap_groups,			\
	.err_handler		= &vfio_pci_core_err_handlers,		\
	.driver_managed_dma	= true,					\
}

static struct pci_driver barmap_driver =
	VARIANT_DRIVER("vfio-alias-barmap", barmap_probe);
static struct pci_driver own_mmap_driver =
	VARIANT_DRIVER("vfio-alias-own-mmap", own_mmap_probe);

static int __init variant_init(void)
{
	int ret;

	ret = pci_register_driver(&barmap_driver);
	if (ret)
		return ret;
	ret = pci_register_driver(&own_mmap_driver);
	if (ret)
		pci_unregister_driver(&barmap_driver);
	return ret;
}
module_init(variant_init);

static void __exit variant_exit(void)
{
	pci_unregister_driver(&own_mmap_driver);
	pci_unregister_driver(&barmap_driver);
}
module_exit(variant_exit);

MODULE_ALIAS("vfio_alias_barmap");
MODULE_ALIAS("vfio_alias_own_mmap");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test only: VFIO variant drivers");
