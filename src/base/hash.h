/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * SipHash-2-4 with 128 bits of result (Aumasson, Bernstein: SipHash, a fast short-input PRF).
 *
 * For finding bytes that were seen before. Its key here is fixed, so whoever chooses the bytes may
 * look for two with the same hash: who finds one must compare the bytes themselves.
 */

#include "base/span.h"

#define HASH_HEX_BYTES (32 + 1) /* with its NUL */

struct hash {
	uint64_t v[4];
	uint8_t tail[8]; /* bytes that wait for their word to be whole */
	size_t n;        /* bytes in all */
};

void hash_init(struct hash *h);
void hash_add(struct hash *h, struct span bytes);

/* Adds the length as well, so that ("ab", "c") and ("a", "bc") differ. */
void hash_add_piece(struct hash *h, struct span bytes);

void hash_end(struct hash *h, uint8_t ret[16]);

/* The same as 32 hexadecimal digits. */
void hash_end_hex(struct hash *h, char ret[HASH_HEX_BYTES]);
