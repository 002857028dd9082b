/* SPDX-License-Identifier: MIT */
#include "ack/judge.h"

#include <errno.h>

static bool
is_blank(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] > ' ')
			return false;
	return true;
}

static bool
begins_with_batch(const struct message *m)
{
	struct span first = message_segment(m, 0);

	return span_starts(first, SPAN("FHS")) || span_starts(first, SPAN("BHS"));
}

/* Whether the frame is a beginning only. Its last field may be cut anywhere. */
static bool
is_head(enum outcome outcome)
{
	return outcome == OUTCOME_TOO_LARGE || outcome == OUTCOME_FRAME_TIMEOUT ||
	       outcome == OUTCOME_NO_MEMORY;
}

/* Whether the control id stands there whole: another field or segment follows it. */
static bool
control_id_is_whole(const struct message *m)
{
	return m->header + 1 < m->n_segments || message_header_field(m, 11).p;
}

/* What the message itself says against it. */
static enum outcome
judge_content(const struct message *m)
{
	if (m->header > 0)
		return begins_with_batch(m) ? OUTCOME_BATCH : OUTCOME_HEADER_NOT_FIRST;
	if (m->n_headers > 1)
		return OUTCOME_SEVERAL_MESSAGES;
	return is_blank(message_header_field(m, 10)) ? OUTCOME_NO_CONTROL_ID : OUTCOME_STORED;
}

enum outcome
judge_message(enum outcome framing, int parsed, const struct message *m, bool *ret_readable)
{
	*ret_readable = m->n_headers > 0;
	if (*ret_readable && is_head(framing) && !control_id_is_whole(m))
		*ret_readable = false; /* half an id may be another message's */
	if (framing == OUTCOME_FRAME_LOST)
		return OUTCOME_FRAME_LOST;
	if (!*ret_readable)
		return parsed == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_NO_HEADER;
	if (framing != OUTCOME_STORED)
		return framing;
	if (parsed)
		return parsed == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_TOO_MANY_SEGMENTS;
	return judge_content(m);
}
