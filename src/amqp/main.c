/* SPDX-License-Identifier: MIT */

/* hl7-amqp: one connection's messages to a RabbitMQ quorum queue. */

#include "amqp/password.h"
#include "amqp/session.h"
#include "cli/options.h"
#include "net/inherit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

static int
refuse_start(int condition)
{
	static const char *const texts[] = {
		[INHERIT_E_NOTHING] = "standard input and output are neither pipes nor a socket",
		[INHERIT_E_SEVERAL] =
			"more than one descriptor was passed; one connection is expected",
		[INHERIT_E_NOT_A_STREAM] = "the socket that was passed is not a stream",
		[INHERIT_E_LISTENING] = "a listening socket was passed; set Accept=yes",
	};

	if (condition < 0) {
		(void)fprintf(stderr, "hl7-amqp: the connection cannot be taken over: %s\n",
			strerrordesc_np(-condition));
		return EXIT_OS;
	}
	(void)fprintf(stderr,
		"hl7-amqp: %s.\nIt is started by a program that sends messages, by systemd or by "
		"an inetd; see hl7-amqp(8).\n",
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
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, &s->intake.idle_mask);
	(void)sigdelset(&s->intake.idle_mask, SIGTERM);
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
	const struct options *o = s->options;

	s->publisher.settings = &o->publisher;
	s->intake.connection = &s->connection;
	s->intake.idle_timeout_usec = o->idle_timeout_usec;
	s->intake.frame_timeout_usec = o->frame_timeout_usec;
	s->intake.pause_usec = pause_usec;
	s->intake.serve = serve;
	s->intake.userdata = &s->publisher;
	intake_init(&s->intake, o->max_message_bytes);
}

static void
close_all(struct session *s)
{
	publisher_close(&s->publisher);
	connection_close(&s->connection);
	intake_deinit(&s->intake);
	template_free(s->shipped);
}

int
main(int argc, char **argv)
{
	struct options o;
	struct session s = { .options = &o };
	struct problems problems = { 0 };
	char password[PASSWORD_BYTES];
	enum inherit_from from;
	bool stderr_is_peer = inherit_shield_peer(), stderr_usable;
	int r;

	r = options_parse(&o, argc, argv);
	if (r)
		return r == OPTIONS_E_DONE ? EXIT_OK : EXIT_USAGE;
	r = inherit_connection(&s.connection, &from, &stderr_usable);
	if (r)
		return refuse_start(r);
	s.reporter.target = log_target(&o, stderr_usable && !stderr_is_peer);
	connection_names(&s.connection, &s.reporter.names);
	set_signals(&s);
	set_identity(&s);
	s.password_error = find_password(&o, password);
	r = template_compile(
		template_shipped_ack(), TEMPLATE_ACKNOWLEDGEMENT, NULL, &s.shipped, &problems);
	if (r) {
		report_error(&s.reporter, "the shipped template does not compile", r);
		return EXIT_OS;
	}
	wire(&s);
	r = session_run(&s);
	close_all(&s);
	return r;
}
