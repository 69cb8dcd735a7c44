/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "svg.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "util.h"

#define WIDTH 900
#define HEIGHT 480
#define LEFT 90
#define RIGHT 210 /* the legend */
#define TOP 50
#define BOTTOM 60
#define PLOT_WIDTH (WIDTH - LEFT - RIGHT)
#define PLOT_HEIGHT (HEIGHT - TOP - BOTTOM)
#define LEGEND_STEP 20
#define TICKS_MAX 64

/* Of middling lightness: legible on white and on black, and told apart by the colour-blind. */
static const char *const colours[] = {
	"#2f86d1", "#d9771e", "#2a9d6e", "#c8557f", "#8c6fd6", "#a08a1c", "#3a9fae", "#b5654a",
};
#define INK "#808080"

struct axis {
	double low, high; /* powers of the base */
	unsigned int base;
};

/* From the power of the base below the least value to that above the greatest. */
static bool find_axis(const struct svg_plot *plot, bool x, struct axis *ret)
{
	struct axis axis = { .base = x ? plot->x_base : plot->y_base };
	double least = INFINITY, greatest = 0;

	for (size_t i = 0; i < plot->n_curves; i++)
		for (size_t j = 0; j < plot->curves[i].n_points; j++) {
			const struct svg_point *point = &plot->curves[i].points[j];
			double value = x ? point->x : point->y;

			least = fmin(least, value);
			greatest = fmax(greatest, value);
		}
	if (!(least > 0) || !isfinite(greatest) || greatest <= 0)
		return false;
	for (axis.low = 1; axis.low > least; axis.low /= axis.base)
		;
	while (axis.low * axis.base <= least)
		axis.low *= axis.base;
	for (axis.high = axis.low * axis.base; axis.high < greatest; axis.high *= axis.base)
		;
	*ret = axis;
	return true;
}

/* How far along the axis, 0 to 1. */
static double position(const struct axis *axis, double value)
{
	return log(value / axis->low) / log(axis->high / axis->low);
}

static double plot_x(const struct axis *axis, double value)
{
	return LEFT + PLOT_WIDTH * position(axis, value);
}

static double plot_y(const struct axis *axis, double value)
{
	return TOP + PLOT_HEIGHT * (1 - position(axis, value));
}

/* A number with one decimal, whatever the locale's decimal point is. */
static void put_number(FILE *stream, double value)
{
	long tenths = lround(value * 10);

	fprintf(stream, "%s%ld.%ld", tenths < 0 ? "-" : "", labs(tenths) / 10, labs(tenths) % 10);
}

/* @format: %s for the text of XML, %g for a number with one decimal */
static void put(FILE *stream, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (const char *p = format; *p; p++) {
		if (p[0] == '%' && p[1] == 'g') {
			put_number(stream, va_arg(args, double));
			p++;
		} else if (p[0] == '%' && p[1] == 's') {
			for (const char *text = va_arg(args, const char *); *text; text++) {
				if (*text == '&')
					fputs("&amp;", stream);
				else if (*text == '<')
					fputs("&lt;", stream);
				else if (*text == '>')
					fputs("&gt;", stream);
				else if (*text == '"')
					fputs("&quot;", stream);
				else
					putc(*text >= ' ' && *text <= '~' ? *text : '?', stream);
			}
			p++;
		} else {
			putc(*p, stream);
		}
	}
	va_end(args);
}

static void put_ticks(FILE *stream, const struct svg_plot *plot, const struct axis *x,
		      const struct axis *y)
{
	char buffer[32];
	double value = x->low;

	for (int i = 0; i < TICKS_MAX && value <= x->high * 1.0001; i++, value *= x->base) {
		double at = plot_x(x, value);

		put(stream, "<line class=\"grid\" x1=\"%g\" y1=\"%g\" x2=\"%g\" y2=\"%g\"/>\n", at,
		    (double)TOP, at, (double)(TOP + PLOT_HEIGHT));
		put(stream, "<text text-anchor=\"middle\" x=\"%g\" y=\"%g\">%s</text>\n", at,
		    (double)(TOP + PLOT_HEIGHT + 18), plot->x_tick(value, buffer, sizeof(buffer)));
	}
	value = y->low;
	for (int i = 0; i < TICKS_MAX && value <= y->high * 1.0001; i++, value *= y->base) {
		double at = plot_y(y, value);

		put(stream, "<line class=\"grid\" x1=\"%g\" y1=\"%g\" x2=\"%g\" y2=\"%g\"/>\n",
		    (double)LEFT, at, (double)(LEFT + PLOT_WIDTH), at);
		put(stream, "<text text-anchor=\"end\" x=\"%g\" y=\"%g\">%s</text>\n",
		    (double)(LEFT - 8), at + 4, plot->y_tick(value, buffer, sizeof(buffer)));
	}
}

static void put_curve(FILE *stream, const struct svg_curve *curve, size_t place,
		      const struct axis *x, const struct axis *y)
{
	const char *colour = colours[curve->colour % ARRAY_SIZE(colours)];
	const char *dash = curve->dashed ? "6 4" : "none";
	double legend_x = LEFT + PLOT_WIDTH + 20, legend_y = TOP + 8 + (double)place * LEGEND_STEP;

	put(stream, "<polyline stroke=\"%s\" stroke-dasharray=\"%s\" points=\"", colour, dash);
	for (size_t i = 0; i < curve->n_points; i++)
		put(stream, "%g,%g ", plot_x(x, curve->points[i].x), plot_y(y, curve->points[i].y));
	put(stream, "\"><title>%s</title></polyline>\n", curve->name);
	put(stream, "<polyline stroke=\"%s\" stroke-dasharray=\"%s\" points=\"%g,%g %g,%g\"/>\n",
	    colour, dash, legend_x, legend_y, legend_x + 30, legend_y);
	put(stream, "<text x=\"%g\" y=\"%g\">%s</text>\n", legend_x + 38, legend_y + 4,
	    curve->name);
}

static void put_plot(FILE *stream, const struct svg_plot *plot, const struct axis *x,
		     const struct axis *y)
{
	double height = fmax(HEIGHT, TOP + (double)plot->n_curves * LEGEND_STEP + 20);

	put(stream, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ");
	put(stream, "%g %g\" width=\"%g\" height=\"%g\">\n", (double)WIDTH, height, (double)WIDTH,
	    height);
	put(stream, "<style>text{font:12px sans-serif;fill:" INK "}"
		    "polyline{fill:none;stroke-width:2}"
		    ".grid{stroke:" INK ";stroke-width:1;stroke-opacity:.25}</style>\n");
	put(stream, "<title>%s</title>\n", plot->title);
	put(stream, "<text x=\"%g\" y=\"%g\" style=\"font-size:15px\">%s</text>\n", (double)LEFT,
	    (double)(TOP - 22), plot->title);
	put(stream, "<text text-anchor=\"middle\" x=\"%g\" y=\"%g\">%s</text>\n",
	    LEFT + PLOT_WIDTH / 2.0, (double)(HEIGHT - 15), plot->x_label);
	put(stream,
	    "<text text-anchor=\"middle\" transform=\"translate(18 %g) rotate(-90)\">%s</text>\n",
	    TOP + PLOT_HEIGHT / 2.0, plot->y_label);
	put_ticks(stream, plot, x, y);
	for (size_t i = 0; i < plot->n_curves; i++)
		put_curve(stream, &plot->curves[i], i, x, y);
	put(stream, "</svg>\n");
}

int svg_format(const struct svg_plot *plot, char **ret)
{
	_cleanup_free_ char *text = NULL;
	struct axis x, y;
	FILE *stream;
	size_t size;
	bool failed;

	if (!find_axis(plot, true, &x) || !find_axis(plot, false, &y))
		return -EINVAL;
	stream = open_memstream(&text, &size);
	if (!stream)
		return -ENOMEM;
	put_plot(stream, plot, &x, &y);
	failed = ferror(stream);
	/* Without memory for its last step fclose() succeeds, and there is no text. */
	if (fclose(stream) != 0 || failed || !text)
		return -ENOMEM;
	*ret = TAKE_PTR(text);
	return 0;
}
