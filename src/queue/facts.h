/* SPDX-License-Identifier: MIT */
#pragma once

/* What the beginning of a stored message says of it. */

#include "base/clock.h"
#include "base/span.h"

#include <stdint.h>

/* A text of a message, cut and escaped, with its NUL. */
#define FACT_BYTES (4 * 64 + 4)

struct facts {
	uint64_t bytes;
	char control_id[FACT_BYTES], type[FACT_BYTES], application[FACT_BYTES];
};

/* Bytes of a message as a word of a table: blanks and what is no printable ASCII as \xHH, "-" for
 * none, cut with "..." behind. */
void facts_escape(struct span bytes, char ret[FACT_BYTES]);

/* Of an open file; what is no HL7 message has "-" everywhere. 0 or a negative errno. */
int facts_read(int fd, struct facts *ret);

/* The message's names as they stand in it, within `head`, its beginning. Empty where there are
 * none, or none can be read. */
#define FACT_HEAD_BYTES 4096
struct fact_names {
	struct span control_id, type;
};
void facts_read_names(int fd, uint8_t head[FACT_HEAD_BYTES], struct fact_names *ret);

/* Whether the control id of the message in the file is this one: 1, 0 or a negative errno. */
int facts_has_control_id(int fd, struct span control_id);

/* "2026-11-23 21:11:17" in local time; "-" for 0. */
#define FACT_TIME_BYTES 32
void facts_format_time(usec_t at, char ret[FACT_TIME_BYTES]);

/* "3m 20s", "2d 4h": two units at most. */
void facts_format_span(usec_t span, char ret[FACT_TIME_BYTES]);
