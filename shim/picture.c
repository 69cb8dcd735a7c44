/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "picture.h"

static const struct {
	const char *unicode;
	char ascii;
	const char *colour; /* ECMA-48, SGR */
	const char *meaning;
} kinds[LAYOUT_KINDS] = {
	[LAYOUT_PLAIN] = { "░", '.', "2", "no alias: uncached, in VFIO's own mapping" },
	[LAYOUT_WC] = { "█", 'W', "32", "wc: write-combining alias" },
	[LAYOUT_WC_SHARED] = { "▓", 'w', "32", "wc, shared: VFIO's own mapping may have it, too" },
	[LAYOUT_UC] = { "▒", 'U', "33", "uc: uncached alias" },
	[LAYOUT_UC_SHARED] = { "▚", 'u', "33", "uc, shared: VFIO's own mapping may have it, too" },
	[LAYOUT_OTHER] = { "?", '?', "35", "an alias that has not the type that was asked for" },
	[LAYOUT_MSIX] = { "×", 'x', "31", "pages of the MSI-X table: no alias is possible" },
	[LAYOUT_UNMAPPABLE] = { "×", 'x', "31", "cannot be mapped" },
};

uint64_t picture_cell(const struct picture *picture, uint64_t length)
{
	uint64_t cell = page_size();

	/* Lengths of BARs are powers of two, and so are cells. */
	while ((length - 1) / cell >= picture->width)
		cell *= 2;
	return cell;
}

static bool meet(uint64_t offset, uint64_t size, uint64_t start, uint64_t cell)
{
	return offset <= start ? start - offset < size : offset - start < cell;
}

static void put_cell(const struct picture *picture, const char *unicode, char ascii)
{
	if (picture->unicode)
		fputs(unicode, picture->stream);
	else
		fputc(ascii, picture->stream);
}

static void set_colour(const struct picture *picture, const char *colour)
{
	if (picture->colour)
		fprintf(picture->stream, "\033[%sm", colour);
}

void picture_ranges(const struct picture *picture, uint64_t length,
		    const struct layout_range *ranges, size_t n)
{
	uint64_t cell = picture_cell(picture, length), cells = (length - 1) / cell + 1;
	enum layout_kind before = LAYOUT_KINDS;

	if (n == 0)
		return;
	for (uint64_t i = 0; i < cells; i++) {
		const struct layout_range *shown = NULL;

		for (size_t j = 0; j < n; j++)
			if (meet(ranges[j].offset, ranges[j].size, i * cell, cell) &&
			    (!shown || ranges[j].size < shown->size))
				shown = &ranges[j];
		if (!shown)
			continue; /* ranges are without gaps */
		if (shown->kind != before) {
			set_colour(picture, "0");
			set_colour(picture, kinds[shown->kind].colour);
		}
		before = shown->kind;
		put_cell(picture, kinds[shown->kind].unicode, kinds[shown->kind].ascii);
	}
	set_colour(picture, "0");
}

void picture_parts(const struct picture *picture, uint64_t length, const struct picture_part *parts,
		   size_t n)
{
	uint64_t cell = picture_cell(picture, length), cells = (length - 1) / cell + 1;

	for (uint64_t i = 0; i < cells; i++) {
		bool met = false;

		for (size_t j = 0; j < n && !met; j++)
			met = meet(parts[j].offset, parts[j].size, i * cell, cell);
		if (met)
			put_cell(picture, "━", '=');
		else
			fputc(' ', picture->stream);
	}
}

void picture_legend(const struct picture *picture, enum layout_kind kind)
{
	set_colour(picture, kinds[kind].colour);
	put_cell(picture, kinds[kind].unicode, kinds[kind].ascii);
	set_colour(picture, "0");
	fprintf(picture->stream, " %s\n", kinds[kind].meaning);
}
