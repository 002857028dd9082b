/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Keys whose first message waits to be tried again: messages of the same key wait behind it.
 * Without Key= all messages have the same one. Pure.
 */

#include "base/clock.h"
#include "base/span.h"
#include "store/name.h"

/* More than this many at once, and all messages wait. */
#define HOLDS_MAX 1000

struct hold {
	uint8_t key[16];               /* a hash of the key's value */
	struct store_entry_name entry; /* that waits */
	uint64_t pass;                 /* through the queue, in which it was last seen */
	uint64_t n_tries;
	uint64_t n_errors, n_rejects; /* of the tries: answers AE or CE, AR or CR */
	usec_t due_usec;              /* CLOCK_MONOTONIC */
};

struct holds {
	struct hold items[HOLDS_MAX];
	size_t n;
};

/* NULL where the key is free. Valid until a hold is removed. */
struct hold *holds_find(struct holds *h, const uint8_t key[16]);

/* Adds one that was not tried yet; NULL when there are HOLDS_MAX. */
struct hold *holds_add(struct holds *h, const uint8_t key[16]);
void holds_remove(struct holds *h, struct hold *hold);

/* Removes those that were not seen in this pass: their entries are gone. */
void holds_forget(struct holds *h, uint64_t pass);

/* When the first of them is due; DEADLINE_NEVER without any. */
usec_t holds_first_due(const struct holds *h);

/* The same of those that were seen in this pass. */
usec_t holds_first_due_seen(const struct holds *h, uint64_t pass);
