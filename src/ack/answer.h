/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading an acknowledgement: what a peer answered to a message of ours.
 *
 * Source: HL7 v2.9.1 chapter 2, 2.9.2 and 2.9.3; table 0008. Pure. Of what the peer wrote only the
 * code and a number are handed on, so that they can be logged: its texts (MSA-3, ERR-7, ERR-8) may
 * name a patient.
 */

#include "ack/outcome.h"

enum {
	ANSWER_E_SUCCESS,
	ANSWER_E_FOREIGN,    /* MSA-2 is not the control id that was sent */
	ANSWER_E_UNREADABLE, /* not one MSH and one MSA, or an unknown code in MSA-1 */
};

/* Table 0357 has three digits; tables of sites may have more. */
#define ANSWER_ERROR_DIGITS_MAX 5

struct answer {
	enum ack_class class;                    /* ACK_ACCEPT, ACK_ERROR or ACK_REJECT */
	char code[3];                            /* MSA-1: "AA" … "CR" */
	char error[ANSWER_ERROR_DIGITS_MAX + 1]; /* the first ERR-3.1 that is a number, or "" */
};

/* Reads the answer to the message with control id `id`. It is one when it has exactly one MSH and
 * one MSA, MSA-2 equals `id` byte for byte, and MSA-1 is AA, AE, AR, CA, CE or CR. 0, a condition,
 * -ENOMEM or -EFBIG (4 GiB and more). */
int answer_judge(struct span payload, struct span id, struct answer *ret);
