/* SPDX-License-Identifier: MIT */
#pragma once

/* Messages of the input files through the templates. */

#include "convert/templates.h"

/* Returns the program's exit status. */
int apply_all(const struct options *o, const struct templates *t);
