/* SPDX-License-Identifier: MIT */
#pragma once

/* The templates a run works with, and what there is to say of them. */

#include "convert/options.h"
#include "template/load.h"

struct templates {
	struct template_set set;
	struct table_set tables;
	char *directory; /* of the template's, for messages */

	/* what hl7-receive takes them for, if the folder has one of its names */
	bool has_kind;
	enum template_kind kind;

	size_t n_errors, n_warnings;
};

/* Loads TEMPLATE, or all of a directory, with their tables; problems go to standard error, each
 * with file, line, column, the line itself and a caret. 0 or a negative errno when a path cannot be
 * read; what does not compile is counted in n_errors. Give it to templates_deinit() whatever the
 * outcome. */
int templates_load(struct templates *t, const char *path, const struct options *o);
void templates_deinit(struct templates *t);

/* For --check: destinations that are named and not configured, on standard error. */
void templates_check_destinations(struct templates *t, const struct options *o);
