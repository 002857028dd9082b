/* SPDX-License-Identifier: MIT */
#include "store/store.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STORE_DIR_MODE  0750
#define STORE_FILE_MODE 0640

/* How long the kernel may take to write out a directory on its own, doubled
 * (vm.dirty_expire_centisecs and the journal's commit interval are 30 s and 5 s by default). */
#define FRESH_SECONDS 60

/* Whether the directory's entries changed a moment ago: another process may just have made the one
 * that is opened here, and not synced it yet. */
static bool
is_fresh(int dir)
{
	struct stat st;

	return fstat(dir, &st) < 0 ||
	       clock_realtime_usec() / USEC_PER_SEC < (usec_t)st.st_mtim.tv_sec + FRESH_SECONDS;
}

/* Opens a directory, made first where it is missing, and durable in its parent. */
static int
open_dir(int at, const char *path, int *ret)
{
	_cleanup_close_ int fd = -1, parent = -1;
	bool made = mkdirat(at, path, STORE_DIR_MODE) == 0;
	int refused = made || errno == EEXIST ? 0 : -errno;

	if (refused && refused != -EROFS && refused != -EACCES)
		return refused;
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) /* that it is not there says less than why it could not be made */
		return refused && errno == ENOENT ? refused : -errno;
	parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (made && parent < 0)
		return -errno;
	if (parent >= 0 && (made || is_fresh(parent)) && fsync(parent) < 0)
		return -errno;
	*ret = steal_fd(&fd);
	return 0;
}

int
store_open(struct store *s, const char *path)
{
	int r;

	*s = STORE_NULL;
	r = open_dir(AT_FDCWD, path, &s->root);
	return r < 0 ? r : open_dir(s->root, "received", &s->received);
}

static const struct store_queue *
find_queue(const struct store *s, struct span destination)
{
	size_t i;

	for (i = 0; i < s->n_queues; i++)
		if (span_eq(span_str(s->queues[i].name), destination))
			return &s->queues[i];
	return NULL;
}

static int
add_queue(struct store *s, struct store_queue queue)
{
	struct store_queue *grown;

	if (s->n_queues == STORE_DESTINATIONS_MAX)
		return -E2BIG;
	grown = reallocarray(s->queues, s->n_queues + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->queues = grown;
	s->queues[s->n_queues++] = queue;
	return 0;
}

static int
open_queue(struct store *s, const char *name, int *ret)
{
	_cleanup_close_ int all = -1;
	int r = open_dir(s->root, "queue", &all);

	return r < 0 ? r : open_dir(all, name, ret);
}

int
store_open_queue(struct store *s, struct span destination)
{
	struct store_queue queue = { .fd = -1 };
	int r;

	if (find_queue(s, destination))
		return 0;
	queue.name = calloc(1, destination.n + 1);
	if (!queue.name)
		return -ENOMEM;
	memcpy(queue.name, destination.p, destination.n);
	r = open_queue(s, queue.name, &queue.fd);
	if (r == 0)
		r = add_queue(s, queue);
	if (r == 0)
		return 0; /* name and descriptor are the store's now */
	cleanup_close(&queue.fd);
	free(queue.name);
	return r;
}

void
store_close(struct store *s)
{
	size_t i;

	for (i = 0; i < s->n_queues; i++) {
		free(s->queues[i].name);
		(void)close(s->queues[i].fd);
	}
	free(s->queues);
	if (s->received >= 0)
		(void)close(s->received);
	if (s->root >= 0)
		(void)close(s->root);
	*s = STORE_NULL;
}

static int
write_all(int fd, struct span bytes)
{
	ssize_t n;

	while (bytes.n > 0) {
		n = write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		bytes = span_from(bytes, (size_t)n);
	}
	return 0;
}

/* Time, inode and process with their NUL, whatever their numbers. */
#define STEM_BYTES 64

/* "20261123T181147.123456Z-INODE-PID". UTC, so that names sort by time and a change of the clock in
 * autumn does not mix them. */
static void
make_stem(ino_t inode, char ret[STEM_BYTES])
{
	usec_t now = clock_realtime_usec();
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	struct tm tm = { 0 };
	size_t n;

	(void)gmtime_r(&seconds, &tm);
	n = strftime(ret, STEM_BYTES, "%Y%m%dT%H%M%S", &tm);
	(void)snprintf(ret + n, STEM_BYTES - n, ".%06uZ-%" PRIuMAX "-%d",
		(unsigned)(now % USEC_PER_SEC), (uintmax_t)inode, (int)getpid());
}

/* An unnamed file in `dir` with these bytes, on disk. */
static int
write_unnamed(int dir, struct span bytes, int *ret_fd)
{
	_cleanup_close_ int fd =
		openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, STORE_FILE_MODE);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, bytes);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int
link_as(int fd, int dir, const char *name)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* by its descriptor's path: AT_EMPTY_PATH wants a capability */
	return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int
sync_dir(int dir)
{
	return fsync(dir) < 0 ? -errno : 0;
}

/* The name of the k-th entry (from 0) of a received file. */
static void
entry_name(const char *stem, size_t k, char ret[STORE_NAME_BYTES])
{
	/* of one width, so that the names sort in the order of the entries */
	(void)snprintf(ret, STORE_NAME_BYTES, "%s.%03zu.hl7", stem, k);
}

/* Writes and links one entry; its directory is synced by the caller. */
static int
put_entry(struct store *s, const struct store_entry *e, const char *stem, size_t k)
{
	const struct store_queue *queue = find_queue(s, e->destination);
	_cleanup_close_ int fd = -1;
	char name[STORE_NAME_BYTES];
	int r;

	if (!queue)
		return -ENOENT;
	r = write_unnamed(queue->fd, e->message, &fd);
	if (r < 0)
		return r;
	entry_name(stem, k, name);
	return link_as(fd, queue->fd, name);
}

static int
put_entries(struct store *s, const struct store_entry *entries, size_t n, const char *stem)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++)
		r = put_entry(s, &entries[i], stem, i);
	for (i = 0; r == 0 && i < n; i++)
		if (i == 0 || !span_eq(entries[i].destination, entries[i - 1].destination))
			r = sync_dir(find_queue(s, entries[i].destination)->fd);
	return r;
}

/* Without their received file the entries do not count; removing them only keeps the place tidy. */
static void
remove_entries(struct store *s, const struct store_entry *entries, size_t n, const char *stem)
{
	const struct store_queue *queue;
	char name[STORE_NAME_BYTES];
	size_t i;

	for (i = 0; i < n; i++) {
		queue = find_queue(s, entries[i].destination);
		entry_name(stem, i, name);
		if (queue)
			(void)unlinkat(queue->fd, name, 0);
	}
}

static int
inode_of(int fd, ino_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

int
store_commit(struct store *s, struct span message, const struct store_entry *entries,
	size_t n_entries, char ret_name[STORE_NAME_BYTES])
{
	_cleanup_close_ int fd = -1;
	char stem[STEM_BYTES];
	ino_t inode = 0;
	int r;

	if (s->received < 0)
		return -EBADF;
	r = write_unnamed(s->received, message, &fd);
	if (r == 0)
		r = inode_of(fd, &inode);
	if (r < 0)
		return r;
	/* the inode is this file's alone and the time has passed once: the name is taken by nobody
	 */
	make_stem(inode, stem);
	(void)snprintf(ret_name, STORE_NAME_BYTES, "%s.hl7", stem);
	r = put_entries(s, entries, n_entries, stem);
	if (r == 0)
		r = link_as(fd, s->received, ret_name);
	if (r == 0)
		r = sync_dir(s->received);
	if (r < 0) {
		/* the received file first: without it the others do not count */
		(void)unlinkat(s->received, ret_name, 0);
		remove_entries(s, entries, n_entries, stem);
	}
	return r;
}

int
store_reject(
	struct store *s, struct span message, struct span reason, char ret_name[STORE_NAME_BYTES])
{
	_cleanup_close_ int dir = -1, fd = -1, reason_fd = -1;
	char stem[STEM_BYTES], reason_name[STORE_NAME_BYTES];
	ino_t inode = 0;
	int r;

	if (s->root < 0)
		return -EBADF;
	r = open_dir(s->root, "rejected", &dir);
	if (r == 0)
		r = write_unnamed(dir, message, &fd);
	if (r == 0)
		r = write_unnamed(dir, reason, &reason_fd);
	if (r == 0)
		r = inode_of(fd, &inode);
	if (r < 0)
		return r;
	make_stem(inode, stem);
	(void)snprintf(ret_name, STORE_NAME_BYTES, "%s.hl7", stem);
	(void)snprintf(reason_name, STORE_NAME_BYTES, "%s.txt", stem);
	/* the reason first: a message is never there without it */
	r = link_as(reason_fd, dir, reason_name);
	if (r == 0)
		r = link_as(fd, dir, ret_name);
	if (r < 0)
		(void)unlinkat(dir, reason_name, 0);
	return r < 0 ? r : sync_dir(dir);
}
