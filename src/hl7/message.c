/* SPDX-License-Identifier: MIT */
#include "hl7/message.h"

#include <errno.h>
#include <stdlib.h>

#define SEGMENTS_FIRST ((size_t)64)

static const struct span byte_order_mark = { (const uint8_t *)"\xEF\xBB\xBF", 3 };

/* Piece `n` (from 1) of a span, cut at `separator`; 0 is no separator. */
static struct span
nth_piece(struct span whole, uint8_t separator, size_t n)
{
	struct span rest = whole, piece = SPAN_NULL;

	if (!separator)
		return n == 1 ? whole : SPAN_NULL;
	while (n > 0 && span_cut(&rest, separator, &piece))
		n--;
	return n == 0 ? piece : SPAN_NULL;
}

struct span
field_repetition(struct span field, const struct delimiters *d, size_t n)
{
	return nth_piece(field, d->repetition, n);
}

struct span
repetition_component(struct span repetition, const struct delimiters *d, size_t n)
{
	return nth_piece(repetition, d->component, n);
}

struct span
component_subcomponent(struct span component, const struct delimiters *d, size_t n)
{
	return nth_piece(component, d->subcomponent, n);
}

bool
segment_is_header(struct span segment)
{
	return span_starts(segment, SPAN("MSH")) || span_starts(segment, SPAN("FHS")) ||
		span_starts(segment, SPAN("BHS"));
}

static bool
is_msh(struct span segment)
{
	struct delimiters d;

	return span_starts(segment, SPAN("MSH")) && delimiters_parse(segment, &d) == 0;
}

static int
append_segment(struct message *m, size_t offset, size_t n)
{
	struct segment *grown;
	size_t wanted = m->n_allocated ? m->n_allocated * 2 : SEGMENTS_FIRST;

	if (m->n_segments == MESSAGE_SEGMENTS_MAX)
		return MESSAGE_E_TOO_MANY_SEGMENTS;
	if (m->n_segments == m->n_allocated) {
		grown = reallocarray(m->segments, wanted, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		m->segments = grown;
		m->n_allocated = wanted;
	}
	m->segments[m->n_segments++] = (struct segment){ (uint32_t)offset, (uint32_t)n };
	return 0;
}

static int
add_segment(struct message *m, struct span segment)
{
	int r = append_segment(m, (size_t)(segment.p - m->bytes.p), segment.n);

	/* "MSHA…" or a bare "MSH" is no header: nothing in it could be read */
	if (r || !is_msh(segment))
		return r;
	if (m->n_headers++ == 0) {
		m->header = m->n_segments - 1;
		(void)delimiters_parse(segment, &m->delimiters);
	}
	return 0;
}

static struct span
skip_preamble(struct span bytes)
{
	bool skipped = true;

	while (skipped) {
		skipped = false;
		if (span_starts(bytes, byte_order_mark)) {
			bytes = span_from(bytes, byte_order_mark.n);
			skipped = true;
		} else if (bytes.n && (bytes.p[0] == '\r' || bytes.p[0] == '\n')) {
			bytes = span_from(bytes, 1);
			skipped = true;
		}
	}
	return bytes;
}

int
message_parse(struct message *m, struct span bytes)
{
	struct span rest = skip_preamble(bytes), segment;
	uint8_t end = span_find(rest, '\r') < rest.n ? '\r' : '\n';
	int r;

	*m = (struct message){ .bytes = bytes, .preamble_bytes = bytes.n - rest.n };
	if (bytes.n > UINT32_MAX)
		return -EFBIG;
	while (span_cut(&rest, end, &segment)) {
		if (end == '\r' && span_starts(segment, SPAN("\n")))
			segment = span_from(segment, 1);
		if (segment.n == 0)
			continue;
		r = add_segment(m, segment);
		if (r)
			return r;
	}
	return m->n_headers == 0 ? MESSAGE_E_NO_HEADER : 0;
}

void
message_deinit(struct message *m)
{
	free(m->segments);
	*m = MESSAGE_NULL;
}

struct span
message_segment(const struct message *m, size_t i)
{
	return span_of(m->bytes.p + m->segments[i].offset, m->segments[i].n);
}

struct span
message_segment_name(const struct message *m, size_t i)
{
	struct span segment = message_segment(m, i);

	if (segment_is_header(segment))
		return span_first(segment, 3);
	return span_first(segment, span_find(segment, m->delimiters.field));
}

struct span
message_field(const struct message *m, size_t i, size_t field)
{
	struct span segment = message_segment(m, i);

	if (field == 0)
		return SPAN_NULL;
	if (!segment_is_header(segment))
		return nth_piece(segment, m->delimiters.field, field + 1);
	if (field == 1)
		return segment.n > 3 ? span_of(segment.p + 3, 1) : SPAN_NULL;
	return nth_piece(segment, m->delimiters.field, field);
}

struct span
message_header_field(const struct message *m, size_t field)
{
	return message_field(m, m->header, field);
}

static bool
is_line_end(uint8_t c)
{
	return c == '\r' || c == '\n';
}

/* Cuts the bytes before the next run of line ends off `rest`, and the run with it. */
static bool
cut_line(struct span *rest, struct span *ret_line)
{
	struct span s = *rest;
	size_t end = 0, next;

	if (!s.p)
		return false;
	while (end < s.n && !is_line_end(s.p[end]))
		end++;
	next = end;
	while (next < s.n && is_line_end(s.p[next]))
		next++;
	*ret_line = span_first(s, end);
	*rest = end < s.n ? span_of(s.p + next, s.n - next) : SPAN_NULL;
	return true;
}

struct span
message_line(const struct message *m, size_t line)
{
	struct span rest = m->bytes, piece = SPAN_NULL;
	size_t i;

	for (i = 0; i <= line; i++)
		if (!cut_line(&rest, &piece))
			return SPAN_NULL;
	return piece;
}

struct span
message_position(const struct message *m, size_t line, size_t piece)
{
	return nth_piece(message_line(m, line), m->delimiters.field, piece + 1);
}
