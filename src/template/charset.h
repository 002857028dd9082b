/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Character sets of messages: table 0211's names and those found in the field, through the C
 * library's iconv(3). A template's text is UTF-8; so a message is brought to UTF-8 before it is
 * rendered, and what is rendered to the target's set behind it.
 *
 * Nothing here runs unless a template asks with {charset}. iconv reads the C library's conversion
 * modules, when it is first asked for a set: see charset_load().
 */

#include "base/buffer.h"
#include "hl7/delimiters.h"

enum {
	CHARSET_E_SUCCESS,
	CHARSET_E_UNKNOWN,     /* no known name, or a set that MLLP cannot carry (UTF-16, UTF-32) */
	CHARSET_E_UNAVAILABLE, /* the C library here has no conversion for it */
	CHARSET_E_CHARACTER,   /* a byte is no character of the source, or the target lacks it */
};

struct charset {
	const char *name; /* of table 0211, where it has one */
	const char *iconv;
	bool iso_2022; /* switched by escape sequences, also as HL7's \Cxxyy\ and \Mxxyyzz\ */
};

/* The set a name means, case and separators aside; NULL when it is not known. */
const struct charset *charset_find(struct span name);

/* The set of a message whose MSH-18 is this: 0, CHARSET_E_UNKNOWN. The first repetition counts, but
 * for sets that ISO 2022 switches between, which may be named in any. An empty one is ASCII; as
 * many senders that do not say so send UTF-8, that is what it is read as. */
int charset_of_message(struct span msh_18, const struct delimiters *d, const struct charset **ret);

/* Appends `bytes` as UTF-8. With CHARSET_E_CHARACTER `*ret_at` is the offset of what is no
 * character. With a substitute (not NULL) such a byte is replaced by it instead. 0, a condition,
 * BUFFER_E_FULL folded to -EFBIG, or -ENOMEM. */
int charset_decode(const struct charset *c, struct span bytes, const struct delimiters *d,
	const struct span *substitute, struct buffer *out, size_t *ret_at);

/* The way back: from UTF-8. The substitute must be of the target's set. */
int charset_encode(const struct charset *c, struct span text, const struct span *substitute,
	struct buffer *out, size_t *ret_at);

/* The C library's modules for all known sets, kept in memory: for a process that can open no file
 * later. About a millisecond; a set that is not there then stays CHARSET_E_UNAVAILABLE. */
#define CHARSETS_MAX 32
struct charset_modules {
	void *open[CHARSETS_MAX]; /* of iconv_open(3) */
	size_t n;
};
void charset_load(struct charset_modules *ret);
void charset_unload(struct charset_modules *modules);
