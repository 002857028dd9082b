/* SPDX-License-Identifier: MIT */
#include "store/store.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STORE_DIR_MODE  0750
#define STORE_FILE_MODE 0640

/* A name is taken only if the same process links the same inode twice in a microsecond. */
#define NAME_TRIES_MAX 8

/* How long the kernel may take to write out a directory on its own, doubled (vm.dirty_expire_centisecs
 * and the journal's commit interval are 30 s and 5 s by default). */
#define FRESH_SECONDS 60

/* Whether the directory's entries changed a moment ago: another process may just have made the one that is
 * opened here, and not synced it yet. */
static bool
is_fresh(int dir)
{
	struct stat st;

	return fstat(dir, &st) < 0 || clock_realtime_usec() / USEC_PER_SEC <
		(usec_t)st.st_mtim.tv_sec + FRESH_SECONDS;
}

/* Opens a directory, made first where it is missing, and durable in its parent. */
static int
open_dir(int at, const char *path, int *ret)
{
	_cleanup_close_ int fd = -1, parent = -1;
	bool made = mkdirat(at, path, STORE_DIR_MODE) == 0;

	if (!made && errno != EEXIST && errno != EROFS && errno != EACCES)
		return -errno;
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
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
	_cleanup_close_ int root = -1;
	int r;

	*s = STORE_NULL;
	r = open_dir(AT_FDCWD, path, &root);
	return r < 0 ? r : open_dir(root, "received", &s->received);
}

void
store_close(struct store *s)
{
	if (s->received >= 0)
		(void)close(s->received);
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

/* UTC, so that names sort by time and a change of the clock in autumn does not mix them. */
static void
make_name(ino_t inode, char ret[STORE_NAME_BYTES])
{
	usec_t now = clock_realtime_usec();
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	struct tm tm = { 0 };
	size_t n;

	(void)gmtime_r(&seconds, &tm);
	n = strftime(ret, STORE_NAME_BYTES, "%Y%m%dT%H%M%S", &tm);
	(void)snprintf(ret + n, STORE_NAME_BYTES - n, ".%06uZ-%" PRIuMAX "-%d.hl7",
		(unsigned)(now % USEC_PER_SEC), (uintmax_t)inode, (int)getpid());
}

static int
link_named(int fd, int dir, ino_t inode, char ret_name[STORE_NAME_BYTES])
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	int tries, r = -EEXIST;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (tries = 0; r == -EEXIST && tries < NAME_TRIES_MAX; tries++) {
		make_name(inode, ret_name);
		/* by its descriptor's path: AT_EMPTY_PATH wants a capability */
		r = linkat(AT_FDCWD, path, dir, ret_name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	}
	return r;
}

int
store_commit(struct store *s, struct span message, char ret_name[STORE_NAME_BYTES])
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (s->received < 0)
		return -EBADF;
	fd = openat(s->received, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, STORE_FILE_MODE);
	if (fd < 0)
		return -errno;
	r = write_all(fd, message);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 || fsync(fd) < 0)
		return -errno;
	r = link_named(fd, s->received, st.st_ino, ret_name);
	if (r < 0)
		return r;
	return fsync(s->received) < 0 ? -errno : 0;
}
