/* SPDX-License-Identifier: MIT */
#pragma once

/* Prints a message field by field, each beside the holes that read it. */

#include "hl7/message.h"

#include <stdio.h>

/* Where in the message, counted as {0-9} does: by runs of line ends and field separators. */
struct position {
	size_t at; /* offset in the message */
	size_t line, piece;
};

/* Moves on to an offset of the message; each byte is passed once. */
void position_move(struct position *p, const struct message *m, size_t to);

struct show_options {
	bool as_template; /* see show_as_template() */
	bool unfold;      /* repetitions, components and subcomponents on lines of their own */
	bool names;       /* the standard's field names */
	bool skip_empty;
	bool color;
	bool safe;  /* control characters as \xHH */
	size_t cut; /* bytes of a value shown, 0: all */
};

/* 0 or -ENOMEM; failures to write are the caller's to see (ferror(3)). */
int show_message(const struct message *m, const struct show_options *o, FILE *out);

/* Prints a template that reproduces the message, hole by hole. 0 or -ENOMEM. */
int show_as_template(const struct message *m, FILE *out);
