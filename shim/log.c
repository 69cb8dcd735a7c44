/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* that of this file helps nobody */
#include <systemd/sd-journal.h>

/* A message that means something else gets another id: somebody may wait for the one it has. */
const struct log_entry log_table[MESSAGES] = {
	[MESSAGE_START_FAILED] = { "ab1426f848a7499dba61b5a66986ee6a", LOG_ERR },
	[MESSAGE_FAILED] = { "2a40c4440b7943e6aadbb2aec647fe9f", LOG_ERR },
	[MESSAGE_EVENTS_LOST] = { "1eaf1d2506074e49bf3803640241bcfa", LOG_WARNING },
	[MESSAGE_SESSIONS_ENDED] = { "68ed72d4bb064e9baa3099bf94f58026", LOG_NOTICE },
	[MESSAGE_BOUND] = { "b9ba1acb34b74aa59b7fd7f72c4d8d78", LOG_NOTICE },
	[MESSAGE_GIVEN_BACK] = { "d9d0f9889540454f8fc1bb6fd00847cc", LOG_NOTICE },
	[MESSAGE_NOT_GIVEN_BACK] = { "8657e49c303f4f40ad65a4a5d6036d99", LOG_WARNING },
	[MESSAGE_PUBLISHED] = { "d520af37478143a6ba2d9a2f569ff1c3", LOG_INFO },
	[MESSAGE_REMOVED] = { "f14b311df83b4f03bd2366eefc3baede", LOG_INFO },
	[MESSAGE_REFUSED] = { "efe50ee66fa34730956d66c0fc897a54", LOG_WARNING },
	[MESSAGE_WAITING] = { "e80d8529144f408eae6d2decd826f953", LOG_WARNING },
	[MESSAGE_NO_IOMMU] = { "dc923d4b148a43338f3ee048a44d93d4", LOG_WARNING },
	[MESSAGE_DRIVER] = { "1b71de0a139d40069d46b2f6c61c3805", LOG_WARNING },
	[MESSAGE_GROUP_BUSY] = { "e49d22c5f456462e80a8fdd5df6cac73", LOG_WARNING },
	[MESSAGE_GROUP_NOT_VIABLE] = { "09b97217c0934df9ae80b87e245aa33b", LOG_WARNING },
	[MESSAGE_NO_ALIAS_REGIONS] = { "e95f379e57ec4ef59484b76760b3224b", LOG_WARNING },
	[MESSAGE_NO_MODULE] = { "ed2227d92af04a70a41811c588d3e5bd", LOG_WARNING },
	[MESSAGE_TAKEN] = { "fc96bd2e082d41ecb1f6df32684e8bef", LOG_WARNING },
	[MESSAGE_NOT_BOUND] = { "91740d19e66a46dcaacd5af70786a9a6", LOG_WARNING },
	[MESSAGE_IMPOSSIBLE] = { "0fa567eb22ad41028b835f608402574b", LOG_WARNING },
	[MESSAGE_MAPPED] = { "df242efd99764010942cae8035b71a1c", LOG_WARNING },
	[MESSAGE_SUPPRESSED] = { "3d19e263b0ac4c0b8557e3ab58d3abbe", LOG_NOTICE },
};

/* JOURNAL_STREAM is systemd.exec(5)'s: which file is the journal, as DEVICE:INODE. */
static bool stderr_is_journal(void)
{
	const char *journal = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!journal || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(own, sizeof(own), "%" PRIu64 ":%" PRIu64, (uint64_t)st.st_dev,
		 (uint64_t)st.st_ino);
	return streq(journal, own);
}

bool log_limit_pass(struct log_limit *limit, uint64_t usec)
{
	if (limit->n == 0 || usec - limit->begin_usec >= LOG_LIMIT_USEC) {
		limit->begin_usec = usec;
		limit->n = 0;
	}
	if (limit->n >= LOG_LIMIT_BURST + limit->extra) {
		limit->suppressed++;
		return false;
	}
	limit->n++;
	return true;
}

static uint64_t now_usec(void)
{
	struct timespec now = {};

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* there is always one */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

#define FIELDS_MAX 6

struct fields {
	struct iovec io[FIELDS_MAX];
	int n;
};

static void free_fields(struct fields *fields)
{
	while (fields->n > 0)
		free(fields->io[--fields->n].iov_base);
}

/* Without memory the field is left out. */
_printf_(2, 3) static void add_field(struct fields *fields, const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length >= 0)
		fields->io[fields->n++] = (struct iovec){ text, (size_t)length };
}

static int send_to_journal(const struct log_entry *entry, const struct log_about *about,
			   const char *text)
{
	_cleanup_(free_fields) struct fields fields = {};

	add_field(&fields, "MESSAGE=%s", text);
	add_field(&fields, "MESSAGE_ID=%s", entry->id);
	add_field(&fields, "PRIORITY=%d", entry->priority);
	if (about)
		add_field(&fields, "BDF=%s", about->bdf);
	if (about && about->bar >= 0)
		add_field(&fields, "BAR=%d", about->bar);
	if (about && about->alias)
		add_field(&fields, "ALIAS=%s", about->alias);
	return sd_journal_sendv(fields.io, fields.n);
}

int log_message(enum message message, int r, const struct log_about *about, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *line = NULL;
	va_list args;
	int length;

	if (about && about->limit && !log_limit_pass(about->limit, now_usec()))
		return r;

	errno = -r; /* for %m */
	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		text = NULL;
		return r;
	}
	if (asprintf(&line, "%s%s%s", about ? about->bdf : "", about ? ": " : "", text) < 0) {
		line = NULL;
		return r;
	}

	if (!stderr_is_journal() || send_to_journal(&log_table[message], about, line) < 0)
		fprintf(stderr, "vfio-alias-shim: %s\n", line);
	return r;
}
