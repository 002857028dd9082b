/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The destination's end: a connection, or a command in its place, that stays open from message to
 * message. One message is on the way at any time. An answer that is not this message's, or comes
 * too late, is never taken for the next one's: the connection is closed first.
 */

#include "ack/answer.h"
#include "forward/options.h"
#include "mllp/frame.h"
#include "net/command.h"
#include "net/connection.h"

enum {
	PEER_E_SUCCESS,
	PEER_E_UNREACHABLE, /* no connection */
	PEER_E_NO_ANSWER,   /* of the message's own; whether it was taken is not known */
	PEER_E_UNFRAMABLE,  /* no frame can carry this message */
};

/* A text of ours that says what went wrong; never a peer's words. */
#define PEER_ERROR_BYTES 160

struct peer {
	const struct options *o;
	struct connection connection;
	struct command command; /* with --via */
	struct frame_decoder decoder;
	struct buffer out;
	size_t n_answered;  /* over this connection */
	struct buffer last; /* the control id that was answered last over it */
	char error[PEER_ERROR_BYTES];
};

void peer_init(struct peer *p, const struct options *o);

/* Sends a message with this control id and reads its answer: 0 with the answer, a condition with
 * p->error, or a negative errno of our own side. Connects where there is no connection. */
int peer_exchange(struct peer *p, struct span message, struct span control_id, struct answer *ret);

/* Closes the connection, or stops the command. */
void peer_close(struct peer *p);
void peer_deinit(struct peer *p);
