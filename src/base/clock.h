/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The two clocks: CLOCK_MONOTONIC for deadlines and durations, CLOCK_REALTIME for what is written.
 *
 * A deadline is an absolute time of CLOCK_MONOTONIC in microseconds. It is set once and never moved
 * by what a peer does, so a peer that drips one byte a second runs into it all the same.
 */

#include <stdint.h>
#include <time.h>

typedef uint64_t usec_t;

#define USEC_PER_SEC   ((usec_t)1000000)
#define USEC_PER_MSEC  ((usec_t)1000)
#define DEADLINE_NEVER UINT64_MAX

usec_t clock_monotonic_usec(void);
usec_t clock_realtime_usec(void);

/* The deadline `after` microseconds from now; 0 means never. */
usec_t deadline_in(usec_t after);

/* Microseconds left, 0 when it has passed. DEADLINE_NEVER stays DEADLINE_NEVER. */
usec_t deadline_left(usec_t deadline);

/* So many microseconds as ppoll(2) takes them, in *ret: DEADLINE_NEVER is NULL. */
const struct timespec *deadline_timeout(usec_t left, struct timespec *ret);
