/* SPDX-License-Identifier: MIT */
#pragma once

/* Did you mean: the known word nearest to one that is not known. */

#include "base/span.h"

/* The first of `n` words that is one change away (a letter more, less, other, or two swapped), else
 * the first that is two away when the word has more than 4 letters, else NULL. */
const char *suggest_word(struct span word, const char *const *words, size_t n);

/* Whether a segment name is in the standard (v2.1 to v2.9), or local (it begins with Z,
 * v2.9.1 2.5.2). */
bool segment_is_known(struct span name);

/* A known segment's name near this one, or NULL. */
const char *suggest_segment(struct span name);
