/* SPDX-License-Identifier: MIT */
#pragma once

/* hl7-queue trace: what its two halves share, the search for a message's names and the telling of
 * its way. */

#include "cli/progress.h"
#include "journal/journal.h"
#include "journal/read.h"
#include "queue/options.h"
#include "queue/way.h"
#include "store/name.h"
#include "store/stems.h"

/* Messages under one control id, and entries of the journal about each, that are told. */
#define MESSAGES_MAX 1000
#define ENTRIES_MAX  1000

/* Of one message; those of any more are told, but not that they were down. */
#define DESTINATIONS_MAX 32

struct trace {
	const struct options *o;
	struct span control_id;
	usec_t since_usec; /* CLOCK_REALTIME */
	struct stems stems;
	struct progress progress;
	uint64_t n_files;
	int root, folder;
	struct way unstored; /* what the journal has of messages without a file's name */
	/* of the message in hand */
	const struct store_stem *stem;
	struct way way;
	char destinations[DESTINATIONS_MAX][STORE_DESTINATION_BYTES];
	size_t n_destinations;
	size_t n_files_of_it;        /* in received/ and rejected/ */
	size_t n_entries, n_waiting; /* those of n_waiting count */
	bool rejected;               /* so nothing of it was queued */
	bool delivered;              /* as the journal says */
	usec_t until_usec;           /* the last that the journal has of it */
};

/* What is read of an entry of the journal. */
enum {
	FIELD_IDENTIFIER,
	FIELD_MESSAGE,
	FIELD_STORE_NAME,
	FIELD_DESTINATION, /* from here on told by their names */
	TRACE_FIELDS_N = 13,
};

extern const char *const trace_fields[TRACE_FIELDS_N];

/* An entry of the journal as an event. 0 or -ENOMEM. */
int trace_add_found(struct way *way, const struct journal_found *found);

/* The journal may be that of another machine, or not for this user: told on standard error, and 0,
 * as the store has the rest; `error` where a file was asked for. */
int trace_complain_of_journal(const struct trace *t, int error);

/* Prints all that store and journal have under this name. 0 or a negative errno. */
int trace_tell(struct trace *t, const struct store_stem *stem);
