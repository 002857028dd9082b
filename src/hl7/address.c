/* SPDX-License-Identifier: MIT */
#include "hl7/address.h"

#include <stdio.h>

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool
is_capital(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
next_is(struct span text, size_t at, uint8_t c)
{
	return at < text.n && text.p[at] == c;
}

static int
parse_segment(struct span text, size_t *at, struct address *a)
{
	size_t i;

	if (text.n < 3 || !is_capital(text.p[0]))
		return ADDRESS_E_SEGMENT;
	for (i = 1; i < 3; i++)
		if (!is_capital(text.p[i]) && !is_digit(text.p[i]))
			return ADDRESS_E_SEGMENT;
	memcpy(a->segment, text.p, 3);
	*at = 3;
	return 0;
}

static int
parse_number(struct span text, size_t *at, uint32_t *ret)
{
	uint32_t n = 0;

	while (*at < text.n && is_digit(text.p[*at]) && n <= ADDRESS_NUMBER_MAX)
		n = n * 10 + (uint32_t)(text.p[(*at)++] - '0');
	if (n == 0 || n > ADDRESS_NUMBER_MAX)
		return ADDRESS_E_NUMBER;
	*ret = n;
	return 0;
}

/* "[n]" or, with `all`, "[*]"; nothing is fine too. */
static int
parse_index(struct span text, size_t *at, bool all, uint32_t *ret)
{
	int r = 0;

	if (next_is(text, *at, '('))
		return ADDRESS_E_PARENTHESES;
	if (!next_is(text, *at, '['))
		return 0;
	(*at)++;
	if (all && next_is(text, *at, '*')) {
		(*at)++;
		*ret = ADDRESS_ALL;
	} else {
		r = parse_number(text, at, ret);
	}
	if (r)
		return r;
	if (!next_is(text, *at, ']'))
		return ADDRESS_E_BRACKET;
	(*at)++;
	return 0;
}

/* ".n", or nothing. */
static int
parse_part(struct span text, size_t *at, uint32_t *ret)
{
	if (!next_is(text, *at, '.'))
		return 0;
	(*at)++;
	return parse_number(text, at, ret);
}

static int
parse_field(struct span text, size_t *at, struct address *a)
{
	int r;

	if (!next_is(text, *at, '-'))
		return 0;
	(*at)++;
	r = parse_number(text, at, &a->field);
	if (r == 0)
		r = parse_index(text, at, true, &a->repetition);
	if (r == 0)
		r = parse_part(text, at, &a->component);
	if (r == 0 && a->component)
		r = parse_part(text, at, &a->subcomponent);
	return r;
}

int
address_parse(struct span text, struct address *ret, size_t *ret_at)
{
	struct address a = { 0 };
	size_t at = 0;
	int r;

	r = parse_segment(text, &at, &a);
	if (r == 0)
		r = parse_index(text, &at, false, &a.occurrence);
	if (r == 0)
		r = parse_field(text, &at, &a);
	if (r == 0 && at < text.n)
		r = next_is(text, at, '(') ? ADDRESS_E_PARENTHESES : ADDRESS_E_TRAILING;
	if (r) {
		*ret_at = at < text.n ? at : text.n;
		return r;
	}
	*ret = a;
	return 0;
}

struct span
address_read_field(const struct address *a, const struct delimiters *d, struct span field)
{
	if (a->repetition == 0 && a->component == 0)
		return field;
	if (a->repetition != ADDRESS_ALL || a->component)
		field = field_repetition(field, d,
			a->repetition && a->repetition != ADDRESS_ALL ? a->repetition : 1);
	if (a->component)
		field = repetition_component(field, d, a->component);
	return a->subcomponent ? component_subcomponent(field, d, a->subcomponent) : field;
}

struct span
address_read(const struct address *a, const struct message *m, size_t i)
{
	struct span field;

	if (a->field == 0)
		return message_segment(m, i);
	field = message_field(m, i, a->field);
	/* MSH-1 and MSH-2 are made of delimiters: there is nothing to cut */
	if (a->field <= 2 && segment_is_header(message_segment(m, i)))
		return a->component > 1 || a->subcomponent > 1 ||
				       (a->repetition > 1 && a->repetition != ADDRESS_ALL)
			       ? SPAN_NULL
			       : field;
	return address_read_field(a, &m->delimiters, field);
}

size_t
address_format_erl(const struct address *a, char ret[ADDRESS_ERL_BYTES])
{
	const uint32_t numbers[] = { a->field, a->repetition, a->component, a->subcomponent };
	size_t n, i, n_numbers = sizeof(numbers) / sizeof(numbers[0]);
	uint32_t number;

	/* numbers behind the last one written are left out; those before it default to 1 */
	while (n_numbers > 0 && numbers[n_numbers - 1] == 0)
		n_numbers--;
	n = (size_t)snprintf(
		ret, ADDRESS_ERL_BYTES, "%.3s^%u", a->segment, a->occurrence ? a->occurrence : 1);
	for (i = 0; i < n_numbers; i++) {
		number = numbers[i] == 0 || numbers[i] == ADDRESS_ALL ? 1 : numbers[i];
		n += (size_t)snprintf(ret + n, ADDRESS_ERL_BYTES - n, "^%u", number);
	}
	return n;
}
