/* SPDX-License-Identifier: MIT */
#include "send/messages.h"
#include "base/vector.h"
#include "cli/input.h"
#include "hl7/message.h"
#include "hl7/split.h"
#include "mllp/frame.h"

#include <errno.h>
#include <stdlib.h>

#define CONTROL_ID_FIELD 10

void
messages_init(struct messages *m)
{
	*m = (struct messages){ .bytes = BUFFER_INIT(INPUT_BYTES_MAX) };
}

void
messages_deinit(struct messages *m)
{
	buffer_deinit(&m->bytes);
	free(m->items);
}

/* Where MSH-10 stands in the header segment, or would stand. */
static void
find_id(struct span message, struct outgoing *o)
{
	struct span header = span_first(message, span_find(message, '\r')), rest, piece;
	uint8_t separator = message.p[3];
	size_t piece_number = 0;

	rest = header;
	/* the piece at place 0 is "MSH", and MSH-1 is the separator: MSH-10 is at place 9 */
	while (piece_number < CONTROL_ID_FIELD && span_cut(&rest, separator, &piece))
		piece_number++;
	o->missing_separators = (uint16_t)(CONTROL_ID_FIELD - piece_number);
	o->id_n = o->missing_separators ? 0 : piece.n;
	o->id_offset = o->missing_separators ? header.n : (size_t)(piece.p - message.p);
}

static int
add(struct messages *m, struct span message, uint32_t file, uint32_t number)
{
	struct outgoing o = {
		.offset = m->bytes.n, .n = message.n, .file = file, .number = number
	};

	if (m->n == MESSAGES_MAX)
		return MESSAGES_E_TOO_LARGE;
	find_id(message, &o);
	if (!VECTOR_APPEND(m, o))
		return -ENOMEM;
	return buffer_append(&m->bytes, message) == BUFFER_E_FULL ? MESSAGES_E_TOO_LARGE : 0;
}

int
messages_add(struct messages *m, struct span file, uint32_t file_index, size_t *ret_skipped)
{
	struct splitter s = splitter_begin(file);
	struct buffer message = BUFFER_INIT(INPUT_BYTES_MAX);
	uint32_t number = 0;
	size_t offset;
	int r;

	for (;;) {
		r = splitter_next(&s, &message, &offset);
		if (r)
			break;
		r = add(m, buffer_span(&message), file_index, ++number);
		if (r)
			break;
	}
	buffer_deinit(&message);
	*ret_skipped = s.skipped;
	if (r < 0 || r == MESSAGES_E_TOO_LARGE)
		return r;
	return number == 0 ? MESSAGES_E_NONE : 0;
}

static struct span
message_at(const struct messages *m, size_t i)
{
	return span_of(m->bytes.p + m->items[i].offset, m->items[i].n);
}

struct span
messages_id(const struct messages *m, size_t i)
{
	return span_first(span_from(message_at(m, i), m->items[i].id_offset), m->items[i].id_n);
}

int
messages_frame(const struct messages *m, size_t i, struct span id, struct buffer *out)
{
	const struct outgoing *o = &m->items[i];
	struct span message = message_at(m, i);
	size_t missing = id.p ? o->missing_separators : 0;
	int r;

	if (!id.p)
		id = messages_id(m, i);
	buffer_clear(out);
	r = buffer_reserve(out, message.n + missing + id.n + 3);
	if (r)
		return r < 0 ? r : -EFBIG;
	(void)buffer_append_byte(out, FRAME_VT);
	(void)buffer_append(out, span_first(message, o->id_offset));
	while (missing-- > 0)
		(void)buffer_append_byte(out, message.p[3]);
	(void)buffer_append(out, id);
	(void)buffer_append(out, span_from(message, o->id_offset + o->id_n));
	(void)buffer_append_byte(out, FRAME_FS);
	(void)buffer_append_byte(out, FRAME_CR);
	return 0;
}
