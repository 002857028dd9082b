/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading entries back from the journal.
 *
 * Not for following it: who asks gets what is there now, at most as much as he says.
 */

#include "base/clock.h"
#include "base/span.h"

#define JOURNAL_READ_FIELDS_MAX 16

/* A field of an entry is cut here. */
#define JOURNAL_READ_BYTES 256

struct journal_query {
	const char *file;           /* a journal file; NULL: this system's journal */
	const char *const *matches; /* "NAME=value": entries that have one of them */
	size_t n_matches;
	const char *const
		*fields; /* names of what is read of each, JOURNAL_READ_FIELDS_MAX at most */
	size_t n_fields;
	usec_t since_usec; /* CLOCK_REALTIME; 0: from the beginning */
	size_t max;        /* entries, the youngest ones */
};

/* An entry; valid during the call only. `values` are in the order of the query's fields, empty
 * where the entry has none, with a NUL behind. */
struct journal_found {
	usec_t at; /* CLOCK_REALTIME */
	char values[JOURNAL_READ_FIELDS_MAX][JOURNAL_READ_BYTES];
};

/* Calls for each entry, the youngest first; a return other than 0 ends it. 0, what the call
 * returned, or a negative errno. Files of the journal that may not be read are passed over. */
int journal_read(const struct journal_query *q,
	int (*call)(const struct journal_found *found, void *userdata), void *userdata);
