/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The store: received messages as plain files. The only module that calls fsync and linkat.
 *
 *   DIR/received/20261123T181147.123456Z-INODE-PID.hl7    the payload of a frame, byte for byte
 *
 * A file appears whole and durable, or not at all: it is written unnamed (O_TMPFILE), synced, linked to
 * its name, and the directory is synced. Names are made of time, inode and process, never of content.
 * Every step's failure is final for this message: an fsync that failed is never tried again, as Linux
 * marks the pages clean all the same.
 */

#include "base/clock.h"
#include "base/span.h"

/* The longest name, with its NUL. */
#define STORE_NAME_BYTES 64

struct store {
	int received; /* directory descriptor */
};

#define STORE_NULL ((struct store){ .received = -1 })

/* Opens the store at `path`, making the directory and those in it where they are missing (mode 0750).
 * 0 or a negative errno. */
int store_open(struct store *s, const char *path);
void store_close(struct store *s);

/* Commits a received message: when this returns 0 it is on disk. `ret_name` is its file's name in received/.
 * Any other return is a negative errno, and the message is not there, but for a failed sync of the directory:
 * then it may be, and a resend makes a second file; never is one lost that 0 was returned for. */
int store_commit(struct store *s, struct span message, char ret_name[STORE_NAME_BYTES]);
