/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "json.h"

int json_add(struct json_object *object, const char *key, struct json_object *value)
{
	if (!object || !value || json_object_object_add(object, key, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

int json_append(struct json_object *array, struct json_object *value)
{
	if (!array || !value || json_object_array_add(array, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

int json_add_string(struct json_object *object, const char *key, const char *text)
{
	if (text)
		return json_add(object, key, json_object_new_string(text));
	if (!object || json_object_object_add(object, key, NULL) < 0)
		return -ENOMEM;
	return 0;
}
