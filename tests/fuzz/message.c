/* SPDX-License-Identifier: MIT */

/*
 * A message, taken apart to its last subcomponent: every part lies in it, what is written elsewhere
 * stays in its place, and what is written as data reads the same again. The first line is an
 * address to read it with.
 */

#include "hl7/address.h"
#include "hl7/escape.h"

#include "fuzz.h"

static const struct delimiters sets[] = {
	{ '|', '^', '~', '\\', '&', 0 },
	{ '|', '^', '~', '\\', '&', '#' },
	{ '!', '@', '#', '$', '%', 0 },
	{ '^', '|', '\\', '~', '&', 0 },
	{ '|', '^', '~', '\\', 0, 0 },
};

#define PARTS_MAX 20

static bool
is_unbroken(struct span s)
{
	return !count_byte(s, '\r') && !count_byte(s, '\n') && !count_byte(s, 0x0B) &&
	       !count_byte(s, 0x1C);
}

/* As data: nothing of it is structure, and it comes back whole. */
static void
write_as_text(struct span s, const struct delimiters *to)
{
	struct buffer out = BUFFER_INIT(s.n * 5 + 16), back = BUFFER_INIT(s.n + 16);

	require(escape_text(&out, s, to) == 0);
	require(is_unbroken(buffer_span(&out)));
	require(!count_byte(buffer_span(&out), to->field));
	require(!count_byte(buffer_span(&out), to->component));
	require(!count_byte(buffer_span(&out), to->repetition));
	require(!to->subcomponent || !count_byte(buffer_span(&out), to->subcomponent));
	require(escape_decode(&back, buffer_span(&out), to) == 0);
	require(span_eq(buffer_span(&back), s));
	buffer_deinit(&out);
	buffer_deinit(&back);
}

/* As a part with structure: it has as many pieces as before, and no field separator. */
static void
translate(struct span s, const struct delimiters *from, const struct delimiters *to)
{
	struct buffer out = BUFFER_INIT(s.n * 5 + 16);
	struct span written;

	require(escape_translate(&out, s, from, to) == 0);
	written = buffer_span(&out);
	require(is_unbroken(written));
	if (delimiters_equal(from, to)) {
		require(!is_unbroken(s) || span_eq(written, s));
	} else if (delimiters_usable(from)) {
		require(!count_byte(written, to->field));
		require(count_byte(written, to->component) == count_byte(s, from->component));
		require(count_byte(written, to->repetition) == count_byte(s, from->repetition));
		if (to->subcomponent && from->subcomponent)
			require(count_byte(written, to->subcomponent) ==
				count_byte(s, from->subcomponent));
	}
	buffer_deinit(&out);
}

static void
decode(struct span s, const struct delimiters *from)
{
	struct buffer out = BUFFER_INIT(s.n + 16);

	require(escape_decode(&out, s, from) == 0);
	require(out.n <= s.n);
	buffer_deinit(&out);
}

static void
read_parts(const struct message *m, struct span field)
{
	struct span repetition, component, part;
	size_t r, c, s;

	for (r = 1; r < PARTS_MAX; r++) {
		repetition = field_repetition(field, &m->delimiters, r);
		require(lies_in(repetition, field));
		for (c = 1; repetition.n > 0 && c < PARTS_MAX; c++) {
			component = repetition_component(repetition, &m->delimiters, c);
			require(lies_in(component, repetition));
			for (s = 1; component.n > 0 && s < PARTS_MAX; s++) {
				part = component_subcomponent(component, &m->delimiters, s);
				require(lies_in(part, component));
			}
			decode(component, &m->delimiters);
		}
	}
}

static void
read_segment(const struct message *m, size_t i, size_t set)
{
	struct span segment = message_segment(m, i), field;
	struct buffer out = BUFFER_INIT(segment.n * 5 + 16);
	size_t f;

	require(lies_in(segment, m->bytes) && segment.n > 0);
	require(lies_in(message_segment_name(m, i), segment));
	for (f = 0; f < PARTS_MAX; f++) {
		field = message_field(m, i, f);
		require(lies_in(field, segment));
		if (field.n == 0)
			continue;
		read_parts(m, field);
		if (!m->delimiters.field || !count_byte(field, m->delimiters.field))
			translate(field, &m->delimiters, &sets[set]);
		write_as_text(field, &sets[set]);
	}
	require(escape_translate_segment(&out, segment, &m->delimiters, &sets[set]) == 0);
	require(is_unbroken(buffer_span(&out)));
	buffer_deinit(&out);
}

static void
read_positions(const struct message *m)
{
	size_t line, piece;

	for (line = 0; line < PARTS_MAX; line++) {
		require(lies_in(message_line(m, line), m->bytes));
		require(!count_byte(message_line(m, line), '\r'));
		require(!count_byte(message_line(m, line), '\n'));
		for (piece = 0; piece < PARTS_MAX && message_line(m, line).n > 0; piece++)
			require(lies_in(message_position(m, line, piece), message_line(m, line)));
	}
}

static void
read_address(const struct message *m, struct span text)
{
	struct address a;
	char erl[ADDRESS_ERL_BYTES];
	size_t at = 0, i, n;

	if (address_parse(text, &a, &at)) {
		require(at <= text.n);
		return;
	}
	n = address_format_erl(&a, erl);
	require(n >= 5 && n < ADDRESS_ERL_BYTES && !erl[n]);
	require(span_eq(span_of(erl, 3), span_of(a.segment, 3)));
	for (i = 0; i < m->n_segments; i++)
		require(lies_in(address_read(&a, m, i), message_segment(m, i)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size), address;
	size_t set = take_byte(&input) % (sizeof(sets) / sizeof(sets[0])), i, n = 0;
	struct message m;
	int r;

	address = span_first(input, span_find(input, '\n'));
	input = span_from(input, address.n + 1);
	r = message_parse(&m, input);
	require(r == 0 || r == MESSAGE_E_NO_HEADER);
	require((r == 0) == (m.n_headers > 0));
	require(m.preamble_bytes <= input.n);
	for (i = 0; i < m.n_segments; i++) {
		read_segment(&m, i, set);
		n += m.segments[i].n + 1;
	}
	require(n <= input.n + 1);
	read_positions(&m);
	read_address(&m, address);
	write_as_text(input, &sets[set]);
	message_deinit(&m);
	return 0;
}
