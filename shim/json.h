/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json-c in the house's manner: ownership by _cleanup_, and -ENOMEM where it has NULL. */
#ifndef SHIM_JSON_H
#define SHIM_JSON_H

#include <json-c/json.h>

#include "util.h"

static inline void json_putp(struct json_object **object)
{
	json_object_put(*object); /* accepts NULL */
}

#define _cleanup_json_ _cleanup_(json_putp)

/*
 * Both take @value, whether they succeed or not, and accept NULL for an object, an array or a
 * value that could not be made. Return 0 or -ENOMEM.
 */
int json_add(struct json_object *object, const char *key, struct json_object *value);
int json_append(struct json_object *array, struct json_object *value);

/* @text: NULL is JSON's null */
int json_add_string(struct json_object *object, const char *key, const char *text);

#endif
