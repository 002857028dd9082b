/* SPDX-License-Identifier: MIT */

/* hl7-receive: one connection, one process. */

#include "cli/options.h"
#include "net/inherit.h"
#include "receive/session.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

static int
refuse_start(int condition)
{
	static const char *const texts[] = {
		[INHERIT_E_NOTHING] = "no connection was passed to this process",
		[INHERIT_E_SEVERAL] =
			"more than one descriptor was passed; one connection is expected",
		[INHERIT_E_NOT_A_STREAM] = "the socket that was passed is not a stream",
		[INHERIT_E_LISTENING] = "a listening socket was passed; set Accept=yes",
	};

	if (condition < 0) {
		(void)fprintf(stderr, "hl7-receive: the connection cannot be taken over: %s\n",
			strerrordesc_np(-condition));
		return EXIT_OS;
	}
	(void)fprintf(stderr,
		"hl7-receive: %s.\n"
		"It is started by systemd (a socket unit with Accept=yes: systemctl enable --now\n"
		"hl7-receive.socket), by an inetd, or to try it:\n"
		"  systemd-socket-activate -a -l 127.0.0.1:5123 hl7-receive --store=DIR\n",
		texts[condition]);
	return EXIT_USAGE;
}

static enum journal_target
log_target(const struct options *o, bool stderr_usable)
{
	switch (o->log) {
	case LOG_TARGET_AUTO: break;
	case LOG_TARGET_JOURNAL: return JOURNAL_NATIVE;
	case LOG_TARGET_STDERR:
		if (stderr_usable)
			return JOURNAL_STDERR;
		break;
	}
	return journal_choose(stderr_usable);
}

static void
on_signal(int signal)
{
	(void)signal; /* it ends ppoll(), which is all that is wanted */
}

/* SIGTERM is taken only while no frame is in hand; a peer that left is told by EPIPE. */
static void
set_signals(struct session *s)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t term;

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &action, NULL);
	(void)sigaction(
		SIGXFSZ, &action, NULL); /* a limit on file sizes is an error of the store, EFBIG */
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, &s->idle_mask);
	(void)sigdelset(&s->idle_mask, SIGTERM);
}

static void
set_identity(struct session *s)
{
	s->ids.pid = (uint32_t)getpid();
	if (getrandom(&s->ids.random, sizeof(s->ids.random), GRND_NONBLOCK) < 0)
		s->ids.random = (uint32_t)clock_monotonic_usec();
	if (gethostname(s->host, sizeof(s->host) - 1) < 0)
		s->host[0] = 0;
}

static void
report_problems(void *userdata, const char *directory, const char *name, struct span source,
	const struct problems *problems)
{
	struct session *s = userdata;
	size_t i;

	(void)source; /* the journal gets places and texts; hl7-convert --check shows the lines */
	for (i = 0; i < problems->n; i++)
		report_template(&s->reporter, directory, name, &problems->items[i]);
	s->templates_broken |= problems->n_errors > 0;
}

static void
note_unreadable(struct session *s, const char *what, int r)
{
	if (r >= 0)
		return;
	s->templates_broken = true;
	report_error(&s->reporter, what, r);
}

/* A result that goes nowhere is most likely a forgotten line. */
static void
warn_of_destinations(const struct session *s)
{
	static const struct problem problem = {
		.line = 1,
		.column = 1,
		.warning = true,
		.text = "the template has no {to}: what it makes goes nowhere",
	};
	const struct span *destinations;
	const struct template *t;
	size_t i;

	for (i = 0; i < s->convert_templates.n; i++) {
		t = s->convert_templates.files[i].template;
		if (t && template_destinations(t, &destinations) == 0)
			report_template(&s->reporter, s->options->convert_templates,
				s->convert_templates.files[i].name, &problem);
	}
}

/* What fails here does not end the process: each message is answered with it. */
static int
load_templates(struct session *s)
{
	const struct template_reporter reporter = { report_problems, s };
	const struct options *o = s->options;
	struct problems problems = { 0 };
	int r;

	r = template_compile(
		template_shipped_ack(), TEMPLATE_ACKNOWLEDGEMENT, NULL, &s->shipped, &problems);
	if (r)
		return r;
	note_unreadable(
		s, "the tables cannot be read", table_load(&s->tables, o->tables, &reporter));
	note_unreadable(s, "the acknowledgement templates cannot be read",
		template_load(&s->ack_templates, o->ack_templates, TEMPLATE_ACKNOWLEDGEMENT,
			&s->tables, &reporter));
	note_unreadable(s, "the conversion templates cannot be read",
		template_load(&s->convert_templates, o->convert_templates, TEMPLATE_CONVERSION,
			&s->tables, &reporter));
	warn_of_destinations(s);
	return 0;
}

static int
open_queues(struct session *s)
{
	const struct span *destinations;
	const struct template *t;
	size_t i, j, n;
	int r = 0;

	for (i = 0; i < s->convert_templates.n; i++) {
		t = s->convert_templates.files[i].template;
		n = t ? template_destinations(t, &destinations) : 0;
		for (j = 0; r == 0 && j < n; j++)
			r = store_open_queue(&s->store, destinations[j]);
	}
	return r;
}

static void
open_store(struct session *s)
{
	if (!s->options->store)
		return;
	s->store_error = store_open(&s->store, s->options->store,
		(struct store_reserve){ s->options->min_free_bytes, s->options->min_free_inodes });
	if (s->store_error == 0)
		s->store_error = open_queues(s);
	if (s->store_error)
		report_error(&s->reporter, "the store cannot be opened", s->store_error);
}

static void
close_all(struct session *s)
{
	connection_close(&s->connection);
	store_close(&s->store);
	template_set_deinit(&s->ack_templates);
	template_set_deinit(&s->convert_templates);
	table_set_deinit(&s->tables);
	template_free(s->shipped);
}

int
main(int argc, char **argv)
{
	struct options o;
	struct session s = { .options = &o, .store = STORE_NULL };
	struct held_reports held = { .n = 0 };
	enum inherit_from from;
	bool stderr_is_peer = inherit_shield_peer(), stderr_usable;
	int r;

	r = options_parse(&o, argc, argv);
	if (r)
		return r == OPTIONS_E_DONE ? EXIT_OK : EXIT_USAGE;
	r = inherit_connection(&s.connection, &from, &stderr_usable);
	if (r)
		return refuse_start(r);
	connection_names(&s.connection, &s.names);
	s.reporter = (struct reporter){ log_target(&o, stderr_usable && !stderr_is_peer), &s.names,
		&held };
	set_signals(&s);
	set_identity(&s);
	r = load_templates(&s);
	if (r) {
		report_error(&s.reporter, "the shipped template does not compile", r);
		return EXIT_OS;
	}
	open_store(&s);
	r = session_run(&s);
	close_all(&s);
	return r;
}
