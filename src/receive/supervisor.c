/* SPDX-License-Identifier: MIT */
#include "receive/supervisor.h"
#include "base/cleanup.h"
#include "net/notify.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A flood of refused connections is told once in this time, with their number. */
#define TELL_PAUSE_USEC USEC_PER_SEC

/* The line of "systemctl status" is written so often at most. */
#define STATUS_PAUSE_USEC USEC_PER_SEC

/* When the system has no descriptor or process left for a connection, which waits meanwhile. */
#define SYSTEM_PAUSE_USEC (100 * USEC_PER_MSEC)

/* A sender that has just connected is about to send: so long it is not told to leave. */
#define STOP_GRACE_USEC USEC_PER_SEC

struct child {
	pid_t pid;
	struct connection_names names;
};

struct state {
	const struct supervisor *s;
	int signals; /* signalfd(2) */
	struct child *children;
	size_t n;
	bool stopping, crashed;
	usec_t idle_deadline; /* while there is no child */
	usec_t paused_until;  /* nothing is accepted before; 0: now */
	struct refused {
		uint64_t n;
		usec_t told_usec;              /* when it was told last */
		struct connection_names names; /* of the last one */
	} refused[REFUSED_N];
	struct status {
		bool old;                    /* something has changed since it was told */
		usec_t told_usec;            /* when that was */
		uint64_t n_taken, n_refused; /* connections, since the start */
		usec_t last_usec;            /* CLOCK_REALTIME of the last that was taken */
	} status;
};

/* --- the line of systemctl status ------------------------------------------------------------ */

/* Numbers of connections: what is in them only their processes know. */
static void
write_status(const struct state *st)
{
	time_t last = (time_t)(st->status.last_usec / USEC_PER_SEC);
	char text[160], at[32] = "never";
	struct tm tm;

	if (last)
		(void)strftime(at, sizeof(at), "%F %T", localtime_r(&last, &tm));
	(void)snprintf(text, sizeof(text),
		"%sconnections: %zu open, %llu since the start, the last %s, %llu refused",
		st->stopping ? "stopping: " : "", st->n, (unsigned long long)st->status.n_taken, at,
		(unsigned long long)st->status.n_refused);
	notify_status(st->s->notify, text);
}

static void
tell_status(struct state *st)
{
	usec_t now = clock_monotonic_usec();

	if (!st->status.old || now - st->status.told_usec < STATUS_PAUSE_USEC)
		return;
	write_status(st);
	st->status.old = false;
	st->status.told_usec = now;
}

/* Nobody is woken to tell where nobody listens. */
static void
note_change(struct state *st)
{
	st->status.old = st->s->notify >= 0;
}

/* --- connections that are not taken ---------------------------------------------------------- */

static void
tell_refused(struct state *st)
{
	usec_t now = clock_monotonic_usec();
	size_t i;

	for (i = 0; i < REFUSED_N; i++) {
		struct refused *refused = &st->refused[i];

		if (refused->n == 0 || now - refused->told_usec < TELL_PAUSE_USEC)
			continue;
		report_refused(&(struct reporter){ .target = st->s->reporter->target,
				       .names = &refused->names },
			(enum refused_why)i, refused->n);
		*refused = (struct refused){ .told_usec = now };
	}
}

/* Whether there is room for a connection of this peer, and then REFUSED_N, else why not. A peer
 * without an address, on a Unix socket, is no source. */
static enum refused_why
find_room(const struct state *st, const struct connection_names *names)
{
	const struct options *o = st->s->options;
	size_t i, same = 0;

	/* behind a proxy the address is the proxy's: the child knows the peer's */
	if (!o->listen.proxy_protocol && !options_allow(o, names))
		return REFUSED_ADDRESS;
	if (st->n >= o->max_connections)
		return REFUSED_CONNECTIONS;
	if (!names->peer_address[0] || o->max_connections_per_source == 0)
		return REFUSED_N;
	for (i = 0; i < st->n; i++)
		same += strcmp(st->children[i].names.peer_address, names->peer_address) == 0;
	return same < o->max_connections_per_source ? REFUSED_N : REFUSED_SOURCE;
}

/* --- children -------------------------------------------------------------------------------- */

static void
close_listeners(const struct state *st)
{
	size_t i;

	for (i = 0; i < st->s->inherited->n_listeners; i++)
		(void)close(st->s->inherited->listeners[i]);
}

/* Forks for it: 0 in the parent, where the connection is closed; SUPERVISOR_E_CONNECTION in the
 * child. A connection for which there is no process is closed, and told. */
static int
hand_over(struct state *st, struct connection *c, const struct connection_names *names)
{
	pid_t pid = fork();

	if (pid == 0)
		return SUPERVISOR_E_CONNECTION;
	connection_close(c);
	if (pid < 0) {
		st->refused[REFUSED_NO_PROCESS].n++;
		st->status.n_refused++;
		note_change(st);
		st->paused_until = deadline_in(SYSTEM_PAUSE_USEC);
		return 0;
	}
	st->children[st->n++] = (struct child){ pid, *names };
	st->status.n_taken++;
	st->status.last_usec = clock_realtime_usec();
	note_change(st);
	return 0;
}

static void
forget(struct state *st, pid_t pid, int status)
{
	const struct supervisor *s = st->s;
	size_t i;

	for (i = 0; i < st->n && st->children[i].pid != pid; i++)
		;
	if (i == st->n)
		return;
	if (WIFSIGNALED(status)) {
		report_killed(s->reporter, &st->children[i].names, WTERMSIG(status));
		/* an administrator's doing, or the kernel's for want of memory, is no fault in it
		 */
		st->crashed |= WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM;
	}
	st->children[i] = st->children[--st->n];
	note_change(st);
	if (st->n == 0)
		st->idle_deadline = deadline_in(s->options->idle_exit_usec);
}

static void
reap(struct state *st)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		forget(st, pid, status);
}

static void
read_signals(struct state *st)
{
	struct signalfd_siginfo info;

	while (read(st->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		st->stopping |= info.ssi_signo == SIGTERM;
	reap(st);
}

/* --- the loop -------------------------------------------------------------------------------- */

/* One connection of a listener that has one: 0, SUPERVISOR_E_CONNECTION or a negative errno. */
static int
take(struct state *st, int listener, struct connection *ret)
{
	const struct supervisor *s = st->s;
	struct connection_names names;
	struct connection c;
	enum refused_why why;
	int r = connection_accept(listener, &c, &names);

	if (r < 0) {
		st->refused[REFUSED_NO_PROCESS].n++;
		st->paused_until = deadline_in(SYSTEM_PAUSE_USEC);
	}
	if (r)
		return 0;
	/* a scan: ten thousand of them would keep others waiting for as many processes */
	if (connection_is_over(&c)) {
		connection_close(&c);
		return 0;
	}
	why = find_room(st, &names);
	if (why != REFUSED_N) {
		st->refused[why].n++;
		st->refused[why].names = names;
		st->status.n_refused++;
		note_change(st);
		connection_close(&c);
		return 0;
	}
	r = templates_refresh(s->templates, s->options);
	if (r < 0) {
		connection_close(&c);
		return r;
	}
	r = hand_over(st, &c, &names);
	if (r == SUPERVISOR_E_CONNECTION) {
		*ret = c;
		*s->names = names;
	}
	return r;
}

/* Until when there is nothing to do without an event; DEADLINE_NEVER. */
static usec_t
next_deadline(const struct state *st)
{
	usec_t next = DEADLINE_NEVER;
	size_t i;

	if (st->n == 0)
		next = st->idle_deadline;
	if (st->paused_until && st->paused_until < next)
		next = st->paused_until;
	if (st->status.old && st->status.told_usec + STATUS_PAUSE_USEC < next)
		next = st->status.told_usec + STATUS_PAUSE_USEC;
	for (i = 0; i < REFUSED_N; i++)
		if (st->refused[i].n && st->refused[i].told_usec + TELL_PAUSE_USEC < next)
			next = st->refused[i].told_usec + TELL_PAUSE_USEC;
	return next;
}

/* Waits for signals, connections or the deadline. */
static int
wait_for_events(struct state *st, struct pollfd *polled, usec_t deadline)
{
	const struct inherited *in = st->s->inherited;
	struct timespec ts;
	size_t i, n = 1;

	polled[0] = (struct pollfd){ .fd = st->signals, .events = POLLIN };
	if (st->paused_until && deadline_left(st->paused_until) == 0)
		st->paused_until = 0;
	for (i = 0; i < in->n_listeners && !st->stopping && !st->paused_until; i++)
		polled[n++] = (struct pollfd){ .fd = in->listeners[i], .events = POLLIN };
	if (ppoll(polled, n, deadline_timeout(deadline_left(deadline), &ts), NULL) < 0 &&
		errno != EINTR)
		return -errno;
	for (i = n; i < 1 + INHERIT_LISTENERS_MAX; i++)
		polled[i] = (struct pollfd){ .fd = -1 };
	if (polled[0].revents)
		read_signals(st);
	return 0;
}

/* Accepts and forks. 0 when it is time to leave. */
static int
serve_connections(struct state *st, struct connection *ret)
{
	struct pollfd polled[1 + INHERIT_LISTENERS_MAX];
	size_t i;
	int r = 0;

	while (r == 0 && !st->stopping && !st->crashed) {
		r = wait_for_events(st, polled, next_deadline(st));
		for (i = 1; r == 0 && i <= st->s->inherited->n_listeners; i++)
			if (polled[i].revents && !st->stopping && !st->crashed)
				r = take(st, polled[i].fd, ret);
		if (r == 0) {
			tell_refused(st);
			tell_status(st);
		}
		if (st->n == 0 && deadline_left(st->idle_deadline) == 0)
			break;
	}
	return r;
}

/* Until no child is left, or the deadline. */
static void
wait_for_children(struct state *st, usec_t deadline)
{
	struct pollfd polled[1 + INHERIT_LISTENERS_MAX];

	while (st->n > 0 && deadline_left(deadline) > 0)
		if (wait_for_events(st, polled, deadline) < 0)
			return;
}

/* Those that do not stand in a frame leave when they are told; the others when theirs is answered.
 */
static void
stop_children(struct state *st)
{
	usec_t timeout = st->s->options->stop_timeout_usec;
	usec_t deadline = deadline_in(timeout);
	size_t i;

	write_status(st);
	wait_for_children(st, timeout < STOP_GRACE_USEC ? deadline : deadline_in(STOP_GRACE_USEC));
	for (i = 0; i < st->n; i++)
		(void)kill(st->children[i].pid, SIGTERM);
	wait_for_children(st, deadline);
}

static int
open_signals(void)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t set;
	int fd;

	/* ignored, as some pass it on, children would be gone without a word */
	(void)sigaction(SIGCHLD, &action, NULL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int
supervisor_run(const struct supervisor *s, struct connection *ret)
{
	_cleanup_close_ int signals = open_signals();
	struct state st = { .s = s, .signals = signals };
	int r = 0;

	if (signals < 0)
		return signals;
	st.children = calloc(s->options->max_connections, sizeof(*st.children));
	if (!st.children)
		return -ENOMEM;
	st.idle_deadline = deadline_in(s->options->idle_exit_usec);
	note_change(&st);
	tell_status(&st);
	r = serve_connections(&st, ret);
	close_listeners(&st);
	if (r == SUPERVISOR_E_CONNECTION && s->notify >= 0)
		(void)close(s->notify); /* what a child says of the service would be believed */
	if (r == SUPERVISOR_E_CONNECTION)
		return r; /* what is not touched stays the parent's, and costs nothing */
	if (r == 0 && st.stopping)
		stop_children(&st);
	free(st.children);
	return r;
}
