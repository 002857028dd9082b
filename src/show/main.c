/* SPDX-License-Identifier: MIT */

/* hl7-show: prints messages for a person to read. */

#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "hl7/split.h"
#include "show/show.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define PROGRAM "hl7-show"

#define CUT_MOST ((size_t)1024 * 1024 * 1024)

enum option_id {
	OPTION_UNFOLD = 'u',
	OPTION_NAMES = 'n',
	OPTION_SKIP_EMPTY = 's',
	OPTION_TEMPLATE = 't',
	OPTION_CUT = 256,
	OPTION_COLOR,
};

static const struct option long_options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "unfold", no_argument, NULL, OPTION_UNFOLD },
	{ "names", no_argument, NULL, OPTION_NAMES },
	{ "skip-empty", no_argument, NULL, OPTION_SKIP_EMPTY },
	{ "template", no_argument, NULL, OPTION_TEMPLATE },
	{ "cut", required_argument, NULL, OPTION_CUT },
	{ "color", required_argument, NULL, OPTION_COLOR },
	{ 0 },
};

static const char help[] =
	"Usage: hl7-show [OPTION…] [FILE…]\n"
	"\n"
	"Prints the HL7 v2 messages of the files (a directory: of its files in order; none:\n"
	"of standard input) field by field, each beside the template holes that read it.\n"
	"\n"
	"  -u, --unfold        repetitions, components and subcomponents on lines of their own\n"
	"  -n, --names         with the standard's field names\n"
	"  -s, --skip-empty    leave empty fields out\n"
	"  -t, --template      the message as a template that reproduces it, to be cut down\n"
	"      --cut=N         show at most N bytes of a value\n"
	"      --color=WHEN    auto, always or never (default: auto)\n"
	"  -h, --help          this text\n"
	"  -V, --version       the version\n"
	"\n"
	"Exit status: 0, 64 usage, 65 input is no HL7, 66 input cannot be read, 71 system error,\n"
	"74 output cannot be written.\n"
	"\n"
	"See hl7-show(1).\n";

static bool
set_color(struct show_options *o, const char *argument)
{
	static const char *const words[] = { "auto", "always", "never" };
	int word = parse_word(argument, words, 3);

	if (word > 0)
		o->color = word == 1;
	return word >= 0;
}

static bool
set_option(void *userdata, int option, const char *argument)
{
	struct show_options *o = userdata;

	switch ((enum option_id)option) {
	case OPTION_UNFOLD: o->unfold = true; return true;
	case OPTION_NAMES: o->names = true; return true;
	case OPTION_SKIP_EMPTY: o->skip_empty = true; return true;
	case OPTION_TEMPLATE: o->as_template = true; return true;
	case OPTION_CUT: return parse_count(argument, 1, CUT_MOST, &o->cut);
	case OPTION_COLOR: return set_color(o, argument);
	}
	return false;
}

static int
complain(const char *what, const char *text, int exit_status)
{
	(void)fprintf(stderr, PROGRAM ": %s: %s\n", what, text);
	return exit_status;
}

static int
parse_options(struct show_options *o, int argc, char **argv)
{
	const struct command_line line = { PROGRAM, help, "hVunst", long_options, set_option, o };
	bool terminal = output_is_terminal(stdout);

	*o = (struct show_options){
		.safe = terminal,
		.color = terminal && !getenv("NO_COLOR"),
	};
	return options_read(&line, argc, argv);
}

static int
show_one(struct span bytes, const struct show_options *o)
{
	struct message m;
	int r = message_parse(&m, bytes);

	if (r == 0)
		r = o->as_template ? show_as_template(&m, stdout) : show_message(&m, o, stdout);
	message_deinit(&m);
	return r;
}

/* All messages of a file, an empty line between two. */
static int
show_file(struct span file, const struct show_options *o, size_t *n_messages)
{
	struct buffer message = BUFFER_INIT(INPUT_BYTES_MAX);
	struct splitter s = splitter_begin(file);
	size_t offset;
	int r = 0;

	for (;;) {
		r = splitter_next(&s, &message, &offset);
		if (r)
			break;
		if ((*n_messages)++ > 0)
			(void)fputc('\n', stdout);
		r = show_one(buffer_span(&message), o);
		if (r)
			break;
	}
	buffer_deinit(&message);
	return r == SPLIT_E_END ? 0 : r;
}

static int
show_path(const struct input_path *file, const struct show_options *o, size_t *n_messages)
{
	size_t before = *n_messages;
	struct input in;
	int r = input_open(&in, file->path);

	if (r < 0) {
		input_close(&in);
		return complain(file->path, strerrordesc_np(-r), EXIT_NO_INPUT);
	}
	r = show_file(in.bytes, o, n_messages);
	input_close(&in);
	if (r < 0)
		return complain(file->path, strerrordesc_np(-r), EXIT_OS);
	if (r > 0)
		return complain(
			file->path, "the message has more segments than are indexed", EXIT_DATA);
	if (*n_messages == before)
		return complain(file->path, "no HL7 message found (no segment MSH)",
			file->from_directory ? EXIT_OK : EXIT_DATA);
	return EXIT_OK;
}

static int
show_all(const struct input_list *list, const struct show_options *o)
{
	size_t i, n_messages = 0;
	int status = EXIT_OK, one;

	for (i = 0; i < list->n; i++) {
		one = show_path(&list->items[i], o, &n_messages);
		status = status == EXIT_OK ? one : status;
	}
	if (fflush(stdout) == EOF || ferror(stdout))
		return complain("standard output", strerrordesc_np(errno), EXIT_IO);
	return status;
}

int
main(int argc, char **argv)
{
	struct show_options o;
	struct input_list list;
	const char *path = "";
	int status, r;

	r = parse_options(&o, argc, argv);
	if (r)
		return r == OPTIONS_E_DONE ? EXIT_OK : EXIT_USAGE;
	r = input_list(&list, argv + optind, (size_t)(argc - optind), &path);
	status = r < 0 ? complain(path, strerrordesc_np(-r), EXIT_NO_INPUT) : show_all(&list, &o);
	input_list_deinit(&list);
	return status;
}
