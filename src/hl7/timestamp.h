/* SPDX-License-Identifier: MIT */
#pragma once

/* HL7 times: YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ] (HL7 v2.9.1, 2A.3 DTM). */

#include "base/span.h"

/* "20261123181147+0100" and a NUL */
#define TIMESTAMP_BYTES 20

/* The time `seconds` after 1970-01-01T00:00Z in the zone `offset_seconds` east of Greenwich, to the
 * second. Years outside 0 to 9999 are clamped. */
void timestamp_format(int64_t seconds, int offset_seconds, char ret[TIMESTAMP_BYTES]);

enum {
	TIMESTAMP_E_SUCCESS,
	TIMESTAMP_E_INVALID, /* not of that form, or a part is out of its range */
};

/* Parts that were not given are the first of their kind: month and day 1, the rest 0. */
struct timestamp {
	int year, month, day, hour, minute, second;
	char fraction[5]; /* digits behind the point, up to 4 */
	char zone[6];     /* "+0100", "" when not given */
};

/* Reads a time of any precision; the date must exist. */
int timestamp_parse(struct span text, struct timestamp *ret);
