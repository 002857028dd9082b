/* SPDX-License-Identifier: MIT */
#pragma once

/* What the receiver tells the journal: one entry a message, one a fault; hl7-receive(8), LOGGING.
 */

#include "ack/outcome.h"
#include "hl7/message.h"
#include "journal/journal.h"
#include "mllp/frame.h"
#include "net/connection.h"
#include "template/template.h"

/* What is to be told before the first frame: a connection that brings none, a port scan, leaves no
 * trace, however wrong a template is. More than this many are not told. */
#define REPORTS_HELD_MAX 8
struct held_reports {
	struct journal_entry entries[REPORTS_HELD_MAX];
	size_t n;
};

struct reporter {
	enum journal_target target;
	const struct connection_names *names;
	struct held_reports *held; /* NULL: entries are sent at once */
};

/* Sends what was held back, and holds nothing back from now on. */
void report_held(struct reporter *r);

struct message_report {
	enum outcome outcome;
	const struct message *message; /* NULL where there is no readable one */
	const struct frame *frame;
	const char *code;          /* of the answer, "" for none */
	bool delivered;            /* the peer took the answer */
	int error;                 /* negative errno behind the outcome or the delivery, or 0 */
	usec_t duration_usec;      /* from the frame's first byte to the end of the answer */
	const char *store_name;    /* in received/ or rejected/; "" when in neither */
	bool reused_id;            /* an earlier message of the sender has the same control id */
	size_t n_queued;           /* entries for destinations */
	const char *template_name; /* that refused it, or NULL */
};

/* One entry for a frame that was judged. */
void report_message(const struct reporter *r, const struct message_report *m);

/* Entries for what was skipped or lost before or inside a frame; none when it was clean. */
void report_deviations(const struct reporter *r, const struct frame *frame);

/* Bytes came behind an FS after its frame had been answered: the frame may have been cut short. */
void report_late_data(const struct reporter *r, uint64_t offset);

/* The connection ended with frames that were received and not looked at: more messages than
 * --messages. */
void report_unread(const struct reporter *r, uint64_t bytes, uint64_t offset);

/* A template of ack.d made something that is no acknowledgement; the shipped one answered. */
void report_unusable(const struct reporter *r, const char *directory, const char *name);

/* Frames without a payload were ignored. */
void report_empty_frames(const struct reporter *r, uint64_t n);

/* The connection or a directory failed. `what` names it. */
void report_error(const struct reporter *r, const char *what, int error);

/* A wait ended the connection before a frame began (`what`). */
void report_idle(const struct reporter *r, const char *what);

/* A template does not compile or deserves a warning. */
void report_template(const struct reporter *r, const char *directory, const char *name,
	const struct problem *problem);
