/* SPDX-License-Identifier: MIT */
#pragma once

/* Pauses between tries: each twice the one before, up to a maximum, and a random quarter less or
 * more, so that many that were stopped by one failure do not come back at one moment. Pure. */

#include "base/clock.h"

struct backoff {
	usec_t min_usec, max_usec;
	uint64_t random; /* any number but 0; changes with each use */
};

/* The pause behind try number `n_tries` (from 1). At least half of min_usec, at most max_usec. */
usec_t backoff_pause(struct backoff *b, uint64_t n_tries);
