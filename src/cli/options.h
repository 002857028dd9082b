/* SPDX-License-Identifier: MIT */
#pragma once

/* What the programs' command lines share: numbers with units, --help and --version. */

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>

struct option;

/* Exit statuses that mean the same in every program (sysexits.h). */
enum {
	EXIT_OK = 0,
	EXIT_USAGE = 64,
	EXIT_DATA = 65,
	EXIT_NO_INPUT = 66,
	EXIT_OS = 71,
	EXIT_IO = 74,
	EXIT_CONFIGURATION = 78,
};

/* "30s", "500ms", "2m", "1h", "30d"; without a unit seconds. False when it is no duration or passes
 * 36500 days. */
bool parse_duration(const char *text, usec_t *ret);

/* "32M", "64K", "1G", "4096": powers of 1024. False when it is no size or is not in [min, max]. */
bool parse_size(const char *text, size_t min, size_t max, size_t *ret);

/* A decimal number in [min, max]. */
bool parse_count(const char *text, size_t min, size_t max, size_t *ret);

/* The place of `text` among `n` words, or -1. */
int parse_word(const char *text, const char *const *words, size_t n);

/* How a command line's options ended. */
enum {
	OPTIONS_E_SUCCESS,
	OPTIONS_E_DONE,  /* --help or --version was printed */
	OPTIONS_E_USAGE, /* told on standard error */
};

/* In every program. */
enum {
	OPTION_HELP = 'h',
	OPTION_VERSION = 'V',
};

/* A program's options. `set` takes one with its argument; false when the argument is not of its
 * kind, or, for an option without one, when it excludes an option before it. */
struct command_line {
	const char *program, *help;
	const char *short_options;
	const struct option *long_options; /* getopt_long(3) */
	bool (*set)(void *userdata, int option, const char *argument);
	void *userdata;
};

/* Takes all options; getopt's `optind` is then the first argument. 0 or an OPTIONS_E condition. */
int options_read(const struct command_line *c, int argc, char **argv);

/* "PROGRAM: TEXT 'VALUE'" and a hint at --help to standard error; returns EXIT_USAGE. */
int usage_error(const char *program, const char *text, const char *value);

/* "PROGRAM (hl7-inetd) VERSION" to standard output, with the build id and the licence below it. */
void print_version(const char *program);
