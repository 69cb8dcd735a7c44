/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command: finds the verb and calls it. */
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>

#include "verb.h"

static const struct verb {
	const char *name;
	const char *arguments;
	const char *summary;
	int (*run)(int argc, char *argv[]);
} verbs[] = {
	{ "list", "", "the marked devices and their aliases", verb_list },
	{ "show", "BDF", "the BARs of a device, and who has mapped them", verb_show },
	{ "mark", "BDF|VENDOR:DEVICE ITEM...", "mark a device, or all of a kind", verb_mark },
	{ "unmark", "BDF|VENDOR:DEVICE", "take that mark back", verb_unmark },
	{ "explain", "BDF", "what holds and what does not, from rule to page table", verb_explain },
	{ "bench", "BDF BAR", "how fast stores are, uncached and write-combining", verb_bench },
};

static void print_usage(FILE *stream)
{
	fputs("Usage: vfio-alias VERB [OPTION]... [ARGUMENT]...\n"
	      "\n"
	      "Aliases of PCI BARs, which vfio-alias-shim keeps published.\n"
	      "\n",
	      stream);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(stream, "  %-8s %-25s %s\n", verbs[i].name, verbs[i].arguments,
			verbs[i].summary);
	fputs("\n"
	      "  -h, --help     show this; after a verb, its options\n"
	      "  -V, --version  show the version\n"
	      "\n"
	      "The exit status is 0, 1 on failure, 2 for a wrong command line; see vfio-alias(1).\n",
	      stream);
}

static int run(const struct verb *verb, int argc, char *argv[])
{
	char name[64];

	snprintf(name, sizeof(name), "vfio-alias %s", verb->name);
	argv[0] = name;
	optind = 0; /* getopt starts anew */
	return verb->run(argc, argv);
}

/*
 * Where a standard stream is closed, a file that is opened later must not get what is printed.
 * Not to be written to, so that output which gets lost is a failure still.
 */
static void occupy_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close_fd(fd);
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{},
	};
	_cleanup_free_ char *shown = NULL;
	int option;

	occupy_standard_streams();
	(void)setlocale(LC_CTYPE, ""); /* where that fails, it is C's */
	/* Only the options before the verb. */
	while ((option = getopt_long(argc, argv, "+hV", options, NULL)) >= 0) {
		switch (option) {
		case 'h':
			print_usage(stdout);
			return verb_end();
		case 'V':
			puts("vfio-alias " PACKAGE_VERSION);
			return verb_end();
		default:
			return VERB_USAGE;
		}
	}
	if (optind == argc) {
		print_usage(stderr);
		return VERB_USAGE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (streq(argv[optind], verbs[i].name))
			return run(&verbs[i], argc - optind, argv + optind);
	shown = printable(argv[optind], strlen(argv[optind]));
	return verb_usage("there is no verb \"%s\"", shown ?: "");
}
