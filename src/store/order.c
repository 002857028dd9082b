/* SPDX-License-Identifier: MIT */
#include "store/order.h"
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

int
order_open(int root, int *ret_fd)
{
	int fd = openat(root, ORDER_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static usec_t
usec_of(struct timespec ts)
{
	return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

/* Not synced: after a power cut the kernel may have forgotten the last seconds of it, which the
 * clock has passed by then. */
static int
advance(int fd, usec_t *ret_stamp)
{
	usec_t now = clock_realtime_usec(), last;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	last = st.st_mtim.tv_sec > 0 ? usec_of(st.st_mtim) : 0;
	if (now <= last)
		now = last + 1;
	times[1].tv_sec = (time_t)(now / USEC_PER_SEC);
	times[1].tv_nsec = (long)(now % USEC_PER_SEC) * 1000;
	if (futimens(fd, times) < 0)
		return -errno;
	*ret_stamp = now;
	return 0;
}

int
order_next(int fd, usec_t *ret_stamp)
{
	int r = disk_lock(fd, LOCK_EX, deadline_in(DISK_LOCK_WAIT_USEC));

	if (r < 0)
		return r;
	r = advance(fd, ret_stamp);
	(void)flock(fd, LOCK_UN);
	return r;
}
