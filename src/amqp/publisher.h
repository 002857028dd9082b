/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Messages to a RabbitMQ cluster, one after another, each with the cluster's word that it has it:
 * persistent, mandatory, confirmed (www.rabbitmq.com/docs/confirms).
 *
 * What was not confirmed may still be in the queue, now or later; consumers recognise a message
 * that comes twice by its id.
 */

#include "amqp/broker.h"
#include "base/span.h"

#define PUBLISHER_ENDPOINTS_MAX 16
#define PUBLISHER_ID_BYTES      64 /* of a message's id, with its NUL */

enum {
	PUBLISHER_E_SUCCESS,     /* basic.ack, and it was not returned */
	PUBLISHER_E_UNREACHABLE, /* no broker could be made ready; nothing was sent */
	PUBLISHER_E_UNROUTABLE,  /* basic.return: no queue for it */
	PUBLISHER_E_REFUSED,     /* basic.nack */
	PUBLISHER_E_BLOCKED,     /* no confirm in time, and the broker has an alarm */
	PUBLISHER_E_TIMEOUT,     /* no confirm in time */
	PUBLISHER_E_LOST, /* the connection ended, or the broker closed it, before a confirm */
};

struct publisher_settings {
	struct broker_settings broker;
	struct endpoint endpoints[PUBLISHER_ENDPOINTS_MAX]; /* one cluster's */
	size_t n_endpoints;
	usec_t confirm_timeout_usec;
};

struct publisher {
	const struct publisher_settings *settings;
	struct broker broker;
	size_t current;  /* the endpoint in use, or to be tried first */
	size_t last;     /* the one that was used or tried last */
	uint64_t n_sent; /* on this connection: the last one's delivery tag */
	bool blocked;    /* by an alarm */
	bool returned;   /* the last one */
	/* of the last one, while its wait ended in an alarm and nothing else was sent since */
	char unconfirmed[PUBLISHER_ID_BYTES]; /* its id, else "" */
	int late;                             /* what the broker said of it afterwards */
};

/* What a consumer sees of a message. */
struct publication {
	struct span body;
	const char *message_id;
	struct span control_id, type, application, facility; /* for the headers; any bytes */
};

/* Publishes a message and waits for the confirm, over a new connection where there is none any
 * more: 0 or a condition; publisher_reason() has more about it. */
int publisher_publish(struct publisher *p, const struct publication *m);

/* Looks after the connection while there is nothing to publish: heartbeats. To be called at least
 * every publisher_pause_usec(), which is never (UINT64_MAX) where that is not needed. */
void publisher_serve(struct publisher *p);
usec_t publisher_pause_usec(const struct publisher *p);

void publisher_close(struct publisher *p);

/* A condition's name for the log, the last failure's cause in the broker's or the library's words,
 * and the broker that was used last, "HOST:PORT". */
const char *publisher_condition_name(int condition);
const char *publisher_reason(const struct publisher *p);
const char *publisher_endpoint(const struct publisher *p);
