/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "sandbox/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is mapped beside the data: libraries, their tables, the stack. */
#define MAPPED_BYTES ((uint64_t)256 * 1024 * 1024)

/* Both halves; never to more than there is, which is somebody's choice. */
static int
lower(__rlimit_resource_t resource, uint64_t most)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return -errno;
	if (limit.rlim_max <= most && limit.rlim_cur <= most)
		return 0;
	limit.rlim_cur = limit.rlim_cur < most ? limit.rlim_cur : (rlim_t)most;
	limit.rlim_max = limit.rlim_max < most ? limit.rlim_max : (rlim_t)most;
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

/* Numbers are given from the lowest one on, so so many are free below the limit at least, however
 * many are open above it. */
static int
lower_descriptors(const struct sandbox_needs *needs)
{
	int highest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	size_t i;

	if (highest < 0)
		return -errno;
	(void)close(highest);
	for (i = 0; i < needs->n_folders; i++)
		if (needs->folders[i].fd > highest)
			highest = needs->folders[i].fd;
	return lower(RLIMIT_NOFILE, (uint64_t)highest + 1 + needs->n_descriptors);
}

/* The limit holds for all files, and standard error may be one that has grown over years. */
static bool
stderr_is_file(void)
{
	struct stat st;

	return fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
}

/* What counts as data so far; proc(5), statm: the sixth number, in pages. */
static int
data_bytes(uint64_t *ret)
{
	_cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128], *end = text;
	uint64_t pages = 0;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	int i;

	if (n < 0)
		return -errno;
	text[n] = 0;
	for (i = 0; i < 6; i++)
		pages = strtoull(end, &end, 10);
	*ret = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

/* Tables of templates may be there already, of any size: the limit is on top of what there is. */
static int
lower_memory(uint64_t bytes)
{
	uint64_t there = 0;
	int r = data_bytes(&there);

	if (r == 0)
		r = lower(RLIMIT_DATA, bytes + there);
	/* what is shared does not count as data */
	return r < 0 ? r : lower(RLIMIT_AS, bytes + there + MAPPED_BYTES);
}

int
limits_enter(const struct sandbox_needs *needs)
{
	int r = 0, next;

	if (sandbox_is_strict(needs))
		r = lower(RLIMIT_NPROC, 0);
	next = needs->n_descriptors ? lower_descriptors(needs) : 0;
	r = r < 0 ? r : next;
	next = needs->file_bytes && !stderr_is_file() ? lower(RLIMIT_FSIZE, needs->file_bytes) : 0;
	r = r < 0 ? r : next;
	next = needs->memory_bytes && !SANDBOX_SANITIZED ? lower_memory(needs->memory_bytes) : 0;
	return r < 0 ? r : next;
}
