/* SPDX-License-Identifier: MIT */
#pragma once

/* The standard's names of fields (HL7 v2.8, chapters 2, 3, 4, 7; with the older names where a field was withdrawn). */

#include "base/span.h"

/* The name of field `field` (from 1) of a segment, or "". */
const char *field_name(struct span segment, size_t field);
