/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

static usec_t
now(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts); /* cannot fail for the two clocks used here */
	return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

usec_t
clock_monotonic_usec(void)
{
	return now(CLOCK_MONOTONIC);
}

usec_t
clock_realtime_usec(void)
{
	return now(CLOCK_REALTIME);
}

usec_t
deadline_in(usec_t after)
{
	usec_t t = clock_monotonic_usec();

	return after == 0 || after > DEADLINE_NEVER - t ? DEADLINE_NEVER : t + after;
}

usec_t
deadline_left(usec_t deadline)
{
	usec_t t;

	if (deadline == DEADLINE_NEVER)
		return DEADLINE_NEVER;
	t = clock_monotonic_usec();
	return deadline > t ? deadline - t : 0;
}

const struct timespec *
deadline_timeout(usec_t left, struct timespec *ret)
{
	ret->tv_sec = (time_t)(left / USEC_PER_SEC);
	ret->tv_nsec = (long)(left % USEC_PER_SEC) * 1000;
	return left == DEADLINE_NEVER ? NULL : ret;
}
