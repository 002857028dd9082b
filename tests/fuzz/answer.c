/* SPDX-License-Identifier: MIT */

/*
 * What a peer may answer: an answer that is taken has one MSA with the id and a code of the table,
 * nothing but digits is handed on of what else is in it, and it is nobody else's answer. The first
 * line is the control id that was sent; the rest is the answer.
 */

#include "ack/answer.h"
#include "hl7/message.h"

#include "fuzz.h"

static void
check_segments(struct span payload, struct span id, const struct answer *a)
{
	struct message m;
	size_t i, n = 0;

	require(message_parse(&m, payload) == 0);
	require(m.n_headers == 1);
	for (i = 0; i < m.n_segments; i++) {
		if (!span_eq(message_segment_name(&m, i), SPAN("MSA")))
			continue;
		n++;
		require(span_eq(message_field(&m, i, 1), span_str(a->code)));
		require(span_eq(message_field(&m, i, 2), id));
	}
	require(n == 1);
	message_deinit(&m);
}

static void
check_answer(const struct answer *a)
{
	require(strlen(a->code) == 2 && strchr("AC", a->code[0]));
	require(a->class == (enum ack_class)a->code[1]);
	require(a->class == ACK_ACCEPT || a->class == ACK_ERROR || a->class == ACK_REJECT);
	require(strspn(a->error, "0123456789") == strlen(a->error));
	require(strlen(a->error) <= ANSWER_ERROR_DIGITS_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size), id = span_first(input, span_find(input, '\n'));
	struct answer a;
	int r;

	input = span_from(input, id.n + 1);
	r = answer_judge(input, id, &a);
	require(r == 0 || r == ANSWER_E_FOREIGN || r == ANSWER_E_UNREADABLE);
	if (r)
		return 0;
	check_answer(&a);
	check_segments(input, id, &a);
	require(answer_judge(input, span_of(data, id.n + 1), &a) == ANSWER_E_FOREIGN);
	return 0;
}
