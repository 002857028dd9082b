/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A connection to one RabbitMQ broker, ready to publish on: logged in, one channel with publisher
 * confirms, the queue declared.
 *
 * librabbitmq writes without a deadline. Here each write waits first, until the kernel has room for
 * the whole of a frame, so a broker that stops reading (it does so in an alarm) holds nobody up.
 * Name resolution alone is bounded elsewhere: resolv.conf(5).
 */

#include "amqp/endpoint.h"
#include "base/clock.h"

#include <stdint.h>

#define BROKER_NAME_BYTES   256 /* of a queue and the like: AMQP's short string, and a NUL */
#define BROKER_REASON_BYTES 256

enum {
	BROKER_E_SUCCESS,
	BROKER_E_FAILED, /* the connection is of no more use; `reason` says why */
	BROKER_E_TIMEOUT,
};

struct broker_settings {
	const char *password;
	const char *queue;    /* "" for none */
	const char *exchange; /* "" for the default one */
	const char *routing_key;
	bool declare;                /* the queue, and its binding where there is an exchange */
	usec_t connect_timeout_usec; /* until the broker is ready */
	usec_t heartbeat_usec;       /* whole seconds; 0: none */
};

struct broker {
	amqp_connection_state_t state; /* NULL while there is no connection */
	char reason[BROKER_REASON_BYTES];
};

/* Opens a closed one: 0 or BROKER_E_FAILED. */
int broker_open(struct broker *b, const struct broker_settings *s, const struct endpoint *where);

/* Says goodbye where the broker listens, within a second. */
void broker_close(struct broker *b);

/* Cuts the connection. */
void broker_drop(struct broker *b);

/* Sends one frame on the channel: 0 or a condition. */
int broker_send_method(struct broker *b, amqp_method_number_t id, void *decoded, usec_t deadline);
int broker_send_properties(struct broker *b, const amqp_basic_properties_t *properties,
	size_t body_bytes, usec_t deadline);
int broker_send_body(struct broker *b, const void *p, size_t n, usec_t deadline);

/* How many bytes of a body a frame takes. */
size_t broker_body_bytes_max(const struct broker *b);

/* The next frame: 0 or a condition. `deadline` 0 only looks. Heartbeats are sent here, when they
 * are due. What the frame points to is valid until the next call. */
int broker_next_frame(struct broker *b, usec_t deadline, amqp_frame_t *ret);

/* Puts a broker's or the library's words into `reason`: printable, and cut. */
void broker_explain(struct broker *b, const char *what, amqp_bytes_t words);
