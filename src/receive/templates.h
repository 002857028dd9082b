/* SPDX-License-Identifier: MIT */
#pragma once

/* The templates and tables of a receiver, loaded from their folders, and again when these change.
 */

#include "receive/options.h"
#include "receive/report.h"
#include "template/charset.h"
#include "template/load.h"

struct templates {
	struct template_set ack, convert;
	struct table_set tables;
	struct template *shipped;        /* acknowledgement */
	struct charset_modules charsets; /* where one of them converts */
	bool broken;                     /* one of them cannot be used: every message is refused */
	struct held_reports problems;    /* what is wrong with them, to be told with a message */
	uint8_t stamp[16];               /* of the folders when they were refreshed last */
	bool settled;                    /* a later change will have another stamp */
};

/* Loads them. What is wrong with a file is in `broken` and `problems`, and no error here: messages
 * are answered with it. 0 or an error of template_compile(): the shipped template is unusable. */
int templates_load(struct templates *t, const struct options *o);

/* The same where a folder has changed since this was called last, or may have. */
int templates_refresh(struct templates *t, const struct options *o);

void templates_deinit(struct templates *t);
