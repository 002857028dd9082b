/* SPDX-License-Identifier: MIT */
#pragma once

/* What the receiver tells the journal beside what listen/report.h has; hl7-receive(8), LOGGING. */

#include "listen/report.h"
#include "template/template.h"

struct message_report {
	struct message_facts facts;
	int error;                 /* negative errno behind the outcome or the delivery, or 0 */
	const char *store_name;    /* in received/ or rejected/; "" when in neither */
	bool reused_id;            /* an earlier message of the sender has the same control id */
	size_t n_queued;           /* entries for destinations */
	const char *template_name; /* that refused it, or NULL */
};

/* One entry for a frame that was judged. */
void report_message(const struct reporter *r, const struct message_report *m);

/* The connection ended with frames that were received and not looked at: more messages than
 * --messages. */
void report_unread(const struct reporter *r, uint64_t bytes, uint64_t offset);

/* A template of ack.d made something that is no acknowledgement; the shipped one answered. */
void report_unusable(const struct reporter *r, const char *directory, const char *name);

/* Frames without a payload were ignored. */
void report_empty_frames(const struct reporter *r, uint64_t n);

/* A template does not compile or deserves a warning. */
void report_template(const struct reporter *r, const char *directory, const char *name,
	const struct problem *problem);

/* Why a connection was not taken. */
enum refused_why {
	REFUSED_CONNECTIONS, /* as many as --max-connections are there */
	REFUSED_SOURCE,     /* as many as --max-connections-per-source are there from its address */
	REFUSED_ADDRESS,    /* it is not in --allow */
	REFUSED_NO_PROCESS, /* the system has no descriptor or process for it */
	REFUSED_N,
};

/* So many connections were closed at once, for this reason. */
void report_refused(const struct reporter *r, enum refused_why why, uint64_t n);

/* The process of a connection was killed by a signal. `names` are the connection's. */
void report_killed(const struct reporter *r, const struct connection_names *names, int signal);
