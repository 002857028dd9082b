/* SPDX-License-Identifier: MIT */
#pragma once

/* What is told to the journal of a peer's conversation, whichever program leads it: one entry a
 * message, one a fault. */

#include "ack/outcome.h"
#include "hl7/message.h"
#include "journal/journal.h"
#include "mllp/frame.h"
#include "net/connection.h"
#include "net/proxy.h"
#include "sandbox/sandbox.h"

/* Events that are no outcome of a frame; ack/outcome.c has the others. */
#define REPORT_ID_DATA_SKIPPED "b1b9d5d329074c4f9b31e37834589e7b"
#define REPORT_ID_CONNECTION   "f33a7b82412344ca86335573268d8aa1"
#define REPORT_ID_SYSTEM       "09b52c086b0542718d3c0adef8290874"
#define REPORT_ID_SANDBOX      "a216cf541cc0453881a5c8a71170b1a7"
#define REPORT_ID_PROXY        "fe4ae7eb865e46b49d8317ba943049b2"

/* What is to be told before the first frame: a connection that brings none, a port scan, leaves no
 * trace, however wrong a template is. More than this many are not told. */
#define REPORTS_HELD_MAX 8
struct held_reports {
	struct journal_entry *entries[REPORTS_HELD_MAX]; /* owned */
	size_t n;
};

struct reporter {
	struct journal_target target;
	const struct connection_names *names;
	struct held_reports *held;        /* NULL: entries are sent at once */
	const struct proxy_header *proxy; /* what a proxy said of the peer, or NULL */
};

/* Sends what was held back, and holds nothing back from now on. */
void report_held(struct reporter *r);

void held_reports_deinit(struct held_reports *held);

/* Sends an entry, or holds it back. What is sent gets the peer. */
void report_send(const struct reporter *r, struct journal_entry *e);

/* The errno of our side or of the connection; nothing where `error` is none. */
void report_add_error(struct journal_entry *e, int error);

/* What is told of every message. */
struct message_facts {
	enum outcome outcome;
	const struct message *message; /* NULL where there is no readable one */
	const struct frame *frame;
	const char *code;     /* of the answer, "" for none */
	bool delivered;       /* the peer took the answer */
	usec_t duration_usec; /* from the frame's first byte to the end of the answer */
};

/* Begins the entry for a frame that was judged, with a priority of `least` or more urgent. */
void report_begin_message(
	struct journal_entry *e, const struct message_facts *m, enum outcome_priority least);

/* Entries for what was skipped or lost before or inside a frame; none when it was clean. */
void report_deviations(const struct reporter *r, const struct frame *frame);

/* Data that was skipped. */
void report_skipped(const struct reporter *r, enum outcome_priority priority, const char *text,
	uint64_t bytes, uint64_t offset);

/* Bytes came behind an FS after its frame had been answered: the frame may have been cut short.
 * Nothing where `*offset`, an intake's late_offset, is 0; which it is then. */
void report_late_data(const struct reporter *r, uint64_t *offset);

/* The connection or a directory failed. `what` names it. */
void report_error(const struct reporter *r, const char *what, int error);

/* What a proxy sent in front of the connection is no header that can be read (`what`). Its bytes
 * are not told: they may be a message. */
void report_refused_header(const struct reporter *r, const char *what, uint64_t bytes,
	uint64_t fault_offset, int error);

/* No frame began in time. */
void report_idle(const struct reporter *r);

/* Which walls stand; those that keep a taken over process in and do not, for everybody to see.
 * `required`: that they do not is why nothing is served. */
void report_sandbox(const struct reporter *r, const struct sandbox_walls *walls, bool required);
