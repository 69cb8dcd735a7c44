/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The picture of a BAR in the terminal: a row of cells, each for a part of the BAR. */
#ifndef SHIM_PICTURE_H
#define SHIM_PICTURE_H

#include "layout.h"

struct picture {
	FILE *stream;
	bool unicode; /* else ASCII */
	bool colour;
	unsigned int width; /* cells at most, more than 1 */
};

/* Bytes that a cell is for, in a BAR of @length bytes, more than 0: at least a page. */
uint64_t picture_cell(const struct picture *picture, uint64_t length);

/*
 * Prints the row of a BAR. Of several ranges in one cell the smallest is shown, so that a page
 * of doorbells is not lost in a large BAR.
 */
void picture_ranges(const struct picture *picture, uint64_t length,
		    const struct layout_range *ranges, size_t n);

/* A part of a BAR. */
struct picture_part {
	uint64_t offset; /* bytes from the BAR's start */
	uint64_t size;	 /* bytes */
};

/* Prints a row in which the cells are marked that have something of the parts. */
void picture_parts(const struct picture *picture, uint64_t length, const struct picture_part *parts,
		   size_t n);

/* Prints what the cells of a kind look like, and what they mean, as one line. */
void picture_legend(const struct picture *picture, enum layout_kind kind);

#endif
