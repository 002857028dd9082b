/* SPDX-License-Identifier: MIT */

/*
 * disk MODE DIR PROCESSES NUMBER BYTES: what the disk can do, without any of ours around it; for
 * tests/bench/store, which compiles it.
 *
 *   append   write and fdatasync one file of each process
 *   link     write an unnamed file, sync it, link it, sync the folder
 *   names    the same with what a store keeps beside: an attribute, a second link, a symbolic link
 *   fill     NUMBER messages as a store has them, three names each
 *   entries  NUMBER entries of a queue
 *   clear    removes all files of the folder
 *
 * Prints operations a second, of all processes together, for the first three.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* Of one file, as ext4 has at most 65000. */
#define LINKS_MAX 60000

static char bytes[16 * 1024 * 1024];

static void
check(int done, const char *what)
{
	if (done)
		return;
	perror(what);
	_exit(1);
}

static int
unnamed(int dir, size_t size)
{
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);

	check(fd >= 0, "O_TMPFILE");
	check(write(fd, bytes, size) == (ssize_t)size, "write");
	return fd;
}

static void
name_it(int fd, int dir, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check(linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) == 0, "linkat");
}

static void
append(int dir, size_t n, size_t size)
{
	char name[64];
	int fd;
	size_t i;

	(void)snprintf(name, sizeof(name), "append-%d", (int)getpid());
	fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
	check(fd >= 0, "open");
	for (i = 0; i < n; i++) {
		check(write(fd, bytes, size) == (ssize_t)size, "write");
		check(fdatasync(fd) == 0, "fdatasync");
	}
	(void)close(fd);
}

static void
link_files(int dir, size_t n, size_t size, int all_names)
{
	char name[96];
	size_t i;
	int fd;

	for (i = 0; i < n; i++) {
		fd = unnamed(dir, size);
		if (all_names)
			(void)fsetxattr(fd, "user.hl7.receipt", bytes, 200, 0);
		check(fsync(fd) == 0, "fsync");
		(void)snprintf(name, sizeof(name), ".k%032zx-%d", i * 7919, (int)getpid());
		if (all_names)
			name_it(fd, dir, name);
		(void)snprintf(name, sizeof(name), "20260102T030405.%06zuZ-%zu-%d.hl7", i, i,
			(int)getpid());
		name_it(fd, dir, name);
		if (all_names) {
			char other[96];

			(void)snprintf(
				other, sizeof(other), ".i%032zx-%d", i * 104729, (int)getpid());
			name_it(fd, dir, other);
		}
		check(fsync(dir) == 0, "fsync of the folder");
		(void)close(fd);
	}
}

static void
work(const char *mode, const char *path, size_t n, size_t size)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	check(dir >= 0, path);
	if (strcmp(mode, "append") == 0)
		append(dir, n, size);
	else
		link_files(dir, n, size, strcmp(mode, "names") == 0);
	_exit(0);
}

static double
seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int
measure(const char *mode, const char *path, size_t processes, size_t n, size_t size)
{
	double began = seconds();
	int status, failed = 0;
	size_t i;

	for (i = 0; i < processes; i++)
		if (fork() == 0)
			work(mode, path, n / processes, size);
	for (i = 0; i < processes; i++)
		failed |= wait(&status) < 0 || status != 0;
	(void)printf("%.1f\n", (double)(n / processes * processes) / (seconds() - began));
	return failed;
}

/* The names of message i, spread as hashes are. */
static void
format_name(size_t i, char kind, char name[96])
{
	if (kind == 'k' || kind == 'i')
		(void)snprintf(name, 96, ".%c%08x%024zx", kind, (unsigned)(i * 2654435761U), i);
	else
		(void)snprintf(name, 96, "20250102T0304%02zu.%06zuZ-%zu-1%s.hl7", i / 1000000,
			i % 1000000, i + 1, kind == 'e' ? ".000" : "");
}

/* Many messages; that they share files makes no difference to who looks for a name. */
static void
fill(const char *path, size_t n, const char *kinds)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	size_t i, used = LINKS_MAX;
	const char *kind;
	char name[96];

	check(dir >= 0, path);
	for (i = 0; i < n; i++)
		for (kind = kinds; *kind; kind++, used++) {
			if (used == LINKS_MAX) {
				(void)close(fd);
				fd = unnamed(dir, 300);
				used = 0;
			}
			format_name(i, *kind, name);
			name_it(fd, dir, name);
		}
	check(syncfs(dir) == 0, "syncfs"); /* else the next who syncs a file waits for all this */
	(void)close(dir);
}

static void
clear(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;

	check(dir != NULL, path);
	while ((d = readdir(dir)))
		if (d->d_type != DT_DIR)
			check(unlinkat(dirfd(dir), d->d_name, 0) == 0, d->d_name);
	(void)closedir(dir);
}

int
main(int argc, char **argv)
{
	size_t processes, n, size;

	if (argc != 6)
		return 64;
	processes = strtoul(argv[3], NULL, 10);
	n = strtoul(argv[4], NULL, 10);
	size = strtoul(argv[5], NULL, 10);
	if (size > sizeof(bytes))
		return 64;
	memset(bytes, 'x', sizeof(bytes));
	if (strcmp(argv[1], "fill") == 0)
		fill(argv[2], n, "kmi");
	else if (strcmp(argv[1], "entries") == 0)
		fill(argv[2], n, "e");
	else if (strcmp(argv[1], "clear") == 0)
		clear(argv[2]);
	else
		return measure(argv[1], argv[2], processes, n, size);
	return 0;
}
