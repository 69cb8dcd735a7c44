/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs of vfio-alias, one file for each, verb-NAME.c; their table is in vfio-alias.c.
 *
 * A verb is called as main() is. argv[0] is "vfio-alias VERB", for getopt's messages, and
 * argv[1] the first word after it. It handles its own --help, and returns a VERB_x.
 */
#ifndef SHIM_VERB_H
#define SHIM_VERB_H

#include "pci.h"
#include "util.h"

/* The exit status of the command, as vfio-alias(1) has it. */
enum {
	VERB_DONE = 0,
	VERB_FAILED = 1,
	VERB_USAGE = 2, /* the command line is wrong */
};

int verb_list(int argc, char *argv[]);
int verb_show(int argc, char *argv[]);
int verb_mark(int argc, char *argv[]);
int verb_unmark(int argc, char *argv[]);
int verb_explain(int argc, char *argv[]);
int verb_bench(int argc, char *argv[]);

/* Writes "vfio-alias: ", the message and a line's end to stderr. */
_printf_(1, 2) void verb_say(const char *format, ...);

/* Says what is wrong with the command line, and where to read on. Returns VERB_USAGE. */
_printf_(1, 2) int verb_usage(const char *format, ...);

/*
 * Prints a JSON value and a line's end to stdout, and puts it; NULL is a lack of memory.
 * Returns as verb_end() does.
 */
struct json_object;
int verb_print_json(struct json_object *value);

/*
 * Ends a verb that has printed to stdout: nothing is lost in the buffer without a word.
 * Returns VERB_DONE or VERB_FAILED.
 */
int verb_end(void);

/* Whether @fd is a terminal that knows control sequences: TERM is neither "dumb" nor missing. */
bool verb_is_terminal(int fd);

/* Whether stdout is one, and colours are wanted: no-color.org. */
bool verb_use_colour(void);

/* Whether stdout is to have more than ASCII. */
bool verb_use_unicode(void);

/* The command line of a verb that shows one device: [--json] [--no-color] BDF */
struct verb_view {
	bool json, colour;
	char bdf[PCI_BDF_SIZE];
};

/*
 * Reads it. @usage: what --help prints
 * Returns whether the verb goes on; if not, it returns @ret_end.
 */
bool verb_read_view(int argc, char *argv[], const char *usage, struct verb_view *ret, int *ret_end);

/*
 * Reads a device's address from the command line, as pci_parse_bdf() does. Returns VERB_DONE,
 * or VERB_USAGE after a message.
 */
int verb_parse_bdf(const char *text, char ret[static PCI_BDF_SIZE]);

#endif
