/* SPDX-License-Identifier: MIT */
#include "amqp/broker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Of a frame. The kernel reports a socket as writable when a third of its buffer is free, so with
 * this buffer there is room for a whole frame then. */
#define FRAME_BYTES_MAX   (16 * 1024)
#define SEND_BUFFER_BYTES (256 * 1024)

#define CHANNEL      1
#define CHANNELS_MAX 1

#define GOODBYE_USEC USEC_PER_SEC

static struct timeval
time_left(usec_t deadline)
{
	usec_t left = deadline == 0 ? 0 : deadline_left(deadline);

	return (struct timeval){
		.tv_sec = (time_t)(left / USEC_PER_SEC),
		.tv_usec = (suseconds_t)(left % USEC_PER_SEC),
	};
}

void
broker_explain(struct broker *b, const char *what, amqp_bytes_t words)
{
	size_t n = (size_t)snprintf(b->reason, sizeof(b->reason), "%s%s%.*s", what,
		words.len ? ": " : "", (int)words.len, words.len ? (const char *)words.bytes : "");
	char *p;

	for (p = b->reason; n > 0 && *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

static void
explain_status(struct broker *b, const char *what, int status)
{
	broker_explain(b, what, amqp_cstring_bytes(amqp_error_string2(status)));
}

/* 0, or BROKER_E_FAILED with the broker's or the library's words. */
static int
check_reply(struct broker *b, const char *what, amqp_rpc_reply_t reply)
{
	amqp_bytes_t words = amqp_empty_bytes;

	switch (reply.reply_type) {
	case AMQP_RESPONSE_NORMAL: return 0;
	case AMQP_RESPONSE_NONE: break;
	case AMQP_RESPONSE_LIBRARY_EXCEPTION:
		explain_status(b, what, reply.library_error);
		return BROKER_E_FAILED;
	case AMQP_RESPONSE_SERVER_EXCEPTION:
		if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
			words = ((amqp_connection_close_t *)reply.reply.decoded)->reply_text;
		else if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
			words = ((amqp_channel_close_t *)reply.reply.decoded)->reply_text;
		break;
	}
	broker_explain(b, what, words);
	return BROKER_E_FAILED;
}

/* --- opening --------------------------------------------------------------------------------- */

static int
connect_to(struct broker *b, const struct endpoint *where, usec_t deadline)
{
	struct timeval left = time_left(deadline);
	const int size = SEND_BUFFER_BYTES;
	amqp_socket_t *socket;
	int r;

	b->state = amqp_new_connection();
	socket = b->state ? amqp_tcp_socket_new(b->state) : NULL;
	if (!socket) {
		broker_explain(b, "not enough memory", amqp_empty_bytes);
		return BROKER_E_FAILED;
	}
	r = amqp_socket_open_noblock(socket, where->info.host, where->info.port, &left);
	if (r != AMQP_STATUS_OK) {
		explain_status(b, "connecting", r);
		return BROKER_E_FAILED;
	}
	(void)setsockopt(amqp_get_sockfd(b->state), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static amqp_table_entry_t
table_flag(const char *key)
{
	return (amqp_table_entry_t){
		.key = amqp_cstring_bytes(key),
		.value = { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 },
	};
}

/* Without having said that it understands them, a client is told neither of alarms nor of nacks. */
static int
log_in(struct broker *b, const struct broker_settings *s, const struct endpoint *where,
	usec_t deadline)
{
	amqp_table_entry_t abilities[] = {
		table_flag("connection.blocked"),
		table_flag("basic.nack"),
		table_flag("publisher_confirms"),
	};
	amqp_table_entry_t entries[] = {
		{
			.key = amqp_cstring_bytes("capabilities"),
			.value = { .kind = AMQP_FIELD_KIND_TABLE,
				.value.table = { .num_entries = 3, .entries = abilities } },
		},
		{
			.key = amqp_cstring_bytes("connection_name"),
			.value = { .kind = AMQP_FIELD_KIND_UTF8,
				.value.bytes = amqp_cstring_bytes("hl7-amqp") },
		},
	};
	const amqp_table_t properties = { .num_entries = 2, .entries = entries };
	struct timeval left = time_left(deadline);

	if (amqp_set_handshake_timeout(b->state, &left) != AMQP_STATUS_OK)
		return BROKER_E_FAILED;
	return check_reply(b, "logging in",
		amqp_login_with_properties(b->state, where->info.vhost, CHANNELS_MAX,
			FRAME_BYTES_MAX, (int)(s->heartbeat_usec / USEC_PER_SEC), &properties,
			AMQP_SASL_METHOD_PLAIN, where->info.user, s->password));
}

static int
limit_wait(struct broker *b, usec_t deadline)
{
	struct timeval left = time_left(deadline);

	if (amqp_set_rpc_timeout(b->state, &left) == AMQP_STATUS_OK)
		return 0;
	broker_explain(b, "no time left", amqp_empty_bytes);
	return BROKER_E_FAILED;
}

static int
open_channel(struct broker *b, usec_t deadline)
{
	int r = limit_wait(b, deadline);

	if (r)
		return r;
	(void)amqp_channel_open(b->state, CHANNEL);
	r = check_reply(b, "opening a channel", amqp_get_rpc_reply(b->state));
	if (r == 0)
		r = limit_wait(b, deadline);
	if (r)
		return r;
	(void)amqp_confirm_select(b->state, CHANNEL);
	return check_reply(b, "asking for confirms", amqp_get_rpc_reply(b->state));
}

static int
declare_queue(struct broker *b, const struct broker_settings *s, usec_t deadline)
{
	amqp_table_entry_t type = {
		.key = amqp_cstring_bytes("x-queue-type"),
		.value = { .kind = AMQP_FIELD_KIND_UTF8,
			.value.bytes = amqp_cstring_bytes("quorum") },
	};
	const amqp_table_t arguments = { .num_entries = 1, .entries = &type };
	amqp_bytes_t queue = amqp_cstring_bytes(s->queue);
	int r = limit_wait(b, deadline);

	if (r)
		return r;
	(void)amqp_queue_declare(b->state, CHANNEL, queue, 0, 1, 0, 0, arguments);
	r = check_reply(b, "declaring the queue", amqp_get_rpc_reply(b->state));
	if (r || !s->exchange[0])
		return r;
	r = limit_wait(b, deadline);
	if (r)
		return r;
	(void)amqp_queue_bind(b->state, CHANNEL, queue, amqp_cstring_bytes(s->exchange),
		amqp_cstring_bytes(s->routing_key), amqp_empty_table);
	return check_reply(b, "binding the queue", amqp_get_rpc_reply(b->state));
}

int
broker_open(struct broker *b, const struct broker_settings *s, const struct endpoint *where)
{
	usec_t deadline = deadline_in(s->connect_timeout_usec);
	int r = connect_to(b, where, deadline);

	if (r == 0)
		r = log_in(b, s, where, deadline);
	if (r == 0)
		r = open_channel(b, deadline);
	if (r == 0 && s->declare && s->queue[0])
		r = declare_queue(b, s, deadline);
	if (r)
		broker_drop(b);
	return r;
}

/* --- closing --------------------------------------------------------------------------------- */

void
broker_close(struct broker *b)
{
	if (b->state && limit_wait(b, deadline_in(GOODBYE_USEC)) == 0)
		(void)amqp_connection_close(b->state, AMQP_REPLY_SUCCESS);
	broker_drop(b);
}

void
broker_drop(struct broker *b)
{
	if (b->state)
		(void)amqp_destroy_connection(b->state);
	b->state = NULL;
}

/* --- frames ---------------------------------------------------------------------------------- */

static int
wait_for_room(struct broker *b, usec_t deadline)
{
	struct pollfd p = { .fd = amqp_get_sockfd(b->state), .events = POLLOUT };
	usec_t left;
	int n;

	do {
		left = deadline_left(deadline);
		n = poll(&p, 1, (int)((left + USEC_PER_MSEC - 1) / USEC_PER_MSEC));
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	if (n == 0)
		return BROKER_E_TIMEOUT;
	broker_explain(b, "waiting", amqp_cstring_bytes(strerrordesc_np(errno)));
	return BROKER_E_FAILED;
}

static int
check_sent(struct broker *b, int status)
{
	if (status == AMQP_STATUS_OK)
		return 0;
	explain_status(b, "publishing", status);
	return BROKER_E_FAILED;
}

int
broker_send_method(struct broker *b, amqp_method_number_t id, void *decoded, usec_t deadline)
{
	int r = wait_for_room(b, deadline);

	return r ? r : check_sent(b, amqp_send_method(b->state, CHANNEL, id, decoded));
}

static int
send_frame(struct broker *b, const amqp_frame_t *frame, usec_t deadline)
{
	int r = wait_for_room(b, deadline);

	return r ? r : check_sent(b, amqp_send_frame(b->state, frame));
}

int
broker_send_properties(struct broker *b, const amqp_basic_properties_t *properties,
	size_t body_bytes, usec_t deadline)
{
	const amqp_frame_t frame = {
		.frame_type = AMQP_FRAME_HEADER,
		.channel = CHANNEL,
		.payload.properties = {
			.class_id = AMQP_BASIC_CLASS,
			.body_size = body_bytes,
			.decoded = (void *)(uintptr_t)properties,
		},
	};

	return send_frame(b, &frame, deadline);
}

int
broker_send_body(struct broker *b, const void *p, size_t n, usec_t deadline)
{
	const amqp_frame_t frame = {
		.frame_type = AMQP_FRAME_BODY,
		.channel = CHANNEL,
		.payload.body_fragment = { .len = n, .bytes = (void *)(uintptr_t)p },
	};

	return send_frame(b, &frame, deadline);
}

size_t
broker_body_bytes_max(const struct broker *b)
{
	/* 7 bytes in front of a frame, one behind it */
	return (size_t)amqp_get_frame_max(b->state) - 8;
}

int
broker_next_frame(struct broker *b, usec_t deadline, amqp_frame_t *ret)
{
	struct timeval left = time_left(deadline);
	int status;

	amqp_maybe_release_buffers(b->state);
	status = amqp_simple_wait_frame_noblock(b->state, ret, &left);
	if (status == AMQP_STATUS_OK)
		return 0;
	if (status == AMQP_STATUS_TIMEOUT)
		return BROKER_E_TIMEOUT;
	explain_status(b, "the connection", status);
	return BROKER_E_FAILED;
}
