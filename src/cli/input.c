/* SPDX-License-Identifier: MIT */
#include "cli/input.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int
add_path(struct input_list *list, char *path, bool from_directory)
{
	struct input_path *grown;

	if (!path)
		return -ENOMEM;
	/* grows at powers of two only */
	if ((list->n & (list->n - 1)) == 0) {
		grown = reallocarray(list->items, list->n ? list->n * 2 : 1, sizeof(*grown));
		if (!grown) {
			free(path);
			return -ENOMEM;
		}
		list->items = grown;
	}
	list->items[list->n++] = (struct input_path){ path, from_directory };
	return list->n > INPUT_FILES_MAX ? -E2BIG : 0;
}

static int
is_listed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static char *
join(const char *directory, const char *name)
{
	size_t a = strlen(directory), b = strlen(name);
	char *path = malloc(a + b + 2);

	if (!path)
		return NULL;
	memcpy(path, directory, a);
	path[a] = '/';
	memcpy(path + a + 1, name, b + 1);
	return path;
}

static int
add_file_of(struct input_list *list, const char *directory, const struct dirent *entry)
{
	char *path = join(directory, entry->d_name);
	struct stat st;

	/* what the directory says is a file needs no further look */
	if (path && entry->d_type != DT_REG && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		free(path);
		return 0;
	}
	return add_path(list, path, true);
}

static int
compare_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* the same order in every locale */
}

static int
add_directory(struct input_list *list, const char *path)
{
	struct dirent **entries;
	int i, r = 0, n = scandir(path, &entries, is_listed, compare_bytes);

	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++) {
		if (r == 0)
			r = add_file_of(list, path, entries[i]);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int
input_list(struct input_list *list, char *const *arguments, size_t n, const char **ret_path)
{
	struct stat st;
	bool standard;
	size_t i;
	int r = 0;

	*list = (struct input_list){ 0 };
	if (n == 0)
		return add_path(list, strdup("-"), false);
	for (i = 0; r == 0 && i < n; i++) {
		*ret_path = arguments[i];
		standard = strcmp(arguments[i], "-") == 0;
		if (!standard && stat(arguments[i], &st) < 0)
			return -errno;
		if (!standard && S_ISDIR(st.st_mode))
			r = add_directory(list, arguments[i]);
		else
			r = add_path(list, strdup(arguments[i]), false);
	}
	return r;
}

void
input_list_deinit(struct input_list *list)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		free(list->items[i].path);
	free(list->items);
	*list = (struct input_list){ 0 };
}

static int
read_all(struct input *in, int fd)
{
	ssize_t n = 1;
	int r = 0;

	while (r == 0 && n != 0) {
		r = buffer_reserve(&in->buffer, 1);
		if (r)
			break;
		n = read(fd, in->buffer.p + in->buffer.n, in->buffer.allocated - in->buffer.n);
		if (n < 0 && errno != EINTR)
			r = -errno;
		in->buffer.n += n > 0 ? (size_t)n : 0;
	}
	in->bytes = buffer_span(&in->buffer);
	return r == BUFFER_E_FULL ? -EFBIG : r;
}

int
input_open(struct input *in, const char *path)
{
	bool standard = strcmp(path, "-") == 0;
	_cleanup_close_ int opened = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	int fd = standard ? STDIN_FILENO : opened;
	struct stat st;
	void *p;

	*in = (struct input){ .buffer = BUFFER_INIT(INPUT_BYTES_MAX + 1) };
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > INPUT_BYTES_MAX)
		return -EFBIG;
	if (standard || !S_ISREG(st.st_mode) || st.st_size == 0)
		return read_all(in, fd);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	in->mapping = p;
	in->bytes = span_of(p, (size_t)st.st_size);
	return 0;
}

void
input_close(struct input *in)
{
	if (in->mapping)
		(void)munmap(in->mapping, in->bytes.n);
	buffer_deinit(&in->buffer);
	*in = (struct input){ 0 };
}
