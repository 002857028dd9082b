/* SPDX-License-Identifier: MIT */
#include "store/usage.h"
#include "base/cleanup.h"
#include "store/disk.h"
#include "store/folder.h"
#include "store/name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

static int
count_message(const struct dirent *d, void *userdata)
{
	const char *end = strrchr(d->d_name, '.');
	uint64_t *n = userdata;

	/* not parsed: a million names, and a figure */
	*n += d->d_name[0] != '.' && end && strcmp(end, ".hl7") == 0;
	return 0;
}

static int
count_messages(int root, const char *name, uint64_t *ret)
{
	_cleanup_close_ int folder = -1;
	int r = disk_open_existing_dir(root, name, &folder);

	*ret = 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return folder_read(folder, count_message, ret);
}

int
usage_read(const char *path, struct usage *ret)
{
	_cleanup_close_ int root = -1;
	struct statvfs v;
	int r = disk_open_existing_dir(AT_FDCWD, path, &root);

	if (r == 0)
		r = count_messages(root, "received", &ret->n_received);
	if (r == 0)
		r = count_messages(root, "rejected", &ret->n_rejected);
	if (r < 0)
		return r;
	if (fstatvfs(root, &v) < 0)
		return -errno;
	ret->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	ret->free_inodes = v.f_favail;
	ret->inodes = v.f_files;
	return 0;
}
