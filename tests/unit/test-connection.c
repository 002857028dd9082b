/* SPDX-License-Identifier: MIT */

/*
 * Connections over socket pairs, pipes and the loopback. Nothing depends on time: a deadline has
 * passed, or never comes, or is one that nothing can keep.
 */

#include "net/connection.h"
#include "net/dial.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define PASSED ((usec_t)1) /* a deadline that was before this machine started, or as good as */

struct pair {
	struct connection c;
	int peer;
};

static struct pair
make_pair(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	return (struct pair){ { .in = fds[0], .out = fds[0], .socket = true }, fds[1] };
}

static void
done(struct pair *p)
{
	connection_close(&p->c);
	assert_int_equal(p->c.in, -1);
	if (p->peer >= 0)
		assert_int_equal(close(p->peer), 0);
}

static void
send_text(const struct pair *p, const char *text)
{
	assert_int_equal(write(p->peer, text, strlen(text)), strlen(text));
}

static void
reads_what_is_there(void **state)
{
	struct pair p = make_pair();
	char room[8];
	size_t n = 99;

	(void)state;
	send_text(&p, "abcdef");
	assert_int_equal(connection_read(&p.c, room, 4, DEADLINE_NEVER, NULL, &n), 0);
	assert_span_equal(span_of(room, n), SPAN("abcd"));
	assert_int_equal(connection_read(&p.c, room, sizeof(room), DEADLINE_NEVER, NULL, &n), 0);
	assert_span_equal(span_of(room, n), SPAN("ef"));
	done(&p);
}

static void
only_looks(void **state)
{
	struct pair p = make_pair();
	char room[8];
	size_t n = 99;

	(void)state;
	assert_int_equal(
		connection_read(&p.c, room, sizeof(room), 0, NULL, &n), CONNECTION_E_TIMEOUT);
	assert_int_equal(n, 99);
	send_text(&p, "a");
	assert_int_equal(connection_read(&p.c, room, sizeof(room), 0, NULL, &n), 0);
	assert_int_equal(n, 1);
	done(&p);
}

static void
a_deadline_that_passed(void **state)
{
	static const uint8_t large[16 * 1024 * 1024];
	struct pair p = make_pair();
	char room[8];
	size_t n = 99;

	(void)state;
	assert_int_equal(
		connection_read(&p.c, room, sizeof(room), PASSED, NULL, &n), CONNECTION_E_TIMEOUT);
	/* a peer that never pauses runs into it as well */
	send_text(&p, "a");
	assert_int_equal(
		connection_read(&p.c, room, sizeof(room), PASSED, NULL, &n), CONNECTION_E_TIMEOUT);
	assert_int_equal(n, 99);
	/* what is taken at once has not waited */
	assert_int_equal(connection_write(&p.c, SPAN("a"), PASSED), 0);
	assert_int_equal(connection_write(&p.c, span_of(large, sizeof(large)), PASSED),
		CONNECTION_E_TIMEOUT);
	done(&p);
}

static void
the_end_of_input(void **state)
{
	struct pair p = make_pair();
	char room[8];
	size_t n = 99;

	(void)state;
	send_text(&p, "a");
	assert_int_equal(close(p.peer), 0);
	p.peer = -1;
	assert_int_equal(connection_read(&p.c, room, sizeof(room), DEADLINE_NEVER, NULL, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(connection_read(&p.c, room, sizeof(room), DEADLINE_NEVER, NULL, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(connection_write(&p.c, SPAN("x"), DEADLINE_NEVER), -EPIPE);
	done(&p);
}

static void
a_peer_that_closed_with_bytes_unread(void **state)
{
	struct pair p = make_pair();
	char room[8];
	size_t n = 99;

	(void)state;
	assert_int_equal(connection_write(&p.c, SPAN("unread"), DEADLINE_NEVER), 0);
	assert_int_equal(close(p.peer), 0);
	p.peer = -1;
	assert_int_equal(
		connection_read(&p.c, room, sizeof(room), DEADLINE_NEVER, NULL, &n), -ECONNRESET);
	done(&p);
}

static void
note_signal(int signal)
{
	(void)signal;
}

static void
a_signal_that_is_let_through(void **state)
{
	struct sigaction action = { .sa_handler = note_signal }, before;
	struct pair p = make_pair();
	sigset_t blocked, mask;
	char room[8];
	size_t n = 99;

	(void)state;
	assert_int_equal(sigaction(SIGTERM, &action, &before), 0);
	(void)sigemptyset(&blocked);
	(void)sigaddset(&blocked, SIGTERM);
	assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, &mask), 0);
	assert_int_equal(raise(SIGTERM), 0);
	(void)sigdelset(&mask, SIGTERM);
	/* still blocked: the wait ends by its deadline, and the signal is still there */
	assert_int_equal(
		connection_read(&p.c, room, sizeof(room), PASSED, NULL, &n), CONNECTION_E_TIMEOUT);
	assert_int_equal(connection_read(&p.c, room, sizeof(room), DEADLINE_NEVER, &mask, &n),
		CONNECTION_E_INTERRUPTED);
	assert_int_equal(n, 99);
	send_text(&p, "a");
	assert_int_equal(connection_read(&p.c, room, sizeof(room), DEADLINE_NEVER, &mask, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(sigprocmask(SIG_UNBLOCK, &blocked, NULL), 0);
	assert_int_equal(sigaction(SIGTERM, &before, NULL), 0);
	done(&p);
}

static void
a_peer_that_reads_nothing(void **state)
{
	static const uint8_t bytes[4 * 1024 * 1024];
	struct pair p = make_pair();

	(void)state;
	/* it ends however short the wait: what is not read is never all written */
	assert_int_equal(connection_write(&p.c, span_of(bytes, sizeof(bytes)), deadline_in(2000)),
		CONNECTION_E_TIMEOUT);
	done(&p);
}

static void
an_answer_is_one_write(void **state)
{
	struct pair p = make_pair();
	char room[64];

	(void)state;
	assert_int_equal(connection_write(&p.c, SPAN("\x0BMSH|x\r\x1C\r"), DEADLINE_NEVER), 0);
	assert_int_equal(connection_write(&p.c, SPAN(""), DEADLINE_NEVER), 0);
	assert_int_equal(recv(p.peer, room, sizeof(room), MSG_DONTWAIT), 9);
	done(&p);
}

static void
nothing_more_comes(void **state)
{
	struct pair p = make_pair();
	char room[8];
	size_t n;

	(void)state;
	connection_shutdown_write(&p.c);
	assert_int_equal(read(p.peer, room, sizeof(room)), 0);
	send_text(&p, "late");
	assert_int_equal(connection_read(&p.c, room, sizeof(room), DEADLINE_NEVER, NULL, &n), 0);
	assert_int_equal(n, 4);
	done(&p);
}

/* Only what can be known at once counts, and no byte is taken. */
static void
over_or_not(void **state)
{
	struct connection none = CONNECTION_NULL;
	struct pair p = make_pair();
	char room[8];
	size_t n;

	(void)state;
	assert_false(connection_is_over(&p.c));
	send_text(&p, "a");
	assert_false(connection_is_over(&p.c));
	assert_int_equal(shutdown(p.peer, SHUT_WR), 0);
	assert_false(connection_is_over(&p.c));
	assert_int_equal(connection_read(&p.c, room, sizeof(room), DEADLINE_NEVER, NULL, &n), 0);
	assert_int_equal(n, 1);
	assert_true(connection_is_over(&p.c));
	done(&p);
	assert_false(connection_is_over(&none));
}

static void
two_pipes(void **state)
{
	static const uint8_t bytes[256 * 1024];
	struct connection c = CONNECTION_NULL;
	int in[2], out[2];
	char room[8];
	size_t n = 99;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	c = (struct connection){ .in = in[0], .out = out[1] };
	assert_int_equal(write(in[1], "abc", 3), 3);
	assert_int_equal(connection_read(&c, room, sizeof(room), DEADLINE_NEVER, NULL, &n), 0);
	assert_span_equal(span_of(room, n), SPAN("abc"));
	assert_int_equal(
		connection_read(&c, room, sizeof(room), 0, NULL, &n), CONNECTION_E_TIMEOUT);
	assert_int_equal(close(in[1]), 0);
	assert_int_equal(connection_read(&c, room, sizeof(room), DEADLINE_NEVER, NULL, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(connection_write(&c, SPAN("xyz"), DEADLINE_NEVER), 0);
	assert_int_equal(read(out[0], room, sizeof(room)), 3);
	assert_int_equal(connection_write(&c, span_of(bytes, sizeof(bytes)), deadline_in(2000)),
		CONNECTION_E_TIMEOUT);
	connection_close(&c);
	assert_int_equal(fcntl(in[0], F_GETFD), -1);
	assert_int_equal(fcntl(out[1], F_GETFD), -1);
	assert_int_equal(close(out[0]), 0);
}

static void
no_descriptor(void **state)
{
	struct connection_names names;
	struct connection c = { .in = 1000000, .out = 1000000, .socket = true };
	char room[8];
	size_t n;

	(void)state;
	assert_true(connection_read(&c, room, sizeof(room), DEADLINE_NEVER, NULL, &n) < 0);
	assert_true(connection_write(&c, SPAN("a"), DEADLINE_NEVER) < 0);
	connection_names(&c, &names);
	assert_string_equal(names.peer_address, "");
	c = CONNECTION_NULL;
	connection_close(&c);
}

static void
names_over_unix(void **state)
{
	struct connection_names names;
	struct pair p = make_pair();

	(void)state;
	connection_names(&p.c, &names);
	assert_string_equal(names.peer_address, "");
	assert_string_equal(names.peer_port, "");
	assert_string_equal(names.local_port, "");
	done(&p);
}

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* IPv6 can be switched off; then this is told, and packaging/tally.py counts it. */
static void
need_ipv6(void)
{
	const struct sockaddr_in6 at = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error = fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? errno : 0;

	if (fd >= 0)
		(void)close(fd);
	if (error == EAFNOSUPPORT || error == EADDRNOTAVAIL) {
		print_message("no IPv6 loopback here: %s\n", strerror(error));
		skip();
	}
	assert_int_equal(error, 0);
}

/* A connection over the loopback: listens at `at`, connects to `to`. */
static void
connect_loopback(union address at, union address to, socklen_t n, struct pair *ret)
{
	int listener = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
	int client = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t to_n = to.any.sa_family == AF_INET ? sizeof(to.in) : sizeof(to.in6);
	union address bound = { 0 };

	assert_true(listener >= 0 && client >= 0);
	if (at.any.sa_family == AF_INET6)
		(void)setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(listener, &at.any, n), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, &bound.any, &n), 0);
	to.in.sin_port = bound.in.sin_port; /* the same place in both */
	assert_int_equal(connect(client, &to.any, to_n), 0);
	*ret = (struct pair){ { .socket = true }, client };
	ret->c.in = ret->c.out = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ret->c.in >= 0);
	assert_int_equal(close(listener), 0);
}

static void
check_names(struct pair *p, const char *address)
{
	struct connection_names names, other;
	struct connection back = { .in = p->peer, .out = p->peer, .socket = true };

	connection_names(&p->c, &names);
	connection_names(&back, &other);
	assert_string_equal(names.peer_address, address);
	assert_string_equal(names.peer_port, other.local_port);
	assert_string_equal(names.local_port, other.peer_port);
	assert_in_range(strlen(names.local_port), 1, 5);
	done(p);
}

static void
names_over_ipv4(void **state)
{
	union address at = { .in = { .sin_family = AF_INET } };
	struct pair p;

	(void)state;
	at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connect_loopback(at, at, sizeof(at.in), &p);
	check_names(&p, "127.0.0.1");
}

/* A peer that sends and resets at once: its bytes may be there or not, its name is. */
static void
name_of_a_reset_peer(void **state)
{
	union address at = { .in = { .sin_family = AF_INET } };
	socklen_t n = sizeof(at.in);
	const struct linger reset = { .l_onoff = 1 };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct connection c = CONNECTION_NULL;
	struct connection_names names, none;

	(void)state;
	at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, &at.any, n), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, &at.any, &n), 0);
	assert_int_equal(connection_accept(listener, &c, &names), CONNECTION_E_GONE);
	assert_int_equal(connect(client, &at.any, n), 0);
	assert_int_equal(write(client, "a", 1), 1);
	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	assert_int_equal(close(client), 0);
	assert_int_equal(connection_accept(listener, &c, &names), 0);
	assert_string_equal(names.peer_address, "127.0.0.1");
	assert_in_range(strlen(names.peer_port), 1, 5);
	connection_names(&c, &none);
	assert_string_equal(none.peer_address, ""); /* asked later, there is none */
	assert_string_equal(none.local_port, names.local_port);
	connection_close(&c);
	assert_int_equal(close(listener), 0);
}

static void
names_over_ipv6(void **state)
{
	union address at = { .in6 = { .sin6_family = AF_INET6,
				     .sin6_addr = IN6ADDR_LOOPBACK_INIT } };
	struct pair p;

	(void)state;
	need_ipv6();
	connect_loopback(at, at, sizeof(at.in6), &p);
	check_names(&p, "::1");
}

/* A listener of both families, as systemd makes it, sees an IPv4 peer as a mapped address. */
static void
names_over_both(void **state)
{
	union address at = { .in6 = { .sin6_family = AF_INET6 } };
	union address to = { .in = { .sin_family = AF_INET } };
	struct pair p;

	(void)state;
	need_ipv6();
	to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connect_loopback(at, to, sizeof(at.in6), &p);
	check_names(&p, "127.0.0.1");
}

/* --- dialling
 * ---------------------------------------------------------------------------------------- */

struct target_case {
	const char *name; /* the target */
	int result;
	unsigned port;
};

/* Numbers only: nothing here asks a name server. */
static const struct target_case targets[] = {
	{ "127.0.0.1", 0, 5123 },
	{ "127.0.0.1:80", 0, 80 },
	{ "[127.0.0.1]:81", 0, 81 },
	{ "127.0.0.1:65535", 0, 65535 },
	{ "127.0.0.1:0", DIAL_E_ADDRESS, 0 },
	{ "127.0.0.1:65536", DIAL_E_ADDRESS, 0 },
	{ "127.0.0.1:", DIAL_E_ADDRESS, 0 },
	{ "127.0.0.1:x", DIAL_E_ADDRESS, 0 },
	{ "127.0.0.1:-1", DIAL_E_ADDRESS, 0 },
	{ "127.0.0.1:99999999999", DIAL_E_ADDRESS, 0 },
	{ "", DIAL_E_ADDRESS, 0 },
	{ ":80", DIAL_E_ADDRESS, 0 },
	{ "[::1", DIAL_E_ADDRESS, 0 },
	{ "[]:80", DIAL_E_ADDRESS, 0 },
	{ "[::1]x", DIAL_E_ADDRESS, 0 },
};

static void
target(void **state)
{
	const struct target_case *c = *state;
	struct addrinfo *found = NULL;
	union address a;

	assert_int_equal(dial_resolve(c->name, &found), c->result);
	if (c->result)
		return;
	memcpy(&a.in, found->ai_addr, sizeof(a.in));
	assert_int_equal(a.any.sa_family, AF_INET);
	assert_int_equal(ntohs(a.in.sin_port), c->port);
	freeaddrinfo(found);
}

/* A socket at a free port of the loopback, which listens or refuses. */
static int
make_port(bool listening, struct sockaddr_in *ret)
{
	socklen_t n = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_in){ .sin_family = AF_INET };
	ret->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)ret, sizeof(*ret)) < 0)
		skip();
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &n), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
one_address_after_the_other(void **state)
{
	struct sockaddr_in at[2];
	int refusing = make_port(false, &at[0]), listening = make_port(true, &at[1]), fd = -1;
	struct addrinfo second = {
		.ai_family = AF_INET,
		.ai_addr = (struct sockaddr *)&at[1],
		.ai_addrlen = sizeof(at[1]),
	};
	struct addrinfo first = {
		.ai_family = AF_INET,
		.ai_addr = (struct sockaddr *)&at[0],
		.ai_addrlen = sizeof(at[0]),
		.ai_next = &second,
	};

	(void)state;
	assert_int_equal(dial_connect(&first, DEADLINE_NEVER, &fd), 0);
	assert_int_equal(close(fd), 0);
	first.ai_next = NULL;
	fd = -1;
	assert_int_equal(dial_connect(&first, DEADLINE_NEVER, &fd), -ECONNREFUSED);
	assert_int_equal(fd, -1);
	assert_int_equal(close(refusing), 0);
	assert_int_equal(close(listening), 0);
}

int
main(void)
{
	static struct suite s;

	add_test(&s, "reads what is there", reads_what_is_there);
	add_test(&s, "without a deadline it only looks", only_looks);
	add_test(&s, "a deadline that passed", a_deadline_that_passed);
	add_test(&s, "the end of input", the_end_of_input);
	add_test(&s, "a peer that closed with bytes unread", a_peer_that_closed_with_bytes_unread);
	add_test(&s, "a signal that is let through, unless bytes are there",
		a_signal_that_is_let_through);
	add_test(&s, "a peer that reads nothing", a_peer_that_reads_nothing);
	add_test(&s, "an answer is one write", an_answer_is_one_write);
	add_test(&s, "nothing more comes", nothing_more_comes);
	add_test(&s, "over, or not", over_or_not);
	add_test(&s, "two pipes", two_pipes);
	add_test(&s, "no descriptor", no_descriptor);
	add_test(&s, "names over a Unix socket", names_over_unix);
	add_test(&s, "names over IPv4", names_over_ipv4);
	add_test(&s, "the name of a peer that has reset the connection", name_of_a_reset_peer);
	add_test(&s, "names over IPv6", names_over_ipv6);
	add_test(&s, "names of an IPv4 peer at an IPv6 socket", names_over_both);
	add_cases(&s, target, targets);
	add_test(&s, "one address after the other", one_address_after_the_other);
	return run_suite("connection", &s);
}
