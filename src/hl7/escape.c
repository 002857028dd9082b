/* SPDX-License-Identifier: MIT */
#include "hl7/escape.h"

/* The letter that stands for a delimiter between two escape characters; 0 for other bytes. */
static char
letter_of(uint8_t c, const struct delimiters *d)
{
	if (c == 0)
		return 0;
	if (c == d->field)
		return 'F';
	if (c == d->component)
		return 'S';
	if (c == d->repetition)
		return 'R';
	if (c == d->escape)
		return 'E';
	if (c == d->subcomponent)
		return 'T';
	if (c == d->truncation)
		return 'P';
	return 0;
}

static uint8_t
delimiter_of(uint8_t letter, const struct delimiters *d)
{
	switch (letter) {
	case 'F': return d->field;
	case 'S': return d->component;
	case 'R': return d->repetition;
	case 'E': return d->escape;
	case 'T': return d->subcomponent;
	case 'P': return d->truncation;
	default: return 0;
	}
}

/* Bytes that end a segment or a frame, whoever reads it. */
static bool
is_breaking(uint8_t c)
{
	return c == '\r' || c == '\n' || c == 0x0B || c == 0x1C;
}

static int
append_sequence(struct buffer *out, const struct delimiters *to, struct span body)
{
	int r = buffer_reserve(out, body.n + 2);

	if (r)
		return r;
	(void)buffer_append_byte(out, to->escape);
	(void)buffer_append(out, body);
	(void)buffer_append_byte(out, to->escape);
	return 0;
}

/* One byte of data. Without an escape character to write with, what cannot stand becomes a blank.
 */
static int
append_data(struct buffer *out, uint8_t c, const struct delimiters *to)
{
	static const char hex[] = "0123456789ABCDEF";
	uint8_t letter = (uint8_t)letter_of(c, to);
	const uint8_t x[3] = { 'X', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15] };

	/* other control characters may switch character sets or steer a terminal */
	if (!letter && (c >= ' ' || c == '\t') && c != 0x7F)
		return buffer_append_byte(out, c);
	if (!to->escape)
		return buffer_append_byte(out, ' ');
	return append_sequence(out, to, letter ? span_of(&letter, 1) : span_of(x, sizeof(x)));
}

int
escape_text(struct buffer *out, struct span text, const struct delimiters *to)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < text.n; i++)
		r = append_data(out, text.p[i], to);
	return r;
}

/* What may follow an escape character as a sequence: F S R E T P H N alone, or X C M Z and '.' with
 * more, but no structure. Everything else ("4\5", a path with backslashes) is a lone escape
 * character. */
static bool
is_sequence(struct span body, const struct delimiters *d)
{
	size_t i;

	if (body.n == 0)
		return false;
	for (i = 0; i < body.n; i++)
		if (is_breaking(body.p[i]) || letter_of(body.p[i], d))
			return false;
	if (body.n == 1)
		return memchr("FSRETPHN", body.p[0], 8) != NULL;
	return memchr("XCMZ.", body.p[0], 5) != NULL;
}

/* The body of the escape sequence that `s` starts with; an empty span when it starts with none. */
static struct span
sequence_at(struct span s, const struct delimiters *d)
{
	struct span body;
	size_t end;

	if (!d->escape || s.n == 0 || s.p[0] != d->escape)
		return SPAN_NULL;
	s = span_from(s, 1);
	end = span_find(s, d->escape);
	body = span_first(s, end);
	return end < s.n && is_sequence(body, d) ? body : SPAN_NULL;
}

static uint8_t
structure_of(
	uint8_t c, const struct delimiters *from, const struct delimiters *to, bool with_fields)
{
	if (c == 0)
		return 0;
	if (c == from->component)
		return to->component;
	if (c == from->repetition)
		return to->repetition;
	if (c == from->subcomponent)
		return to->subcomponent;
	if (with_fields && c == from->field)
		return to->field;
	return 0;
}

/* A sequence that holds a delimiter of the target cannot stand there: it is written as the text it
 * was. */
static int
append_as_text(struct buffer *out, struct span body, const struct delimiters *from,
	const struct delimiters *to)
{
	int r = append_data(out, from->escape, to);

	if (r == 0)
		r = escape_text(out, body, to);
	return r ? r : append_data(out, from->escape, to);
}

/* A sequence of the source: a delimiter's letter is data, all else is carried over. */
static int
translate_sequence(struct buffer *out, struct span body, const struct delimiters *from,
	const struct delimiters *to)
{
	uint8_t c = body.n == 1 ? delimiter_of(body.p[0], from) : 0;
	size_t i;

	if (c)
		return append_data(out, c, to);
	for (i = 0; i < body.n; i++)
		if (letter_of(body.p[i], to))
			return append_as_text(out, body, from, to);
	return append_sequence(out, to, body);
}

static int
translate_byte(struct buffer *out, uint8_t c, const struct delimiters *from,
	const struct delimiters *to, bool with_fields)
{
	uint8_t structure = structure_of(c, from, to, with_fields);

	return structure ? buffer_append_byte(out, structure) : append_data(out, c, to);
}

/* The same delimiters: only what would break a segment or a frame is touched. */
static int
copy(struct buffer *out, struct span part, const struct delimiters *to)
{
	size_t i, from = 0;
	int r = 0;

	for (i = 0; r == 0 && i < part.n; i++) {
		if (part.p[i] >= ' ' || !is_breaking(part.p[i]))
			continue;
		r = buffer_append(out, span_of(part.p + from, i - from));
		if (r == 0)
			r = append_data(out, part.p[i], to);
		from = i + 1;
	}
	return r ? r : buffer_append(out, span_from(part, from));
}

static int
translate(struct buffer *out, struct span part, const struct delimiters *from,
	const struct delimiters *to, bool with_fields)
{
	struct span body;
	int r = 0;

	if (from == to || delimiters_equal(from, to))
		return copy(out, part, to);
	while (r == 0 && part.n > 0) {
		body = sequence_at(part, from);
		r = body.n ? translate_sequence(out, body, from, to)
			   : translate_byte(out, part.p[0], from, to, with_fields);
		part = span_from(part, body.n ? body.n + 2 : 1);
	}
	return r;
}

int
escape_translate(struct buffer *out, struct span part, const struct delimiters *from,
	const struct delimiters *to)
{
	return translate(out, part, from, to, false);
}

int
escape_translate_segment(struct buffer *out, struct span segment, const struct delimiters *from,
	const struct delimiters *to)
{
	return translate(out, segment, from, to, true);
}

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether an \Xdd..\ body has an even, positive number of hexadecimal digits. */
static bool
is_hex(struct span body)
{
	size_t i;

	if (body.n < 3 || body.n % 2 == 0 || body.p[0] != 'X')
		return false;
	for (i = 1; i < body.n; i++)
		if (hex_digit(body.p[i]) < 0)
			return false;
	return true;
}

static bool
is_opaque(struct span body, const struct delimiters *d)
{
	return body.n > 0 && !(body.n == 1 && delimiter_of(body.p[0], d)) && !is_hex(body);
}

bool
escape_cut_run(
	struct span *rest, const struct delimiters *d, struct span *ret_run, bool *ret_opaque)
{
	struct span s = *rest, body = sequence_at(s, d);
	size_t n = 0;

	*ret_opaque = is_opaque(body, d);
	while (n < s.n && is_opaque(body, d) == *ret_opaque) {
		n += body.n ? body.n + 2 : 1;
		if (*ret_opaque)
			break;
		body = sequence_at(span_from(s, n), d);
	}
	*ret_run = span_first(s, n);
	*rest = span_from(s, n);
	return n > 0;
}

static int
decode_sequence(struct buffer *out, struct span body, const struct delimiters *from)
{
	uint8_t c = body.n == 1 ? delimiter_of(body.p[0], from) : 0;
	size_t i;
	int r = 0;

	if (c)
		return buffer_append_byte(out, c);
	if (!is_hex(body))
		return append_sequence(out, from, body);
	for (i = 1; r == 0 && i < body.n; i += 2)
		r = buffer_append_byte(out, (uint8_t)((unsigned)hex_digit(body.p[i]) << 4 |
						      (unsigned)hex_digit(body.p[i + 1])));
	return r;
}

int
escape_decode(struct buffer *out, struct span part, const struct delimiters *from)
{
	struct span body;
	int r = 0;

	while (r == 0 && part.n > 0) {
		body = sequence_at(part, from);
		r = body.n ? decode_sequence(out, body, from) : buffer_append_byte(out, part.p[0]);
		part = span_from(part, body.n ? body.n + 2 : 1);
	}
	return r;
}
