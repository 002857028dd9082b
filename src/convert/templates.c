/* SPDX-License-Identifier: MIT */
#include "convert/templates.h"
#include "base/cleanup.h"
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

static void
print_problems(const char *file, struct span source, const struct problems *problems)
{
	struct buffer text = BUFFER_INIT((size_t)4 * TEMPLATE_SOURCE_BYTES_MAX);
	size_t i;

	for (i = 0; i < problems->n; i++)
		if (problem_format(&text, file, source, &problems->items[i]))
			break;
	if (text.n)
		(void)fwrite(text.p, 1, text.n, stderr);
	if (problems->n == PROBLEMS_MAX)
		(void)fprintf(stderr, "%s: further problems are not shown\n", file);
	buffer_deinit(&text);
}

static void
count_problems(struct templates *t, const struct problems *problems)
{
	size_t i;

	t->n_errors += problems->n_errors;
	for (i = 0; i < problems->n; i++)
		t->n_warnings += problems->items[i].warning;
}

static void
report(void *userdata, const char *directory, const char *name, struct span source,
	const struct problems *problems)
{
	char file[PATH_BYTES];

	(void)snprintf(file, sizeof(file), "%s/%s", directory, name);
	count_problems(userdata, problems);
	print_problems(file, source, problems);
}

/* "../NAME" seen from the folder that the template is in, unless an option says otherwise. */
static const char *
beside(const struct templates *t, const char *name, const char *option, char path[PATH_BYTES])
{
	if (option)
		return option;
	(void)snprintf(path, PATH_BYTES, "%s/../%s", t->directory, name);
	return path;
}

/* Whether the text may be an acknowledgement: of others the problems are told as those of a
 * conversion. */
static bool
may_be_acknowledgement(struct span source)
{
	return source.n &&
	       (memmem(source.p, source.n, "ack.", 4) || memmem(source.p, source.n, "error", 5));
}

/* As what its folder says; else as a conversion, and one that can only be an acknowledgement as
 * that. */
static int
compile(struct templates *t, const char *path, struct span source, struct template **ret)
{
	struct problems first = { 0 }, ack = { 0 };
	const struct problems *told = &first;
	int r = template_compile(source, t->kind, &t->tables, ret, &first);

	if (r == TEMPLATE_E_INVALID && !t->has_kind && may_be_acknowledgement(source)) {
		r = template_compile(source, TEMPLATE_ACKNOWLEDGEMENT, &t->tables, ret, &ack);
		if (ack.n_errors < first.n_errors)
			told = &ack;
	}
	count_problems(t, told);
	print_problems(path, source, told);
	return r;
}

static int
add_file(struct templates *t, const char *path, struct template *template)
{
	struct template_file *grown = reallocarray(t->set.files, t->set.n + 1, sizeof(*grown));
	char *name = strdup(path);

	if (grown)
		t->set.files = grown;
	if (!grown || !name) {
		free(name);
		template_free(template);
		return -ENOMEM;
	}
	t->set.files[t->set.n++] = (struct template_file){ name, template };
	return 0;
}

static int
load_one(struct templates *t, const char *path)
{
	struct buffer source = BUFFER_INIT(TEMPLATE_SOURCE_BYTES_MAX + 1);
	struct template *template = NULL;
	int r = load_source(AT_FDCWD, path, &source);

	if (r == 0)
		r = compile(t, path, buffer_span(&source), &template);
	buffer_deinit(&source);
	return r < 0 ? r : add_file(t, path, template);
}

static bool
is_template(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && strcmp(dot, ".hl7t") == 0;
}

static int
load_directory(struct templates *t, const char *path)
{
	struct input_list list;
	char *const arguments[] = { (char *)(uintptr_t)path };
	const char *failed;
	size_t i;
	int r = input_list(&list, arguments, 1, &failed);

	for (i = 0; r == 0 && i < list.n; i++)
		if (is_template(list.items[i].path))
			r = load_one(t, list.items[i].path);
	input_list_deinit(&list);
	return r;
}

static int
set_directory(struct templates *t, const char *path, bool is_directory)
{
	char *copy = strdup(path);

	t->directory = copy ? strdup(is_directory ? copy : dirname(copy)) : NULL;
	free(copy);
	return t->directory ? 0 : -ENOMEM;
}

/* ack.d and convert.d are not for templates of the other kind: hl7-receive would refuse all
 * messages. */
static int
set_kind(struct templates *t)
{
	char *path = realpath(t->directory, NULL);
	const char *name;

	if (!path)
		return -errno;
	name = basename(path);
	t->kind = strcmp(name, "ack.d") == 0 ? TEMPLATE_ACKNOWLEDGEMENT : TEMPLATE_CONVERSION;
	t->has_kind = t->kind == TEMPLATE_ACKNOWLEDGEMENT || strcmp(name, "convert.d") == 0;
	free(path);
	return 0;
}

int
templates_load(struct templates *t, const char *path, const struct options *o)
{
	const struct template_reporter reporter = { report, t };
	char tables[PATH_BYTES];
	struct stat st;
	int r;

	*t = (struct templates){ 0 };
	if (stat(path, &st) < 0)
		return -errno;
	r = set_directory(t, path, S_ISDIR(st.st_mode));
	if (r == 0)
		r = set_kind(t);
	if (r == 0)
		r = table_load(&t->tables, beside(t, "tables", o->tables, tables), &reporter);
	if (r < 0)
		return r;
	return S_ISDIR(st.st_mode) ? load_directory(t, path) : load_one(t, path);
}

void
templates_deinit(struct templates *t)
{
	template_set_deinit(&t->set);
	table_set_deinit(&t->tables);
	free(t->directory);
}

static void
check_destination(struct templates *t, const char *directory, const char *file, struct span name)
{
	char path[PATH_BYTES + TEMPLATE_DESTINATION_CHARS];

	(void)snprintf(
		path, sizeof(path), "%s/%.*s.conf", directory, (int)name.n, (const char *)name.p);
	if (access(path, F_OK) == 0)
		return;
	t->n_warnings++;
	(void)fprintf(stderr, "%s: warning: {to %.*s}: there is no %s\n", file, (int)name.n,
		(const char *)name.p, path);
}

void
templates_check_destinations(struct templates *t, const struct options *o)
{
	char directory[PATH_BYTES];
	const char *where = beside(t, "destinations", o->destinations, directory);
	const struct span *destinations;
	size_t i, j, n;

	for (i = 0; i < t->set.n; i++) {
		if (!t->set.files[i].template)
			continue;
		n = template_destinations(t->set.files[i].template, &destinations);
		for (j = 0; j < n; j++)
			check_destination(t, where, t->set.files[i].name, destinations[j]);
	}
}
