/* SPDX-License-Identifier: MIT */
#pragma once

/* HL7 times: YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ] (HL7 v2.9.1, 2A.3 DTM). */

#include "base/span.h"

/* "20261123181147+0100" and a NUL */
#define TIMESTAMP_BYTES 20

/* The time `seconds` after 1970-01-01T00:00Z in the zone `offset_seconds` east of Greenwich, to the second.
 * Years outside 0 to 9999 are clamped. */
void timestamp_format(int64_t seconds, int offset_seconds, char ret[TIMESTAMP_BYTES]);
