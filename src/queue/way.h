/* SPDX-License-Identifier: MIT */
#pragma once

/* A message's way, from what was found of it: events of different sources, told in the order of
 * their times. */

#include "base/clock.h"

#include <stddef.h>

#define EVENT_BYTES 512

struct event {
	usec_t at; /* CLOCK_REALTIME */
	size_t n;  /* its place among those of the same time */
	char text[EVENT_BYTES];
};

struct way {
	struct event *items; /* owned */
	size_t n, allocated;
};

/* 0 or -ENOMEM. */
int way_add(struct way *w, usec_t at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Prints a line each, and forgets them. */
void way_print(struct way *w);
