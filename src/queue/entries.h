/* SPDX-License-Identifier: MIT */
#pragma once

/* Entries of the queues: which ones a command line means, and what is told of one. */

#include "queue/options.h"
#include "store/queue.h"

enum place {
	PLACE_WAITING,
	PLACE_FAILED,
	PLACE_UNCOMMITTED, /* in the queue's folder, without its received message */
};

/* "waiting", "failed", "uncommitted" */
const char *place_name(enum place place);

struct entry {
	struct queue *queue;
	struct store_entry_name name;
	enum place place;
};

/* DESTINATION/STEM.KKK with its NUL. */
#define ENTRY_ID_BYTES (65 + STORE_NAME_BYTES)

void entry_format_id(const struct entry *e, char ret[ENTRY_ID_BYTES]);

/* Opens each destination that the options name, in the order of the alphabet, and calls; a return
 * other than 0 ends it. 0, what the call returned, or a negative errno; -ENOENT when --destination
 * names none. */
int entries_destinations(
	const struct options *o, int (*call)(struct queue *q, void *userdata), void *userdata);

/* Calls for each entry, failed ones of a destination first; uncommitted ones are among the waiting.
 * The same returns. */
int entries_visit(const struct options *o, int (*call)(const struct entry *e, void *userdata),
	void *userdata);

/* A text that names a file of the store: an entry, [received/]STEM, rejected/STEM; each with .hl7
 * behind it or not. */
struct target {
	enum target_kind {
		TARGET_ENTRY,
		TARGET_RECEIVED,
		TARGET_REJECTED,
	} kind;
	char destination[STORE_DESTINATION_BYTES]; /* of an entry */
	struct store_entry_name entry;             /* of others its stem */
};

/* False when it is no such text. */
bool target_parse(const char *text, struct target *ret);

/* The entry that it names, in *ret with *queue, which the caller closes whatever the outcome. 0,
 * QUEUE_E_GONE or a negative errno. */
int target_find(
	const struct options *o, const struct target *t, struct queue *queue, struct entry *ret);

/* How many stand in front of one that waits; counted as the forwarder would meet them. 0 or a
 * negative errno. */
int entry_count_before(const struct entry *e, size_t *ret);

/* Tells on standard error that something went wrong, and returns the exit status for it. */
int entries_complain(const char *what, int error);

/* The same for a condition of store/queue.h. */
int entries_complain_of(const char *id, int condition);
