/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "modules.h"

#include <libkmod.h>

#include "util.h"

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
	_cleanup_(unref_contextp) struct kmod_ctx *context = kmod_new(NULL, NULL);
	_cleanup_(unref_listp) struct kmod_list *list = NULL;
	struct kmod_list *entry;
	int r;

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
