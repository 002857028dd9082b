/* SPDX-License-Identifier: MIT */
#pragma once

/* What is told to the journal beside what listen/report.h has; hl7-amqp(8), LOGGING. */

#include "listen/report.h"

struct message_report {
	struct message_facts facts;
	int error;              /* negative errno of the connection, or 0 */
	const char *message_id; /* as published; "" when it was not */
	const char *broker;     /* "HOST:PORT", "" when none was asked */
	const char *published;  /* the publisher's condition, "" when it was not asked */
	const char *reason;     /* more about it, or "" */
};

/* One entry for a frame that was judged. */
void report_message(const struct reporter *r, const struct message_report *m);
