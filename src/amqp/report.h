/* SPDX-License-Identifier: MIT */
#pragma once

/* What is told to the journal: one entry a message, one a fault; hl7-amqp(8), LOGGING. */

#include "ack/outcome.h"
#include "hl7/message.h"
#include "journal/journal.h"
#include "mllp/frame.h"
#include "net/connection.h"

struct reporter {
	enum journal_target target;
	struct connection_names names; /* of the peer */
};

struct message_report {
	enum outcome outcome;
	const struct message *message; /* NULL where there is no readable one */
	const struct frame *frame;
	const char *code; /* of the answer, "" for none */
	bool delivered;   /* the peer took the answer */
	int error;        /* negative errno of the connection, or 0 */
	usec_t duration_usec;
	const char *message_id; /* as published; "" when it was not */
	const char *broker;     /* "HOST:PORT", "" when none was asked */
	const char *published;  /* the publisher's condition, "" when it was not asked */
	const char *reason;     /* more about it, or "" */
};

void report_message(const struct reporter *r, const struct message_report *m);

/* Entries for what was skipped or lost before or inside a frame; none when it was clean. */
void report_deviations(const struct reporter *r, const struct frame *frame);

/* Bytes came behind an FS after its frame had been answered: the frame may have been cut short. */
void report_late_data(const struct reporter *r, uint64_t offset);

/* Something of ours failed. `what` names it. */
void report_error(const struct reporter *r, const char *what, int error);

/* No frame began in time. */
void report_idle(const struct reporter *r);
