/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's messages: to the journal with the fields BDF and BAR if stderr goes there, else
 * to stderr. Each returns its @r, a -errno that %m stands for, so that it is logged and
 * returned in one statement.
 */
#ifndef SHIM_LOG_H
#define SHIM_LOG_H

#include <syslog.h>

#include "util.h"

/* @bdf: NULL, and @bar: -1, if the message is not about one */
_printf_(5, 6) int log_message(int priority, int r, const char *bdf, int bar, const char *format,
			       ...);

#define log_error(r, ...) log_message(LOG_ERR, r, NULL, -1, __VA_ARGS__)
#define log_warning(r, ...) log_message(LOG_WARNING, r, NULL, -1, __VA_ARGS__)

/* @d: of a type with a member bdf */
#define log_device_error(d, r, ...) log_message(LOG_ERR, r, (d)->bdf, -1, __VA_ARGS__)
#define log_device_warning(d, ...) (void)log_message(LOG_WARNING, 0, (d)->bdf, -1, __VA_ARGS__)
#define log_device_notice(d, ...) (void)log_message(LOG_NOTICE, 0, (d)->bdf, -1, __VA_ARGS__)
#define log_alias_warning(d, bar, ...) \
	(void)log_message(LOG_WARNING, 0, (d)->bdf, (int)(bar), __VA_ARGS__)
#define log_alias_info(d, bar, ...) \
	(void)log_message(LOG_INFO, 0, (d)->bdf, (int)(bar), __VA_ARGS__)

#endif
