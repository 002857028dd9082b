/* SPDX-License-Identifier: MIT */
#include "hl7/message.h"

#include <errno.h>
#include <stdlib.h>

#define SEGMENTS_FIRST ((size_t)64)

static const struct span byte_order_mark = { (const uint8_t *)"\xEF\xBB\xBF", 3 };

/* Where the n-th (from 1) `separator` stands, from `from` on; the span's length where there are
 * fewer. Most fields are a few bytes long, so bytes are looked at one by one; only a long stretch
 * is left to memchr(). */
static size_t
find_nth(struct span s, uint8_t separator, size_t from, size_t n)
{
	size_t i = from, stretch = from + 64;

	for (; i < s.n; i++) {
		if (s.p[i] == separator) {
			if (--n == 0)
				return i;
			stretch = i + 64;
		} else if (i == stretch) {
			i += span_find(span_from(s, i), separator) - 1;
			stretch = i + 64;
		}
	}
	return s.n;
}

/* Piece `n` (from 1) of a span, cut at `separator`; 0 is no separator. */
static struct span
nth_piece(struct span whole, uint8_t separator, size_t n)
{
	size_t begin = 0, end;

	if (!separator || n == 0)
		return n == 1 ? whole : SPAN_NULL;
	if (n > 1)
		begin = find_nth(whole, separator, 0, n - 1) + 1;
	if (begin > whole.n || !whole.p)
		return SPAN_NULL;
	end = find_nth(whole, separator, begin, 1);
	return span_of(whole.p + begin, end - begin);
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
	if (segment.n < 4 || !is_delimiter(segment.p[3]))
		return false;
	return memcmp(segment.p, "MSH", 3) == 0 || memcmp(segment.p, "FHS", 3) == 0 ||
	       memcmp(segment.p, "BHS", 3) == 0;
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

static bool
is_margin(uint8_t c)
{
	return c == '\r' || c == '\n' || c == ' ' || c == '\t' || c == 0;
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
		} else if (bytes.n && is_margin(bytes.p[0])) {
			bytes = span_from(bytes, 1);
			skipped = true;
		}
	}
	return bytes;
}

/* The byte that ends segments: LF only where no CR stands between two of them; line ends behind the
 * last one do not count. */
static uint8_t
segment_end(struct span s)
{
	while (s.n && (s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
		s.n--;
	return span_find(s, '\r') < s.n ? '\r' : '\n';
}

static int
add_line(struct message *m, struct span line)
{
	if (span_starts(line, SPAN("\n")))
		line = span_from(line, 1);
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line.n ? add_segment(m, line) : 0;
}

/* The place of an LF behind which a segment begins: a name and the message's field separator. */
static size_t
find_segment_behind_lf(struct span line, uint8_t separator)
{
	size_t at = span_find(line, '\n'), i;

	while (at + 4 < line.n) {
		for (i = 1; i < 4; i++)
			if (!(line.p[at + i] >= 'A' && line.p[at + i] <= 'Z') &&
				!(i > 1 && line.p[at + i] >= '0' && line.p[at + i] <= '9'))
				break;
		if (i == 4 && line.p[at + 4] == separator)
			return at;
		at += 1 + span_find(span_from(line, at + 1), '\n');
	}
	return line.n;
}

/* A header line. Where an LF in it begins another segment, the sender has mixed LF and CR, and what
 * follows must not be taken for fields of the header. */
static int
add_header_line(struct message *m, struct span line)
{
	struct span rest = SPAN_NULL, part;
	size_t at = find_segment_behind_lf(line, line.p[3]);
	int r = add_line(m, span_first(line, at));

	if (at < line.n)
		rest = span_from(line, at + 1);
	while (r == 0 && span_cut(&rest, '\n', &part))
		r = add_line(m, part);
	return r;
}

static int
add_segments(struct message *m, struct span rest, uint8_t end)
{
	struct span line;
	int r = 0;

	while (r == 0 && span_cut(&rest, end, &line))
		r = end == '\r' && is_msh(line) ? add_header_line(m, line) : add_line(m, line);
	return r;
}

int
message_parse(struct message *m, struct span bytes)
{
	struct span rest = skip_preamble(bytes);
	int r;

	*m = (struct message){ .bytes = bytes, .preamble_bytes = bytes.n - rest.n };
	if (bytes.n > UINT32_MAX)
		return -EFBIG;
	r = add_segments(m, rest, segment_end(rest));
	if (r)
		return r;
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

void
message_cut_fields(const struct message *m, size_t i, struct segment_fields *ret)
{
	struct span segment = message_segment(m, i);
	uint8_t separator = m->delimiters.field;
	size_t at = find_nth(segment, separator, 0, 1), end;

	ret->n = 0;
	if (segment_is_header(segment))
		ret->fields[ret->n++] = message_field(m, i, 1);
	while (at < segment.n && ret->n < MESSAGE_FIELDS_CUT) {
		end = find_nth(segment, separator, at + 1, 1);
		ret->fields[ret->n++] = span_of(segment.p + at + 1, end - at - 1);
		at = end;
	}
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
