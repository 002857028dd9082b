/* SPDX-License-Identifier: MIT */
#pragma once

/* One try to deliver one message, by MLLP or by a command, and what the answer means. */

#include "forward/peer.h"
#include "hl7/message.h"

enum result {
	RESULT_DELIVERED,
	RESULT_REFUSED,     /* AE, CE, AR, CR: the policies decide */
	RESULT_LATER,       /* not now; whether it was taken may be unknown */
	RESULT_UNREACHABLE, /* not now, and no other message either */
	RESULT_PERMANENT,   /* never: for what the message is, or as the command says */
};

struct delivery {
	struct span bytes;      /* the message */
	struct span control_id; /* MSH-10 */
	const char *code;       /* MSA-1, or "" */
	bool answered;          /* the destination has said something of this message */
	bool rejected;          /* with RESULT_REFUSED: AR or CR, not AE or CE */
	struct answer answer;
	char error[PEER_ERROR_BYTES]; /* why not; of ours */
	usec_t duration_usec;
};

/* Tries once. 0 with the result, or a negative errno of our own side. */
int deliver(struct peer *p, struct delivery *d, enum result *ret);
