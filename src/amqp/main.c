/* SPDX-License-Identifier: MIT */

/* hl7-amqp: one connection's messages to a RabbitMQ quorum queue. */

#include "amqp/password.h"
#include "amqp/session.h"
#include "cli/options.h"
#include "listen/process.h"
#include "net/inherit.h"

#include <errno.h>

/* Connections to brokers, the files of the name services. */
#define DESCRIPTORS 64

static const char hint[] = "It is started by a program that sends messages, by systemd or by an "
			   "inetd; see hl7-amqp(8).";

/* guest, whom a fresh broker knows, on the same machine only, needs none. */
static bool
all_are_guests(const struct publisher_settings *p)
{
	size_t i, n = 0;

	for (i = 0; i < p->n_endpoints; i++)
		n += strcmp(p->endpoints[i].info.user, "guest") == 0;
	return n == p->n_endpoints;
}

/* What fails here does not end the process: each message is answered with it. */
static int
find_password(struct options *o, char password[PASSWORD_BYTES])
{
	int r = password_read(o->password_file, password);

	o->publisher.broker.password = password;
	if (r == -ENOKEY && all_are_guests(&o->publisher)) {
		o->publisher.broker.password = "guest";
		r = 0;
	}
	return r;
}

static usec_t
pause_usec(void *userdata)
{
	return publisher_pause_usec(userdata);
}

static void
serve(void *userdata)
{
	publisher_serve(userdata);
}

static void
wire(struct session *s)
{
	static const struct template_set none = { 0 };
	const struct options *o = s->options;

	s->replier.templates = &none;
	s->replier.shipped = s->shipped;
	s->replier.mode = o->listen.ack_mode;
	s->replier.names = &s->names;
	replier_identify(&s->replier);
	s->publisher.settings = &o->publisher;
	s->intake.connection = &s->connection;
	s->intake.idle_timeout_usec = o->listen.idle_timeout_usec;
	s->intake.frame_timeout_usec = o->listen.frame_timeout_usec;
	s->intake.pause_usec = pause_usec;
	s->intake.serve = serve;
	s->intake.userdata = &s->publisher;
	intake_init(&s->intake, o->listen.max_message_bytes);
}

static void
close_all(struct session *s)
{
	publisher_close(&s->publisher);
	connection_close(&s->connection);
	intake_deinit(&s->intake);
	template_free(s->shipped);
}

/* Before the first byte of the sender: the brokers' names are asked for and their connections are
 * made later. False when it must not go on, which was told. */
static bool
confine(struct session *s)
{
	const struct sandbox_needs needs = {
		.form = SANDBOX_CLIENT,
		.n_descriptors = DESCRIPTORS,
	};
	bool required = s->options->listen.sandbox == SANDBOX_REQUIRE;
	struct sandbox_walls walls;

	if (s->options->listen.sandbox == SANDBOX_OFF)
		return true;
	sandbox_enter(&needs, &walls);
	report_sandbox(&s->reporter, &walls, required);
	return !required || sandbox_holds(&walls);
}

int
main(int argc, char **argv)
{
	struct options o;
	struct session s = { .options = &o };
	struct problems problems = { 0 };
	char password[PASSWORD_BYTES];
	struct inherited in;
	bool stderr_is_none = inherit_shield_peer();
	int r;

	r = options_parse(&o, argc, argv);
	if (r)
		return r == OPTIONS_E_DONE ? EXIT_OK : EXIT_USAGE;
	r = inherit_sockets(&in);
	if (r == 0 && in.n_listeners > 0)
		r = INHERIT_E_LISTENING;
	if (r)
		return process_refuse_start("hl7-amqp", r, hint);
	s.connection = in.connection;
	connection_names(&s.connection, &s.names);
	s.reporter.target = journal_choose(o.listen.log, in.stderr_usable && !stderr_is_none);
	s.reporter.target.least = o.listen.log_level;
	s.reporter.names = &s.names;
	process_set_signals(&s.intake.idle_mask);
	s.password_error = find_password(&o, password);
	r = template_compile(
		template_shipped_ack(), TEMPLATE_ACKNOWLEDGEMENT, NULL, &s.shipped, &problems);
	if (r) {
		report_error(&s.reporter, "the shipped template does not compile", r);
		return EXIT_OS;
	}
	wire(&s);
	if (!confine(&s)) {
		close_all(&s);
		return EXIT_OS;
	}
	r = proxied_begin(&s.proxied, &s.intake, &o.listen, &s.names, &s.reporter);
	r = r ? EXIT_OK : session_run(&s);
	close_all(&s);
	return r;
}
