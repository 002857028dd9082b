/* SPDX-License-Identifier: MIT */
#pragma once

/* What the forwarder tells the journal: one entry a message that left the queue, one a change of
 * the destination's state; hl7-forward(8), LOGGING. */

#include "journal/journal.h"
#include "sandbox/sandbox.h"
#include "store/name.h"

struct reporter {
	struct journal_target target;
	const char *destination;
	const char *peer; /* HOST[:PORT]; NULL where the destination is a command */
};

/* A message and what became of it. */
struct forward_report {
	const struct store_entry_name *entry;
	struct span control_id, message_type; /* may be empty */
	const char *code;                     /* MSA-1, or "" */
	const char *error;                    /* of ours, or "" */
	uint64_t n_tries;
	size_t bytes;
	usec_t duration_usec; /* of the last try */
};

void report_delivered(const struct reporter *r, const struct forward_report *m);

/* It went to failed/. */
void report_failed(const struct reporter *r, const struct forward_report *m);

/* It waits to be tried again, and holds back those of its key; told once. */
void report_held_back(const struct reporter *r, const struct forward_report *m);

/* As many messages wait to be tried again as can be known, and hold back all others. */
void report_full(const struct reporter *r, size_t n);

/* The destination takes nothing now; told once, until it is back. */
void report_down(const struct reporter *r, const char *error);
void report_up(const struct reporter *r, uint64_t n_tries, usec_t down_usec);

/* Entries of commits that were never finished were removed. */
void report_swept(const struct reporter *r, size_t n);

/* Files lie in the queue that no commit put there. */
void report_foreign(const struct reporter *r, size_t n);

/* Which walls stand. `required`: that they do not is why nothing is delivered. */
void report_sandbox(const struct reporter *r, const struct sandbox_walls *walls, bool required);

/* Our own side failed. `what` names it. */
void report_error(const struct reporter *r, const char *what, int error);
