/* SPDX-License-Identifier: MIT */
#include "ack/answer.h"

#include "guard.h"
#include "unit.h"

#define H "MSH|^~\\&|S||||20260102030405||ACK|A1|P|2.5\r"

struct answer_case {
	const char *name;
	struct span payload;
	int result;
	enum ack_class class;
	const char *code, *error;
};

/* The message that was sent has the control id ID1. */
static const struct answer_case answers[] = {
	{ "AA", BYTES(H "MSA|AA|ID1\r"), 0, ACK_ACCEPT, "AA", "" },
	{ "CA", BYTES(H "MSA|CA|ID1\r"), 0, ACK_ACCEPT, "CA", "" },
	{ "AE", BYTES(H "MSA|AE|ID1\r"), 0, ACK_ERROR, "AE", "" },
	{ "CE", BYTES(H "MSA|CE|ID1\r"), 0, ACK_ERROR, "CE", "" },
	{ "AR", BYTES(H "MSA|AR|ID1\r"), 0, ACK_REJECT, "AR", "" },
	{ "CR", BYTES(H "MSA|CR|ID1\r"), 0, ACK_REJECT, "CR", "" },
	{ "fields behind MSA-2", BYTES(H "MSA|AE|ID1|text|7||x\r"), 0, ACK_ERROR, "AE", "" },
	{ "no end of the last segment", BYTES(H "MSA|AA|ID1"), 0, ACK_ACCEPT, "AA", "" },
	{ "segments around", BYTES(H "SFT|x\rMSA|AA|ID1\rNTE|1||x\r"), 0, ACK_ACCEPT, "AA", "" },
	{ "LF line ends", BYTES("MSH|^~\\&|S\nMSA|AA|ID1\n"), 0, ACK_ACCEPT, "AA", "" },
	{ "other delimiters", BYTES("MSH#*!$%#S\rMSA#AE#ID1\rERR###207*x\r"), 0, ACK_ERROR, "AE",
		"207" },

	{ "small letters", BYTES(H "MSA|aa|ID1\r"), ANSWER_E_UNREADABLE },
	{ "no code", BYTES(H "MSA||ID1\r"), ANSWER_E_UNREADABLE },
	{ "half a code", BYTES(H "MSA|A|ID1\r"), ANSWER_E_UNREADABLE },
	{ "a code and more", BYTES(H "MSA|AAA|ID1\r"), ANSWER_E_UNREADABLE },
	{ "a code with a component", BYTES(H "MSA|AA^|ID1\r"), ANSWER_E_UNREADABLE },
	{ "a code of no table", BYTES(H "MSA|AX|ID1\r"), ANSWER_E_UNREADABLE },
	{ "a code of another letter", BYTES(H "MSA|BA|ID1\r"), ANSWER_E_UNREADABLE },
	{ "a code with a NUL behind", BYTES(H "MSA|AA\0|ID1\r"), ANSWER_E_UNREADABLE },

	{ "another id", BYTES(H "MSA|AA|ID2\r"), ANSWER_E_FOREIGN },
	{ "no id", BYTES(H "MSA|AA\r"), ANSWER_E_FOREIGN },
	{ "an id that begins alike", BYTES(H "MSA|AA|ID11\r"), ANSWER_E_FOREIGN },
	{ "half of the id", BYTES(H "MSA|AA|ID\r"), ANSWER_E_FOREIGN },
	{ "a blank behind the id", BYTES(H "MSA|AA|ID1 \r"), ANSWER_E_FOREIGN },
	{ "a component behind the id", BYTES(H "MSA|AA|ID1^x\r"), ANSWER_E_FOREIGN },
	{ "small letters in the id", BYTES(H "MSA|AA|id1\r"), ANSWER_E_FOREIGN },
	{ "another id, and no code", BYTES(H "MSA|XX|ID2\r"), ANSWER_E_FOREIGN },

	{ "nothing", BYTES(""), ANSWER_E_UNREADABLE },
	{ "text", BYTES("OK"), ANSWER_E_UNREADABLE },
	{ "no MSH", BYTES("MSA|AA|ID1\r"), ANSWER_E_UNREADABLE },
	{ "no MSA", BYTES(H), ANSWER_E_UNREADABLE },
	{ "two MSA that agree", BYTES(H "MSA|AA|ID1\rMSA|AA|ID1\r"), ANSWER_E_UNREADABLE },
	{ "two MSA, the second another's", BYTES(H "MSA|AA|ID1\rMSA|AE|ID2\r"),
		ANSWER_E_UNREADABLE },
	{ "two MSA, the first another's", BYTES(H "MSA|AA|ID2\rMSA|AE|ID1\r"),
		ANSWER_E_UNREADABLE },
	{ "two MSH", BYTES(H H "MSA|AA|ID1\r"), ANSWER_E_UNREADABLE },
	{ "two answers in one frame", BYTES(H "MSA|AA|ID1\r" H), ANSWER_E_UNREADABLE },
	{ "a name that begins alike", BYTES(H "MSAX|AA|ID1\r"), ANSWER_E_UNREADABLE },

	{ "an error's number", BYTES(H "MSA|AE|ID1\rERR||PID^1^3|101^Missing^HL70357|E\r"), 0,
		ACK_ERROR, "AE", "101" },
	{ "an error's number alone", BYTES(H "MSA|AR|ID1\rERR|||207\r"), 0, ACK_REJECT, "AR",
		"207" },
	{ "the first repetition's", BYTES(H "MSA|AE|ID1\rERR|||101~102\r"), 0, ACK_ERROR, "AE",
		"101" },
	{ "the first of two errors'", BYTES(H "MSA|AE|ID1\rERR|||103\rERR|||101\r"), 0, ACK_ERROR,
		"AE", "103" },
	{ "the first that is a number", BYTES(H "MSA|AE|ID1\rERR|x\rERR|||101\r"), 0, ACK_ERROR,
		"AE", "101" },
	{ "an error before the MSA", BYTES(H "ERR|||101\rMSA|AE|ID1\r"), 0, ACK_ERROR, "AE",
		"101" },
	{ "five digits", BYTES(H "MSA|AE|ID1\rERR|||90210\r"), 0, ACK_ERROR, "AE", "90210" },
	{ "six may be a patient's number", BYTES(H "MSA|AE|ID1\rERR|||100042\r"), 0, ACK_ERROR,
		"AE", "" },
	{ "a name for a number", BYTES(H "MSA|AE|ID1\rERR|||DOE^JANE\r"), 0, ACK_ERROR, "AE", "" },
	{ "digits and more", BYTES(H "MSA|AE|ID1\rERR|||101x\r"), 0, ACK_ERROR, "AE", "" },
	{ "a blank before the digits", BYTES(H "MSA|AE|ID1\rERR||| 101\r"), 0, ACK_ERROR, "AE",
		"" },
	{ "a number in a text", BYTES(H "MSA|AE|ID1|19010203\rERR||||E||||19010203\r"), 0,
		ACK_ERROR, "AE", "" },
};

static void
judge(void **state)
{
	const struct answer_case *c = *state;
	struct guard g = guard_map(c->payload.n, 0);
	struct answer a = { .code = "??", .error = "?" };

	assert_int_equal(answer_judge(guard_copy(&g, c->payload), SPAN("ID1"), &a), c->result);
	assert_int_equal(a.class, c->class);
	assert_string_equal(a.code, c->result ? "??" : c->code);
	assert_string_equal(a.error, c->result ? "?" : c->error);
	guard_unmap(&g);
}

/* MSH-10 as it may be: the bytes are compared, whatever they mean. */
static void
ids(void **state)
{
	struct answer a;

	(void)state;
	assert_int_equal(answer_judge(SPAN(H "MSA|AA|\r"), SPAN_NULL, &a), 0);
	assert_int_equal(answer_judge(SPAN(H "MSA|AA\r"), SPAN(""), &a), 0);
	assert_int_equal(answer_judge(SPAN(H "MSA|AA|a^b~c\\d&e\r"), SPAN("a^b~c\\d&e"), &a), 0);
	assert_int_equal(answer_judge(SPAN(H "MSA|AA|\xC4\0\r"), SPAN("\xC4\0"), &a), 0);
	assert_int_equal(
		answer_judge(SPAN(H "MSA|AA|\xC4\0\r"), SPAN("\xC4"), &a), ANSWER_E_FOREIGN);
	assert_int_equal(answer_judge(SPAN(H "MSA|AA|ID1\r"), SPAN_NULL, &a), ANSWER_E_FOREIGN);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, judge, answers);
	add_test(&s, "control ids", ids);
	return run_suite("answer", &s);
}
