/* SPDX-License-Identifier: MIT */
#include "ack/answer.h"
#include "hl7/message.h"

#define FIELD_CODE  1 /* of MSA */
#define FIELD_ID    2
#define FIELD_ERROR 3 /* of ERR */

static bool
read_code(struct span code, struct answer *a)
{
	if (code.n != 2 || (code.p[0] != 'A' && code.p[0] != 'C'))
		return false;
	switch (code.p[1]) {
	case 'A': a->class = ACK_ACCEPT; break;
	case 'E': a->class = ACK_ERROR; break;
	case 'R': a->class = ACK_REJECT; break;
	default: return false;
	}
	memcpy(a->code, code.p, code.n);
	return true;
}

static int
judge_msa(const struct message *m, size_t i, struct span id, struct answer *a)
{
	if (!span_eq(message_field(m, i, FIELD_ID), id))
		return ANSWER_E_FOREIGN;
	return read_code(message_field(m, i, FIELD_CODE), a) ? 0 : ANSWER_E_UNREADABLE;
}

/* Digits only, and few: nothing else that a peer can write there is fit for a log. */
static void
read_error(const struct message *m, size_t i, struct answer *a)
{
	const struct delimiters *d = &m->delimiters;
	struct span number = repetition_component(
		field_repetition(message_field(m, i, FIELD_ERROR), d, 1), d, 1);
	size_t digits = 0;

	while (digits < number.n && number.p[digits] >= '0' && number.p[digits] <= '9')
		digits++;
	if (!a->error[0] && digits == number.n && digits > 0 && digits <= ANSWER_ERROR_DIGITS_MAX)
		memcpy(a->error, number.p, digits);
}

static int
judge_message(const struct message *m, struct span id, struct answer *a)
{
	int result = ANSWER_E_UNREADABLE;
	size_t i, n = 0;

	for (i = 0; i < m->n_segments; i++) {
		if (span_eq(message_segment_name(m, i), SPAN("MSA")) && n++ == 0)
			result = judge_msa(m, i, id, a);
		else if (span_eq(message_segment_name(m, i), SPAN("ERR")))
			read_error(m, i, a);
	}
	/* two that may contradict each other say nothing */
	return n > 1 || m->n_headers > 1 ? ANSWER_E_UNREADABLE : result;
}

int
answer_judge(struct span payload, struct span id, struct answer *ret)
{
	struct answer a = { 0 };
	struct message m;
	int r = message_parse(&m, payload);

	if (r == 0)
		r = judge_message(&m, id, &a);
	else if (r > 0)
		r = ANSWER_E_UNREADABLE;
	message_deinit(&m);
	if (r == 0)
		*ret = a;
	return r;
}
