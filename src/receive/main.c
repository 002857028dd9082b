/* SPDX-License-Identifier: MIT */

/* hl7-receive: one connection, one process. */

#include "cli/options.h"
#include "listen/process.h"
#include "net/inherit.h"
#include "receive/session.h"

static const char hint[] =
	"It is started by systemd (a socket unit with Accept=yes: systemctl enable --now\n"
	"hl7-receive.socket), by an inetd, or to try it:\n"
	"  systemd-socket-activate -a -l 127.0.0.1:5123 hl7-receive --store=DIR";

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
wire(struct session *s)
{
	const struct options *o = s->options;

	s->replier.templates = &s->ack_templates;
	s->replier.shipped = s->shipped;
	s->replier.mode = o->listen.ack_mode;
	s->replier.names = &s->names;
	replier_identify(&s->replier);
	s->intake.connection = &s->connection;
	s->intake.idle_timeout_usec = o->listen.idle_timeout_usec;
	s->intake.frame_timeout_usec = o->listen.frame_timeout_usec;
	intake_init(&s->intake, o->listen.max_message_bytes);
}

static void
close_all(struct session *s)
{
	intake_deinit(&s->intake);
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
		return process_refuse_start("hl7-receive", r, hint);
	connection_names(&s.connection, &s.names);
	s.reporter = (struct reporter){
		journal_choose(o.listen.log, stderr_usable && !stderr_is_peer),
		&s.names,
		&held,
	};
	process_set_signals(&s.intake.idle_mask);
	r = load_templates(&s);
	if (r) {
		report_error(&s.reporter, "the shipped template does not compile", r);
		return EXIT_OS;
	}
	open_store(&s);
	wire(&s);
	r = session_run(&s);
	close_all(&s);
	return r;
}
