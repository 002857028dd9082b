/* SPDX-License-Identifier: MIT */
#pragma once

/* The standard's names of fields (HL7 v2.8, chapters 2, 3, 4, 7; with the older names where a field
 * was withdrawn). */

#include "base/span.h"

/* The name of field `field` (from 1) of a segment, or "". */
const char *field_name(struct span segment, size_t field);

/* The place of a segment's name among all that an address can spell, below NAME_INDEXES, which is
 * returned for others (wrapped text, a line that is no segment): no hole reads them by name. */
#define NAME_INDEXES ((size_t)36 * 36 * 36)
size_t name_index(struct span name);
