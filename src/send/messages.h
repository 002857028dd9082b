/* SPDX-License-Identifier: MIT */
#pragma once

/* The messages to send, all in memory before the first one goes out: bad input is found before it
 * does harm. */

#include "base/buffer.h"

/* In one run. */
#define MESSAGES_MAX ((size_t)10000000)

struct outgoing {
	size_t offset, n;       /* of the message in `bytes`, unframed */
	size_t id_offset, id_n; /* of its MSH-10, counted from the message's begin; where it belongs
				 * when it is not there */
	uint16_t missing_separators; /* to write before an MSH-10 that is not there */
	uint32_t file;               /* index in the input list */
	uint32_t number;             /* in its file, from 1 */
};

struct messages {
	struct buffer bytes;
	struct outgoing *items;
	size_t n, allocated;
};

enum {
	MESSAGES_E_SUCCESS,
	MESSAGES_E_NONE, /* the file has no message */
	MESSAGES_E_TOO_LARGE,
};

void messages_init(struct messages *m);
void messages_deinit(struct messages *m);

/* Adds the messages of a file: 0, a condition or a negative errno. `*ret_skipped` counts its bytes
 * that belong to no message. */
int messages_add(struct messages *m, struct span file, uint32_t file_index, size_t *ret_skipped);

/* The message as it goes on the wire, in a frame, with `id` as its MSH-10 (a null span: its own).
 * Into `out`, which is cleared. 0 or a negative errno. */
int messages_frame(const struct messages *m, size_t i, struct span id, struct buffer *out);

/* Its own MSH-10. */
struct span messages_id(const struct messages *m, size_t i);
