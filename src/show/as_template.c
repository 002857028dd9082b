/* SPDX-License-Identifier: MIT */
#include "hl7/address.h"
#include "show/names.h"
#include "show/show.h"
#include "template/suggest.h"

#include <errno.h>
#include <stdlib.h>

/* By name where an address can spell it, else by position: wrapped text, local segments without a
 * Z. */
static bool
has_name(struct span name)
{
	struct address a;
	size_t at;

	return name.n == 3 && address_parse(name, &a, &at) == 0 && segment_is_known(name);
}

static void
print_positions(const struct message *m, size_t i, struct position *position, FILE *out)
{
	struct span rest = message_segment(m, i), piece;
	bool first = true;

	while (span_cut(&rest, m->delimiters.field, &piece)) {
		position_move(position, m, (size_t)(piece.p - m->bytes.p));
		if (!first)
			(void)fputc(m->delimiters.field, out);
		first = false;
		if (piece.n > 0)
			(void)fprintf(out, "{%zu-%zu}", position->line, position->piece);
	}
	(void)fputc('\n', out);
}

static void
print_hole(struct span name, size_t occurrence, size_t field, FILE *out)
{
	if (occurrence > 1)
		(void)fprintf(out, "{%.3s[%zu]-%zu}", (const char *)name.p, occurrence, field);
	else
		(void)fprintf(out, "{%.3s-%zu}", (const char *)name.p, field);
}

static void
print_names(const struct message *m, size_t i, size_t occurrence, FILE *out)
{
	struct span rest = message_segment(m, i), name = message_segment_name(m, i), piece;
	bool header = segment_is_header(message_segment(m, i));
	uint8_t chars[5];
	size_t field = header ? 2 : 1, n_chars;

	(void)fwrite(name.p, 1, name.n, out);
	(void)span_cut(&rest, m->delimiters.field, &piece);
	if (header) {
		(void)span_cut(&rest, m->delimiters.field, &piece);
		(void)fputc(m->delimiters.field, out);
		n_chars = delimiters_encoding_characters(&m->delimiters, chars);
		(void)fwrite(chars, 1, n_chars, out);
		field++;
	}
	while (span_cut(&rest, m->delimiters.field, &piece)) {
		(void)fputc(m->delimiters.field, out);
		if (piece.n > 0)
			print_hole(name, occurrence, field, out);
		field++;
	}
	(void)fputc('\n', out);
}

int
show_as_template(const struct message *m, FILE *out)
{
	size_t *counts = calloc(NAME_INDEXES, sizeof(*counts));
	struct position position = { 0 };
	struct span name;
	size_t i;

	if (!counts)
		return -ENOMEM;
	(void)fputs("# Writes the message it was made from again; take away what the next system "
		    "must not have.\n",
		out);
	for (i = 0; i < m->n_segments; i++) {
		name = message_segment_name(m, i);
		/* a batch envelope has delimiters of its own, which a template has not */
		if (has_name(name) && !(segment_is_header(message_segment(m, i)) && i != m->header))
			print_names(m, i, ++counts[name_index(name)], out);
		else
			print_positions(m, i, &position, out);
	}
	free(counts);
	return 0;
}
