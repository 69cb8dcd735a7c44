// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test only: which memory type does the CPU use for a user address?
 *
 * On x86 neither vma->vm_page_prot nor what a driver asked for answers this: the
 * memory type tree may have changed the bits when the entry was inserted. So this
 * walks the page table of the process and decodes the entry that is there by the
 * IA32_PAT of this CPU, as the MMU does (SDM volume 3, "Selecting a Memory Type
 * from the PAT"). The MTRRs are left out: combined with them WC stays WC and UC
 * stays UC, and UC- changes only under an MTRR of type WC, which nothing sets here.
 *
 * Write "PID ADDRESS" (decimal, hexadecimal), then read one line:
 *
 *	present=1 level=4K entry=0x... pfn=0x... pat_index=1 type=WC
 *	present=0
 *
 * level is the size that the entry maps (4K, 2M, 1G); pfn is the frame of the 4 KiB
 * page of the address at every level. Each open file keeps its own answer.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/msr.h>

struct ptwalk_file {
	struct mutex lock;	/* protects the answer */
	int len;
	char answer[128];
};

struct ptwalk_leaf {
	const char *level;
	u64 entry;
	u64 pat_bit;
	u64 first_pfn;
	u64 size;		/* bytes that the entry maps */
};

/*
 * The caller holds the mmap lock and has found a VMA at @addr, so the tables above
 * it stay; RCU keeps the last level against the collapse of file mappings, which
 * does not take the mmap lock.
 */
static bool ptwalk_find_leaf(struct mm_struct *mm, unsigned long addr,
			     struct ptwalk_leaf *ret_leaf)
{
	pgd_t pgd, *pgdp = pgd_offset(mm, addr);
	p4d_t p4d, *p4dp;
	pud_t pud, *pudp;
	pmd_t pmd, *pmdp;
	pte_t pte, *ptep;

	pgd = pgdp_get(pgdp);
	if (pgd_none(pgd) || pgd_bad(pgd))
		return false;

	p4dp = p4d_offset(pgdp, addr);
	p4d = p4dp_get(p4dp);
	if (p4d_none(p4d) || p4d_bad(p4d))
		return false;

	pudp = pud_offset(p4dp, addr);
	pud = pudp_get(pudp);
	/* Not pud_present(): like pmd_present(), it is true for entries that the CPU refuses. */
	if (!(pud_val(pud) & _PAGE_PRESENT))
		return false;
	if (pud_leaf(pud)) {
		*ret_leaf = (struct ptwalk_leaf) {
			"1G", pud_val(pud), _PAGE_PAT_LARGE, pud_pfn(pud), PUD_SIZE
		};
		return true;
	}

	pmdp = pmd_offset(pudp, addr);
	pmd = pmdp_get(pmdp);
	if (!(pmd_val(pmd) & _PAGE_PRESENT))
		return false;
	if (pmd_leaf(pmd)) {
		*ret_leaf = (struct ptwalk_leaf) {
			"2M", pmd_val(pmd), _PAGE_PAT_LARGE, pmd_pfn(pmd), PMD_SIZE
		};
		return true;
	}

	/* pte_offset_map() is not exported; without highmem this is the same address. */
	ptep = pte_offset_kernel(&pmd, addr);
	pte = ptep_get(ptep);
	if (!(pte_val(pte) & _PAGE_PRESENT))
		return false;
	*ret_leaf = (struct ptwalk_leaf) {
		"4K", pte_val(pte), _PAGE_PAT, pte_pfn(pte), PAGE_SIZE
	};
	return true;
}

static const char *ptwalk_type(unsigned int pat_index)
{
	static const char * const types[8] = {
		[0] = "UC", [1] = "WC", [4] = "WT", [5] = "WP", [6] = "WB", [7] = "UC-",
	};
	u64 pat;

	/* The register and not what Linux usually writes into it. */
	rdmsrl(MSR_IA32_CR_PAT, pat);
	return types[(pat >> (8 * pat_index)) & 7] ?: "reserved";
}

static int ptwalk_print(char *buf, size_t size, unsigned long addr,
			const struct ptwalk_leaf *leaf)
{
	unsigned int pat_index = (leaf->entry & _PAGE_PWT ? 1 : 0) |
				 (leaf->entry & _PAGE_PCD ? 2 : 0) |
				 (leaf->entry & leaf->pat_bit ? 4 : 0);
	u64 pfn = leaf->first_pfn + ((addr & (leaf->size - 1)) >> PAGE_SHIFT);

	return scnprintf(buf, size,
			 "present=1 level=%s entry=0x%llx pfn=0x%llx pat_index=%u type=%s\n",
			 leaf->level, leaf->entry, pfn, pat_index, ptwalk_type(pat_index));
}

static struct mm_struct *ptwalk_get_mm(pid_t nr)
{
	struct mm_struct *mm = NULL;
	struct task_struct *task;
	struct pid *pid;

	pid = find_get_pid(nr);
	task = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);
	if (task) {
		mm = get_task_mm(task);
		put_task_struct(task);
	}
	return mm;
}

static ssize_t ptwalk_write(struct file *file, const char __user *ubuf, size_t len, loff_t *ppos)
{
	struct ptwalk_file *ptwalk = file->private_data;
	struct vm_area_struct *vma;
	struct ptwalk_leaf leaf;
	struct mm_struct *mm;
	unsigned long addr;
	bool found = false;
	char question[64];
	int nr;

	if (len >= sizeof(question))
		return -EINVAL;
	if (copy_from_user(question, ubuf, len))
		return -EFAULT;
	question[len] = '\0';
	if (sscanf(question, "%d %lx", &nr, &addr) != 2)
		return -EINVAL;

	mm = ptwalk_get_mm(nr);
	if (!mm)
		return -ESRCH;

	mmap_read_lock(mm);
	/*
	 * munmap() frees page tables under the read side of the lock, but detaches
	 * the VMA before; where one is found nobody does.
	 */
	vma = find_vma(mm, addr);
	if (vma && vma->vm_start <= addr) {
		rcu_read_lock();
		found = ptwalk_find_leaf(mm, addr, &leaf);
		rcu_read_unlock();
	}
	mmap_read_unlock(mm);
	mmput(mm);

	mutex_lock(&ptwalk->lock);
	if (found)
		ptwalk->len = ptwalk_print(ptwalk->answer, sizeof(ptwalk->answer), addr, &leaf);
	else
		ptwalk->len = scnprintf(ptwalk->answer, sizeof(ptwalk->answer), "present=0\n");
	mutex_unlock(&ptwalk->lock);

	return len;
}

static ssize_t ptwalk_read(struct file *file, char __user *ubuf, size_t len, loff_t *ppos)
{
	struct ptwalk_file *ptwalk = file->private_data;
	ssize_t ret;

	mutex_lock(&ptwalk->lock);
	ret = simple_read_from_buffer(ubuf, len, ppos, ptwalk->answer, ptwalk->len);
	mutex_unlock(&ptwalk->lock);
	return ret;
}

static int ptwalk_open(struct inode *inode, struct file *file)
{
	struct ptwalk_file *ptwalk;

	ptwalk = kzalloc(sizeof(*ptwalk), GFP_KERNEL);
	if (!ptwalk)
		return -ENOMEM;

	mutex_init(&ptwalk->lock);
	file->private_data = ptwalk;
	return 0;
}

static int ptwalk_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static const struct file_operations ptwalk_fops = {
	.owner = THIS_MODULE,
	.open = ptwalk_open,
	.release = ptwalk_release,
	.read = ptwalk_read,
	.write = ptwalk_write,
	.llseek = default_llseek,
};

static struct miscdevice ptwalk_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vfio-alias-ptwalk",
	.fops = &ptwalk_fops,
	.mode = 0600,
};
module_misc_device(ptwalk_device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test only: the memory type that the CPU uses for a user address");
