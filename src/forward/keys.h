/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The keys of messages that wait, so that each is read once and not with every way through the
 * queue. A way through the queue asks for them, and notes them, in the order of the entries. Pure;
 * without memory nothing is known, which costs a reading.
 */

#include "store/name.h"

struct keys_item {
	struct store_entry_name entry;
	uint8_t key[16];
};

struct keys_list {
	struct keys_item *items;
	size_t n, allocated;
};

struct keys {
	struct keys_list known; /* of the last pass, in the order of the entries */
	struct keys_list next;  /* of this one, so far */
	size_t at;              /* those of `known` before it were passed */
};

void keys_deinit(struct keys *k);

/* The key of an entry, if it is known: behind the entry that was asked for before. */
bool keys_find(struct keys *k, const struct store_entry_name *entry, uint8_t ret[16]);

/* The entry in hand waits, and this is its key. */
void keys_note(struct keys *k, const struct store_entry_name *entry, const uint8_t key[16]);

/* The pass is over: what was noted, and what lies behind its end, is what is known next. */
void keys_end_pass(struct keys *k);
