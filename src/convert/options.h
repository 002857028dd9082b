/* SPDX-License-Identifier: MIT */
#pragma once

/* The converter's options; hl7-convert(1) lists them with their defaults. */

#include <stdbool.h>
#include <stddef.h>

enum mode {
	MODE_APPLY,   /* TEMPLATE [FILE…] */
	MODE_EXPLAIN, /* the same, telling what each hole read */
	MODE_CHECK,   /* TEMPLATE|DIR… */
	MODE_WHEN,    /* TEMPLATE|DIR [FILE…] */
};

struct options {
	enum mode mode;
	bool framed;
	bool lines;                        /* LF, not CR, behind each segment */
	const char *split;                 /* a directory for one file per result, or NULL */
	const char *tables, *destinations; /* directories, or NULL: by the template's place */
	size_t max_result_bytes;
	const char *template; /* of MODE_APPLY, MODE_EXPLAIN and MODE_WHEN */
	char **files;         /* the arguments behind it; all of them for MODE_CHECK */
	size_t n_files;
};

/* 0 or an OPTIONS_E condition of cli/options.h. */
int options_parse(struct options *o, int argc, char **argv);
