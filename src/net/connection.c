/* SPDX-License-Identifier: MIT */
#include "net/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Waits until `events` or the deadline: 0, a condition, or a negative errno. */
static int
wait_for(int fd, short events, usec_t deadline, const sigset_t *mask)
{
	struct pollfd p = { .fd = fd, .events = events };
	usec_t left = deadline == 0 ? 0 : deadline_left(deadline);
	struct timespec ts;
	int n;

	/* also when there is something to read: a peer that never pauses runs into it all the same
	 */
	if (left == 0 && deadline != 0)
		return CONNECTION_E_TIMEOUT;
	n = ppoll(&p, 1, deadline_timeout(left, &ts), mask);
	if (n < 0)
		return errno == EINTR ? CONNECTION_E_INTERRUPTED : -errno;
	return n == 0 ? CONNECTION_E_TIMEOUT : 0;
}

static ssize_t
read_now(const struct connection *c, void *p, size_t n)
{
	/* a pipe has no MSG_DONTWAIT; after poll() its read gives what is there */
	return c->socket ? recv(c->in, p, n, MSG_DONTWAIT) : read(c->in, p, n);
}

int
connection_read(const struct connection *c, void *p, size_t n, usec_t deadline,
	const sigset_t *mask, size_t *ret_n)
{
	ssize_t got;
	int r;

	for (;;) {
		r = wait_for(c->in, POLLIN, deadline, mask);
		if (r == CONNECTION_E_INTERRUPTED && !mask)
			continue;
		if (r)
			return r;
		got = read_now(c, p, n);
		if (got >= 0)
			break;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	*ret_n = (size_t)got;
	return 0;
}

static ssize_t
write_now(const struct connection *c, struct span bytes)
{
	if (c->socket)
		return send(c->out, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* what poll() promises of a pipe: this much is taken without waiting */
	return write(c->out, bytes.p, bytes.n < PIPE_BUF ? bytes.n : PIPE_BUF);
}

int
connection_write(const struct connection *c, struct span bytes, usec_t deadline)
{
	bool ready = false;
	ssize_t n;
	int r;

	for (;;) {
		/* a socket is asked first, as it takes nearly every answer at once */
		n = c->socket || ready ? write_now(c, bytes) : 0;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		bytes = span_from(bytes, n < 0 ? 0 : (size_t)n);
		if (bytes.n == 0)
			return 0;
		r = wait_for(c->out, POLLOUT, deadline, NULL);
		if (r && r != CONNECTION_E_INTERRUPTED)
			return r;
		ready = r == 0;
	}
}

void
connection_shutdown_write(struct connection *c)
{
	if (c->socket) {
		(void)shutdown(c->out, SHUT_WR);
	} else if (c->out >= 0) {
		(void)close(c->out);
		c->out = -1;
	}
}

void
connection_close(struct connection *c)
{
	if (c->in >= 0)
		(void)close(c->in);
	if (c->out >= 0 && c->out != c->in)
		(void)close(c->out);
	*c = CONNECTION_NULL;
}

void
connection_set_no_delay(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Errors that are the one connection's, which is gone with them: accept(2), NOTES. */
static bool
is_of_one_connection(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
	case EPERM: /* a firewall's rule */
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET: return true;
	default: return false;
	}
}

bool
connection_is_over(const struct connection *c)
{
	char byte;
	ssize_t n = c->socket ? recv(c->in, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : 1;

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

void
connection_format_address(bool inet6, const uint8_t *address, char ret[CONNECTION_NAME_BYTES])
{
	static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };

	if (inet6 && memcmp(address, mapped, sizeof(mapped)) == 0) {
		address += sizeof(mapped);
		inet6 = false;
	}
	(void)inet_ntop(inet6 ? AF_INET6 : AF_INET, address, ret, CONNECTION_NAME_BYTES);
}

static void
format_address(const union address *a, char address[CONNECTION_NAME_BYTES], char port[8])
{
	in_port_t number = 0;

	if (a->any.sa_family == AF_INET) {
		connection_format_address(false, (const uint8_t *)&a->in.sin_addr, address);
		number = a->in.sin_port;
	} else if (a->any.sa_family == AF_INET6) {
		connection_format_address(true, a->in6.sin6_addr.s6_addr, address);
		number = a->in6.sin6_port;
	} else {
		return;
	}
	(void)snprintf(port, 8, "%u", (unsigned)ntohs(number));
}

static void
name_local_port(int fd, struct connection_names *names)
{
	union address a = { 0 };
	socklen_t n = sizeof(a);
	char unused[CONNECTION_NAME_BYTES] = "";

	if (getsockname(fd, &a.any, &n) == 0)
		format_address(&a, unused, names->local_port);
}

void
connection_names(const struct connection *c, struct connection_names *ret)
{
	union address a = { 0 };
	socklen_t n = sizeof(a);

	*ret = (struct connection_names){ "" };
	if (!c->socket)
		return;
	if (getpeername(c->in, &a.any, &n) == 0)
		format_address(&a, ret->peer_address, ret->peer_port);
	name_local_port(c->in, ret);
}

int
connection_accept(int listener, struct connection *ret, struct connection_names *ret_names)
{
	union address a = { 0 };
	socklen_t n = sizeof(a);
	int fd = accept4(listener, &a.any, &n, SOCK_CLOEXEC);

	if (fd < 0)
		return is_of_one_connection(errno) ? CONNECTION_E_GONE : -errno;
	*ret = (struct connection){ fd, fd, true };
	*ret_names = (struct connection_names){ "" };
	format_address(&a, ret_names->peer_address, ret_names->peer_port);
	name_local_port(fd, ret_names);
	return 0;
}
