/* SPDX-License-Identifier: MIT */
#include "hl7/delimiters.h"

#define SEGMENT_NAME_BYTES 3
#define ENCODING_CHARS_MIN 3
#define ENCODING_CHARS_MAX 5

const struct delimiters delimiters_standard = {
	.field = '|',
	.component = '^',
	.repetition = '~',
	.escape = '\\',
	.subcomponent = '&',
};

/* Letters and digits are data, control characters and blanks cannot be seen, and a byte above ASCII
 * may be half of a character. */
bool
is_delimiter(uint8_t c)
{
	return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') &&
	       !(c >= 'a' && c <= 'z');
}

static bool
in_first(const uint8_t *set, size_t n, uint8_t c)
{
	return n > 0 && memchr(set, c, n) != NULL;
}

/* Whether all `n` characters can delimit and differ. */
static bool
all_distinct(const uint8_t *set, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!is_delimiter(set[i]) || in_first(set, i, set[i]))
			return false;
	return true;
}

static struct delimiters
with_standard(uint8_t field)
{
	struct delimiters d = delimiters_standard;

	d.field = field;
	d.component = d.component == field ? 0 : d.component;
	d.repetition = d.repetition == field ? 0 : d.repetition;
	d.escape = d.escape == field ? 0 : d.escape;
	d.subcomponent = d.subcomponent == field ? 0 : d.subcomponent;
	return d;
}

int
delimiters_parse(struct span header, struct delimiters *ret)
{
	uint8_t set[1 + ENCODING_CHARS_MAX] = { 0 };
	struct span rest, chars;

	if (header.n <= SEGMENT_NAME_BYTES || !is_delimiter(header.p[SEGMENT_NAME_BYTES]))
		return DELIMITERS_E_NO_HEADER;
	set[0] = header.p[SEGMENT_NAME_BYTES];
	rest = span_from(header, SEGMENT_NAME_BYTES + 1);
	chars = span_first(rest, span_find(rest, set[0]));
	*ret = with_standard(set[0]);
	if (chars.n < ENCODING_CHARS_MIN || chars.n > ENCODING_CHARS_MAX)
		return 0;
	memcpy(set + 1, chars.p, chars.n);
	if (!all_distinct(set, 1 + chars.n))
		return 0;
	*ret = (struct delimiters){
		.field = set[0],
		.component = set[1],
		.repetition = set[2],
		.escape = set[3],
		.subcomponent = set[4],
		.truncation = set[5],
	};
	return 0;
}

size_t
delimiters_encoding_characters(const struct delimiters *d, uint8_t ret[5])
{
	const uint8_t all[5] = { d->component, d->repetition, d->escape, d->subcomponent,
		d->truncation };
	size_t n = 0;

	while (n < sizeof(all) && all[n]) {
		ret[n] = all[n];
		n++;
	}
	return n;
}

bool
delimiters_usable(const struct delimiters *d)
{
	uint8_t set[6];
	size_t n = delimiters_encoding_characters(d, set + 1);

	set[0] = d->field;
	return n >= ENCODING_CHARS_MIN && all_distinct(set, n + 1);
}

bool
delimiters_equal(const struct delimiters *a, const struct delimiters *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}
