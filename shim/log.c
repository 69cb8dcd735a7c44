/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <stdarg.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* that of this file helps nobody */
#include <systemd/sd-journal.h>

/* JOURNAL_STREAM is systemd.exec(5)'s: the service's stderr is the journal. */
static bool stderr_is_journal(void)
{
	return getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
}

int log_message(int priority, int r, const char *bdf, int bar, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *message = NULL;
	va_list args;
	int length;

	errno = -r; /* for %m */
	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		text = NULL;
		return r;
	}
	if (asprintf(&message, "%s%s%s", bdf ?: "", bdf ? ": " : "", text) < 0) {
		message = NULL;
		return r;
	}

	/* The first field without a format ends the list; a BAR is of a device. */
	if (!stderr_is_journal() ||
	    sd_journal_send("MESSAGE=%s", message, "PRIORITY=%d", priority, bdf ? "BDF=%s" : NULL,
			    bdf, bar >= 0 ? "BAR=%d" : NULL, bar, NULL) < 0)
		fprintf(stderr, "vfio-alias-shim: %s\n", message);
	return r;
}
