/* SPDX-License-Identifier: MIT */

/* What filters do to values. A value with structure is filtered part by part: its delimiters stay.
 */

#include "hl7/escape.h"
#include "hl7/timestamp.h"
#include "template/program.h"

#include <stdio.h>

static bool
is_structure(uint8_t c, const struct delimiters *d)
{
	return c == d->component || c == d->repetition || c == d->subcomponent;
}

static size_t
part_bytes(struct span s, const struct delimiters *d)
{
	size_t n = 0;

	while (n < s.n && !(s.p[n] && is_structure(s.p[n], d)))
		n++;
	return n;
}

/* --- characters ------------------------------------------------------------------------------ */

/* The bytes of the character that `s` begins with; a byte that begins none is one by itself. */
static size_t
character_bytes(struct span s)
{
	size_t n = s.p[0] < 0xC0   ? 1
		   : s.p[0] < 0xE0 ? 2
		   : s.p[0] < 0xF0 ? 3
		   : s.p[0] < 0xF8 ? 4
				   : 1;
	size_t i;

	if (n > s.n)
		return 1;
	for (i = 1; i < n; i++)
		if ((s.p[i] & 0xC0) != 0x80)
			return 1;
	return n;
}

static size_t
count_characters(struct span s)
{
	size_t n = 0;

	for (; s.n > 0; n++)
		s = span_from(s, character_bytes(s));
	return n;
}

static struct span
first_characters(struct span s, size_t n)
{
	struct span rest = s;

	while (n-- > 0 && rest.n > 0)
		rest = span_from(rest, character_bytes(rest));
	return span_first(s, s.n - rest.n);
}

/* Letters that have a case, of two-byte UTF-8: pairs that stand a fixed step apart, or side by
 * side. */
static const struct {
	uint32_t first, last; /* of the lower case letters */
	uint32_t step;        /* from lower to upper, downwards; 1: every other is upper */
} cased[] = {
	{ 'a', 'z', 32 },
	{ 0xE0, 0xF6, 32 }, /* Latin-1 */
	{ 0xF8, 0xFE, 32 },
	{ 0x101, 0x12F, 1 }, /* Latin Extended-A: even upper, odd lower */
	{ 0x133, 0x137, 1 },
	{ 0x14B, 0x177, 1 },
	{ 0x3B1, 0x3C1, 32 }, /* Greek */
	{ 0x3C3, 0x3CB, 32 },
	{ 0x430, 0x44F, 32 }, /* Cyrillic */
	{ 0x450, 0x45F, 80 },
};

/* Those of Latin Extended-A where odd is upper and even lower. */
static bool
is_even_lower(uint32_t c)
{
	return (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E);
}

static uint32_t
to_upper(uint32_t c)
{
	size_t i;

	if (is_even_lower(c))
		return c % 2 == 0 ? c - 1 : c;
	for (i = 0; i < sizeof(cased) / sizeof(cased[0]); i++)
		if (c >= cased[i].first && c <= cased[i].last)
			return cased[i].step > 1 || c % 2 ? c - cased[i].step : c;
	return c;
}

static uint32_t
to_lower(uint32_t c)
{
	size_t i;

	if (is_even_lower(c))
		return c % 2 ? c + 1 : c;
	for (i = 0; i < sizeof(cased) / sizeof(cased[0]); i++)
		if (c >= cased[i].first - cased[i].step && c <= cased[i].last - cased[i].step)
			return cased[i].step > 1 || c % 2 == 0 ? c + cased[i].step : c;
	return c;
}

/* One character with its case changed. All that have a case are one or two bytes, and stay so. */
static int
append_cased(struct buffer *out, struct span character, bool upper)
{
	uint32_t c = character.p[0];
	uint8_t bytes[2];

	if (character.n > 2 || (character.n == 1 && c >= 0x80))
		return buffer_append(out, character);
	if (character.n == 2)
		c = (c & 0x1F) << 6 | (character.p[1] & 0x3F);
	c = upper ? to_upper(c) : to_lower(c);
	if (c < 0x80)
		return buffer_append_byte(out, (uint8_t)c);
	bytes[0] = (uint8_t)(0xC0 | c >> 6);
	bytes[1] = (uint8_t)(0x80 | (c & 0x3F));
	return buffer_append(out, span_of(bytes, 2));
}

static int
change_case(struct buffer *out, struct span text, bool upper)
{
	size_t n;
	int r = 0;

	while (r == 0 && text.n > 0) {
		n = character_bytes(text);
		r = append_cased(out, span_first(text, n), upper);
		text = span_from(text, n);
	}
	return r;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static int
replace(struct buffer *out, struct span text, struct span from, struct span to)
{
	int r = 0;

	while (r == 0 && text.n > 0) {
		if (span_starts(text, from)) {
			r = buffer_append(out, to);
			text = span_from(text, from.n);
		} else {
			r = buffer_append_byte(out, text.p[0]);
			text = span_from(text, 1);
		}
	}
	return r;
}

/* --- parts ----------------------------------------------------------------------------------- */

/* Where in a part a run of data stands, and what is left to do in it. Sequences that are no data
 * (formatted text: \.br\) stand between runs; they stay as they are, and are no characters. */
struct progress {
	bool first, last;
	size_t left; /* characters that :first still takes */
};

static struct span
trim(struct span s, const struct progress *at)
{
	while (at->first && s.n && is_blank(s.p[0]))
		s = span_from(s, 1);
	while (at->last && s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static struct span
take_first(struct span s, struct progress *at)
{
	s = first_characters(s, at->left);
	at->left -= count_characters(s);
	return s;
}

static int
filter_text(const struct filter *f, struct span text, struct progress *at, struct buffer *out)
{
	switch (f->kind) {
	case FILTER_UPPER: return change_case(out, text, true);
	case FILTER_LOWER: return change_case(out, text, false);
	case FILTER_TRIM: return buffer_append(out, trim(text, at));
	case FILTER_FIRST: return buffer_append(out, take_first(text, at));
	case FILTER_REPLACE: return replace(out, text, f->text[0], f->text[1]);
	case FILTER_PAD:
	case FILTER_REQUIRED:
	case FILTER_MAP:
	case FILTER_DATE: break;
	}
	return buffer_append(out, text);
}

/* Decodes a run, filters it, and writes it escaped again. */
static int
filter_run(const struct filter *f, struct span run, const struct delimiters *d, struct progress *at,
	struct buffer *out, struct buffer scratch[2])
{
	int r;

	buffer_clear(&scratch[0]);
	buffer_clear(&scratch[1]);
	r = escape_decode(&scratch[0], run, d);
	if (r == 0)
		r = filter_text(f, buffer_span(&scratch[0]), at, &scratch[1]);
	return r ? r : escape_text(out, buffer_span(&scratch[1]), d);
}

static int
count_part(struct span part, const struct delimiters *d, struct buffer *scratch, size_t *ret)
{
	struct span run;
	bool opaque;
	int r = 0;

	*ret = 0;
	while (r == 0 && escape_cut_run(&part, d, &run, &opaque)) {
		if (opaque)
			continue;
		buffer_clear(scratch);
		r = escape_decode(scratch, run, d);
		*ret += count_characters(buffer_span(scratch));
	}
	return r;
}

static int
pad_part(const struct filter *f, struct span part, const struct delimiters *d, struct buffer *out,
	struct buffer *scratch)
{
	size_t n;
	int r = count_part(part, d, scratch, &n);

	for (; r == 0 && n < f->number; n++)
		r = escape_text(out, f->text[0], d);
	return r ? r : buffer_append(out, part);
}

/* HL7's "" (delete) is no text and stays. */
static int
filter_part(const struct filter *f, struct span part, const struct delimiters *d,
	struct buffer *out, struct buffer scratch[2])
{
	struct progress at = { .first = true, .left = f->number };
	struct span run;
	bool opaque;
	int r = 0;

	if (part.n == 0 || span_eq(part, SPAN("\"\"")))
		return buffer_append(out, part);
	if (f->kind == FILTER_PAD)
		return pad_part(f, part, d, out, &scratch[0]);
	while (r == 0 && escape_cut_run(&part, d, &run, &opaque)) {
		at.last = part.n == 0;
		if (f->kind == FILTER_FIRST && at.left == 0)
			break;
		r = opaque ? buffer_append(out, run) : filter_run(f, run, d, &at, out, scratch);
		at.first = false;
	}
	return r;
}

static int
filter_parts(const struct filter *f, struct span value, const struct delimiters *d,
	struct buffer *out, struct buffer scratch[2])
{
	size_t n;
	int r = 0;

	while (r == 0 && value.p) {
		n = part_bytes(value, d);
		r = filter_part(f, span_first(value, n), d, out, scratch);
		if (r || n == value.n)
			break;
		r = buffer_append_byte(out, value.p[n]);
		value = span_from(value, n + 1);
	}
	return r;
}

/* --- :map and :date -------------------------------------------------------------------------- */

static int
apply_map(const struct filter *f, struct span value, const struct delimiters *d, struct buffer *out,
	struct buffer *scratch)
{
	struct span found;
	int r;

	/* HL7's "" (delete) is nothing to look up: a table's * row must not make a value of it */
	if (value.n == 0 || span_eq(value, SPAN("\"\"")))
		return buffer_append(out, value);
	buffer_clear(scratch);
	r = escape_decode(scratch, value, d);
	if (r)
		return r;
	if (table_find(f->table, buffer_span(scratch), &found))
		return escape_text(out, found, d);
	if (f->has_default)
		return escape_text(out, f->text[0], d);
	return FILTER_E_REFUSED_BASE + TEMPLATE_REFUSAL_NO_ROW;
}

bool
filter_date_format_valid(struct span format, size_t *ret_at)
{
	size_t i;

	for (i = 0; i < format.n; i++) {
		*ret_at = i;
		if (format.p[i] == '%' &&
			(++i == format.n || !memchr("YymdHMSfz%", format.p[i], 10)))
			return false;
	}
	return true;
}

static int
append_conversion(struct buffer *out, char conversion, const struct timestamp *t)
{
	char text[16] = "";

	switch (conversion) {
	case 'Y': (void)snprintf(text, sizeof(text), "%04d", t->year); break;
	case 'y': (void)snprintf(text, sizeof(text), "%02d", t->year % 100); break;
	case 'm': (void)snprintf(text, sizeof(text), "%02d", t->month); break;
	case 'd': (void)snprintf(text, sizeof(text), "%02d", t->day); break;
	case 'H': (void)snprintf(text, sizeof(text), "%02d", t->hour); break;
	case 'M': (void)snprintf(text, sizeof(text), "%02d", t->minute); break;
	case 'S': (void)snprintf(text, sizeof(text), "%02d", t->second); break;
	case 'f': (void)snprintf(text, sizeof(text), "%s", t->fraction); break;
	case 'z': (void)snprintf(text, sizeof(text), "%s", t->zone); break;
	default: (void)snprintf(text, sizeof(text), "%%"); break;
	}
	return buffer_append(out, span_str(text));
}

/* Writes the parts that the format names; those behind the value's precision as the first of their
 * kind. */
static int
apply_date(const struct filter *f, struct span value, const struct delimiters *d,
	struct buffer *out, struct buffer *scratch)
{
	struct span format = f->text[0];
	struct timestamp t;
	size_t i;
	int r = 0;

	/* older versions have the precision as a second component */
	value = span_first(value, part_bytes(value, d));
	if (value.n == 0 || span_eq(value, SPAN("\"\"")))
		return buffer_append(out, value);
	if (timestamp_parse(value, &t))
		return FILTER_E_REFUSED_BASE + TEMPLATE_REFUSAL_NO_TIME;
	buffer_clear(scratch);
	for (i = 0; r == 0 && i < format.n; i++) {
		if (format.p[i] == '%')
			r = append_conversion(scratch, (char)format.p[++i], &t);
		else
			r = buffer_append_byte(scratch, format.p[i]);
	}
	return r ? r : escape_text(out, buffer_span(scratch), d);
}

int
filter_apply(const struct filter *f, struct span value, const struct delimiters *d,
	struct buffer *out, struct buffer scratch[2])
{
	buffer_clear(out);
	switch (f->kind) {
	case FILTER_REQUIRED:
		if (value.n == 0)
			return FILTER_E_REFUSED_BASE + TEMPLATE_REFUSAL_ABSENT;
		return buffer_append(out, value);
	case FILTER_MAP: return apply_map(f, value, d, out, &scratch[0]);
	case FILTER_DATE: return apply_date(f, value, d, out, &scratch[0]);
	case FILTER_UPPER:
	case FILTER_LOWER:
	case FILTER_TRIM:
	case FILTER_FIRST:
	case FILTER_PAD:
	case FILTER_REPLACE: return filter_parts(f, value, d, out, scratch);
	}
	return buffer_append(out, value);
}
