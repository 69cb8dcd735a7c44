/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "modules.h"

#include <fcntl.h>
#include <libkmod.h>

#include "util.h"

/* Loaded, or built in with something to show. @name: with '-' or '_' */
static bool is_there(const char *name)
{
	char path[64];
	int length = snprintf(path, sizeof(path), "/sys/module/%s", name);

	for (char *p = path; *p; p++)
		if (*p == '-')
			*p = '_';
	return length < (int)sizeof(path) && faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

static void unref_contextp(struct kmod_ctx **context)
{
	kmod_unref(*context); /* accepts NULL */
}

static void unref_listp(struct kmod_list **list)
{
	kmod_module_unref_list(*list); /* accepts NULL */
}

int modules_load(const char *name)
{
	_cleanup_(unref_contextp) struct kmod_ctx *context = NULL;
	_cleanup_(unref_listp) struct kmod_list *list = NULL;
	struct kmod_list *entry;
	int r;

	if (is_there(name))
		return 0;
	context = kmod_new(NULL, NULL);
	if (!context)
		return -ENOMEM;
	r = kmod_module_new_from_lookup(context, name, &list);
	if (r < 0)
		return r;
	if (!list)
		return -ENOENT;

	kmod_list_foreach(entry, list) {
		struct kmod_module *module = kmod_module_get_module(entry);

		r = kmod_module_probe_insert_module(module, 0, NULL, NULL, NULL, NULL);
		kmod_module_unref(module);
		if (r < 0)
			return r;
	}
	return 0;
}
