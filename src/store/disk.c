/* SPDX-License-Identifier: MIT */
#include "store/disk.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIR_MODE  0750
#define FILE_MODE 0640

/* How long the kernel may take to write out a directory on its own, doubled
 * (vm.dirty_expire_centisecs and the journal's commit interval are 30 s and 5 s by default). */
#define FRESH_SECONDS 60

/* Between two tries for a lock. */
#define LOCK_PAUSE_NSEC 200000

/* Whether the directory's entries changed a moment ago: another process may just have made the one
 * that is opened here, and not synced it yet. */
static bool
is_fresh(int dir)
{
	struct stat st;

	return fstat(dir, &st) < 0 ||
	       clock_realtime_usec() / USEC_PER_SEC < (usec_t)st.st_mtim.tv_sec + FRESH_SECONDS;
}

int
disk_open_existing_dir(int at, const char *path, int *ret)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

int
disk_open_dir(int at, const char *path, int *ret)
{
	_cleanup_close_ int fd = -1, parent = -1;
	bool made = mkdirat(at, path, DIR_MODE) == 0;
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
disk_write_more(int fd, struct span bytes)
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

static int
write_unnamed(int dir, int access, struct span bytes, int *ret_fd)
{
	_cleanup_close_ int fd = openat(dir, ".", O_TMPFILE | access | O_CLOEXEC, FILE_MODE);
	int r;

	if (fd < 0)
		return -errno;
	r = disk_write_more(fd, bytes);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

int
disk_write(int dir, struct span bytes, int *ret_fd)
{
	/* for reading too: its lock and its extended attributes are asked for through it */
	return write_unnamed(dir, O_RDWR, bytes, ret_fd);
}

int
disk_sync(int fd)
{
	return fsync(fd) < 0 ? -errno : 0;
}

int
disk_sync_dir(int *fd)
{
	int r = disk_sync(*fd), again;

	if (r == 0)
		return 0;
	again = openat(*fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)close(*fd);
	*fd = again;
	return r;
}

int
disk_write_synced(int dir, struct span bytes, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r = write_unnamed(dir, O_WRONLY, bytes, &fd);

	if (r == 0)
		r = disk_sync(fd);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

int
disk_link(int fd, int dir, const char *name)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* by its descriptor's path: AT_EMPTY_PATH wants a capability */
	return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int
disk_lock(int fd, int operation, usec_t deadline)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NSEC };

	/* not a wait in flock() itself: a process that is stopped must not stop all others */
	while (flock(fd, operation | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (deadline == 0 || deadline_left(deadline) == 0)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

int
disk_compare(int fd, struct span bytes)
{
	uint8_t chunk[64 * 1024];
	struct stat st;
	off_t at = 0;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size != bytes.n)
		return 0;
	while (bytes.n > 0) {
		n = pread(fd, chunk, bytes.n < sizeof(chunk) ? bytes.n : sizeof(chunk), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 || memcmp(chunk, bytes.p, (size_t)n) != 0)
			return 0;
		bytes = span_from(bytes, (size_t)n);
		at += n;
	}
	return 1;
}

static ssize_t
read_at(int fd, uint8_t *chunk, size_t n, off_t at)
{
	ssize_t got;

	do
		got = pread(fd, chunk, n, at);
	while (got < 0 && errno == EINTR);
	return got;
}

int
disk_compare_files(int a, int b)
{
	uint8_t x[16 * 1024], y[16 * 1024];
	ssize_t n, m;
	off_t at = 0;

	for (;;) {
		n = read_at(a, x, sizeof(x), at);
		m = read_at(b, y, sizeof(y), at);
		if (n < 0 || m < 0)
			return -errno;
		if (n != m || memcmp(x, y, (size_t)n) != 0)
			return 0;
		if (n == 0)
			return 1;
		at += n;
	}
}
