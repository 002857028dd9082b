/* SPDX-License-Identifier: MIT */

/* Reading template files: the one part of this module that touches files. */

#include "base/cleanup.h"
#include "template/template.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPLATE_SUFFIX ".hl7t"

static bool
is_template_name(const char *name)
{
	size_t n = strlen(name), suffix = strlen(TEMPLATE_SUFFIX);

	return name[0] != '.' && n > suffix && strcmp(name + n - suffix, TEMPLATE_SUFFIX) == 0;
}

static int
compare_names(const void *a, const void *b)
{
	const struct template_file *left = a, *right = b;

	return strcmp(left->name, right->name);
}

static int
add_name(struct template_set *set, const char *name)
{
	struct template_file *grown;

	if (set->n == TEMPLATE_FILES_MAX)
		return -E2BIG;
	grown = reallocarray(set->files, set->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	set->files = grown;
	set->files[set->n] = (struct template_file){ .name = strdup(name) };
	if (!set->files[set->n].name)
		return -ENOMEM;
	set->n++;
	return 0;
}

static int
list_names(struct template_set *set, DIR *dir)
{
	const struct dirent *entry;
	int r = 0;

	for (errno = 0; r == 0 && (entry = readdir(dir)); errno = 0)
		if (is_template_name(entry->d_name))
			r = add_name(set, entry->d_name);
	if (r == 0 && errno)
		r = -errno;
	if (r == 0 && set->n > 1)
		qsort(set->files, set->n, sizeof(*set->files), compare_names);
	return r;
}

/* Reads the whole file; one that is too long is cut one byte behind the limit, and so seen to be. */
static int
read_source(int dir, const char *name, struct buffer *source)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	while (n != 0 && source->n < source->max) {
		if (buffer_reserve(source, 1))
			return -ENOMEM;
		n = read(fd, source->p + source->n, source->allocated - source->n);
		if (n < 0 && errno != EINTR)
			return -errno;
		source->n += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int
load_file(struct template_file *file, int dir, template_report report, void *userdata)
{
	struct buffer source = BUFFER_INIT(TEMPLATE_SOURCE_BYTES_MAX + 1);
	struct problems problems = { 0 };
	int r = read_source(dir, file->name, &source);

	if (r == -ENOMEM)
		goto out;
	if (r < 0)
		problem_add(&problems, 0, 0, false, "cannot be read: %s", strerror(-r));
	r = r < 0 ? 0 : template_compile(buffer_span(&source), &file->template, &problems);
	if (problems.n > 0)
		report(userdata, file->name, buffer_span(&source), &problems);
out:
	buffer_deinit(&source);
	return r == TEMPLATE_E_INVALID ? 0 : r;
}

int
template_load(struct template_set *set, const char *path, template_report report, void *userdata)
{
	DIR *dir = opendir(path);
	size_t i;
	int r;

	*set = (struct template_set){ 0 };
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	r = list_names(set, dir);
	for (i = 0; r == 0 && i < set->n; i++)
		r = load_file(&set->files[i], dirfd(dir), report, userdata);
	(void)closedir(dir);
	return r;
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
