/* SPDX-License-Identifier: MIT */
#include "forward/backoff.h"

/* Marsaglia, Xorshift RNGs (2003): good enough to spread pauses. */
static uint64_t
next_random(struct backoff *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random;
}

usec_t
backoff_pause(struct backoff *b, uint64_t n_tries)
{
	usec_t pause = b->min_usec;
	uint64_t i;

	for (i = 1; i < n_tries && pause < b->max_usec; i++)
		pause *= 2;
	if (pause > b->max_usec)
		pause = b->max_usec;
	/* three quarters to five quarters of it */
	pause = pause - pause / 4 + next_random(b) % (pause / 2 + 1);
	return pause > b->max_usec ? b->max_usec : pause;
}
