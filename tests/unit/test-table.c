/* SPDX-License-Identifier: MIT */
#include "template/table.h"

#include "unit.h"

struct find_case {
	const char *name;
	struct span source, key, value; /* a null value: not found */
};

static const struct find_case finds[] = {
	{ "a row", BYTES("M\tmale\nF\tfemale\n"), BYTES("F"), BYTES("female") },
	{ "rows in any order", BYTES("z\t1\na\t2\nm\t3\n"), BYTES("a"), BYTES("2") },
	{ "no row and no default", BYTES("M\tmale\n"), BYTES("X"), { NULL, 0 } },
	{ "the row for everything else", BYTES("M\tmale\n*\tother\n"), BYTES("X"), BYTES("other") },
	{ "a row before the default", BYTES("*\tother\nM\tmale\n"), BYTES("M"), BYTES("male") },
	{ "an empty value is a value", BYTES("M\t\n"), BYTES("M"), BYTES("") },
	{ "a tab in the value", BYTES("M\ta\tb\n"), BYTES("M"), BYTES("a\tb") },
	{ "a comment is no row", BYTES("#M\tmale\n*\tother\n"), BYTES("#M"), BYTES("other") },
	{ "CRLF", BYTES("M\tmale\r\nF\tfemale\r\n"), BYTES("M"), BYTES("male") },
	{ "a byte order mark", BYTES("\xEF\xBB\xBFM\tmale\n"), BYTES("M"), BYTES("male") },
	{ "no line end at the end", BYTES("M\tmale"), BYTES("M"), BYTES("male") },
	{ "a key that begins another", BYTES("ab\t2\na\t1\n"), BYTES("a"), BYTES("1") },
	{ "case counts", BYTES("m\tmale\n"), BYTES("M"), { NULL, 0 } },
	{ "the key of a field that is not there", BYTES("M\tmale\n*\tother\n"), { NULL, 0 },
		BYTES("other") },
	{ "an empty key", BYTES("M\tmale\n\tnone\n"), { NULL, 0 }, BYTES("none") },
	{ "nothing", BYTES(""), BYTES("M"), { NULL, 0 } },
};

static void
find(void **state)
{
	const struct find_case *c = *state;
	struct problems problems = { 0 };
	struct span value;
	struct table t;

	assert_int_equal(table_parse(&t, "sex", c->source, &problems), 0);
	assert_int_equal(problems.n, 0);
	assert_string_equal(t.name, "sex");
	assert_int_equal(table_find(&t, c->key, &value), c->value.p != NULL);
	if (c->value.p)
		assert_span_equal(value, c->value);
	table_deinit(&t);
}

struct wrong_case {
	const char *name;
	struct span source;
	uint32_t line;
};

static const struct wrong_case wrongs[] = {
	{ "no tab", BYTES("M\tmale\nF female\n"), 2 },
	{ "a key twice", BYTES("M\tmale\nF\tfemale\nM\tman\n"), 3 },
	{ "two rows for everything else", BYTES("*\ta\n*\tb\n"), 2 },
};

static void
wrong(void **state)
{
	const struct wrong_case *c = *state;
	struct problems problems = { 0 };
	struct table t;

	assert_int_equal(table_parse(&t, "sex", c->source, &problems), TABLE_E_INVALID);
	assert_int_equal(problems.n_errors, 1);
	assert_int_equal(problems.items[0].line, c->line);
	assert_true(t.broken);
	table_deinit(&t);
}

static void
many_rows(void **state)
{
	struct buffer source = BUFFER_INIT((size_t)1024 * 1024);
	struct problems problems = { 0 };
	char line[32];
	struct span value;
	struct table t;
	int i;

	(void)state;
	for (i = 0; i < 10000; i++) {
		(void)snprintf(line, sizeof(line), "%d\t%d\n", i * 7919 % 10007, i);
		assert_int_equal(buffer_append(&source, span_str(line)), 0);
	}
	assert_int_equal(table_parse(&t, "many", buffer_span(&source), &problems), 0);
	for (i = 0; i < 10000; i++) {
		(void)snprintf(line, sizeof(line), "%d", i * 7919 % 10007);
		assert_true(table_find(&t, span_str(line), &value));
		(void)snprintf(line, sizeof(line), "%d", i);
		assert_span_equal(value, span_str(line));
	}
	table_deinit(&t);
	buffer_deinit(&source);
}

static void
of_a_set(void **state)
{
	struct table items[2] = { { .name = (char[]){ "a" } }, { .name = (char[]){ "ab" } } };
	const struct table_set set = { items, 2 };

	(void)state;
	assert_ptr_equal(table_set_find(&set, SPAN("ab")), &items[1]);
	assert_null(table_set_find(&set, SPAN("b")));
	assert_null(table_set_find(NULL, SPAN("a")));
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, find, finds);
	add_cases(&s, wrong, wrongs);
	add_test(&s, "ten thousand rows", many_rows);
	add_test(&s, "a table of a set", of_a_set);
	return run_suite("table", &s);
}
