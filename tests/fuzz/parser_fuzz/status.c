/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device's status file. An input is the file. */
#include "status.h"

#include "fuzz.h"

#define BDF "0000:00:10.0"

static int directory;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	directory = make_directory();
	return 0;
}

static void check_same(const struct status *a, const struct status *b)
{
	check(streq(a->bdf, b->bdf) && streq(a->state, b->state) && streq(a->reason, b->reason) &&
	      streq(a->driver, b->driver) && a->group == b->group &&
	      a->bound_by_service == b->bound_by_service &&
	      streq(a->previous_driver, b->previous_driver) &&
	      streq(a->previous_override, b->previous_override) && a->n_aliases == b->n_aliases);
	for (size_t i = 0; i < a->n_aliases; i++) {
		const struct status_alias *x = &a->aliases[i], *y = &b->aliases[i];

		check(x->bar < PCI_BARS && x->bar == y->bar && x->offset == y->offset &&
		      x->size == y->size && streq(x->type_wanted, y->type_wanted) &&
		      streq(x->type_in_effect, y->type_in_effect) && streq(x->file, y->file) &&
		      streq(x->state, y->state) && streq(x->reason, y->reason));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_status_ struct status status = {}, again = {};
	int r;

	write_file(directory, BDF ".json", data, size);
	r = status_read(directory, BDF, &status);
	if (r < 0) {
		check(r == -EBADMSG || r == -EFBIG);
		check(!status.bdf && !status.aliases);
		return 0;
	}
	check(streq(status.bdf, BDF) && status.state);
	check(status_write(directory, &status) == 0);
	check(status_read(directory, BDF, &again) == 0);
	check_same(&status, &again);
	return 0;
}
