/* SPDX-License-Identifier: MIT */

/* hl7-receive: one connection, one process; or the process that makes one for each. */

#include "cli/options.h"
#include "listen/process.h"
#include "net/inherit.h"
#include "net/notify.h"
#include "receive/confine.h"
#include "receive/session.h"
#include "receive/supervisor.h"

#include <time.h>
#include <unistd.h>

static const char hint[] =
	"It is started by systemd (a socket unit: systemctl enable --now hl7-receive.socket), by\n"
	"an inetd, or to try it:\n"
	"  systemd-socket-activate -a -l 127.0.0.1:5123 hl7-receive --store=DIR";

static int
open_queues(struct session *s)
{
	const struct template_set *set = &s->templates.convert;
	const struct span *destinations;
	const struct template *t;
	size_t i, j, n;
	int r = 0;

	for (i = 0; i < set->n; i++) {
		t = set->files[i].template;
		n = t ? template_destinations(t, &destinations) : 0;
		for (j = 0; r == 0 && j < n; j++)
			r = store_open_queue(&s->store, destinations[j]);
	}
	return r;
}

/* What fails here does not end the process: each message is answered with it. */
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
wire(struct session *s)
{
	const struct options *o = s->options;

	s->replier.templates = &s->templates.ack;
	s->replier.shipped = s->templates.shipped;
	s->replier.mode = o->listen.ack_mode;
	s->replier.names = &s->names;
	replier_identify(&s->replier);
	s->intake.connection = &s->connection;
	s->intake.idle_timeout_usec = o->listen.idle_timeout_usec;
	s->intake.frame_timeout_usec = o->listen.frame_timeout_usec;
	intake_init(&s->intake, o->listen.max_message_bytes);
}

/* Who the peer is, and whether it may connect: 0 or PROXIED_E_ENDS. */
static int
greet(struct session *s)
{
	int r = proxied_begin(
		&s->proxied, &s->intake, &s->options->listen, &s->names, &s->reporter);

	if (r == 0 && !options_allow(s->options, &s->names)) {
		/* a scan leaves no trace */
		if (!connection_is_over(&s->connection))
			report_refused(&s->reporter, REFUSED_ADDRESS, 1);
		r = PROXIED_E_ENDS;
	}
	return r;
}

/* One connection from its first byte to its end. */
static int
serve(struct session *s, bool forked)
{
	int r = EXIT_OS;

	s->reporter.held = &s->templates.problems;
	open_store(s);
	wire(s);
	if (confine_connection(s, forked))
		r = greet(s) == 0 ? session_run(s) : EXIT_OK;
	intake_deinit(&s->intake);
	connection_close(&s->connection);
	store_close(&s->store);
	return r;
}

/* Serves the connection, or each that comes in. */
static int
receive(struct session *s, const struct inherited *in)
{
	struct supervisor supervisor = {
		.inherited = in,
		.options = s->options,
		.reporter = &s->reporter,
		.templates = &s->templates,
		.names = &s->names,
	};
	int r;

	tzset(); /* here, not once more in each process that is forked */
	s->connection = in->connection;
	if (in->n_listeners == 0) {
		connection_names(&s->connection, &s->names);
		return serve(s, false);
	}
	supervisor.notify = notify_open();
	if (!confine_listener(s->options, &s->reporter))
		return EXIT_OS;
	r = supervisor_run(&supervisor, &s->connection);
	if (r == SUPERVISOR_E_CONNECTION)
		_exit(serve(s, true)); /* tidying up would copy the parent's pages first */
	return r < 0 ? EXIT_OS : EXIT_OK;
}

int
main(int argc, char **argv)
{
	struct options o;
	struct session s = { .options = &o, .store = STORE_NULL };
	struct inherited in;
	bool stderr_is_none = inherit_shield_peer();
	int r;

	r = options_parse(&o, argc, argv);
	if (r)
		return r == OPTIONS_E_DONE ? EXIT_OK : EXIT_USAGE;
	r = inherit_sockets(&in);
	if (r)
		return process_refuse_start("hl7-receive", r, hint);
	s.reporter.target = journal_choose(o.listen.log, in.stderr_usable && !stderr_is_none);
	s.reporter.target.least = o.listen.log_level;
	s.reporter.names = &s.names;
	process_set_signals(&s.intake.idle_mask);
	r = templates_load(&s.templates, &o);
	if (r) {
		report_error(&s.reporter, "the shipped template does not compile", r);
		return EXIT_OS;
	}
	r = receive(&s, &in);
	templates_deinit(&s.templates);
	return r;
}
