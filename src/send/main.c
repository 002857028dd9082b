/* SPDX-License-Identifier: MIT */

/* hl7-send: sends messages and judges the answers. */

#include "cli/options.h"
#include "net/dial.h"
#include "send/engine.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>

static int
complain(const char *what, const char *text, int exit_status)
{
	(void)fprintf(stderr, "hl7-send: %s: %s\n", what, text);
	return exit_status;
}

static int
load_file(struct messages *m, const struct input_path *file, uint32_t index)
{
	const char *path = file->path;
	struct input in;
	size_t skipped = 0;
	int r = input_open(&in, path);

	if (r < 0) {
		input_close(&in);
		return complain(path, strerrordesc_np(-r), EXIT_NO_INPUT);
	}
	r = messages_add(m, in.bytes, index, &skipped);
	input_close(&in);
	if (r < 0)
		return complain(path, strerrordesc_np(-r), EXIT_OS);
	if (r == MESSAGES_E_NONE && file->from_directory)
		return complain(
			path, "warning: no HL7 message found; the file is left out", EXIT_OK);
	if (r == MESSAGES_E_NONE)
		return complain(path, "no HL7 message found (no segment MSH)", EXIT_DATA);
	if (r == MESSAGES_E_TOO_LARGE)
		return complain(path, "more input than is taken in one run", EXIT_DATA);
	if (skipped > 0)
		(void)fprintf(stderr, "hl7-send: %s: warning: %zu bytes are part of no message\n",
			path, skipped);
	return EXIT_OK;
}

static int
load(struct messages *m, const struct input_list *list)
{
	size_t i;
	int status = EXIT_OK;

	for (i = 0; status == EXIT_OK && i < list->n; i++)
		status = load_file(m, &list->items[i], (uint32_t)i);
	if (status == EXIT_OK && m->n == 0)
		return complain("input", "there are no messages in it", EXIT_DATA);
	return status;
}

static int
resolve(const char *target, struct addrinfo **ret)
{
	int r = dial_resolve(target, ret);

	if (r == DIAL_E_ADDRESS)
		return usage_error(
			"hl7-send", "HOST, HOST:PORT or [HOST]:PORT is expected, not", target);
	return r ? complain(target, "this host or port is not known", 3) : EXIT_OK;
}

static int
send_all(const struct options *o, const struct input_list *list, const struct messages *m)
{
	struct addrinfo *addresses = NULL;
	struct tally tally = { 0 };
	usec_t started = clock_monotonic_usec();
	int r = o->via ? 0 : resolve(o->target, &addresses);

	if (r)
		return r;
	r = engine_run(o, list, m, addresses, &tally);
	if (addresses)
		freeaddrinfo(addresses);
	if (o->summary)
		tally_print(&tally, clock_monotonic_usec() - started, stdout);
	if (r < 0)
		return complain("stopped", strerrordesc_np(-r), EXIT_OS);
	if (fflush(stdout) == EOF)
		return complain("standard output", strerrordesc_np(errno), EXIT_IO);
	return tally_exit_status(&tally);
}

/* A host in front of the files, as there is without --via, is told from a file that is missing. */
static int
list_files(const struct options *o, struct input_list *list)
{
	const char *path = "";
	int r = input_list(list, o->files, o->n_files, &path);

	if (r == -ENOENT && o->via && path == o->files[0])
		return complain(path,
			"no such file; with --via there is no HOST, all arguments are files",
			EXIT_NO_INPUT);
	return r < 0 ? complain(path, strerrordesc_np(-r), EXIT_NO_INPUT) : EXIT_OK;
}

int
main(int argc, char **argv)
{
	struct input_list list;
	struct messages messages;
	struct options o;
	int status, r;

	/* whoever started this may ignore it, and then no command's status is known */
	(void)signal(SIGCHLD, SIG_DFL);
	r = options_parse(&o, argc, argv);
	if (r)
		return r == OPTIONS_E_DONE ? EXIT_OK : EXIT_USAGE;
	messages_init(&messages);
	status = list_files(&o, &list);
	if (status == EXIT_OK)
		status = load(&messages, &list);
	if (status == EXIT_OK)
		status = send_all(&o, &list, &messages);
	messages_deinit(&messages);
	input_list_deinit(&list);
	return status;
}
