/* SPDX-License-Identifier: MIT */
#pragma once

/* What the fuzz targets share. Each is a LLVMFuzzerTestOneInput() that crashes when a promise is
 * broken. */

#include "base/buffer.h"

#include <stdio.h>
#include <stdlib.h>

/* By libFuzzer, or by run-corpus.c for each file of a corpus. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise, kept in every build, also where assert() is compiled out. */
#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(                                                             \
				stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Whether `part` lies in `whole`; an empty one lies anywhere. */
static inline bool
lies_in(struct span part, struct span whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* The first byte off the input, 0 when there is none: for choices. */
static inline uint8_t
take_byte(struct span *input)
{
	uint8_t byte = input->n ? input->p[0] : 0;

	*input = span_from(*input, 1);
	return byte;
}

static inline size_t
count_byte(struct span s, uint8_t byte)
{
	size_t i, n = 0;

	for (i = 0; i < s.n; i++)
		n += s.p[i] == byte;
	return n;
}
