/* SPDX-License-Identifier: MIT */
#include "store/folder.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int
read_all(DIR *dir, int (*call)(const struct dirent *d, void *userdata), void *userdata)
{
	const struct dirent *d;
	int r = 0;

	errno = 0;
	while (r == 0 && (d = readdir(dir))) {
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = call(d, userdata);
		errno = 0;
	}
	return r == 0 && errno ? -errno : r;
}

int
folder_read(int folder, int (*call)(const struct dirent *d, void *userdata), void *userdata)
{
	_cleanup_close_ int fd = -1;
	DIR *dir;
	int r;

	fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	(void)steal_fd(&fd);
	r = read_all(dir, call, userdata);
	(void)closedir(dir);
	return r;
}

int
folder_has(int folder, const char *name)
{
	if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}
