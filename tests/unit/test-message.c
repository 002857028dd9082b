/* SPDX-License-Identifier: MIT */
#include "hl7/message.h"

#include "guard.h"
#include "unit.h"

#define HEAD "MSH|^~\\&|A|B|C|D|20240101||ADT^A01|ID1|P|2.5"

struct parse_case {
	const char *name;
	struct span bytes;
	int result;
	size_t n_segments, header, n_headers, preamble_bytes;
	struct span last; /* the last segment */
};

static const struct parse_case parses[] = {
	{ "segments end with CR", BYTES(HEAD "\rPID|1\rPV1|1\r"), 0, 3, 0, 1, 0, BYTES("PV1|1") },
	{ "the last CR may be missing", BYTES(HEAD "\rPID|1"), 0, 2, 0, 1, 0, BYTES("PID|1") },
	{ "the header alone", BYTES(HEAD), 0, 1, 0, 1, 0, BYTES(HEAD) },
	{ "LF, where there is no CR", BYTES(HEAD "\nPID|1\nPV1|1\n"), 0, 3, 0, 1, 0,
		BYTES("PV1|1") },
	{ "CRLF", BYTES(HEAD "\r\nPID|1\r\nPV1|1\r\n"), 0, 3, 0, 1, 0, BYTES("PV1|1") },
	{ "an LF inside a field does not split", BYTES(HEAD "\rNTE|1||two\nlines\r"), 0, 2, 0, 1, 0,
		BYTES("NTE|1||two\nlines") },
	{ "an LF in front of a segment is dropped once", BYTES(HEAD "\r\n\nPID|1\r"), 0, 2, 0, 1, 0,
		BYTES("\nPID|1") },
	{ "blank lines are no segments", BYTES(HEAD "\r\r\rPID|1\r\r"), 0, 2, 0, 1, 0,
		BYTES("PID|1") },
	{ "a byte order mark is skipped", BYTES("\xEF\xBB\xBF" HEAD "\r"), 0, 1, 0, 1, 3,
		BYTES(HEAD) },
	{ "line ends before the header are skipped", BYTES("\r\n\r\n" HEAD "\r"), 0, 1, 0, 1, 4,
		BYTES(HEAD) },
	{ "line ends and a byte order mark", BYTES("\n\xEF\xBB\xBF\r" HEAD "\r"), 0, 1, 0, 1, 5,
		BYTES(HEAD) },
	{ "a segment before the header", BYTES("ZZZ|1\r" HEAD "\r"), 0, 2, 1, 1, 0, BYTES(HEAD) },
	{ "a batch header before the header", BYTES("FHS|^~\\&\rBHS|^~\\&\r" HEAD "\r"), 0, 3, 2, 1,
		0, BYTES(HEAD) },
	{ "two headers", BYTES(HEAD "\rPID|1\r" HEAD "\r"), 0, 3, 0, 2, 0, BYTES(HEAD) },
	{ "NUL is data", BYTES(HEAD "\rNTE|\0|\0\0\r"), 0, 2, 0, 1, 0, BYTES("NTE|\0|\0\0") },
	{ "MSH with no separator behind it is no header", BYTES("MSHA|B\r" HEAD "\r"), 0, 2, 1, 1,
		0, BYTES(HEAD) },
	{ "nothing", BYTES(""), MESSAGE_E_NO_HEADER, 0, 0, 0, 0, BYTES("") },
	{ "line ends only", BYTES("\r\r\n"), MESSAGE_E_NO_HEADER, 0, 0, 0, 3, BYTES("") },
	{ "no header", BYTES("PID|1\rPV1|1\r"), MESSAGE_E_NO_HEADER, 2, 0, 0, 0, BYTES("PV1|1") },
	{ "a bare MSH is no header", BYTES("MSH\r"), MESSAGE_E_NO_HEADER, 1, 0, 0, 0,
		BYTES("MSH") },
	{ "blanks, tab and NUL before MSH", BYTES(" \t\0" HEAD "\r"), 0, 1, 0, 1, 3, BYTES(HEAD) },
	{ "LF between segments, one CR at the end", BYTES(HEAD "\nPID|1\r"), 0, 2, 0, 1, 0,
		BYTES("PID|1") },
	{ "LF behind the header, CR behind the others", BYTES(HEAD "\nPID|1\rPV1|1\r"), 0, 3, 0, 1,
		0, BYTES("PV1|1") },
	{ "an LF in the header that no segment follows is data", BYTES(HEAD "\nx\rPID|1\r"), 0, 2,
		0, 1, 0, BYTES("PID|1") },
	{ "a small msh is no header", BYTES("msh|^~\\&|\r"), MESSAGE_E_NO_HEADER, 1, 0, 0, 0,
		BYTES("msh|^~\\&|") },
};

static void
parse(void **state)
{
	const struct parse_case *c = *state;
	struct guard g = guard_map(c->bytes.n, 1);
	struct message m;

	assert_int_equal(message_parse(&m, guard_copy(&g, c->bytes)), c->result);
	assert_int_equal(m.n_segments, c->n_segments);
	assert_int_equal(m.header, c->header);
	assert_int_equal(m.n_headers, c->n_headers);
	assert_int_equal(m.preamble_bytes, c->preamble_bytes);
	if (m.n_segments > 0)
		assert_span_equal(message_segment(&m, m.n_segments - 1), c->last);
	message_deinit(&m);
	guard_unmap(&g);
}

#define READ                                                                                       \
	"MSH|^~\\&|APP^1^ISO|FAC||RF|20240101||ORU^R01^ORU_R01|ID1|P|2.5\r"                        \
	"PID|1||77^^^HOSP&1.2.3&ISO^MR~88^^^CITY||TEST^PATIENT||\"\"|F\r"                          \
	"OBX|1|NM|CODE||1.5\r"                                                                     \
	"OBX|2|TX|CODE||\xC3\xA4\r"

struct read_case {
	const char *name;
	size_t segment, field, repetition, component, subcomponent; /* 0: not asked for */
	struct span value;
};

static const struct read_case reads[] = {
	{ "MSH-1 is the separator", 0, 1, 0, 0, 0, BYTES("|") },
	{ "MSH-2 is the encoding characters", 0, 2, 0, 0, 0, BYTES("^~\\&") },
	{ "MSH-3 whole", 0, 3, 0, 0, 0, BYTES("APP^1^ISO") },
	{ "MSH-3.1", 0, 3, 1, 1, 0, BYTES("APP") },
	{ "MSH-5 is empty", 0, 5, 0, 0, 0, BYTES("") },
	{ "MSH-10", 0, 10, 0, 0, 0, BYTES("ID1") },
	{ "MSH-12, the last", 0, 12, 0, 0, 0, BYTES("2.5") },
	{ "MSH-13 is not there", 0, 13, 0, 0, 0, BYTES("") },
	{ "field 0 is nothing", 0, 0, 0, 0, 0, BYTES("") },
	{ "field 0 of another segment is nothing", 1, 0, 0, 0, 0, BYTES("") },
	{ "PID-1", 1, 1, 0, 0, 0, BYTES("1") },
	{ "PID-3 with its repetitions", 1, 3, 0, 0, 0, BYTES("77^^^HOSP&1.2.3&ISO^MR~88^^^CITY") },
	{ "PID-3[2]", 1, 3, 2, 0, 0, BYTES("88^^^CITY") },
	{ "PID-3[3] is not there", 1, 3, 3, 0, 0, BYTES("") },
	{ "PID-3[1].4", 1, 3, 1, 4, 0, BYTES("HOSP&1.2.3&ISO") },
	{ "PID-3[1].4.2", 1, 3, 1, 4, 2, BYTES("1.2.3") },
	{ "PID-3[1].4.4 is not there", 1, 3, 1, 4, 4, BYTES("") },
	{ "PID-3[2].4.1, deeper than the data", 1, 3, 2, 4, 1, BYTES("CITY") },
	{ "PID-3[2].4.2, deeper than the data", 1, 3, 2, 4, 2, BYTES("") },
	{ "PID-7 deletes", 1, 7, 0, 0, 0, BYTES("\"\"") },
	{ "PID-99999 is not there", 1, 99999, 0, 0, 0, BYTES("") },
	{ "OBX[2]-5 above ASCII", 3, 5, 1, 1, 1, BYTES("\xC3\xA4") },
};

static void
read_part(void **state)
{
	const struct read_case *c = *state;
	struct guard g = guard_map(sizeof(READ), 1);
	struct message m;
	struct span part;

	assert_int_equal(message_parse(&m, guard_copy(&g, SPAN(READ))), 0);
	part = message_field(&m, c->segment, c->field);
	if (c->repetition)
		part = field_repetition(part, &m.delimiters, c->repetition);
	if (c->component)
		part = repetition_component(part, &m.delimiters, c->component);
	if (c->subcomponent)
		part = component_subcomponent(part, &m.delimiters, c->subcomponent);
	assert_span_equal(part, c->value);
	message_deinit(&m);
	guard_unmap(&g);
}

struct position_case {
	const char *name;
	struct span bytes;
	size_t line, piece;
	struct span value;
};

static const struct position_case positions[] = {
	{ "{0-0} is the name", BYTES(READ), 0, 0, BYTES("MSH") },
	{ "{0-1} is MSH-2", BYTES(READ), 0, 1, BYTES("^~\\&") },
	{ "{0-9} is MSH-10", BYTES(READ), 0, 9, BYTES("ID1") },
	{ "{1-3} is PID-3", BYTES(READ), 1, 3, BYTES("77^^^HOSP&1.2.3&ISO^MR~88^^^CITY") },
	{ "{3-5} of the second OBX", BYTES(READ), 3, 5, BYTES("\xC3\xA4") },
	{ "behind the last CR there is an empty line", BYTES(READ), 4, 0, BYTES("") },
	{ "a line that is not there", BYTES(READ), 99999, 0, BYTES("") },
	{ "a piece that is not there", BYTES(READ), 1, 99999, BYTES("") },
	{ "a run of line ends counts once", BYTES(HEAD "\r\n\r\r\nPID|x"), 1, 1, BYTES("x") },
	{ "LF splits lines too, as split() does", BYTES(HEAD "\nPID|x\n"), 1, 1, BYTES("x") },
	{ "an LF inside a field splits the line by position", BYTES(HEAD "\rNTE|a\nb|c\r"), 2, 1,
		BYTES("c") },
	{ "a line end in front makes an empty line 0", BYTES("\r\n" HEAD "\r"), 0, 0, BYTES("") },
	{ "and the header is line 1 then", BYTES("\r\n" HEAD "\r"), 1, 9, BYTES("ID1") },
	{ "a byte order mark is part of the first piece", BYTES("\xEF\xBB\xBF" HEAD "\r"), 0, 0,
		BYTES("\xEF\xBB\xBFMSH") },
	{ "the delimiters are the header's", BYTES("MSH!@#$%!A!B\rPID!1!2@3\r"), 1, 2,
		BYTES("2@3") },
};

static void
position(void **state)
{
	const struct position_case *c = *state;
	struct guard g = guard_map(c->bytes.n, 1);
	struct message m;

	assert_int_equal(message_parse(&m, guard_copy(&g, c->bytes)), 0);
	assert_span_equal(message_position(&m, c->line, c->piece), c->value);
	message_deinit(&m);
	guard_unmap(&g);
}

static void
other_delimiters(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(message_parse(&m, SPAN("MSH!@#$%!A@1!B\rPID!1!x%y@z#w\r")), 0);
	assert_span_equal(message_header_field(&m, 1), SPAN("!"));
	assert_span_equal(message_header_field(&m, 2), SPAN("@#$%"));
	assert_span_equal(message_header_field(&m, 3), SPAN("A@1"));
	assert_span_equal(message_field(&m, 1, 2), SPAN("x%y@z#w"));
	assert_span_equal(message_segment_name(&m, 0), SPAN("MSH"));
	assert_span_equal(message_segment_name(&m, 1), SPAN("PID"));
	message_deinit(&m);
}

static void
three_encoding_characters(void **state)
{
	struct message m;
	struct span field;

	(void)state;
	assert_int_equal(message_parse(&m, SPAN("MSH|^~\\|A|B\rPID|x&y^z\r")), 0);
	field = message_field(&m, 1, 1);
	field = repetition_component(field, &m.delimiters, 1);
	assert_span_equal(field, SPAN("x&y"));
	assert_span_equal(component_subcomponent(field, &m.delimiters, 1), SPAN("x&y"));
	assert_span_equal(component_subcomponent(field, &m.delimiters, 2), SPAN(""));
	message_deinit(&m);
}

/* The header counts for the whole message, also where a second one says otherwise. */
static void
second_header_differs(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(message_parse(&m, SPAN("ZZZ|1\rMSH|^~\\&|A\rMSH!@#$%!B!C\r")), 0);
	assert_int_equal(m.n_headers, 2);
	assert_int_equal(m.header, 1);
	assert_span_equal(message_header_field(&m, 3), SPAN("A"));
	message_deinit(&m);
}

static void
too_many_segments(void **state)
{
	struct buffer b = BUFFER_INIT((size_t)16 * 1024 * 1024);
	struct message m;
	size_t i;

	(void)state;
	assert_int_equal(buffer_append(&b, SPAN("MSH|^~\\&|A\r")), 0);
	for (i = 1; i < MESSAGE_SEGMENTS_MAX; i++)
		assert_int_equal(buffer_append(&b, SPAN("Z|\r")), 0);
	assert_int_equal(message_parse(&m, buffer_span(&b)), 0);
	assert_int_equal(m.n_segments, MESSAGE_SEGMENTS_MAX);
	message_deinit(&m);
	assert_int_equal(buffer_append(&b, SPAN("Z|\r")), 0);
	assert_int_equal(message_parse(&m, buffer_span(&b)), MESSAGE_E_TOO_MANY_SEGMENTS);
	assert_int_equal(m.n_headers, 1); /* enough to answer */
	assert_span_equal(message_header_field(&m, 3), SPAN("A"));
	message_deinit(&m);
	buffer_deinit(&b);
}

static void
names_of_segments(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(message_parse(&m, SPAN("MSH|^~\\&\rZ\rOBX\r|x\rLONGNAME|1\r")), 0);
	assert_span_equal(message_segment_name(&m, 1), SPAN("Z"));
	assert_span_equal(message_segment_name(&m, 2), SPAN("OBX"));
	assert_span_equal(message_segment_name(&m, 3), SPAN(""));
	assert_span_equal(message_segment_name(&m, 4), SPAN("LONGNAME"));
	assert_span_equal(message_field(&m, 1, 1), SPAN(""));
	message_deinit(&m);
}

/* Cutting all fields at once gives what reading them one by one gives, also behind long ones. */
static void
fields_cut_at_once(void **state)
{
	struct buffer bytes = BUFFER_INIT(100000);
	struct segment_fields fields;
	struct message m;
	size_t i, n, segment;

	(void)state;
	assert_int_equal(buffer_append(&bytes, SPAN("MSH|^~\\&|A||B\rZ\rZZZ|\rPID|1||\rOBX")), 0);
	for (i = 0; i < 70; i++) {
		assert_int_equal(buffer_append_byte(&bytes, '|'), 0);
		for (n = 0; n < i * 3; n++)
			assert_int_equal(buffer_append_byte(&bytes, 'x'), 0);
	}
	assert_int_equal(message_parse(&m, buffer_span(&bytes)), 0);
	for (segment = 0; segment < m.n_segments; segment++) {
		message_cut_fields(&m, segment, &fields);
		for (i = 1; i <= fields.n; i++)
			assert_span_equal(fields.fields[i - 1], message_field(&m, segment, i));
		if (fields.n < MESSAGE_FIELDS_CUT)
			assert_null(message_field(&m, segment, fields.n + 1).p);
	}
	assert_int_equal(fields.n, MESSAGE_FIELDS_CUT);
	message_deinit(&m);
	buffer_deinit(&bytes);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, parse, parses);
	add_cases(&s, read_part, reads);
	add_cases(&s, position, positions);
	add_test(&s, "other delimiters", other_delimiters);
	add_test(&s, "without a subcomponent character there are none", three_encoding_characters);
	add_test(&s, "the first header counts", second_header_differs);
	add_test(&s, "one segment more than can be indexed", too_many_segments);
	add_test(&s, "names of odd segments", names_of_segments);
	add_test(&s, "fields cut at once", fields_cut_at_once);
	return run_suite("message", &s);
}
