/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "store/order.h"

#include "place.h"

#include <sys/mman.h>

#define PROCESSES 8
#define STAMPS    200

static int
open_order(const struct place *p, int *ret_root)
{
	int fd = -1;

	*ret_root = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(*ret_root >= 0);
	assert_int_equal(order_open(*ret_root, &fd), 0);
	return fd;
}

static void
set_last(int fd, usec_t last)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
		{ (time_t)(last / USEC_PER_SEC), (long)(last % USEC_PER_SEC) * 1000 } };

	assert_int_equal(futimens(fd, times), 0);
}

static void
present(void **state)
{
	_cleanup_close_ int root = -1, fd = open_order(*state, &root);
	usec_t before = clock_realtime_usec(), first, second;

	set_last(fd, 1000000); /* long ago */
	assert_int_equal(order_next(fd, &first), 0);
	assert_in_range(first, before, clock_realtime_usec());
	assert_int_equal(order_next(fd, &second), 0);
	assert_true(second > first);
}

/* The clock was set back, or the last stamp was ahead of it: one more, until the clock has caught
 * up. */
static void
clock_behind(void **state)
{
	_cleanup_close_ int root = -1, fd = open_order(*state, &root);
	usec_t ahead = clock_realtime_usec() + 3600 * USEC_PER_SEC, stamp;
	unsigned i;

	set_last(fd, ahead);
	for (i = 1; i < 10; i++) {
		assert_int_equal(order_next(fd, &stamp), 0);
		assert_int_equal(stamp, ahead + i);
	}
}

/* The last microsecond of a second is followed by the first of the next. */
static void
next_second(void **state)
{
	_cleanup_close_ int root = -1, fd = open_order(*state, &root);
	usec_t ahead = (clock_realtime_usec() / USEC_PER_SEC + 3600) * USEC_PER_SEC - 1, stamp;

	set_last(fd, ahead);
	assert_int_equal(order_next(fd, &stamp), 0);
	assert_int_equal(stamp, ahead + 1);
	assert_int_equal(order_next(fd, &stamp), 0);
	assert_int_equal(stamp, ahead + 2);
}

/* A time before 1970, which a file may have. */
static void
before_all_time(void **state)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = -1000 } };
	_cleanup_close_ int root = -1, fd = open_order(*state, &root);
	usec_t before = clock_realtime_usec(), stamp;

	assert_int_equal(futimens(fd, times), 0);
	assert_int_equal(order_next(fd, &stamp), 0);
	assert_true(stamp >= before);
}

struct taking {
	int root;
	usec_t *stamps; /* shared */
};

static int
take_stamps(const void *userdata)
{
	const struct taking *t = userdata;
	_cleanup_close_ int fd = -1;
	size_t i;

	if (order_open(t->root, &fd) < 0)
		return 1;
	for (i = 0; i < STAMPS; i++)
		if (order_next(fd, &t->stamps[i]) != 0 ||
			(i > 0 && t->stamps[i] <= t->stamps[i - 1]))
			return 2;
	return 0;
}

static int
compare_stamps(const void *a, const void *b)
{
	const usec_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
many_processes(void **state)
{
	const size_t n = (size_t)PROCESSES * STAMPS;
	_cleanup_close_ int root = -1, fd = open_order(*state, &root);
	usec_t *stamps = mmap(NULL, n * sizeof(*stamps), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct taking t[PROCESSES];
	pid_t pids[PROCESSES];
	size_t i;

	assert_true(stamps != MAP_FAILED);
	set_last(fd, clock_realtime_usec() + USEC_PER_SEC); /* all of them come from counting */
	for (i = 0; i < PROCESSES; i++) {
		t[i] = (struct taking){ root, stamps + i * STAMPS };
		pids[i] = begin(take_stamps, &t[i]);
	}
	for (i = 0; i < PROCESSES; i++)
		assert_int_equal(status_of(pids[i]), 0);
	qsort(stamps, n, sizeof(*stamps), compare_stamps);
	for (i = 1; i < n; i++)
		assert_true(stamps[i] > stamps[i - 1]);
	assert_int_equal(munmap(stamps, n * sizeof(*stamps)), 0);
}

/* A link in its place would be followed to wherever it leads. */
static void
a_link_in_its_place(void **state)
{
	const struct place *p = *state;
	_cleanup_close_ int root = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = -1;

	assert_int_equal(symlinkat("/etc/passwd", root, ORDER_FILE), 0);
	assert_int_equal(order_open(root, &fd), -ELOOP);
	assert_int_equal(fd, -1);
}

int
main(void)
{
	static struct suite s;

	add_placed(&s, "the present time, and more each time", present);
	add_placed(&s, "the clock is behind the last commit", clock_behind);
	add_placed(&s, "across the end of a second", next_second);
	add_placed(&s, "a last commit before 1970", before_all_time);
	add_placed(&s, "no two processes get the same", many_processes);
	add_placed(&s, "a link in the file's place", a_link_in_its_place);
	return run_suite("order", &s);
}
