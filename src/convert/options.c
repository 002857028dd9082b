/* SPDX-License-Identifier: MIT */
#include "convert/options.h"
#include "cli/options.h"
#include "cli/output.h"

#include <getopt.h>

#define PROGRAM "hl7-convert"

#define MIB ((size_t)1024 * 1024)

enum option_id {
	OPTION_CHECK = 256,
	OPTION_EXPLAIN,
	OPTION_WHEN,
	OPTION_FRAMED,
	OPTION_LINES,
	OPTION_SPLIT,
	OPTION_TABLES,
	OPTION_DESTINATIONS,
	OPTION_MAX_RESULT,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "explain", no_argument, NULL, OPTION_EXPLAIN },
	{ "when", no_argument, NULL, OPTION_WHEN },
	{ "framed", no_argument, NULL, OPTION_FRAMED },
	{ "lines", no_argument, NULL, OPTION_LINES },
	{ "split", required_argument, NULL, OPTION_SPLIT },
	{ "tables", required_argument, NULL, OPTION_TABLES },
	{ "destinations", required_argument, NULL, OPTION_DESTINATIONS },
	{ "max-result", required_argument, NULL, OPTION_MAX_RESULT },
	{ 0 },
};

static const char help[] =
	"Usage: hl7-convert [OPTION…] TEMPLATE [FILE…]\n"
	"       hl7-convert --check [OPTION…] TEMPLATE|DIR…\n"
	"       hl7-convert --when [OPTION…] TEMPLATE|DIR [FILE…]\n"
	"\n"
	"Applies a template to the HL7 v2 messages of the files (a directory: of its files in\n"
	"order; none: of standard input) and writes the results to standard output.\n"
	"\n"
	"      --check              compile only; say what is wrong or looks wrong\n"
	"      --when               say which templates take each message, and why the others not\n"
	"      --explain            say what each hole read and where, in place of the results\n"
	"      --framed             write results as MLLP frames\n"
	"      --lines              end segments with LF, not CR (on a terminal always)\n"
	"      --split=DIR          write each result to a file of its own in DIR, 000001.hl7 on\n"
	"      --tables=DIR         tables (default: ../tables beside the template's folder)\n"
	"      --destinations=DIR   what {to} may name, for --check (default: ../destinations)\n"
	"      --max-result=SIZE    largest result in bytes, K, M or G (default: 64M)\n"
	"  -h, --help               this text\n"
	"  -V, --version            the version\n"
	"\n"
	"Exit status: 0, 1 a message could not be converted or (--when) was not wanted,\n"
	"64 usage, 65 input is no HL7, 66 input cannot be read, 71 system error, 74 output\n"
	"cannot be written, 78 a template does not compile.\n"
	"\n"
	"See hl7-convert(1) and hl7-template(5).\n";

static bool
set_mode(struct options *o, enum mode mode)
{
	bool first = o->mode == MODE_APPLY;

	o->mode = mode;
	return first;
}

static bool
set_option(void *userdata, int option, const char *argument)
{
	struct options *o = userdata;

	switch ((enum option_id)option) {
	case OPTION_CHECK: return set_mode(o, MODE_CHECK);
	case OPTION_EXPLAIN: return set_mode(o, MODE_EXPLAIN);
	case OPTION_WHEN: return set_mode(o, MODE_WHEN);
	case OPTION_FRAMED: o->framed = true; return true;
	case OPTION_LINES: o->lines = true; return true;
	case OPTION_SPLIT: o->split = argument; return argument[0] != 0;
	case OPTION_TABLES: o->tables = argument; return true;
	case OPTION_DESTINATIONS: o->destinations = argument; return true;
	case OPTION_MAX_RESULT: return parse_size(argument, 256, 2048 * MIB, &o->max_result_bytes);
	}
	return false;
}

static int
complain(const char *text, const char *value)
{
	(void)usage_error(PROGRAM, text, value);
	return OPTIONS_E_USAGE;
}

static int
take_arguments(struct options *o, int argc, char **argv)
{
	if (optind == argc)
		return complain("a template is missing", NULL);
	if (o->framed && o->lines)
		return complain("--framed and --lines exclude each other", NULL);
	o->template = argv[optind];
	if (o->mode != MODE_CHECK)
		optind++;
	o->files = argv + optind;
	o->n_files = (size_t)(argc - optind);
	return 0;
}

int
options_parse(struct options *o, int argc, char **argv)
{
	const struct command_line line = { PROGRAM, help, "hV", options, set_option, o };
	int r;

	*o = (struct options){ .max_result_bytes = 64 * MIB };
	r = options_read(&line, argc, argv);
	if (r)
		return r;
	if (!o->framed && !o->split && output_is_terminal(stdout))
		o->lines = true;
	return take_arguments(o, argc, argv);
}
