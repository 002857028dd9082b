/* SPDX-License-Identifier: MIT */
#pragma once

/* Why an entry failed: its text, a fact on each line, "reason: …" among them. */

#include "base/buffer.h"
#include "queue/entries.h"

#define REASON_LINE_BYTES 256

/* What is behind "reason: ", else the first line, escaped for a table; "" when there is none. */
void reason_line(const struct entry *e, char ret[REASON_LINE_BYTES]);

/* The text of an entry that an operator dropped. */
int reason_of_drop(const struct entry *e, struct buffer *ret);
