/* SPDX-License-Identifier: MIT */
#include "hl7/timestamp.h"

#include "unit.h"

struct format_case {
	const char *name;
	int64_t seconds;
	int offset;
	const char *text;
};

static const struct format_case formats[] = {
	{ "the epoch in Greenwich", 0, 0, "19700101000000+0000" },
	{ "the epoch in the east", 0, 3600, "19700101010000+0100" },
	{ "the epoch in the west", 0, -5 * 3600, "19691231190000-0500" },
	{ "half an hour", 0, 5 * 3600 + 1800, "19700101053000+0530" },
	{ "a quarter to the west", 0, -(3 * 3600 + 45 * 60), "19691231201500-0345" },
	{ "less than an hour to the west", 0, -1800, "19691231233000-0030" },
	{ "a leap day", 1709164800, 0, "20240229000000+0000" },
	{ "the last second of a year", 1735689599, 0, "20241231235959+0000" },
	{ "the same second in the next year", 1735689599, 3600, "20250101005959+0100" },
	{ "behind 2038", 4102444800, 0, "21000101000000+0000" },
	{ "before the epoch", -1, 0, "19691231235959+0000" },
	{ "the year 9999", 253402300799, 0, "99991231235959+0000" },
	{ "the year 10000 is clamped", 253402300800, 0, "99990101000000+0000" },
	{ "seconds of an old zone are dropped", 0, 1172, "19700101001932+0019" },
};

static void
format(void **state)
{
	const struct format_case *c = *state;
	char text[TIMESTAMP_BYTES + 1];

	memset(text, 'x', sizeof(text));
	timestamp_format(c->seconds, c->offset, text);
	assert_int_equal(text[TIMESTAMP_BYTES], 'x');
	assert_string_equal(text, c->text);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, format, formats);
	return run_suite("timestamp", &s);
}
