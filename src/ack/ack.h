/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Acknowledgements: which code a peer is owed, and the message that carries it.
 *
 * Sources: HL7 v2.9.1 chapter 2, 2.9 (message processing rules); tables 0008, 0155, 0357.
 * Pure: templates, time and ids come from the caller.
 */

#include "ack/outcome.h"
#include "template/load.h"

/* An answer larger than this, with what it may repeat of the message's header left out of account,
 * is a mistake in a template. */
#define ACK_BYTES_MAX ((size_t)1024 * 1024)

/* The most an answer to this message may have: a sender with a huge header is answered in kind. */
size_t ack_bytes_max(const struct message *m);

enum {
	ACK_E_SUCCESS,
	ACK_E_REFUSED,  /* the template refused a value; the failures say which */
	ACK_E_TEMPLATE, /* no template gave a usable answer */
};

enum ack_mode {
	ACK_AUTO,     /* as MSH-15 and MSH-16 ask, but never silent */
	ACK_ORIGINAL, /* AA AE AR */
	ACK_ENHANCED, /* CA CE CR */
	ACK_STRICT,   /* as the standard reads: nothing where nothing is asked for */
};

/* The code for a message: "AA" … "CR", or "" for no answer.
 *
 *   MSH-15        accepted  error  reject     (ACK_AUTO)
 *   empty, NE     AA        AE     AR
 *   AL            CA        CE     CR
 *   ER            AA        CE     CR
 *   SU            CA        AE     AR
 *   other         AA        AE     AR
 */
const char *ack_code(enum ack_mode mode, enum ack_class class, struct span accept_type,
	struct span application_type);

/* Whether the message is an acknowledgement, which is never answered: MSH-9.1 is ACK. */
bool ack_is_acknowledgement(const struct message *m);

/* What an answer is made of. */
struct ack_answer {
	const struct message *message; /* that is answered */
	enum outcome outcome;
	const char *code; /* of ack_code() */
	const struct template_failures
		*failures; /* an ERR for each; without any, one of the outcome's own */
	const char
		*unusable; /* written: the template whose result is no acknowledgement, or NULL */
	struct template_input input; /* ids, now_usec and the variables now, peer, port and host */
};

/* Renders the answer into `out`, which is empty: by the first template of the set that applies and
 * whose result carries the code in MSA-1, else by the shipped one. 0, an ACK_E condition, or
 * -ENOMEM. With ACK_E_REFUSED `failures` is written. */
int ack_render(const struct template_set *set, const struct template *shipped,
	struct ack_answer *answer, struct buffer *out, struct template_failures *failures);
