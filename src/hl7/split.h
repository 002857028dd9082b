/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The messages in a file, as they go on the wire: whatever way the file keeps them.
 *
 * A message begins where a segment MSH begins, and ends before the next one. What is framed (VT …
 * FS) is taken byte for byte. Elsewhere LF and CRLF become CR (a lone LF stays where the message
 * has CRs of its own), blank lines at the end go, and the last segment gets its CR. Lines of a
 * batch envelope (FHS, BHS, BTS, FTS), byte order marks and blanks around messages are left out.
 */

#include "base/buffer.h"

enum {
	SPLIT_E_SUCCESS,
	SPLIT_E_END,       /* no further message */
	SPLIT_E_TOO_LARGE, /* the message passes the buffer's maximum; the next call goes on behind
			      it */
};

struct splitter {
	struct span file;
	size_t at;      /* where to go on */
	size_t skipped; /* bytes, other than blanks and batch envelopes, that are part of no message
			 */
};

struct splitter splitter_begin(struct span file);

/* The next message into `out`, which is cleared first; `*ret_offset` is where it begins in the
 * file. 0, a SPLIT_E condition or -ENOMEM. */
int splitter_next(struct splitter *s, struct buffer *out, size_t *ret_offset);
