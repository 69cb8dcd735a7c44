/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "explain.h"
#include "json.h"
#include "verb.h"

static const char usage[] =
	"Usage: vfio-alias explain BDF [--json | --no-color]\n"
	"\n"
	"Each condition from the udev rule to the page table: what holds, what does not, what\n"
	"could not be seen, and what would mend the first that does not hold.\n"
	"\n"
	"      --json      the same as JSON; see vfio-alias(1)\n"
	"      --no-color  without colours, as with NO_COLOR in the environment\n"
	"  -h, --help      show this\n"
	"\n"
	"The exit status is 0 if every alias is published and of the memory type, owner, group and\n"
	"mode that the mark says, 1 if not, 2 for a wrong command line.\n";

static const struct {
	const char *symbol, *ascii, *colour;
} marks[EXPLAIN_STATES] = {
	[EXPLAIN_HOLDS] = { "\u2713", "+", "\033[32m" },
	[EXPLAIN_FAILS] = { "\u2717", "x", "\033[31m" },
	[EXPLAIN_UNKNOWN] = { "?", "?", "\033[33m" },
	[EXPLAIN_NOT_REACHED] = { "\u00b7", ".", "\033[2m" },
};

static void print_text(const char *bdf, const struct explanation *explanation, bool colour)
{
	bool unicode = verb_use_unicode();
	const struct explain_condition *failure = explanation_first_failure(explanation);
	const char *item = NULL;
	int width = 0;

	for (size_t i = 0; i < explanation->n; i++) {
		int length = (int)strlen(explanation->conditions[i].name);

		width = length > width ? length : width;
	}

	puts(bdf);
	for (size_t i = 0; i < explanation->n; i++) {
		const struct explain_condition *condition = &explanation->conditions[i];
		enum explain_state state = condition->state;

		if (condition->item && !streq(condition->item, item)) {
			item = condition->item;
			printf("%s %s\n", bdf, item);
		}
		printf("  %s%s%s %-*s  %s\n", colour ? marks[state].colour : "",
		       unicode ? marks[state].symbol : marks[state].ascii, colour ? "\033[0m" : "",
		       width, condition->name, condition->text ?: "not reached");
	}
	if (failure && failure->mend)
		printf("mend: %s\n", failure->mend);
}

static int add_condition(struct json_object *array, const struct explain_condition *condition)
{
	struct json_object *object = json_object_new_object();
	int r;

	r = json_append(array, object);
	if (r == 0)
		r = json_add_string(object, "name", condition->name);
	if (r == 0)
		r = json_add_string(object, "item", condition->item);
	if (r == 0)
		r = json_add_string(object, "state", explain_state_names[condition->state]);
	if (r == 0)
		r = json_add_string(object, "text", condition->text);
	if (r == 0)
		r = json_add_string(object, "mend", condition->mend);
	return r;
}

/* NULL without memory. */
static struct json_object *to_json(const char *bdf, const struct explanation *explanation)
{
	_cleanup_json_ struct json_object *object = json_object_new_object();
	struct json_object *array;

	if (json_add_string(object, "bdf", bdf) < 0 ||
	    json_add(object, "proven", json_object_new_boolean(explanation->proven)) < 0)
		return NULL;
	array = json_object_new_array();
	if (json_add(object, "conditions", array) < 0)
		return NULL;
	for (size_t i = 0; i < explanation->n; i++)
		if (add_condition(array, &explanation->conditions[i]) < 0)
			return NULL;
	return TAKE_PTR(object);
}

int verb_explain(int argc, char *argv[])
{
	_cleanup_explanation_ struct explanation explanation = {};
	struct verb_view view;
	int r;

	if (!verb_read_view(argc, argv, usage, &view, &r))
		return r;

	r = explain("", view.bdf, &explanation);
	if (r < 0) {
		verb_say("%s: %s", view.bdf, strerror(-r));
		return VERB_FAILED;
	}
	if (view.json) {
		r = verb_print_json(to_json(view.bdf, &explanation));
	} else {
		print_text(view.bdf, &explanation, view.colour);
		r = verb_end();
	}
	return r == VERB_DONE && !explanation.proven ? VERB_FAILED : r;
}
