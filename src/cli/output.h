/* SPDX-License-Identifier: MIT */
#pragma once

/* Writing what a peer or a file said where a person may read it. */

#include "base/span.h"

#include <stdio.h>

bool output_is_terminal(FILE *out);

/* Writes bytes as they are, or with `safe` control characters as \xHH, so that no message can steer
 * a terminal. */
void output_bytes(FILE *out, struct span bytes, bool safe);
