/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "verb.h"

#include <getopt.h>
#include <json-c/json.h>
#include <langinfo.h>
#include <stdarg.h>

static void say(const char *format, va_list args)
{
	fputs("vfio-alias: ", stderr);
	vfprintf(stderr, format, args);
}

void verb_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	fputc('\n', stderr);
}

int verb_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	fputs(" (--help explains)\n", stderr);
	return VERB_USAGE;
}

int verb_end(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return VERB_DONE;
	verb_say("cannot print: %s", strerror(errno));
	return VERB_FAILED;
}

int verb_print_json(struct json_object *value)
{
	if (!value) {
		verb_say("cannot print: %s", strerror(ENOMEM));
		return VERB_FAILED;
	}
	puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_SPACED |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(value);
	return verb_end();
}

bool verb_is_terminal(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term && *term && !streq(term, "dumb");
}

bool verb_use_colour(void)
{
	const char *no_color = getenv("NO_COLOR");

	return verb_is_terminal(STDOUT_FILENO) && (!no_color || !*no_color);
}

bool verb_use_unicode(void)
{
	return streq(nl_langinfo(CODESET), "UTF-8");
}

int verb_parse_bdf(const char *text, char ret[static PCI_BDF_SIZE])
{
	_cleanup_free_ char *shown = NULL;

	if (pci_parse_bdf(text, ret) == 0)
		return VERB_DONE;
	shown = printable(text, strlen(text));
	return verb_usage("\"%s\" is not the address of a PCI device, such as 0000:65:00.0",
			  shown ?: "");
}

bool verb_read_view(int argc, char *argv[], const char *usage, struct verb_view *ret, int *ret_end)
{
	enum { OPTION_JSON = 0x100, OPTION_NO_COLOR };
	static const struct option options[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "no-color", no_argument, NULL, OPTION_NO_COLOR },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int option;

	*ret = (struct verb_view){ .colour = true };
	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_JSON:
			ret->json = true;
			break;
		case OPTION_NO_COLOR:
			ret->colour = false;
			break;
		case 'h':
			fputs(usage, stdout);
			*ret_end = verb_end();
			return false;
		default:
			*ret_end = VERB_USAGE;
			return false;
		}
	}
	ret->colour = ret->colour && verb_use_colour();
	*ret_end = argc - optind == 1 ? verb_parse_bdf(argv[optind], ret->bdf) :
					verb_usage("it takes the address of one device");
	return *ret_end == VERB_DONE;
}
