/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands between a udev rule and a write-combining page: each condition in order, what
 * was found of it, and what would mend it. Everything is only looked at, nothing is changed.
 */
#ifndef SHIM_EXPLAIN_H
#define SHIM_EXPLAIN_H

#include <stdio.h>

#include "pci.h"
#include "util.h"

enum explain_state {
	EXPLAIN_HOLDS,
	EXPLAIN_FAILS,
	EXPLAIN_UNKNOWN,     /* it could not be seen */
	EXPLAIN_NOT_REACHED, /* it depends on one that does not hold */
	EXPLAIN_STATES,
};

/* "holds", "fails", "unknown" or "not-reached" */
extern const char *const explain_state_names[EXPLAIN_STATES];

/* Strings are owned. */
struct explain_condition {
	const char *name; /* static */
	char *item;	  /* of the mark, as written; NULL for a condition of the device */
	enum explain_state state;
	char *text; /* what was found; NULL if it was not reached */
	char *mend; /* a command, or a change in words; NULL if none is known, or needed */
};

struct explanation {
	struct explain_condition *conditions;
	size_t n;
	bool proven; /* published, with the memory type, the owner and the mode of the mark */
};

/*
 * @root: "" or the directory in place of / for rules, procfs and what the service tells
 * @bdf: pci_bdf_valid()
 * Returns 0, or -ENOMEM.
 */
int explain(const char *root, const char *bdf, struct explanation *ret);
void explanation_clear(struct explanation *explanation);
#define _cleanup_explanation_ _cleanup_(explanation_clear)

/* The first condition that fails, or NULL. */
const struct explain_condition *explanation_first_failure(const struct explanation *explanation);

/* Whether @word is one of those in @text that are separated by white space. */
bool explain_has_word(const char *text, const char *word);

/*
 * Whether the first CPU of /proc/cpuinfo, on x86, has the flag.
 * Returns 1 or 0, or -ENODATA if no flags are there.
 */
int explain_cpu_flag(FILE *cpuinfo, const char *flag);

#endif
