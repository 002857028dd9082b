/* SPDX-License-Identifier: MIT */
#include "sandbox/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
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

/* Tables of templates may be there already, of any size: the limit is on top of what there is. */
static int
lower_memory(uint64_t bytes)
{
	const struct mallinfo2 there = mallinfo2();
	int r;

	bytes += there.arena + there.hblkhd;
	r = lower(RLIMIT_DATA, bytes);
	/* what is shared does not count as data */
	return r < 0 ? r : lower(RLIMIT_AS, bytes + MAPPED_BYTES);
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
