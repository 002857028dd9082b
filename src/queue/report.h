/* SPDX-License-Identifier: MIT */
#pragma once

/* What is told to the journal of an operator's doing, so that a message's way has it: an entry a
 * message, one for a removal of old ones; hl7-queue(8), LOGGING. */

#include "journal/journal.h"
#include "queue/entries.h"
#include "store/expire.h"

#include <sys/types.h>

#define OPERATOR_BYTES 64

struct reporter {
	struct journal_target target;
	char operator[OPERATOR_BYTES]; /* who asked for it: a name, or the number without one */
};

/* Who started this: the user of the login, which sudo and su leave as it is, else the real one. To
 * be asked before the process becomes another user. */
uid_t report_find_operator(void);

void reporter_init(struct reporter *r, uid_t operator);
void reporter_deinit(struct reporter *r);

enum report_kind {
	REPORT_RETRIED, /* put back into its queue */
	REPORT_DROPPED, /* moved to failed/ */
	REPORT_DELETED, /* for good */
	REPORT_N,
};

/* `fd`: the entry's open file, which may have no name any more. */
void report_change(const struct reporter *r, enum report_kind kind, const struct entry *e, int fd);

void report_expired(const struct reporter *r, const struct expire_result *n);
