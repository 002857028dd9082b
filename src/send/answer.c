/* SPDX-License-Identifier: MIT */
#include "send/answer.h"
#include "cli/output.h"
#include "hl7/message.h"

static bool
verdict_of(struct span code, enum verdict *ret)
{
	if (code.n != 2 || (code.p[0] != 'A' && code.p[0] != 'C'))
		return false;
	switch (code.p[1]) {
	case 'A': *ret = VERDICT_ACCEPTED; return true;
	case 'E': *ret = VERDICT_ERROR; return true;
	case 'R': *ret = VERDICT_REJECTED; return true;
	default: return false;
	}
}

static int
judge_msa(const struct message *m, size_t i, struct span id, enum verdict *ret_verdict)
{
	if (!span_eq(message_field(m, i, 2), id))
		return ANSWER_E_FOREIGN;
	return verdict_of(message_field(m, i, 1), ret_verdict) ? 0 : ANSWER_E_UNREADABLE;
}

int
answer_judge(struct span payload, struct span id, enum verdict *ret_verdict)
{
	struct message m;
	int r = message_parse(&m, payload), result = ANSWER_E_UNREADABLE;
	size_t i, n = 0;

	for (i = 0; r == 0 && i < m.n_segments; i++)
		if (span_eq(message_segment_name(&m, i), SPAN("MSA")) && n++ == 0)
			result = judge_msa(&m, i, id, ret_verdict);
	/* two that may contradict each other say nothing */
	if (r == 0 && (n > 1 || m.n_headers > 1))
		result = ANSWER_E_UNREADABLE;
	message_deinit(&m);
	return r < 0 ? r : result;
}

void
answer_print(struct span payload, FILE *out)
{
	struct span rest = payload, line;
	bool safe = output_is_terminal(out);
	uint8_t end = span_find(payload, '\r') < payload.n ? '\r' : '\n';

	while (span_cut(&rest, end, &line)) {
		if (line.n == 0)
			continue;
		output_bytes(out, line, safe);
		(void)fputc('\n', out);
	}
}
