/* SPDX-License-Identifier: MIT */
#include "journal/journal.h"

#include "unit.h"

#define ID "0123456789abcdef0123456789abcdef"

static struct span
field(const struct journal_entry *e, size_t i)
{
	bool last = i + 1 >= e->n_fields || i + 1 >= JOURNAL_FIELDS_MAX;
	size_t end = last ? e->n_bytes : e->starts[i + 1];

	assert_int_equal(e->bytes[end - 1], '\n');
	return span_of(e->bytes + e->starts[i], end - 1 - e->starts[i]);
}

static void
an_entry(void **state)
{
	static struct journal_entry e;

	(void)state;
	journal_begin(&e, 6, ID, "what happened");
	journal_text(&e, "HL7_OUTCOME", "stored");
	journal_number(&e, "HL7_BYTES", UINT64_MAX);
	assert_int_equal(e.n_fields, 5);
	assert_span_equal(field(&e, 0), SPAN("MESSAGE=what happened"));
	assert_span_equal(field(&e, 1), SPAN("PRIORITY=6"));
	assert_span_equal(field(&e, 2), SPAN("MESSAGE_ID=" ID));
	assert_span_equal(field(&e, 3), SPAN("HL7_OUTCOME=stored"));
	assert_span_equal(field(&e, 4), SPAN("HL7_BYTES=18446744073709551615"));
}

struct bytes_case {
	const char *name;
	struct span bytes, written;
};

static const struct bytes_case cases[] = {
	{ "plain", BYTES("MSG|1^2"), BYTES("F=MSG|1^2") },
	{ "nothing", BYTES(""), BYTES("F=") },
	{ "a line feed cannot begin another field", BYTES("a\nPRIORITY=0"),
		BYTES("F=a\\x0aPRIORITY=0") },
	{ "NUL does not end it", BYTES("a\0b"), BYTES("F=a\\x00b") },
	{ "an escape sequence of a terminal", BYTES("\x1B[2J"), BYTES("F=\\x1b[2J") },
	{ "a backslash", BYTES("\\x41"), BYTES("F=\\x5cx41") },
	{ "a quote", BYTES("a\" b"), BYTES("F=a\\x22 b") },
	{ "bytes above ASCII", BYTES("\xC3\xA4\x7F\xFF"), BYTES("F=\\xc3\\xa4\\x7f\\xff") },
	{ "a format", BYTES("%s%n"), BYTES("F=%s%n") },
};

static void
bytes_of_a_peer(void **state)
{
	const struct bytes_case *c = *state;
	static struct journal_entry e;

	journal_begin(&e, 6, ID, "x");
	journal_bytes(&e, "F", c->bytes);
	assert_int_equal(e.n_fields, 4);
	assert_span_equal(field(&e, 3), c->written);
}

static void
long_bytes_are_cut(void **state)
{
	static struct journal_entry e;
	uint8_t bytes[JOURNAL_PEER_BYTES_MAX + 1];

	(void)state;
	memset(bytes, 0xFF, sizeof(bytes));
	journal_begin(&e, 6, ID, "x");
	journal_bytes(&e, "F", span_of(bytes, JOURNAL_PEER_BYTES_MAX));
	assert_int_equal(field(&e, 3).n, 2 + 4 * JOURNAL_PEER_BYTES_MAX);
	journal_bytes(&e, "F", span_of(bytes, sizeof(bytes)));
	assert_int_equal(field(&e, 4).n, 2 + 4 * JOURNAL_PEER_BYTES_MAX + 3);
	assert_span_equal(span_from(field(&e, 4), 2 + 4 * JOURNAL_PEER_BYTES_MAX), SPAN("..."));
}

static void
a_full_entry(void **state)
{
	static struct journal_entry e;
	static char value[3000];
	int i;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	journal_begin(&e, 6, ID, "x");
	for (i = 0; i < 5; i++)
		journal_text(&e, "LONG", value);
	assert_int_equal(e.n_fields, 5); /* two of them fit; a third is left out whole */
	journal_text(&e, "SHORT", "y");
	assert_int_equal(e.n_fields, 6);
	assert_span_equal(field(&e, 5), SPAN("SHORT=y"));
	for (i = 0; i < 100; i++)
		journal_number(&e, "N", 1);
	assert_int_equal(e.n_fields, JOURNAL_FIELDS_MAX);
	assert_span_equal(field(&e, JOURNAL_FIELDS_MAX - 1), SPAN("N=1"));
}

static void
where_to(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	assert_int_equal(journal_choose(LOG_TARGET_AUTO, true).way, JOURNAL_STDERR);
	assert_int_not_equal(journal_choose(LOG_TARGET_AUTO, false).way, JOURNAL_STDERR);
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	assert_int_equal(journal_choose(LOG_TARGET_AUTO, true).way, JOURNAL_STDERR);
	assert_int_equal(setenv("JOURNAL_STREAM", "nonsense", 1), 0);
	assert_int_equal(journal_choose(LOG_TARGET_AUTO, true).way, JOURNAL_STDERR);
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

int
main(void)
{
	static struct suite s;

	add_test(&s, "an entry", an_entry);
	add_cases(&s, bytes_of_a_peer, cases);
	add_test(&s, "long bytes are cut, and it shows", long_bytes_are_cut);
	add_test(&s, "what does not fit is left out whole", a_full_entry);
	add_test(&s, "where entries go", where_to);
	return run_suite("journal", &s);
}
