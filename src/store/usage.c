/* SPDX-License-Identifier: MIT */
#include "store/usage.h"
#include "base/cleanup.h"
#include "store/disk.h"
#include "store/folder.h"
#include "store/name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

struct count {
	uint64_t n;
	char youngest[STORE_NAME_BYTES]; /* names are in the order of their times */
};

static int
count_message(const struct dirent *d, void *userdata)
{
	const char *end = strrchr(d->d_name, '.');
	struct count *c = userdata;
	struct store_stem stem;

	/* only the youngest so far is parsed: a million names, and a figure */
	if (d->d_name[0] == '.' || !end || strcmp(end, ".hl7") != 0)
		return 0;
	c->n++;
	if (strcmp(d->d_name, c->youngest) > 0 && store_name_parse(d->d_name, "hl7", &stem))
		store_name_format(&stem, "hl7", c->youngest);
	return 0;
}

static int
count_messages(int root, const char *name, uint64_t *ret_n, usec_t *ret_last)
{
	struct count c = { .n = 0 };
	_cleanup_close_ int folder = -1;
	struct store_stem stem;
	int r = disk_open_existing_dir(root, name, &folder);

	if (r == 0)
		r = folder_read(folder, count_message, &c);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_n = c.n;
	*ret_last = store_name_parse(c.youngest, "hl7", &stem) ? stem.stamp : 0;
	return 0;
}

int
usage_read(const char *path, struct usage *ret)
{
	_cleanup_close_ int root = -1;
	struct statvfs v;
	int r = disk_open_existing_dir(AT_FDCWD, path, &root);

	if (r == 0)
		r = count_messages(root, "received", &ret->n_received, &ret->last_received_usec);
	if (r == 0)
		r = count_messages(root, "rejected", &ret->n_rejected, &ret->last_rejected_usec);
	if (r < 0)
		return r;
	if (fstatvfs(root, &v) < 0)
		return -errno;
	ret->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	ret->free_inodes = v.f_favail;
	ret->inodes = v.f_files;
	return 0;
}
