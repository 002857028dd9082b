/* SPDX-License-Identifier: MIT */
#include "forward/backoff.h"

#include "unit.h"

struct pause_case {
	const char *name;
	uint64_t n_tries;
	usec_t min_usec, max_usec;
	usec_t least, most;
};

static const struct pause_case pauses[] = {
	{ "the first", 1, 1000, 60000, 750, 1250 },
	{ "the second", 2, 1000, 60000, 1500, 2500 },
	{ "the sixth", 6, 1000, 60000, 24000, 40000 },
	{ "the seventh, at the maximum", 7, 1000, 60000, 45000, 60000 },
	{ "very many", UINT64_MAX, 1000, 60000, 45000, 60000 },
	{ "none yet", 0, 1000, 60000, 750, 1250 },
	{ "one length only", 5, 1000, 1000, 750, 1000 },
	{ "the shortest", 1, 1, 1, 1, 1 },
	{ "a hundred days", 100, 8640000000000, 8640000000000, 6480000000000, 8640000000000 },
};

static void
pause_of(void **state)
{
	const struct pause_case *c = *state;
	struct backoff b = { c->min_usec, c->max_usec, 88172645463325252 };
	usec_t pause, low = UINT64_MAX, high = 0;
	int i;

	for (i = 0; i < 1000; i++) {
		pause = backoff_pause(&b, c->n_tries);
		assert_in_range(pause, c->least, c->most);
		low = pause < low ? pause : low;
		high = pause > high ? pause : high;
	}
	/* spread over the whole range */
	assert_true(low <= c->least + (c->most - c->least) / 10);
	assert_true(high >= c->most - (c->most - c->least) / 10);
}

static void
two_of_them(void **state)
{
	struct backoff a = { 1000000, 60000000, 1 }, b = { 1000000, 60000000, 2 };
	int i, n_equal = 0;

	(void)state;
	for (i = 0; i < 100; i++)
		n_equal += backoff_pause(&a, 4) == backoff_pause(&b, 4);
	assert_true(n_equal < 3);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, pause_of, pauses);
	add_test(&s, "two do not go in step", two_of_them);
	return run_suite("backoff", &s);
}
