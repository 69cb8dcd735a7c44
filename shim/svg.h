/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plot of curves over two logarithmic axes, as SVG. */
#ifndef SHIM_SVG_H
#define SHIM_SVG_H

#include <stdbool.h>
#include <stddef.h>

struct svg_point {
	double x, y; /* more than 0 */
};

struct svg_curve {
	const char *name;
	unsigned int colour; /* the same number is the same colour */
	bool dashed;
	const struct svg_point *points;
	size_t n_points;
};

struct svg_plot {
	const char *title, *x_label, *y_label;
	unsigned int x_base, y_base; /* of the ticks: powers of it; more than 1 */
	/* What a tick is called. Returns @buffer. */
	const char *(*x_tick)(double value, char *buffer, size_t size);
	const char *(*y_tick)(double value, char *buffer, size_t size);
	const struct svg_curve *curves;
	size_t n_curves;
};

/*
 * Draws the plot, which can be read on a light and on a dark background.
 * Texts may be anything; what XML cannot have becomes '?'.
 * Returns 0 and a file's text, to be freed; -EINVAL if there is no point to plot; or -ENOMEM.
 */
int svg_format(const struct svg_plot *plot, char **ret);

#endif
