/* SPDX-License-Identifier: MIT */
#pragma once

/* Prints a message field by field, each beside the holes that read it. */

#include "hl7/message.h"

#include <stdio.h>

struct show_options {
	bool unfold;     /* repetitions, components and subcomponents on lines of their own */
	bool names;      /* the standard's field names */
	bool skip_empty;
	bool color;
	bool safe;       /* control characters as \xHH */
	size_t cut;      /* bytes of a value shown, 0: all */
};

/* 0 or -ENOMEM; failures to write are the caller's to see (ferror(3)). */
int show_message(const struct message *m, const struct show_options *o, FILE *out);
