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

struct parse_case {
	const char *name;  /* the text */
	const char *parts; /* "year month day hour minute second fraction zone", NULL: none */
};

static const struct parse_case parses[] = {
	{ "2026", "2026 1 1 0 0 0  " },
	{ "202611", "2026 11 1 0 0 0  " },
	{ "20261123", "2026 11 23 0 0 0  " },
	{ "2026112318", "2026 11 23 18 0 0  " },
	{ "202611231811", "2026 11 23 18 11 0  " },
	{ "20261123181147", "2026 11 23 18 11 47  " },
	{ "20261123181147.1", "2026 11 23 18 11 47 1 " },
	{ "20261123181147.1234+0130", "2026 11 23 18 11 47 1234 +0130" },
	{ "20261123-0500", "2026 11 23 0 0 0  -0500" },
	{ "20240229", "2024 2 29 0 0 0  " },
	{ "20000229", "2000 2 29 0 0 0  " },
	{ "20260229", NULL },
	{ "19000229", NULL },
	{ "20261301", NULL },
	{ "20260001", NULL },
	{ "20260431", NULL },
	{ "2026112324", NULL },
	{ "202611231860", NULL },
	{ "20261123181160", NULL },
	{ "20261123181147.", NULL },
	{ "20261123181147.12345", NULL },
	{ "202611231811.5", NULL },
	{ "20261123+1", NULL },
	{ "20261123+0199", NULL },
	{ "2026112", NULL },
	{ "23.11.2026", NULL },
	{ "202", NULL },
	{ "", NULL },
};

static void
parse(void **state)
{
	const struct parse_case *c = *state;
	struct timestamp t;
	char parts[64];
	int r = timestamp_parse(span_str(c->name), &t);

	assert_int_equal(r, c->parts ? 0 : TIMESTAMP_E_INVALID);
	if (r)
		return;
	(void)snprintf(parts, sizeof(parts), "%d %d %d %d %d %d %s %s", t.year, t.month, t.day,
		t.hour, t.minute, t.second, t.fraction, t.zone);
	assert_string_equal(parts, c->parts);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, format, formats);
	add_cases(&s, parse, parses);
	return run_suite("timestamp", &s);
}
