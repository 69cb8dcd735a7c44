// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test only: a variant driver of VFIO that has an mmap() of its own, as those have
 * that hide a part of a BAR. Its devices have no alias regions. It is built within
 * drivers/vfio/pci and binds where driver_override says so.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/vfio_pci_core.h>

static int own_mmap_open_device(struct vfio_device *core_vdev)
{
	struct vfio_pci_core_device *vdev =
		container_of(core_vdev, struct vfio_pci_core_device, vdev);
	int ret;

	ret = vfio_pci_core_enable(vdev);
	if (ret)
		return ret;

	vfio_pci_core_finish_enable(vdev);
	return 0;
}

static int own_mmap_mmap(struct vfio_device *core_vdev, struct vm_area_struct *vma)
{
	return vfio_pci_core_mmap(core_vdev, vma);
}

static const struct vfio_device_ops own_mmap_ops = {
	.name		= "vfio-alias-own-mmap",
	.init		= vfio_pci_core_init_dev,
	.release	= vfio_pci_core_release_dev,
	.open_device	= own_mmap_open_device,
	.close_device	= vfio_pci_core_close_device,
	.ioctl		= vfio_pci_core_ioctl,
	.device_feature	= vfio_pci_core_ioctl_feature,
	.read		= vfio_pci_core_read,
	.write		= vfio_pci_core_write,
	.mmap		= own_mmap_mmap,
	.request	= vfio_pci_core_request,
	.match		= vfio_pci_core_match,
	.bind_iommufd	= vfio_iommufd_physical_bind,
	.unbind_iommufd	= vfio_iommufd_physical_unbind,
	.attach_ioas	= vfio_iommufd_physical_attach_ioas,
	.detach_ioas	= vfio_iommufd_physical_detach_ioas,
};

static int own_mmap_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vfio_pci_core_device *vdev;
	int ret;

	vdev = vfio_alloc_device(vfio_pci_core_device, vdev, &pdev->dev, &own_mmap_ops);
	if (IS_ERR(vdev))
		return PTR_ERR(vdev);

	dev_set_drvdata(&pdev->dev, vdev);
	ret = vfio_pci_core_register_device(vdev);
	if (ret)
		vfio_put_device(&vdev->vdev);

	return ret;
}

static void own_mmap_remove(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	vfio_pci_core_unregister_device(vdev);
	vfio_put_device(&vdev->vdev);
}

static const struct pci_device_id own_mmap_table[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_ANY_ID, PCI_ANY_ID) },
	{}
};
MODULE_DEVICE_TABLE(pci, own_mmap_table);

static struct pci_driver own_mmap_driver = {
	.name			= "vfio-alias-own-mmap",
	.id_table		= own_mmap_table,
	.probe			= own_mmap_probe,
	.remove			= own_mmap_remove,
	.err_handler		= &vfio_pci_core_err_handlers,
	.driver_managed_dma	= true,
};
module_pci_driver(own_mmap_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test only: a VFIO driver with an mmap() of its own");
