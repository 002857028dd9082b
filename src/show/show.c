/* SPDX-License-Identifier: MIT */
#include "show/show.h"
#include "cli/output.h"
#include "show/names.h"

#include <errno.h>
#include <stdlib.h>

/* A long address: OBX[10000]-5[10].10.10 in braces. */
#define HOLE_BYTES 48

struct show {
	const struct message *m;
	const struct show_options *o;
	FILE *out;
	struct position position;
	struct span name;  /* of the segment in hand */
	bool named;        /* a hole can spell that name */
	size_t occurrence; /* from 1, among those of its name */
};

static void
paint(const struct show *s, const char *escape)
{
	if (s->o->color)
		(void)fputs(escape, s->out);
}

#define PAINT_HOLE  "\033[36m"
#define PAINT_NAME  "\033[2m"
#define PAINT_TITLE "\033[1m"
#define PAINT_OFF   "\033[0m"

static void
print_value(const struct show *s, struct span value)
{
	struct span shown = s->o->cut ? span_first(value, s->o->cut) : value;

	output_bytes(s->out, shown, s->o->safe);
	if (shown.n < value.n)
		(void)fprintf(s->out, "... (%zu bytes)", value.n);
	(void)fputc('\n', s->out);
}

static void
print_line(const struct show *s, const char *position, const char *hole, const char *name,
	struct span value)
{
	if (s->o->skip_empty && value.n == 0)
		return;
	paint(s, PAINT_HOLE);
	(void)fprintf(s->out, "  %-9s %-18s", position, hole);
	if (s->o->names) {
		paint(s, PAINT_OFF PAINT_NAME);
		(void)fprintf(s->out, " %-36s", name);
	}
	paint(s, PAINT_OFF);
	(void)fputc(' ', s->out);
	print_value(s, value);
}

/* "{OBX[2]-5", without its closing brace; the first of its name needs no number. */
static size_t
begin_hole(const struct show *s, size_t field, char hole[HOLE_BYTES])
{
	const char *name = (const char *)s->name.p;
	int n;

	if (s->occurrence > 1)
		n = snprintf(hole, HOLE_BYTES, "{%.3s[%zu]-%zu", name, s->occurrence, field);
	else
		n = snprintf(hole, HOLE_BYTES, "{%.3s-%zu", name, field);
	return (size_t)n;
}

static size_t
count_pieces(struct span s, uint8_t separator)
{
	size_t i, n = 1;

	for (i = 0; separator && i < s.n; i++)
		n += s.p[i] == separator;
	return n;
}

static void
print_component(const struct show *s, const char *hole, size_t number, struct span component)
{
	size_t i, n = count_pieces(component, s->m->delimiters.subcomponent);
	char part[2 * HOLE_BYTES];

	if (n == 1) {
		(void)snprintf(part, sizeof(part), "%s.%zu}", hole, number);
		print_line(s, "", part, "", component);
		return;
	}
	for (i = 1; i <= n; i++) {
		(void)snprintf(part, sizeof(part), "%s.%zu.%zu}", hole, number, i);
		print_line(
			s, "", part, "", component_subcomponent(component, &s->m->delimiters, i));
	}
}

/* The parts of one repetition; `hole` reads it, without its closing brace. A repetition of one
 * value is shown by the line of the field unless there are several. */
static void
print_repetition(const struct show *s, const char *hole, struct span repetition, bool alone)
{
	const struct delimiters *d = &s->m->delimiters;
	size_t i, n = count_pieces(repetition, d->component);
	char closed[2 * HOLE_BYTES];

	if (n == 1 && count_pieces(repetition, d->subcomponent) == 1) {
		(void)snprintf(closed, sizeof(closed), "%s}", hole);
		if (!alone)
			print_line(s, "", closed, "", repetition);
		return;
	}
	for (i = 1; i <= n; i++)
		print_component(s, hole, i, repetition_component(repetition, d, i));
}

static void
print_parts(const struct show *s, size_t field, struct span value)
{
	const struct delimiters *d = &s->m->delimiters;
	size_t i, n = count_pieces(value, d->repetition);
	char hole[HOLE_BYTES], part[HOLE_BYTES + 16];

	(void)begin_hole(s, field, hole);
	for (i = 1; i <= n; i++) {
		if (n == 1)
			(void)snprintf(part, sizeof(part), "%s", hole);
		else
			(void)snprintf(part, sizeof(part), "%s[%zu]", hole, i);
		print_repetition(s, part, field_repetition(value, d, i), n == 1);
	}
}

static void
print_field(struct show *s, size_t field, struct span value, bool is_separator)
{
	char hole[HOLE_BYTES] = "", position[HOLE_BYTES] = "";
	size_t n = s->named ? begin_hole(s, field, hole) : 0;

	if (n > 0)
		(void)snprintf(hole + n, HOLE_BYTES - n, "}");
	position_move(&s->position, s->m, (size_t)(value.p - s->m->bytes.p));
	if (!is_separator) /* no position reads MSH-1: it is what splits */
		(void)snprintf(position, sizeof(position), "{%zu-%zu}", s->position.line,
			s->position.piece);
	print_line(s, position, hole, field_name(s->name, field), value);
}

static void
print_fields(struct show *s, size_t i)
{
	struct span segment = message_segment(s->m, i), rest = segment, value;
	bool header = segment_is_header(segment);
	size_t field = header ? 2 : 1;

	if (!span_cut(&rest, s->m->delimiters.field, &value) || !rest.p)
		return;
	if (header)
		print_field(s, 1, message_field(s->m, i, 1), true);
	while (span_cut(&rest, s->m->delimiters.field, &value)) {
		print_field(s, field, value, false);
		if (s->o->unfold && s->named && !(header && field == 2))
			print_parts(s, field, value);
		field++;
	}
}

static void
begin_segment(struct show *s, size_t i, size_t *counts)
{
	size_t index;

	s->name = message_segment_name(s->m, i);
	index = name_index(s->name);
	s->named = index < NAME_INDEXES;
	s->occurrence = s->named ? ++counts[index] : 0;
}

static void
print_title(const struct show *s)
{
	paint(s, PAINT_TITLE);
	output_bytes(s->out, s->name, s->o->safe);
	if (s->occurrence > 1)
		(void)fprintf(s->out, "[%zu]", s->occurrence);
	paint(s, PAINT_OFF);
	(void)fputc('\n', s->out);
}

int
show_message(const struct message *m, const struct show_options *o, FILE *out)
{
	size_t *counts = calloc(NAME_INDEXES, sizeof(*counts));
	struct show s = { .m = m, .o = o, .out = out };
	size_t i;

	if (!counts)
		return -ENOMEM;
	for (i = 0; i < m->n_segments; i++) {
		begin_segment(&s, i, counts);
		print_title(&s);
		print_fields(&s, i);
	}
	free(counts);
	return 0;
}
