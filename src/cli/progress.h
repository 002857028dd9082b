/* SPDX-License-Identifier: MIT */
#pragma once

/* A line on standard error that says how far a long run is; nothing where that is no terminal. */

#include "base/clock.h"

#include <stdbool.h>

struct progress {
	bool shown; /* standard error is a terminal */
	usec_t next_usec;
};

struct progress progress_begin(bool quiet);

/* Shows `text` at most five times a second. */
void progress_show(struct progress *p, const char *text);

/* Removes the line. */
void progress_end(struct progress *p);
