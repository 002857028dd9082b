/* SPDX-License-Identifier: MIT */
#include "template/problem.h"

#include <stdarg.h>
#include <stdio.h>

void
problem_add(
	struct problems *p, uint32_t line, uint32_t column, bool warning, const char *format, ...)
{
	struct problem *item;
	va_list arguments;

	if (!warning)
		p->n_errors++;
	if (p->n == PROBLEMS_MAX)
		return;
	item = &p->items[p->n++];
	*item = (struct problem){ .line = line, .column = column, .warning = warning };
	va_start(arguments, format);
	(void)vsnprintf(item->text, sizeof(item->text), format, arguments);
	va_end(arguments);
}

static struct span
nth_line(struct span source, uint32_t line)
{
	struct span rest = source, piece = SPAN_NULL;

	while (line > 0 && span_cut(&rest, '\n', &piece))
		line--;
	if (line > 0)
		return SPAN_NULL;
	return piece.n && piece.p[piece.n - 1] == '\r' ? span_first(piece, piece.n - 1) : piece;
}

/* Blanks up to the column; a tab stays one, so that the caret stands where the eye looks. */
static int
append_caret(struct buffer *out, struct span line, uint32_t column)
{
	size_t i;
	uint32_t at = 1;
	int r = 0;

	for (i = 0; r == 0 && i < line.n && at < column; i++) {
		if ((line.p[i] & 0xC0) == 0x80) /* the rest of a UTF-8 character */
			continue;
		r = buffer_append_byte(out, line.p[i] == '\t' ? '\t' : ' ');
		at++;
	}
	return r ? r : buffer_append(out, SPAN("^\n"));
}

int
problem_format(
	struct buffer *out, const char *file, struct span source, const struct problem *problem)
{
	char place[64];
	struct span line = nth_line(source, problem->line);
	int r;

	/* line 0 is about the file as a whole: there is nothing to point at */
	if (problem->line == 0)
		(void)snprintf(
			place, sizeof(place), ": %s: ", problem->warning ? "warning" : "error");
	else
		(void)snprintf(place, sizeof(place), ":%u:%u: %s: ", problem->line, problem->column,
			problem->warning ? "warning" : "error");
	r = buffer_append(out, span_str(file));
	if (r == 0)
		r = buffer_append(out, span_str(place));
	if (r == 0)
		r = buffer_append(out, span_str(problem->text));
	if (r == 0)
		r = buffer_append_byte(out, '\n');
	if (r || problem->line == 0)
		return r;
	r = buffer_append(out, line);
	if (r == 0)
		r = buffer_append_byte(out, '\n');
	return r ? r : append_caret(out, line, problem->column);
}
