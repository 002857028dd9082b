/* SPDX-License-Identifier: MIT */
#include "template/suggest.h"

#include "unit.h"

struct segment_case {
	const char *name;
	bool known;
	const char *near; /* NULL: none */
};

static const struct segment_case segments[] = {
	{ "PID", true, "PID" },
	{ "ZXY", true, NULL },
	{ "PDI", false, "PID" }, /* two letters swapped, before one letter changed (PD1) */
	{ "OXB", false, "OBX" },
	{ "OBXX", false, "OBX" },
	{ "MS", false, "MSH" },
	{ "QQQ", false, NULL },
	{ "", false, NULL },
	{ "ABCDEFGHIJKLMNOPQRSTUVWXYZ", false, NULL },
};

static void
segment(void **state)
{
	const struct segment_case *c = *state;
	const char *near = suggest_segment(span_str(c->name));

	assert_int_equal(segment_is_known(span_str(c->name)), c->known);
	if (c->near)
		assert_string_equal(near, c->near);
	else if (!c->known)
		assert_null(near);
}

static void
words(void **state)
{
	static const char *const known[] = { "required", "map", "replace" };

	(void)state;
	assert_string_equal(suggest_word(SPAN("requird"), known, 3), "required");
	assert_string_equal(suggest_word(SPAN("reqired"), known, 3), "required");
	assert_string_equal(suggest_word(SPAN("amp"), known, 3), "map");
	assert_string_equal(suggest_word(SPAN("relpacee"), known, 3), "replace"); /* two changes */
	assert_null(suggest_word(SPAN("xyz"), known, 3));
	assert_null(suggest_word(SPAN("map"), known, 0));
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, segment, segments);
	add_test(&s, "words", words);
	return run_suite("suggest", &s);
}
