/* SPDX-License-Identifier: MIT */
#include "ack/judge.h"

#include "unit.h"

#include <errno.h>

#define HEADER "MSH|^~\\&|LAB|||||ORU|"

struct judge_case {
	const char *name;
	enum outcome framing;
	const char *payload;
	enum outcome outcome;
	bool readable;
};

static const struct judge_case cases[] = {
	{ "a message", OUTCOME_STORED, HEADER "|7|P\rPID|1\r", OUTCOME_STORED, true },
	{ "a header alone", OUTCOME_STORED, HEADER "|7", OUTCOME_STORED, true },
	{ "no control id", OUTCOME_STORED, HEADER "||P\r", OUTCOME_NO_CONTROL_ID, true },
	{ "a blank control id", OUTCOME_STORED, HEADER "|  |P\r", OUTCOME_NO_CONTROL_ID, true },
	{ "two headers", OUTCOME_STORED, HEADER "|7|P\r" HEADER "|8|P\r", OUTCOME_SEVERAL_MESSAGES,
		true },
	{ "a file's header first", OUTCOME_STORED, "FHS|^~\\&\r" HEADER "|7|P\r", OUTCOME_BATCH,
		true },
	{ "a batch's header first", OUTCOME_STORED, "BHS|^~\\&\r" HEADER "|7|P\r", OUTCOME_BATCH,
		true },
	{ "another segment first", OUTCOME_STORED, "PID|1\r" HEADER "|7|P\r",
		OUTCOME_HEADER_NOT_FIRST, true },
	{ "no header", OUTCOME_STORED, "PID|1\r", OUTCOME_NO_HEADER, false },
	{ "nothing", OUTCOME_STORED, "", OUTCOME_NO_HEADER, false },
	{ "framing counts first", OUTCOME_FS_INSIDE, HEADER "||P\r", OUTCOME_FS_INSIDE, true },
	{ "a lost frame is not answered to", OUTCOME_FRAME_LOST, HEADER "|7|P\r",
		OUTCOME_FRAME_LOST, true },
	{ "a head with a whole id", OUTCOME_TOO_LARGE, HEADER "|7|", OUTCOME_TOO_LARGE, true },
	{ "a head that ends in the id", OUTCOME_TOO_LARGE, HEADER "|7", OUTCOME_NO_HEADER, false },
	{ "a late frame that ends in the id", OUTCOME_FRAME_TIMEOUT, HEADER "|7", OUTCOME_NO_HEADER,
		false },
	{ "a lost frame without a header", OUTCOME_FRAME_LOST, "PI", OUTCOME_FRAME_LOST, false },
};

static void
judge(void **state)
{
	const struct judge_case *c = *state;
	struct message m = MESSAGE_NULL;
	int parsed = message_parse(&m, span_str(c->payload));
	bool readable;

	assert_int_equal(judge_message(c->framing, parsed, &m, &readable), c->outcome);
	assert_int_equal(readable, c->readable);
	message_deinit(&m);
}

static void
parsing(void **state)
{
	struct message m = MESSAGE_NULL;
	bool readable;

	(void)state;
	assert_int_equal(message_parse(&m, span_str(HEADER "|7|P\r")), 0);
	assert_int_equal(judge_message(OUTCOME_STORED, MESSAGE_E_TOO_MANY_SEGMENTS, &m, &readable),
		OUTCOME_TOO_MANY_SEGMENTS);
	assert_int_equal(judge_message(OUTCOME_STORED, -ENOMEM, &m, &readable), OUTCOME_NO_MEMORY);
	assert_true(readable);
	message_deinit(&m);
	assert_int_equal(judge_message(OUTCOME_STORED, -ENOMEM, &(struct message){ 0 }, &readable),
		OUTCOME_NO_MEMORY);
	assert_false(readable);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, judge, cases);
	add_test(&s, "what parsing says", parsing);
	return run_suite("judge", &s);
}
