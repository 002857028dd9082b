/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The store: messages as plain files; hl7-store(5) has the layout, the states and what a crash in
 * each leaves. This is the receiver's side; store/queue.h is that of who takes messages out. The
 * only module that calls fsync and linkat.
 *
 *   DIR/received/STEM.hl7         the payload of a frame, byte for byte
 *   DIR/queue/NAME/STEM.KKK.hl7   what was rendered of it for destination NAME
 *   DIR/rejected/STEM.hl7         a message that was refused for its content
 *   DIR/rejected/STEM.txt         why
 *   DIR/.order                    its time of modification is that of the last commit
 *
 * A file appears whole and durable, or not at all: it is written unnamed (O_TMPFILE), synced,
 * linked to its name, and the directory is synced. store/name.h has the names.
 *
 * The link of the file in received/ is the commit point of a message and of all that was rendered
 * of it: its queue entries are linked and synced before, and an entry counts only if the received
 * file it is named after is there. A queue's directory is locked (flock(2), shared) from the first
 * entry's link to the commit: who gets the lock for himself knows that entries which do not count
 * never will.
 */

#include "base/buffer.h"
#include "store/name.h"

/* Destinations that one process has open. */
#define STORE_DESTINATIONS_MAX 256

/* What must stay free for a message to be taken. */
struct store_reserve {
	uint64_t bytes, inodes;
};

struct store {
	int root, received, order; /* descriptors */
	struct store_queue {
		char name[STORE_DESTINATION_BYTES];
		int fd;
	} * queues; /* owned */
	size_t n_queues;
	struct store_reserve reserve;
};

#define STORE_NULL ((struct store){ .root = -1, .received = -1, .order = -1 })

enum {
	STORE_E_SUCCESS,
	STORE_E_DUPLICATE, /* the same bytes are stored already */
	STORE_E_REUSED,    /* this sender used the control id for other bytes, and may not */
	STORE_E_FULL,      /* less than the reserve would stay free */
};

/* Opens the store at `path`, making the directory and received/ where they are missing (mode 0750).
 * 0 or a negative errno. */
int store_open(struct store *s, const char *path, struct store_reserve reserve);

/* Opens queue/NAME, made where it is missing: each destination that store_commit() is given was
 * opened before. 0 or a negative errno; -E2BIG beyond STORE_DESTINATIONS_MAX. */
int store_open_queue(struct store *s, struct span destination);

/* Opens what a commit would open when it needs it, for a process that can open less later;
 * *ret_rejected is rejected/ (O_PATH), or -1 where it is not there yet. 0 or a negative errno. */
int store_prepare(struct store *s, int *ret_rejected);

void store_close(struct store *s);

/* A rendered message and where it goes. */
struct store_entry {
	struct span destination;
	struct span message;
};

/* A message to store, and what is stored with it. */
struct store_message {
	struct span bytes;
	struct span application, facility,
		control_id; /* who sent it under which id; in `bytes` too */
	struct span answer; /* that a resend gets again; empty for none */
	const struct store_entry *entries;
	size_t n_entries;
	bool refuse_reused; /* of the control id */
};

/* What is known of a message that is stored. */
struct store_receipt {
	char name[STORE_NAME_BYTES]; /* of its file in received/; "" where it cannot be told */
	bool reused;                 /* the control id, for other bytes */
	bool answered;        /* with STORE_E_DUPLICATE: `answer` holds what it was answered with */
	struct buffer answer; /* owned by the caller, who gives it with its maximum */
};

/* Whether a message of these bytes is stored: STORE_E_DUPLICATE, 0 or a negative errno. When it is,
 * it is on disk. */
int store_find(struct store *s, const struct store_message *m, struct store_receipt *ret);

/* Commits a message and its entries: when this returns 0 all of it is on disk, and with
 * STORE_E_DUPLICATE what another process committed in the meantime is. Any other return is a
 * condition or a negative errno, and nothing of it counts: what was linked is removed again. A
 * power cut right behind a failed sync of received/ may bring the message back; it was not
 * acknowledged then. */
int store_commit(struct store *s, const struct store_message *m, struct store_receipt *ret);

/* Keeps a refused message with a text that says why. 0, STORE_E_FULL or a negative errno. */
int store_reject(
	struct store *s, struct span message, struct span reason, char ret_name[STORE_NAME_BYTES]);
