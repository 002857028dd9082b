/* SPDX-License-Identifier: MIT */
#include "hl7/split.h"
#include "hl7/delimiters.h"

#define VT 0x0B
#define FS 0x1C

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0 || c == VT || c == FS;
}

static bool
is_header(struct span s, struct span name)
{
	struct delimiters d;

	return span_starts(s, name) && delimiters_parse(span_first(s, 16), &d) == 0;
}

/* Whether a segment can begin at `at`: at the start, behind a line end or a frame byte; a byte
 * order mark and blanks may stand in between. */
static bool
begins_segment(struct span file, size_t at)
{
	if (at >= 3 && memcmp(file.p + at - 3, "\xEF\xBB\xBF", 3) == 0)
		at -= 3;
	while (at > 0 && (file.p[at - 1] == ' ' || file.p[at - 1] == '\t'))
		at--;
	return at == 0 || file.p[at - 1] == '\r' || file.p[at - 1] == '\n' ||
	       file.p[at - 1] == VT || file.p[at - 1] == FS;
}

/* Where the next message begins, from `from` on; the span's length without one. */
static size_t
find_message(struct span file, size_t from)
{
	const uint8_t *p;
	size_t at = from;

	while (at < file.n) {
		p = memmem(file.p + at, file.n - at, "MSH", 3);
		if (!p)
			return file.n;
		at = (size_t)(p - file.p);
		if (begins_segment(file, at) && is_header(span_from(file, at), SPAN("MSH")))
			return at;
		at += 3;
	}
	return file.n;
}

static bool
is_envelope(struct span line)
{
	return is_header(line, SPAN("FHS")) || is_header(line, SPAN("BHS")) ||
	       span_starts(line, SPAN("BTS")) || span_starts(line, SPAN("FTS"));
}

static size_t
last_line(struct span s)
{
	size_t at = s.n;

	while (at > 0 && s.p[at - 1] != '\r' && s.p[at - 1] != '\n')
		at--;
	return at;
}

static struct span
trim_end(struct span s)
{
	while (s.n > 0 && (s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
		s.n--;
	return s;
}

/* Whether a line holds only blanks and byte order marks, as they stand before the next message. */
static bool
is_margin(struct span line)
{
	size_t i;

	for (i = 0; i < line.n; i++)
		if (!is_blank(line.p[i]) && !memchr("\xEF\xBB\xBF", line.p[i], 3))
			return false;
	return line.n > 0;
}

/* Without line ends and lines of a batch envelope behind it. */
static struct span
trim_envelope(struct span message)
{
	struct span s = trim_end(message), line;

	for (;;) {
		line = span_from(s, last_line(s));
		if (!is_envelope(line) && !is_margin(line))
			return s;
		s = trim_end(span_first(s, s.n - line.n));
	}
}

static struct span
until_frame_byte(struct span s)
{
	s = span_first(s, span_find(s, FS));
	return span_first(s, span_find(s, VT));
}

/* CRLF: line by line. */
static int
append_lines(struct buffer *out, struct span rest)
{
	struct span line;
	int r = 0;

	while (r == 0 && span_cut(&rest, '\r', &line)) {
		if (span_starts(line, SPAN("\n")))
			line = span_from(line, 1);
		r = buffer_append(out, line);
		if (r == 0)
			r = buffer_append_byte(out, '\r');
	}
	return r;
}

static void
replace_lf(uint8_t *p, size_t n)
{
	uint8_t *at;

	while (n > 0 && (at = memchr(p, '\n', n))) {
		*at = '\r';
		n -= (size_t)(at - p) + 1;
		p = at + 1;
	}
}

static int
append_bare(struct buffer *out, struct span message)
{
	struct span text = trim_envelope(message);
	bool has_cr = span_find(text, '\r') < text.n;
	int r;

	if (has_cr && memmem(text.p, text.n, "\r\n", 2))
		return append_lines(out, text);
	r = buffer_append(out, text);
	if (r == 0 && !has_cr)
		replace_lf(out->p, out->n);
	return r ? r : buffer_append_byte(out, '\r');
}

static size_t
count_skipped(struct span s)
{
	struct span line;
	size_t i, n = 0, end;

	while (s.n > 0) {
		end = 0;
		while (end < s.n && s.p[end] != '\r' && s.p[end] != '\n')
			end++;
		line = span_first(s, end);
		for (i = 0; !is_envelope(line) && i < line.n; i++)
			n += !is_blank(line.p[i]) && line.p[i] != 0xEF && line.p[i] != 0xBB &&
			     line.p[i] != 0xBF;
		s = span_from(s, end + 1);
	}
	return n;
}

struct splitter
splitter_begin(struct span file)
{
	return (struct splitter){ .file = file };
}

int
splitter_next(struct splitter *s, struct buffer *out, size_t *ret_offset)
{
	struct span file = s->file, message;
	size_t begin = find_message(file, s->at);
	bool framed = begin > 0 && begin < file.n && file.p[begin - 1] == VT;
	int r;

	buffer_clear(out);
	s->skipped += count_skipped(span_of(file.p + s->at, begin - s->at));
	s->at = *ret_offset = begin;
	if (begin == file.n)
		return SPLIT_E_END;
	/* a frame's end first: an MSH inside it is not the beginning of another message */
	message = framed ? span_from(file, begin)
			 : span_of(file.p + begin, find_message(file, begin + 3) - begin);
	message = until_frame_byte(message);
	s->at = begin + message.n;
	r = framed ? buffer_append(out, message) : append_bare(out, message);
	return r == BUFFER_E_FULL ? SPLIT_E_TOO_LARGE : r;
}
