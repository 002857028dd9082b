/* SPDX-License-Identifier: MIT */
#include "amqp/publisher.h"

#include <stdio.h>

#define CONTENT_TYPE "application/hl7-v2+er7"
#define APPLICATION  "hl7-amqp"
#define PERSISTENT   2
#define PROBE_KEY    "hl7-amqp.probe" /* no queue has this name */
#define N_HEADERS    4
#define HEADER_SOURCE                                                                              \
	255 /* bytes of a field that become a header's; escaped they are up to 4 times             \
	       as many */

/* What a frame says about the message under way, beside the PUBLISHER_E conditions. */
enum {
	AWAITED = -1, /* nothing yet */
};

/* --- the connection -------------------------------------------------------------------------- */

static void
drop(struct publisher *p)
{
	broker_drop(&p->broker);
	p->blocked = false;
	p->n_sent = 0;
	p->unconfirmed[0] = 0;
	/* the next of the cluster is more likely to be well */
	p->current = (p->current + 1) % p->settings->n_endpoints;
}

static int
open_any(struct publisher *p)
{
	const struct publisher_settings *s = p->settings;
	size_t i;

	for (i = 0; i < s->n_endpoints; i++) {
		p->last = p->current;
		if (broker_open(&p->broker, &s->broker, &s->endpoints[p->current]) == 0)
			return 0;
		/* after the last one the first is the current one again */
		p->current = (p->current + 1) % s->n_endpoints;
	}
	return PUBLISHER_E_UNREACHABLE;
}

/* --- what the broker says -------------------------------------------------------------------- */

static bool
is_mine(const struct publisher *p, uint64_t tag, amqp_boolean_t multiple)
{
	return tag == p->n_sent || (multiple && tag >= p->n_sent);
}

static int
take_ack(const struct publisher *p, const amqp_basic_ack_t *ack)
{
	if (!is_mine(p, ack->delivery_tag, ack->multiple))
		return AWAITED;
	/* a message that came back is confirmed too, after its return */
	return p->returned ? PUBLISHER_E_UNROUTABLE : PUBLISHER_E_SUCCESS;
}

static int
take_nack(struct publisher *p, const amqp_basic_nack_t *nack)
{
	if (!is_mine(p, nack->delivery_tag, nack->multiple))
		return AWAITED;
	broker_explain(&p->broker, "basic.nack", amqp_empty_bytes);
	return PUBLISHER_E_REFUSED;
}

static int
take_frame(struct publisher *p, const amqp_frame_t *frame)
{
	const void *decoded = frame->payload.method.decoded;

	if (frame->frame_type != AMQP_FRAME_METHOD)
		return AWAITED; /* a heartbeat, or parts of a message that comes back */
	switch (frame->payload.method.id) {
	case AMQP_BASIC_ACK_METHOD: return take_ack(p, decoded);
	case AMQP_BASIC_NACK_METHOD: return take_nack(p, decoded);
	case AMQP_BASIC_RETURN_METHOD:
		p->returned = true;
		broker_explain(&p->broker, "basic.return",
			((const amqp_basic_return_t *)decoded)->reply_text);
		return AWAITED;
	case AMQP_CONNECTION_BLOCKED_METHOD:
		p->blocked = true;
		broker_explain(&p->broker, "connection.blocked",
			((const amqp_connection_blocked_t *)decoded)->reason);
		return AWAITED;
	case AMQP_CONNECTION_UNBLOCKED_METHOD: p->blocked = false; return AWAITED;
	case AMQP_CHANNEL_CLOSE_METHOD:
		broker_explain(&p->broker, "the broker closed the channel",
			((const amqp_channel_close_t *)decoded)->reply_text);
		return PUBLISHER_E_LOST;
	case AMQP_CONNECTION_CLOSE_METHOD:
		broker_explain(&p->broker, "the broker closed the connection",
			((const amqp_connection_close_t *)decoded)->reply_text);
		return PUBLISHER_E_LOST;
	default: return AWAITED;
	}
}

static int
condition_of(const struct publisher *p, int r)
{
	if (r != BROKER_E_TIMEOUT)
		return PUBLISHER_E_LOST;
	return p->blocked ? PUBLISHER_E_BLOCKED : PUBLISHER_E_TIMEOUT;
}

/* Reads one frame: AWAITED, or how it ends. */
static int
read_frame(struct publisher *p, usec_t deadline)
{
	amqp_frame_t frame;
	int r = broker_next_frame(&p->broker, deadline, &frame);

	return r ? condition_of(p, r) : take_frame(p, &frame);
}

static int
await_confirm(struct publisher *p, usec_t deadline)
{
	int r = AWAITED;

	while (r == AWAITED)
		r = deadline_left(deadline) == 0 ? condition_of(p, BROKER_E_TIMEOUT)
						 : read_frame(p, deadline);
	return r;
}

/* Reads one frame while nothing is under way. What it may say about a message whose wait ended
 * without an answer is kept: that message may come again. */
static int
read_aside(struct publisher *p, usec_t deadline)
{
	int r = read_frame(p, deadline);

	if (r != PUBLISHER_E_SUCCESS && r != PUBLISHER_E_UNROUTABLE && r != PUBLISHER_E_REFUSED)
		return r;
	p->late = r;
	return AWAITED;
}

/* Takes in what the broker has said meanwhile, such as goodbye. */
void
publisher_serve(struct publisher *p)
{
	int r = AWAITED;

	while (p->broker.state && r == AWAITED)
		r = read_aside(p, 0);
	if (r == PUBLISHER_E_LOST)
		drop(p);
}

/* What is sent in an alarm lies in buffers and is published long after its sender was told that it
 * was not: nothing is sent while an alarm is known. */
static int
await_unblocked(struct publisher *p, usec_t deadline)
{
	int r = AWAITED;

	while (p->blocked && r == AWAITED)
		r = deadline_left(deadline) == 0 ? PUBLISHER_E_BLOCKED : read_aside(p, deadline);
	return r == AWAITED ? 0 : r;
}

/* --- publishing ------------------------------------------------------------------------------ */

/* Bytes that no reader of a header can stumble over: of another kind than printable ASCII as \xHH.
 */
static amqp_bytes_t
escape(struct span bytes, char out[4 * HEADER_SOURCE + 1])
{
	struct span s = span_first(bytes, HEADER_SOURCE);
	size_t i, n = 0;

	for (i = 0; i < s.n; i++) {
		if (s.p[i] >= ' ' && s.p[i] <= '~' && s.p[i] != '\\')
			out[n++] = (char)s.p[i];
		else
			n += (size_t)sprintf(out + n, "\\x%02x", s.p[i]);
	}
	return (amqp_bytes_t){ .len = n, .bytes = out };
}

static int
send_properties(struct publisher *p, const struct publication *m, usec_t deadline)
{
	const struct {
		const char *key;
		struct span value;
	} sources[N_HEADERS] = {
		{ "hl7-control-id", m->control_id },
		{ "hl7-message-type", m->type },
		{ "hl7-sending-application", m->application },
		{ "hl7-sending-facility", m->facility },
	};
	char values[N_HEADERS][4 * HEADER_SOURCE + 1];
	amqp_table_entry_t headers[N_HEADERS];
	size_t i;

	for (i = 0; i < N_HEADERS; i++)
		headers[i] = (amqp_table_entry_t){
			.key = amqp_cstring_bytes(sources[i].key),
			.value = { .kind = AMQP_FIELD_KIND_UTF8,
				.value.bytes = escape(sources[i].value, values[i]) },
		};
	const amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG |
			  AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
			  AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_APP_ID_FLAG,
		.content_type = amqp_cstring_bytes(CONTENT_TYPE),
		.headers = { .num_entries = N_HEADERS, .entries = headers },
		.delivery_mode = PERSISTENT,
		.message_id = amqp_cstring_bytes(m->message_id),
		.timestamp = clock_realtime_usec() / USEC_PER_SEC,
		.app_id = amqp_cstring_bytes(APPLICATION),
	};
	return broker_send_properties(&p->broker, &properties, m->body.n, deadline);
}

static int
send_message(struct publisher *p, const struct publication *m, usec_t deadline)
{
	const struct broker_settings *s = &p->settings->broker;
	amqp_basic_publish_t publish = {
		.exchange = amqp_cstring_bytes(s->exchange),
		.routing_key = amqp_cstring_bytes(s->routing_key),
		.mandatory = 1,
	};
	struct span rest = m->body, piece;
	size_t max = broker_body_bytes_max(&p->broker);
	int r = broker_send_method(&p->broker, AMQP_BASIC_PUBLISH_METHOD, &publish, deadline);

	if (r == 0)
		r = send_properties(p, m, deadline);
	while (r == 0 && rest.n > 0) {
		piece = span_first(rest, max);
		rest = span_from(rest, piece.n);
		r = broker_send_body(&p->broker, piece.p, piece.n, deadline);
	}
	return r;
}

/* A broker that stopped reading has said why; one that closed the connection, too. */
static int
explain_unsent(struct publisher *p, int r)
{
	int said = AWAITED;

	while (said == AWAITED)
		said = read_frame(p, 0);
	return condition_of(p, r);
}

/* A new connection is told of an alarm only when it publishes, and what it publishes then comes
 * into the queue when the alarm is over. So the first that it publishes is a message for nobody.
 * Another exchange than the default one might give it to somebody. */
static int
probe(struct publisher *p, usec_t deadline)
{
	const amqp_basic_properties_t properties = { 0 };
	amqp_basic_publish_t publish = { .routing_key = amqp_cstring_bytes(PROBE_KEY) };
	int r;

	if (p->settings->broker.exchange[0])
		return 0;
	p->n_sent++;
	p->returned = false;
	r = broker_send_method(&p->broker, AMQP_BASIC_PUBLISH_METHOD, &publish, deadline);
	if (r == 0)
		r = broker_send_properties(&p->broker, &properties, 1, deadline);
	/* the broker stops between these two: a message without a body would still be confirmed */
	if (r == 0)
		r = broker_send_body(&p->broker, "", 1, deadline);
	return r ? explain_unsent(p, r) : await_confirm(p, deadline);
}

static int
send_and_wait(struct publisher *p, const struct publication *m, usec_t deadline)
{
	int r;

	p->n_sent++;
	p->returned = false;
	p->late = AWAITED;
	p->unconfirmed[0] = 0;
	r = send_message(p, m, deadline);
	if (r) {
		r = explain_unsent(p, r);
		drop(p); /* half a message was sent: nothing can follow it */
		return r;
	}
	r = await_confirm(p, deadline);
	if (r == PUBLISHER_E_BLOCKED)
		(void)snprintf(p->unconfirmed, sizeof(p->unconfirmed), "%s", m->message_id);
	return r;
}

/* The message that an alarm held up comes again, over the same connection: it is still on its way.
 */
static int
wait_again(struct publisher *p, usec_t deadline)
{
	int r = p->late == AWAITED ? await_confirm(p, deadline) : p->late;

	if (r != PUBLISHER_E_BLOCKED)
		p->unconfirmed[0] = 0;
	return r;
}

/* Whether the next message is better off with a new connection, to the next broker. An alarm is the
 * whole cluster's. After a nack a channel may nack for ever: it holds on to the queue's leader that
 * it found when it was opened, dead or alive (RabbitMQ 3.10). */
static bool
needs_another(int condition)
{
	return condition == PUBLISHER_E_LOST || condition == PUBLISHER_E_TIMEOUT ||
	       condition == PUBLISHER_E_REFUSED;
}

int
publisher_publish(struct publisher *p, const struct publication *m)
{
	bool opened = false;
	usec_t deadline;
	int r = 0;

	publisher_serve(p);
	if (!p->blocked)
		p->broker.reason[0] = 0;
	if (!p->broker.state) {
		r = open_any(p);
		opened = true;
	}
	if (r)
		return r;
	deadline = deadline_in(p->settings->confirm_timeout_usec);
	r = opened ? probe(p, deadline) : await_unblocked(p, deadline);
	if (r == 0 && p->unconfirmed[0] && strcmp(p->unconfirmed, m->message_id) == 0)
		r = wait_again(p, deadline);
	else if (r == 0)
		r = send_and_wait(p, m, deadline);
	if (p->broker.state && needs_another(r))
		drop(p);
	return r;
}

usec_t
publisher_pause_usec(const struct publisher *p)
{
	usec_t heartbeat = p->settings->broker.heartbeat_usec;

	/* two that fail to come end the connection: this keeps a good distance */
	return p->broker.state && heartbeat ? heartbeat / 4 : DEADLINE_NEVER;
}

void
publisher_close(struct publisher *p)
{
	if (p->blocked)
		broker_drop(&p->broker); /* it would not read a goodbye */
	broker_close(&p->broker);
}

/* --- words ----------------------------------------------------------------------------------- */

const char *
publisher_condition_name(int condition)
{
	static const char *const names[] = {
		[PUBLISHER_E_SUCCESS] = "confirmed",
		[PUBLISHER_E_UNREACHABLE] = "unreachable",
		[PUBLISHER_E_UNROUTABLE] = "unroutable",
		[PUBLISHER_E_REFUSED] = "refused",
		[PUBLISHER_E_BLOCKED] = "blocked",
		[PUBLISHER_E_TIMEOUT] = "timeout",
		[PUBLISHER_E_LOST] = "lost",
	};

	return names[condition];
}

const char *
publisher_reason(const struct publisher *p)
{
	return p->broker.reason;
}

const char *
publisher_endpoint(const struct publisher *p)
{
	return p->settings->endpoints[p->last].name;
}
