/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "svg.h"

#include <criterion/criterion.h>

#include "util.h"

static const char *tick(double value, char *buffer, size_t size)
{
	snprintf(buffer, size, "<%.0f>", value);
	return buffer;
}

/* Returns what was written, to be freed; NULL if nothing was. */
static char *draw(const struct svg_curve *curves, size_t n, int *ret)
{
	const struct svg_plot plot = {
		.title = "A \"plot\" & <more>\x01\xff",
		.x_label = "x",
		.y_label = "y",
		.x_base = 4,
		.y_base = 10,
		.x_tick = tick,
		.y_tick = tick,
		.curves = curves,
		.n_curves = n,
	};
	char *text = NULL;

	*ret = svg_format(&plot, &text);
	return text;
}

/* How often @what is in @text. */
static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

Test(svg, texts_are_quoted_and_every_element_ends)
{
	static const struct svg_point points[] = { { 64, 2e6 }, { 256, 3e7 } };
	const struct svg_curve curves[] = {
		{ .name = "a<b", .points = points, .n_points = 2 },
		{ .name = "c", .points = points, .n_points = 1, .dashed = true, .colour = 99 },
	};
	_cleanup_free_ char *text = NULL;
	int r;

	text = draw(curves, 2, &r);
	cr_assert_eq(r, 0);
	cr_assert_not_null(text);
	cr_expect_not_null(strstr(text, "A &quot;plot&quot; &amp; &lt;more&gt;??"));
	cr_expect_not_null(strstr(text, "a&lt;b"));
	cr_expect_eq(count(text, "<text"), count(text, "</text>"));
	/* Each curve, with its title, and its line in the legend */
	cr_expect_eq(count(text, "<polyline "), 4);
	cr_expect_eq(count(text, "</polyline>"), 2);
	cr_expect_null(strstr(text, "nan"));
	cr_expect_null(strstr(text, "inf"));
}

Test(svg, points_are_where_the_axes_have_their_values)
{
	static const struct svg_point points[] = { { 64, 10 }, { 1024, 1000 } };
	const struct svg_curve curve = { .name = "c", .points = points, .n_points = 2 };
	_cleanup_free_ char *text = NULL;
	int r;

	text = draw(&curve, 1, &r);
	cr_assert_eq(r, 0);
	/* From the lower left to the upper right of the frame; three ticks along each axis */
	cr_expect_not_null(strstr(text, "points=\"90.0,420.0 690.0,50.0 \""), "%s", text);
	cr_expect_eq(count(text, "class=\"grid\""), 3 + 3);
	cr_expect_not_null(strstr(text, "&lt;256&gt;"));
}

Test(svg, without_a_point_there_is_no_plot)
{
	const struct svg_curve empty = { .name = "e" };
	static const struct svg_point zero = { 64, 0 };
	const struct svg_curve bad = { .name = "z", .points = &zero, .n_points = 1 };
	_cleanup_free_ char *none = NULL, *one = NULL, *two = NULL;
	int r;

	none = draw(NULL, 0, &r);
	cr_expect_eq(r, -EINVAL);
	one = draw(&empty, 1, &r);
	cr_expect_eq(r, -EINVAL);
	two = draw(&bad, 1, &r);
	cr_expect_eq(r, -EINVAL);
}
