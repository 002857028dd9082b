/* SPDX-License-Identifier: MIT */
#pragma once

/* The reply to a message: which code, made by which template, in a frame, to the peer. */

#include "ack/ack.h"
#include "hl7/timestamp.h"
#include "net/connection.h"

/* What all replies of a process have in common. */
struct replier {
	const struct template_set *templates; /* the first that applies is used */
	const struct template *shipped;       /* else this */
	enum ack_mode mode;
	const struct connection_names *names;
	struct control_id_source ids;
	char host[65]; /* HOST_NAME_MAX and a NUL */
};

/* Sets `ids` and `host`. */
void replier_identify(struct replier *r);

/* What templates can read beside the message. `timestamp` holds {now} and must live as long. */
struct template_input replier_input(
	struct replier *r, const struct message *m, char timestamp[TIMESTAMP_BYTES]);

/* One reply. */
struct reply {
	struct buffer frame;  /* owned; empty where no answer is owed */
	const char *code;     /* MSA-1, "" for no answer */
	bool delivered;       /* the peer took it */
	const char *unusable; /* the template whose result is no acknowledgement, or NULL */
};

#define REPLY_NULL ((struct reply){ .code = "" })

/* Makes the reply to `m` with this outcome, of the class that is owed (ACK_NONE: none), with an ERR
 * for each of `failures`. 0, an ACK_E condition (ACK_E_REFUSED with *ret_failures), or a negative
 * errno. */
int reply_make(struct reply *reply, struct replier *r, const struct message *m,
	enum outcome outcome, enum ack_class class, const struct template_failures *failures,
	struct template_failures *ret_failures);

/* No answer is sent. */
void reply_clear(struct reply *reply);
void reply_deinit(struct reply *reply);

/* What a reply that could not be made (not 0) makes of the message's outcome. */
enum outcome reply_outcome(int r);

/* Sends it, where there is one. 0, or a negative errno (-ETIMEDOUT too) when the peer did not take
 * it. */
int reply_send(struct reply *reply, const struct connection *c, usec_t timeout_usec);

/* Whether the peer is owed a further conversation after this outcome and reply. */
bool reply_goes_on(const struct reply *reply, enum outcome outcome);
