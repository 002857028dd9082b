/* SPDX-License-Identifier: MIT */
#include "show/show.h"

static bool
is_line_end(uint8_t c)
{
	return c == '\r' || c == '\n';
}

void
position_move(struct position *p, const struct message *m, size_t to)
{
	uint8_t c;

	for (; p->at < to; p->at++) {
		c = m->bytes.p[p->at];
		if (c == m->delimiters.field)
			p->piece++;
		if (is_line_end(c) && (p->at == 0 || !is_line_end(m->bytes.p[p->at - 1])))
			p->line++;
		if (is_line_end(c))
			p->piece = 0;
	}
}
