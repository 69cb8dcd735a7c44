/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "modules.h"

#include <fcntl.h>
#include <libkmod.h>

#include "util.h"

bool modules_is_loaded(const char *name)
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

static void free_symbolsp(struct kmod_list **list)
{
	kmod_module_dependency_symbols_free_list(*list); /* accepts NULL */
}

static void free_infop(struct kmod_list **list)
{
	kmod_module_info_free_list(*list); /* accepts NULL */
}

int modules_look_at_file(const char *name, const char *symbol, struct modules_file *ret)
{
	_cleanup_(unref_contextp) struct kmod_ctx *context = kmod_new(NULL, NULL);
	_cleanup_(unref_listp) struct kmod_list *list = NULL;
	_cleanup_(free_symbolsp) struct kmod_list *symbols = NULL;
	_cleanup_(free_infop) struct kmod_list *info = NULL;
	_cleanup_free_ char *path = NULL;
	struct modules_file file = {};
	struct kmod_module *module;
	struct kmod_list *entry;
	int r;

	if (!context)
		return -ENOMEM;
	kmod_set_log_priority(context, 0); /* what is wrong is for the caller to say */
	r = kmod_module_new_from_lookup(context, name, &list);
	if (r < 0)
		return r;
	if (!list)
		return -ENOENT;

	module = kmod_module_get_module(list);
	r = replace_string(&path, kmod_module_get_path(module));
	if (r == 0 && !path)
		r = -ENOENT; /* built in */
	if (r == 0)
		r = kmod_module_get_dependency_symbols(module, &symbols);
	if (r >= 0)
		r = kmod_module_get_info(module, &info);
	kmod_module_unref(module);
	if (r < 0)
		return r;

	kmod_list_foreach(entry, symbols)
		file.uses_symbol |= streq(kmod_module_dependency_symbol_get_symbol(entry), symbol);
	/* libkmod adds what it finds in a signature to what is in the module. */
	kmod_list_foreach(entry, info)
		file.is_signed |= streq(kmod_module_info_get_key(entry), "sig_id");
	file.path = TAKE_PTR(path);
	*ret = file;
	return 0;
}

int modules_find_symbols(FILE *kallsyms, const char *const names[], size_t n, bool ret[])
{
	_cleanup_free_ char *line = NULL;
	size_t allocated = 0;
	bool any = false;
	ssize_t read;

	memset(ret, 0, n * sizeof(*ret));
	while ((read = read_line(kallsyms, &line, &allocated)) > 0) {
		/* the address, the type, and what separates them */
		const char *name = strchr(line, ' ');
		size_t length;

		if (!name || !name[1] || name[2] != ' ')
			continue;
		name += 3;
		length = strcspn(name, "\t \n");
		any |= length > 0;
		for (size_t i = 0; i < n; i++)
			ret[i] |= strlen(names[i]) == length && memcmp(name, names[i], length) == 0;
	}
	if (read < 0)
		return (int)read;
	return any ? 0 : -ENODATA;
}

int modules_load(const char *name)
{
	_cleanup_(unref_contextp) struct kmod_ctx *context = NULL;
	_cleanup_(unref_listp) struct kmod_list *list = NULL;
	struct kmod_list *entry;
	int r;

	if (modules_is_loaded(name))
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
