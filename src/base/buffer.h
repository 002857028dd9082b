/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A byte buffer that grows up to a hard maximum, and never beyond.
 *
 * Not for sharing: one owner, no views that outlive a growth (a growth may move the bytes).
 */

#include "base/span.h"

enum {
	BUFFER_E_SUCCESS,
	BUFFER_E_FULL, /* the maximum would be passed; nothing was changed */
};

struct buffer {
	uint8_t *p;
	size_t n;         /* bytes in use */
	size_t allocated; /* bytes owned */
	size_t max;       /* bytes it may ever own */
};

#define BUFFER_INIT(max_bytes) ((struct buffer){ .max = (max_bytes) })

/* Frees the memory; the buffer is empty and usable again. */
void buffer_deinit(struct buffer *b);

/* Makes room for `n` more bytes behind those in use: 0, BUFFER_E_FULL or -ENOMEM. */
int buffer_reserve(struct buffer *b, size_t n);

/* Appends bytes: 0, BUFFER_E_FULL or -ENOMEM. The bytes may not lie in the buffer itself. */
int buffer_append(struct buffer *b, struct span bytes);
/* The growing half of buffer_append_byte(). */
int buffer_append_byte_slow(struct buffer *b, uint8_t byte);

static inline int
buffer_append_byte(struct buffer *b, uint8_t byte)
{
	if (b->n == b->allocated)
		return buffer_append_byte_slow(b, byte);
	b->p[b->n++] = byte;
	return 0;
}

/* Removes the first `n` bytes (n <= b->n); what is behind them moves to the front. */
void buffer_drop_front(struct buffer *b, size_t n);

static inline struct span
buffer_span(const struct buffer *b)
{
	return span_of(b->p, b->n);
}

static inline void
buffer_clear(struct buffer *b)
{
	b->n = 0;
}
