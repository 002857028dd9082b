/* SPDX-License-Identifier: MIT */
#include "forward/peer.h"
#include "net/dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* Answers to the message before that are passed over; and the longest id that is remembered. */
#define REPEATED_MAX   16
#define LAST_BYTES_MAX 1024

/* What a command may take to end by itself once its input has ended. */
#define COMMAND_GRACE_USEC (2 * USEC_PER_SEC)

void
peer_init(struct peer *p, const struct options *o)
{
	*p = (struct peer){
		.o = o,
		.connection = CONNECTION_NULL,
		.command = COMMAND_NULL,
		.out = BUFFER_INIT(o->max_message_bytes + 3),
		.last = BUFFER_INIT(LAST_BYTES_MAX),
	};
}

void
peer_close(struct peer *p)
{
	int status = 0;

	if (p->command.pid) {
		(void)command_stop(&p->command, COMMAND_GRACE_USEC, &status);
		p->connection = CONNECTION_NULL; /* its descriptor was the command's */
	}
	connection_close(&p->connection);
	frame_decoder_deinit(&p->decoder);
	buffer_clear(&p->last);
	p->n_answered = 0;
}

void
peer_deinit(struct peer *p)
{
	peer_close(p);
	buffer_deinit(&p->out);
	buffer_deinit(&p->last);
}

static int
fail(struct peer *p, int condition, const char *what, const char *why)
{
	(void)snprintf(p->error, sizeof(p->error), "%s%s%s", what, why ? ": " : "", why ? why : "");
	peer_close(p);
	return condition;
}

/* --- connecting ------------------------------------------------------------------------------ */

static int
dial(struct peer *p)
{
	struct addrinfo *addresses = NULL;
	int fd = -1, r = dial_resolve(p->o->host, &addresses);

	if (r)
		return fail(p, PEER_E_UNREACHABLE, "the destination's host is not known", NULL);
	r = dial_connect(addresses, deadline_in(p->o->connect_timeout_usec), &fd);
	freeaddrinfo(addresses);
	if (r < 0)
		return fail(p, PEER_E_UNREACHABLE, "no connection", strerrordesc_np(-r));
	p->connection = (struct connection){ fd, fd, true };
	return 0;
}

static int
start_command(struct peer *p)
{
	int r = command_start(p->o->via, &p->command);

	if (r < 0)
		return fail(p, PEER_E_UNREACHABLE, "the command of Via= cannot be started",
			strerrordesc_np(-r));
	p->connection = (struct connection){ p->command.fd, p->command.fd, true };
	return 0;
}

static int
open_connection(struct peer *p)
{
	int r = p->o->via ? start_command(p) : dial(p);

	if (r == 0)
		frame_decoder_init(&p->decoder, p->o->max_ack_bytes);
	return r;
}

/* --- talking --------------------------------------------------------------------------------- */

/* Reads once into the decoder: 0, CONNECTION_E_TIMEOUT or a negative errno. */
static int
fill(struct peer *p, usec_t deadline)
{
	uint8_t *room;
	size_t n;
	int r = frame_decoder_space(&p->decoder, &room, &n);

	if (r == 0)
		r = connection_read(&p->connection, room, n, deadline, NULL, &n);
	if (r)
		return r;
	if (n == 0)
		frame_decoder_eof(&p->decoder);
	else
		frame_decoder_filled(&p->decoder, n);
	return 0;
}

/* Whether the connection is open and nothing has come since the last answer: what comes before a
 * message is sent cannot be its answer. */
static bool
is_quiet(struct peer *p)
{
	struct frame f;
	int r;

	if (frame_next(&p->decoder, &f) != FRAME_E_PARTIAL)
		return false;
	r = fill(p, 0);
	if (r == CONNECTION_E_TIMEOUT)
		return true;
	return r == 0 && frame_next(&p->decoder, &f) == FRAME_E_PARTIAL &&
	       !frame_begun(&p->decoder);
}

/* The connection ended, and nothing of an answer had come: for a command that never worked it says
 * more to know how it ended. */
static int
fail_at_end(struct peer *p)
{
	char how[COMMAND_STATUS_BYTES];
	bool command = p->command.pid != 0, used = p->n_answered > 0;
	int status = 0;

	if (command && command_stop(&p->command, COMMAND_GRACE_USEC, &status) != 0)
		status = 0; /* it had closed its output, and went on */
	if (command)
		p->connection = CONNECTION_NULL;
	if (status == 0)
		return fail(p, PEER_E_NO_ANSWER,
			"the destination closed the connection without an answer", NULL);
	command_describe(status, how);
	return fail(
		p, used ? PEER_E_NO_ANSWER : PEER_E_UNREACHABLE, "the command of Via= ended", how);
}

static int
fail_of_frame(struct peer *p, int r)
{
	if (r == FRAME_E_END)
		return fail_at_end(p);
	if (r == FRAME_E_TRUNCATED)
		return fail(p, PEER_E_NO_ANSWER,
			"the destination closed the connection in the middle of its answer", NULL);
	return fail(p, PEER_E_NO_ANSWER,
		"the answer is larger than --max-ack, or not a clean frame", NULL);
}

/* Whether the message before had the same control id: a second answer to it could not be told from
 * this one's. */
static bool
is_last(const struct peer *p, struct span control_id)
{
	return p->last.n > 0 && span_eq(buffer_span(&p->last), control_id);
}

/* A whole frame: 0, or a failure. `*ret_silent` when the connection ended without a byte of it. */
static int
read_answer(struct peer *p, usec_t deadline, struct frame *f, bool *ret_silent)
{
	int r = frame_next(&p->decoder, f), filled;

	while (r == FRAME_E_PARTIAL) {
		filled = fill(p, deadline);
		if (filled == CONNECTION_E_TIMEOUT)
			return fail(p, PEER_E_NO_ANSWER, "no whole answer within the time for it",
				NULL);
		/* a command that ended with input unread resets its socket */
		if (filled == -ECONNRESET && p->command.pid && !frame_begun(&p->decoder)) {
			*ret_silent = true;
			return fail_at_end(p);
		}
		if (filled < 0) {
			/* other errors are of this machine, and say nothing of the peer */
			*ret_silent = (filled == -ECONNRESET || filled == -EPIPE) &&
				      !frame_begun(&p->decoder);
			return fail(p, PEER_E_NO_ANSWER, "the connection was lost",
				strerrordesc_np(-filled));
		}
		r = frame_next(&p->decoder, f);
	}
	*ret_silent = r == FRAME_E_END;
	return r == 0 ? 0 : fail_of_frame(p, r);
}

/* Some destinations answer twice, when a message is taken and when it is worked on. The second
 * answer may come when the next message is on its way already: it is passed over. */
static bool
is_repeated(const struct peer *p, struct span payload, size_t n)
{
	struct answer unused;

	return n < REPEATED_MAX && p->last.n > 0 &&
	       answer_judge(payload, buffer_span(&p->last), &unused) == 0;
}

static int
await_answer(struct peer *p, struct span control_id, usec_t deadline, struct answer *ret,
	bool *ret_silent)
{
	struct frame f = { 0 };
	size_t n = 0;
	int r;

	do {
		r = read_answer(p, deadline, &f, ret_silent);
		if (r)
			return r;
		r = answer_judge(f.payload, control_id, ret);
	} while (r == ANSWER_E_FOREIGN && is_repeated(p, f.payload, n++));
	if (r == ANSWER_E_FOREIGN)
		return fail(p, PEER_E_NO_ANSWER, "the answer is another message's (MSA-2)", NULL);
	if (r > 0)
		return fail(p, PEER_E_NO_ANSWER, "the answer is no acknowledgement", NULL);
	return r;
}

/* One try over the connection in hand. */
static int
talk(struct peer *p, struct span control_id, struct answer *ret, bool *ret_silent)
{
	usec_t deadline = deadline_in(p->o->ack_timeout_usec);
	int r = connection_write(&p->connection, buffer_span(&p->out), deadline);

	if (r == CONNECTION_E_TIMEOUT)
		return fail(p, PEER_E_NO_ANSWER, "the destination does not read the message", NULL);
	/* an answer may be waiting all the same */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return fail(p, PEER_E_NO_ANSWER, "the message cannot be sent", strerrordesc_np(-r));
	return await_answer(p, control_id, deadline, ret, ret_silent);
}

/* After so many messages a connection is closed, as some destinations want it. */
static void
count_answer(struct peer *p, struct span control_id)
{
	p->n_answered++;
	buffer_clear(&p->last);
	(void)buffer_append(&p->last, control_id); /* or it is not known */
	if (p->o->per_connection && p->n_answered >= p->o->per_connection)
		peer_close(p);
}

int
peer_exchange(struct peer *p, struct span message, struct span control_id, struct answer *ret)
{
	bool silent = false, used;
	int r;

	buffer_clear(&p->out);
	r = frame_encode(&p->out, message);
	if (r)
		return r == -ENOMEM ? r
				    : fail(p, PEER_E_UNFRAMABLE,
					      "no frame can carry this message: it has a VT or FS",
					      NULL);
	if (p->connection.in >= 0 && (is_last(p, control_id) || !is_quiet(p)))
		peer_close(p);
	used = p->n_answered > 0;
	if (p->connection.in < 0)
		r = open_connection(p);
	if (r == 0)
		r = talk(p, control_id, ret, &silent);
	if (r == PEER_E_NO_ANSWER && silent && used) {
		/* a connection that had carried messages was closed, and this one got no byte: most
		 * likely it was closed before this one came */
		r = open_connection(p);
		if (r == 0)
			r = talk(p, control_id, ret, &silent);
	}
	if (r == 0)
		count_answer(p, control_id);
	return r;
}
