/* SPDX-License-Identifier: MIT */
#pragma once

/* Which messages are old enough to go. Computes only; store/expire.h does it. */

#include "store/stems.h"

/* A file younger than this stays whatever the rules say: what is being done with it takes seconds.
 */
#define RETENTION_LEAST_USEC (3600 * USEC_PER_SEC)

struct retention_rules {
	usec_t keep_usec;   /* 0: for ever */
	uint64_t max_bytes; /* of all of them; 0: any */
};

struct retention_file {
	struct store_stem stem;
	uint64_t inode;
	uint64_t bytes; /* counted only where max_bytes is set */
};

/* Chooses the files to remove, brings them to the front, and returns how many they are. One goes
 * when it is older than RETENTION_LEAST_USEC and not among those that are `held`, and is older than
 * keep_usec, or the oldest left while all have more than max_bytes. */
size_t retention_choose(struct retention_file *files, size_t n, const struct retention_rules *rules,
	const struct stems *held, usec_t now);

/* By inode, and the file with this one, of a part sorted so; NULL when there is none. */
void retention_sort_by_inode(struct retention_file *files, size_t n);
struct retention_file *retention_find(struct retention_file *files, size_t n, uint64_t inode);
