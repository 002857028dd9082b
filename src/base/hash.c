/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <stdio.h>

static uint64_t
rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void
rounds(uint64_t v[4], unsigned n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

static uint64_t
load_word(const uint8_t *p)
{
	uint64_t word = 0;
	unsigned i;

	for (i = 0; i < 8; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

static void
store_word(uint64_t word, uint8_t *p)
{
	unsigned i;

	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(word >> (8 * i));
}

static void
absorb(struct hash *h, uint64_t word)
{
	h->v[3] ^= word;
	rounds(h->v, 2);
	h->v[0] ^= word;
}

/* The key is that of the authors' test vectors: bytes 0 to 15. */
void
hash_init(struct hash *h)
{
	const uint64_t k0 = 0x0706050403020100U, k1 = 0x0F0E0D0C0B0A0908U;

	*h = (struct hash){ .v = {
				    0x736F6D6570736575U ^ k0,
				    0x646F72616E646F6DU ^ k1 ^ 0xEE,
				    0x6C7967656E657261U ^ k0,
				    0x7465646279746573U ^ k1,
			    } };
}

void
hash_add(struct hash *h, struct span bytes)
{
	size_t held = h->n % 8, take;

	h->n += bytes.n;
	if (held > 0) {
		take = bytes.n < 8 - held ? bytes.n : 8 - held;
		if (take > 0)
			memcpy(h->tail + held, bytes.p, take);
		bytes = span_from(bytes, take);
		if (held + take < 8)
			return;
		absorb(h, load_word(h->tail));
	}
	for (; bytes.n >= 8; bytes = span_from(bytes, 8))
		absorb(h, load_word(bytes.p));
	if (bytes.n > 0)
		memcpy(h->tail, bytes.p, bytes.n);
}

void
hash_add_piece(struct hash *h, struct span bytes)
{
	uint8_t length[8];

	store_word(bytes.n, length);
	hash_add(h, span_of(length, sizeof(length)));
	hash_add(h, bytes);
}

void
hash_end(struct hash *h, uint8_t ret[16])
{
	uint8_t last[8] = { 0 };

	memcpy(last, h->tail, h->n % 8);
	last[7] = (uint8_t)h->n;
	absorb(h, load_word(last));
	h->v[2] ^= 0xEE;
	rounds(h->v, 4);
	store_word(h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3], ret);
	h->v[1] ^= 0xDD;
	rounds(h->v, 4);
	store_word(h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3], ret + 8);
}

void
hash_end_hex(struct hash *h, char ret[HASH_HEX_BYTES])
{
	uint8_t bytes[16];
	size_t i;

	hash_end(h, bytes);
	for (i = 0; i < sizeof(bytes); i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}
