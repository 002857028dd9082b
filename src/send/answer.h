/* SPDX-License-Identifier: MIT */
#pragma once

/* Judging and showing what a peer answered. */

#include "base/span.h"
#include "send/tally.h"

enum {
	ANSWER_E_SUCCESS,
	ANSWER_E_FOREIGN,    /* MSA-2 is not the control id that was sent */
	ANSWER_E_UNREADABLE, /* not one MSH and one MSA, or an unknown code in MSA-1 */
};

/* Which verdict an answer to the message with control id `id` is: 0, a condition or -ENOMEM. */
int answer_judge(struct span payload, struct span id, enum verdict *ret_verdict);

/* Prints it, a segment a line; on a terminal control characters as \xHH. */
void answer_print(struct span payload, FILE *out);
