/* SPDX-License-Identifier: MIT */
#include "template/load.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPLATE_SUFFIX ".hl7t"
#define TABLE_SUFFIX    ".tsv"

static bool
has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), suffix_n = strlen(suffix);

	return name[0] != '.' && n > suffix_n && strcmp(name + n - suffix_n, suffix) == 0;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* File names of one directory, sorted. */
struct names {
	char **items;
	size_t n;
};

static void
names_deinit(struct names *names)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}

static int
names_add(struct names *names, const char *name)
{
	char **grown;

	if (names->n == TEMPLATE_FILES_MAX)
		return -E2BIG;
	grown = reallocarray(names->items, names->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	names->items = grown;
	names->items[names->n] = strdup(name);
	return names->items[names->n] ? (names->n++, 0) : -ENOMEM;
}

static int
names_list(struct names *names, DIR *dir, const char *suffix)
{
	const struct dirent *entry;
	int r = 0;

	for (errno = 0; r == 0 && (entry = readdir(dir)); errno = 0)
		if (has_suffix(entry->d_name, suffix))
			r = names_add(names, entry->d_name);
	if (r == 0 && errno)
		r = -errno;
	if (r == 0 && names->n > 1)
		qsort(names->items, names->n, sizeof(*names->items), compare_names);
	return r;
}

int
load_source(int at, const char *path, struct buffer *out)
{
	/* O_NONBLOCK: a pipe that somebody put there must not stop us */
	_cleanup_close_ int fd = openat(at, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	size_t room = 0;
	ssize_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	do {
		r = buffer_reserve(out, 1);
		if (r)
			return r == BUFFER_E_FULL ? -EFBIG : r;
		room = out->allocated - out->n;
		n = read(fd, out->p + out->n, room);
		if (n < 0 && errno != EINTR)
			return -errno;
		out->n += n > 0 ? (size_t)n : 0;
	} while (n < 0 || (size_t)n == room); /* less than asked for is the end of a regular file */
	return 0;
}

/* What is done with each file of a directory. */
struct loading {
	const char *directory;
	const struct template_reporter *reporter;
	enum template_kind kind;
	const struct table_set *tables;
	struct template_set *templates;
	struct table_set *filled;
	int (*load)(
		struct loading *l, const char *name, struct span source, struct problems *problems);
	size_t bytes_max;
};

/* A file that could not be read is given on as an empty one, with that as its problem. */
static int
load_file(struct loading *l, int dir, const char *name)
{
	struct buffer source = BUFFER_INIT(l->bytes_max + 1);
	struct problems problems = { 0 };
	int r = load_source(dir, name, &source);

	if (r < 0 && r != -ENOMEM) {
		problem_add(
			&problems, 0, 0, false, "the file cannot be read: %s", strerrordesc_np(-r));
		r = 0;
	}
	if (r == 0)
		r = l->load(l, name, buffer_span(&source), &problems);
	if (problems.n > 0)
		l->reporter->report(
			l->reporter->userdata, l->directory, name, buffer_span(&source), &problems);
	buffer_deinit(&source);
	return r;
}

static int
load_directory(struct loading *l, const char *suffix)
{
	struct names names = { 0 };
	DIR *dir = opendir(l->directory);
	size_t i;
	int r;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	r = names_list(&names, dir, suffix);
	for (i = 0; r == 0 && i < names.n; i++)
		r = load_file(l, dirfd(dir), names.items[i]);
	names_deinit(&names);
	(void)closedir(dir);
	return r;
}

static int
load_template(struct loading *l, const char *name, struct span source, struct problems *problems)
{
	struct template_set *set = l->templates;
	struct template_file *grown = reallocarray(set->files, set->n + 1, sizeof(*grown));
	struct template_file *file;
	int r = 0;

	if (!grown)
		return -ENOMEM;
	set->files = grown;
	file = &set->files[set->n];
	*file = (struct template_file){ .name = strdup(name) };
	if (!file->name)
		return -ENOMEM;
	set->n++;
	if (problems->n_errors == 0)
		r = template_compile(source, l->kind, l->tables, &file->template, problems);
	return r < 0 ? r : 0;
}

int
template_load(struct template_set *set, const char *path, enum template_kind kind,
	const struct table_set *tables, const struct template_reporter *reporter)
{
	struct loading l = {
		.directory = path,
		.reporter = reporter,
		.kind = kind,
		.tables = tables,
		.templates = set,
		.load = load_template,
		.bytes_max = TEMPLATE_SOURCE_BYTES_MAX,
	};

	*set = (struct template_set){ 0 };
	return load_directory(&l, TEMPLATE_SUFFIX);
}

void
template_set_deinit(struct template_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++) {
		free(set->files[i].name);
		template_free(set->files[i].template);
	}
	free(set->files);
	*set = (struct template_set){ 0 };
}

/* A table is known by its file's name without ".tsv". */
static int
load_table(struct loading *l, const char *name, struct span source, struct problems *problems)
{
	struct table_set *set = l->filled;
	struct table *grown = reallocarray(set->items, set->n + 1, sizeof(*grown));
	char *dot;
	int r;

	if (!grown)
		return -ENOMEM;
	set->items = grown;
	r = table_parse(&set->items[set->n], name, source, problems);
	if (r < 0) {
		table_deinit(&set->items[set->n]);
		return r;
	}
	dot = strrchr(set->items[set->n].name, '.');
	*dot = 0;
	set->items[set->n].broken |= problems->n_errors > 0;
	set->n++;
	return 0;
}

int
table_load(struct table_set *set, const char *path, const struct template_reporter *reporter)
{
	struct loading l = {
		.directory = path,
		.reporter = reporter,
		.filled = set,
		.load = load_table,
		.bytes_max = TABLE_SOURCE_BYTES_MAX,
	};

	*set = (struct table_set){ 0 };
	return load_directory(&l, TABLE_SUFFIX);
}

static uint64_t
nanoseconds(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* One name, and the file it leads to where there is one. */
static void
stamp_file(int dir, const char *name, struct hash *h, uint64_t *newest)
{
	uint64_t facts[4] = { 0 };
	struct stat st;

	hash_add_piece(h, span_str(name));
	if (fstatat(dir, name, &st, 0) == 0) {
		facts[0] = st.st_dev;
		facts[1] = st.st_ino;
		facts[2] = (uint64_t)st.st_size;
		facts[3] = nanoseconds(st.st_ctim);
	}
	hash_add(h, (struct span){ (const uint8_t *)facts, sizeof(facts) });
	if (facts[3] > *newest)
		*newest = facts[3];
}

int
load_stamp(const char *path, struct hash *h, uint64_t *newest)
{
	const struct dirent *entry;
	DIR *dir = opendir(path);
	int r;

	hash_add_piece(h, span_str(path));
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	stamp_file(dirfd(dir), ".", h, newest);
	for (errno = 0; (entry = readdir(dir)); errno = 0)
		if (entry->d_name[0] != '.')
			stamp_file(dirfd(dir), entry->d_name, h, newest);
	r = -errno;
	(void)closedir(dir);
	return r;
}
