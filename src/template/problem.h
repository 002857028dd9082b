/* SPDX-License-Identifier: MIT */
#pragma once

/* What is wrong with a template: a bounded list of places and texts, and their form for a reader.
 */

#include "base/buffer.h"

#define PROBLEMS_MAX       32
#define PROBLEM_TEXT_BYTES 160

struct problem {
	uint32_t line;   /* from 1 */
	uint32_t column; /* from 1, in characters */
	bool warning;    /* it compiles, but looks wrong */
	char text[PROBLEM_TEXT_BYTES];
};

struct problems {
	struct problem items[PROBLEMS_MAX];
	size_t n;
	size_t n_errors; /* also those beyond PROBLEMS_MAX */
};

/* Adds one; `format` as of printf, cut to PROBLEM_TEXT_BYTES. Beyond PROBLEMS_MAX they are only
 * counted. */
void problem_add(struct problems *p, uint32_t line, uint32_t column, bool warning,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Appends "FILE:LINE:COLUMN: error: TEXT", the line itself and a caret under the place. 0,
 * BUFFER_E_FULL or -ENOMEM. */
int problem_format(
	struct buffer *out, const char *file, struct span source, const struct problem *problem);
