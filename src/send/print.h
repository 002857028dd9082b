/* SPDX-License-Identifier: MIT */
#pragma once

/* Showing what a peer answered. */

#include "base/span.h"

#include <stdio.h>

/* Prints an answer, a segment a line; on a terminal control characters as \xHH. */
void print_answer(struct span payload, FILE *out);
