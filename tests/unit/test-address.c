/* SPDX-License-Identifier: MIT */
#include "hl7/address.h"

#include "guard.h"
#include "unit.h"

struct parse_case {
	const char *name; /* the address itself */
	int result;
	size_t at; /* of the fault */
	struct address a;
	const char *erl;
};

static const struct parse_case parses[] = {
	{ "PID", .a = { "PID" }, .erl = "PID^1" },
	{ "ZA1-7", .a = { "ZA1", 0, 7 }, .erl = "ZA1^1^7" },
	{ "PID-5", .a = { "PID", 0, 5 }, .erl = "PID^1^5" },
	{ "PID-5.1", .a = { "PID", 0, 5, 0, 1 }, .erl = "PID^1^5^1^1" },
	{ "PID-5.1.2", .a = { "PID", 0, 5, 0, 1, 2 }, .erl = "PID^1^5^1^1^2" },
	{ "OBX[2]", .a = { "OBX", 2 }, .erl = "OBX^2" },
	{ "OBX[2]-5", .a = { "OBX", 2, 5 }, .erl = "OBX^2^5" },
	{ "PID-3[2]", .a = { "PID", 0, 3, 2 }, .erl = "PID^1^3^2" },
	{ "PID-3[*]", .a = { "PID", 0, 3, ADDRESS_ALL }, .erl = "PID^1^3^1" },
	{ "PID-3[*].4", .a = { "PID", 0, 3, ADDRESS_ALL, 4 }, .erl = "PID^1^3^1^4" },
	{ "OBX[2]-5[1].2.1", .a = { "OBX", 2, 5, 1, 2, 1 }, .erl = "OBX^2^5^1^2^1" },
	{ "PID-99999", .a = { "PID", 0, 99999 }, .erl = "PID^1^99999" },
	{ "OBX[99999]-99999[99999].99999.99999", .a = { "OBX", 99999, 99999, 99999, 99999, 99999 },
		.erl = "OBX^99999^99999^99999^99999^99999" },
	{ "PID-007", .a = { "PID", 0, 7 }, .erl = "PID^1^7" },
	{ "", ADDRESS_E_SEGMENT, 0 },
	{ "PI", ADDRESS_E_SEGMENT, 0 },
	{ "pid-1", ADDRESS_E_SEGMENT, 0 },
	{ "1ID-1", ADDRESS_E_SEGMENT, 0 },
	{ "P-1", ADDRESS_E_SEGMENT, 0 },
	{ "PIDX-1", ADDRESS_E_TRAILING, 3 },
	{ "PID-", ADDRESS_E_NUMBER, 4 },
	{ "PID-0", ADDRESS_E_NUMBER, 5 },
	{ "PID-x", ADDRESS_E_NUMBER, 4 },
	{ "PID-100000", ADDRESS_E_NUMBER, 10 },
	{ "PID-99999999999999999999", ADDRESS_E_NUMBER, 10 },
	{ "PID-5.", ADDRESS_E_NUMBER, 6 },
	{ "PID-5.1.", ADDRESS_E_NUMBER, 8 },
	{ "PID-5.0", ADDRESS_E_NUMBER, 7 },
	{ "PID-5.1.2.3", ADDRESS_E_TRAILING, 9 },
	{ "PID-5-1", ADDRESS_E_TRAILING, 5 },
	{ "PID.5", ADDRESS_E_TRAILING, 3 },
	{ "OBX[2", ADDRESS_E_BRACKET, 5 },
	{ "OBX[2-5", ADDRESS_E_BRACKET, 5 },
	{ "OBX[]", ADDRESS_E_NUMBER, 4 },
	{ "OBX[*]-5", ADDRESS_E_NUMBER, 4 },
	{ "OBX[0]-5", ADDRESS_E_NUMBER, 5 },
	{ "OBX(2)-5", ADDRESS_E_PARENTHESES, 3 },
	{ "PID-3(0)", ADDRESS_E_PARENTHESES, 5 },
	{ "PID-3.1(0)", ADDRESS_E_PARENTHESES, 7 },
	{ "PID-3[*", ADDRESS_E_BRACKET, 7 },
	{ "PID-3 ", ADDRESS_E_TRAILING, 5 },
};

static void
parse(void **state)
{
	const struct parse_case *c = *state;
	struct span text = span_str(c->name);
	struct guard g = guard_map(text.n, 1);
	struct address a;
	char erl[ADDRESS_ERL_BYTES];
	size_t at = 12345, n;

	memset(&a, 0xA5, sizeof(a));
	assert_int_equal(address_parse(guard_copy(&g, text), &a, &at), c->result);
	if (c->result) {
		assert_int_equal(at, c->at);
		assert_int_equal(a.field, 0xA5A5A5A5);
	} else {
		assert_string_equal(a.segment, c->a.segment);
		assert_int_equal(a.occurrence, c->a.occurrence);
		assert_int_equal(a.field, c->a.field);
		assert_int_equal(a.repetition, c->a.repetition);
		assert_int_equal(a.component, c->a.component);
		assert_int_equal(a.subcomponent, c->a.subcomponent);
		n = address_format_erl(&a, erl);
		assert_span_equal(span_of(erl, n), span_str(c->erl));
	}
	guard_unmap(&g);
}

#define MESSAGE                                                                                    \
	"MSH|^~\\&|APP^1^ISO|FAC\r"                                                                \
	"PID|1||77^^^HOSP&1.2&ISO~88^^^CITY||TEST\r"

struct read_case {
	const char *name; /* the address */
	size_t segment;
	struct span value;
};

static const struct read_case reads[] = {
	{ "MSH-1", 0, BYTES("|") },
	{ "MSH-1.1", 0, BYTES("|") },
	{ "MSH-1.2", 0, BYTES("") },
	{ "MSH-2", 0, BYTES("^~\\&") },
	{ "MSH-2.1", 0, BYTES("^~\\&") },
	{ "MSH-2.1.1", 0, BYTES("^~\\&") },
	{ "MSH-2.1.2", 0, BYTES("") },
	{ "MSH-2.2", 0, BYTES("") },
	{ "MSH-2[1]", 0, BYTES("^~\\&") },
	{ "MSH-2[*]", 0, BYTES("^~\\&") },
	{ "MSH-2[2]", 0, BYTES("") },
	{ "MSH-3", 0, BYTES("APP^1^ISO") },
	{ "MSH-3.3", 0, BYTES("ISO") },
	{ "MSH-5", 0, BYTES("") },
	{ "PID", 1, BYTES("PID|1||77^^^HOSP&1.2&ISO~88^^^CITY||TEST") },
	{ "PID-3", 1, BYTES("77^^^HOSP&1.2&ISO~88^^^CITY") },
	{ "PID-3[1]", 1, BYTES("77^^^HOSP&1.2&ISO") },
	{ "PID-3[2]", 1, BYTES("88^^^CITY") },
	{ "PID-3[3]", 1, BYTES("") },
	{ "PID-3[*]", 1, BYTES("77^^^HOSP&1.2&ISO~88^^^CITY") },
	{ "PID-3[*].1", 1, BYTES("77") },
	{ "PID-3.1", 1, BYTES("77") },
	{ "PID-3.4", 1, BYTES("HOSP&1.2&ISO") },
	{ "PID-3.4.2", 1, BYTES("1.2") },
	{ "PID-3[2].4", 1, BYTES("CITY") },
	{ "PID-3[2].4.1", 1, BYTES("CITY") },
	{ "PID-3[2].4.2", 1, BYTES("") },
	{ "PID-5[1].1.1", 1, BYTES("TEST") },
	{ "PID-5[2].1.1", 1, BYTES("") },
	{ "PID-5.2", 1, BYTES("") },
	{ "PID-2.1", 1, BYTES("") },
	{ "PID-99", 1, BYTES("") },
};

static void
read_address(void **state)
{
	const struct read_case *c = *state;
	struct guard g = guard_map(sizeof(MESSAGE), 1);
	struct message m;
	struct address a;
	size_t at;

	assert_int_equal(message_parse(&m, guard_copy(&g, SPAN(MESSAGE))), 0);
	assert_int_equal(address_parse(span_str(c->name), &a, &at), 0);
	assert_span_equal(address_read(&a, &m, c->segment), c->value);
	message_deinit(&m);
	guard_unmap(&g);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, parse, parses);
	add_cases(&s, read_address, reads);
	return run_suite("address", &s);
}
