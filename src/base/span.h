/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A span of bytes: the one string type that crosses modules.
 *
 * It owns nothing and assumes no NUL. A span is valid as long as the memory it was cut from;
 * where that memory can move, keep an offset instead.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

#define SPAN_NULL ((struct span){ NULL, 0 })

/* The bytes of a string literal, without its NUL. */
#define SPAN(literal) ((struct span){ (const uint8_t *)("" literal), sizeof(literal) - 1 })

static inline struct span
span_of(const void *p, size_t n)
{
	return (struct span){ p, n };
}

static inline struct span
span_str(const char *s)
{
	return span_of(s, s ? strlen(s) : 0);
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* What follows the first `n` bytes; empty where there are fewer. */
static inline struct span
span_from(struct span s, size_t n)
{
	return n >= s.n ? span_of(s.p ? s.p + s.n : NULL, 0) : span_of(s.p + n, s.n - n);
}

/* The first `n` bytes, or all where there are fewer. */
static inline struct span
span_first(struct span s, size_t n)
{
	return span_of(s.p, n < s.n ? n : s.n);
}

static inline bool
span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq(span_first(s, prefix.n), prefix);
}

/* The place of the first byte `c`, or the span's length. */
static inline size_t
span_find(struct span s, uint8_t c)
{
	const uint8_t *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

/* Cuts the piece before the next `separator` off `rest`; false when nothing is left to cut.
 * As split() of most languages does it: "a||b" has three pieces, "" has one, which is empty. */
static inline bool
span_cut(struct span *rest, uint8_t separator, struct span *ret_piece)
{
	size_t at;

	if (!rest->p)
		return false;
	at = span_find(*rest, separator);
	*ret_piece = span_first(*rest, at);
	*rest = at < rest->n ? span_of(rest->p + at + 1, rest->n - at - 1) : SPAN_NULL;
	return true;
}
