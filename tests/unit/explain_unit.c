/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "explain.h"

#include <criterion/criterion.h>

Test(explain, a_word_is_a_whole_one)
{
	cr_expect(explain_has_word("nopat", "nopat"));
	cr_expect(explain_has_word("quiet nopat", "nopat"));
	cr_expect(explain_has_word("nopath nopat quiet", "nopat"));
	cr_expect(explain_has_word("a\tpat\n", "pat"));
	cr_expect_not(explain_has_word("", "pat"));
	cr_expect_not(explain_has_word("nopat path pat=1", "pat"));
}

static int flag(const char *text, const char *name)
{
	_cleanup_fclose_ FILE *stream = fmemopen((void *)text, strlen(text), "r");

	return explain_cpu_flag(stream, name);
}

Test(explain, the_flags_of_the_first_cpu_tell)
{
	static const char text[] = "processor\t: 0\nmodel name\t: X flags CPU\n"
				   "flags\t\t: fpu pat pse36\nbugs\t\t: nopse\n\n"
				   "processor\t: 1\nflags\t\t: fpu later\n";

	cr_expect_eq(flag(text, "pat"), 1);
	cr_expect_eq(flag(text, "pse"), 0);
	cr_expect_eq(flag(text, "later"), 0);
	cr_expect_eq(flag("processor\t: 0\nFeatures\t: fp\n", "pat"), -ENODATA);
}

Test(explain, a_device_that_is_not_there_fails_first_and_the_rest_is_not_reached)
{
	_cleanup_explanation_ struct explanation explanation = {};
	const struct explain_condition *failure;

	cr_assert_eq(explain("ffffffff:ff:1f.7", &explanation), 0);
	cr_expect_not(explanation.proven);
	failure = explanation_first_failure(&explanation);
	cr_assert_not_null(failure);
	cr_expect_eq(failure, explanation.conditions);
	cr_expect_str_eq(failure->name, "device");
	cr_expect_not_null(failure->mend);
	cr_expect_eq(explanation.conditions[1].state, EXPLAIN_NOT_REACHED);
	cr_expect_null(explanation.conditions[1].text);
}
