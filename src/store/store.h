/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The store: messages as plain files. The only module that calls fsync and linkat.
 *
 *   DIR/received/20261123T181147.123456Z-INODE-PID.hl7        the payload of a frame, byte for byte
 *   DIR/queue/NAME/20261123T181147.123456Z-INODE-PID.KKK.hl7  what was rendered of it for
 * destination NAME DIR/rejected/20261123T181147.123456Z-INODE-PID.hl7        a message that was
 * refused for its content DIR/rejected/20261123T181147.123456Z-INODE-PID.txt        why
 *
 * A file appears whole and durable, or not at all: it is written unnamed (O_TMPFILE), synced,
 * linked to its name, and the directory is synced. Names are made of time, inode and process, never
 * of content.
 *
 * The link of the file in received/ is the commit point of a message and of all that was rendered
 * of it: its queue entries are linked and synced before, and an entry counts only if the received
 * file it is named after is there. Every step's failure is final for this message: an fsync that
 * failed is never tried again, as Linux marks the pages clean all the same.
 */

#include "base/clock.h"
#include "base/span.h"

/* The longest name, with its NUL. */
#define STORE_NAME_BYTES 96

/* Destinations that one process has open. */
#define STORE_DESTINATIONS_MAX 256

struct store {
	int root, received; /* directory descriptors */
	struct store_queue {
		char *name;
		int fd;
	} * queues; /* owned */
	size_t n_queues;
};

#define STORE_NULL ((struct store){ .root = -1, .received = -1 })

/* Opens the store at `path`, making the directory and received/ where they are missing (mode 0750).
 * 0 or a negative errno. */
int store_open(struct store *s, const char *path);

/* Opens queue/NAME, made where it is missing: each destination that store_commit() is given was
 * opened before. 0 or a negative errno; -E2BIG beyond STORE_DESTINATIONS_MAX. */
int store_open_queue(struct store *s, struct span destination);

void store_close(struct store *s);

/* A rendered message and where it goes. */
struct store_entry {
	struct span destination;
	struct span message;
};

/* Commits a received message and its entries: when this returns 0 all of it is on disk. `ret_name`
 * is its file's name in received/. Any other return is a negative errno, and nothing of it counts:
 * what was linked is removed again. A power cut right behind a failed sync of received/ may bring
 * the message back; it was not acknowledged then. */
int store_commit(struct store *s, struct span message, const struct store_entry *entries,
	size_t n_entries, char ret_name[STORE_NAME_BYTES]);

/* Keeps a refused message with a text that says why. 0 or a negative errno. */
int store_reject(
	struct store *s, struct span message, struct span reason, char ret_name[STORE_NAME_BYTES]);
