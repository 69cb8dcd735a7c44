/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's record of memory types on x86, from which every mapping of device memory gets
 * its own: x86/pat_memtype_list in debugfs (memtype_seq_show() in arch/x86/mm/pat/memtype.c),
 * a line for each range that somebody uses:
 *
 *	PAT: [mem 0x00000000fd000000-0x00000000fe000000] write-combining
 *
 * The second address is the end, exclusive.
 */
#ifndef SHIM_MEMTYPE_H
#define SHIM_MEMTYPE_H

#include <stdint.h>
#include <stdio.h>

#define MEMTYPE_NAME_SIZE sizeof("uncached-minus-and-some")

/*
 * Finds the type that [@start, @start + @length) is recorded under.
 * @list: the file; lines that are no range are passed over
 * @ret: "write-combining", "uncached-minus", ...
 * Returns 0, -ENOENT if a part of the range is not recorded, -ENOTUNIQ if parts of it are
 * recorded under different types, or another -errno if the file cannot be read.
 */
int memtype_find(FILE *list, uint64_t start, uint64_t length, char ret[static MEMTYPE_NAME_SIZE]);

#endif
