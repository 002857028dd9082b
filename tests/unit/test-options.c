/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include "unit.h"

struct duration_case {
	const char *name; /* the text */
	bool valid;
	usec_t usec;
};

static const struct duration_case durations[] = {
	{ "0", true, 0 },
	{ "30", true, 30 * USEC_PER_SEC },
	{ "30s", true, 30 * USEC_PER_SEC },
	{ "500ms", true, 500 * USEC_PER_MSEC },
	{ "2m", true, 120 * USEC_PER_SEC },
	{ "2min", true, 120 * USEC_PER_SEC },
	{ "1h", true, 3600 * USEC_PER_SEC },
	{ "0000000000001s", true, USEC_PER_SEC },
	{ "30d", true, 30 * 24 * 3600 * USEC_PER_SEC },
	{ "36500d", true, (usec_t)36500 * 24 * 3600 * USEC_PER_SEC },
	{ "36501d", false, 0 },
	{ "876001h", false, 0 },
	{ "999999999999999h", false, 0 },
	{ "9999999999999999", false, 0 },
	{ "99999999999999999999999999s", false, 0 },
	{ "", false, 0 },
	{ "s", false, 0 },
	{ "-1s", false, 0 },
	{ "+1s", false, 0 },
	{ " 1s", false, 0 },
	{ "1 s", false, 0 },
	{ "1.5s", false, 0 },
	{ "1s ", false, 0 },
	{ "1S", false, 0 },
	{ "1D", false, 0 },
	{ "1w", false, 0 },
	{ "1m30s", false, 0 },
	{ "0x10", false, 0 },
};

static void
duration(void **state)
{
	const struct duration_case *c = *state;
	usec_t usec = 12345;

	assert_int_equal(parse_duration(c->name, &usec), c->valid);
	assert_int_equal(usec, c->valid ? c->usec : 12345);
}

struct size_case {
	const char *name; /* the text */
	bool valid;
	size_t bytes;
};

/* From 1 to 1G. */
static const struct size_case sizes[] = {
	{ "1", true, 1 },
	{ "4096", true, 4096 },
	{ "64K", true, 64 * 1024 },
	{ "32M", true, 32 * 1024 * 1024 },
	{ "1G", true, 1024 * 1024 * 1024 },
	{ "1073741824", true, 1024 * 1024 * 1024 },
	{ "1073741825", false, 0 },
	{ "1025M", false, 0 },
	{ "2G", false, 0 },
	{ "999999999999999G", false, 0 },
	{ "18446744073709551617", false, 0 },
	{ "0", false, 0 },
	{ "0K", false, 0 },
	{ "", false, 0 },
	{ "M", false, 0 },
	{ "-1", false, 0 },
	{ "1k", false, 0 },
	{ "1KB", false, 0 },
	{ "1T", false, 0 },
	{ "1 M", false, 0 },
};

static void
size(void **state)
{
	const struct size_case *c = *state;
	size_t bytes = 12345;

	assert_int_equal(parse_size(c->name, 1, 1024 * 1024 * 1024, &bytes), c->valid);
	assert_int_equal(bytes, c->valid ? c->bytes : 12345);
}

static const struct size_case counts[] = {
	{ "2", true, 2 },
	{ "10", true, 10 },
	{ "007", true, 7 },
	{ "1", false, 0 },
	{ "11", false, 0 },
	{ "99999999999999999999", false, 0 },
	{ "", false, 0 },
	{ "3x", false, 0 },
	{ "3K", false, 0 },
	{ "-3", false, 0 },
};

static void
count(void **state)
{
	const struct size_case *c = *state;
	size_t n = 12345;

	assert_int_equal(parse_count(c->name, 2, 10, &n), c->valid);
	assert_int_equal(n, c->valid ? c->bytes : 12345);
}

static void
words(void **state)
{
	static const char *const choices[] = { "auto", "original", "enhanced" };

	(void)state;
	assert_int_equal(parse_word("auto", choices, 3), 0);
	assert_int_equal(parse_word("enhanced", choices, 3), 2);
	assert_int_equal(parse_word("enhanced", choices, 2), -1);
	assert_int_equal(parse_word("Auto", choices, 3), -1);
	assert_int_equal(parse_word("aut", choices, 3), -1);
	assert_int_equal(parse_word("", choices, 3), -1);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, duration, durations);
	add_cases(&s, size, sizes);
	add_cases(&s, count, counts);
	add_test(&s, "words", words);
	return run_suite("options", &s);
}
