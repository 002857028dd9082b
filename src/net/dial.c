/* SPDX-License-Identifier: MIT */
#include "net/dial.h"
#include "base/cleanup.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_BYTES 256

/* getaddrinfo() takes 65536 and more for a smaller number, so it is not asked. */
static bool
is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	long number = digits > 0 && digits <= 5 && !text[digits] ? strtol(text, NULL, 10) : 0;

	return number >= 1 && number <= 65535;
}

/* Cuts "HOST", "HOST:PORT", "[HOST]:PORT"; several colons without brackets are an IPv6 address
 * alone. */
static bool
cut_target(const char *target, char host[HOST_BYTES], char port[8])
{
	const char *end, *colon;
	size_t n;

	if (target[0] == '[') {
		target++;
		end = strchr(target, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		colon = end[1] ? end + 1 : NULL;
	} else {
		colon = strchr(target, ':');
		if (colon && strchr(colon + 1, ':'))
			colon = NULL;
		end = colon ? colon : target + strlen(target);
	}
	n = (size_t)(end - target);
	if (n == 0 || n >= HOST_BYTES)
		return false;
	memcpy(host, target, n);
	host[n] = 0;
	n = (size_t)snprintf(port, 8, "%s", colon ? colon + 1 : DIAL_PORT_DEFAULT);
	return n < 8 && is_port(port);
}

uint16_t
dial_port(const char *target)
{
	char host[HOST_BYTES], port[8];

	return cut_target(target, host, port) ? (uint16_t)strtol(port, NULL, 10) : 0;
}

bool
dial_target_is_valid(const char *target)
{
	char host[HOST_BYTES], port[8];

	return cut_target(target, host, port);
}

int
dial_resolve(const char *target, struct addrinfo **ret)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG,
	};
	char host[HOST_BYTES], port[8];

	if (!cut_target(target, host, port))
		return DIAL_E_ADDRESS;
	/* without AI_ADDRCONFIG a machine that has loopback only can still be reached */
	if (getaddrinfo(host, port, &hints, ret) == 0)
		return 0;
	return getaddrinfo(host, port, &(struct addrinfo){ .ai_socktype = SOCK_STREAM }, ret) == 0
		       ? 0
		       : DIAL_E_UNKNOWN;
}

int
dial_begin(const struct addrinfo *address, int *ret_fd)
{
	_cleanup_close_ int fd = socket(address->ai_family,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
	int one = 1;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int
dial_end(int fd)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		return -errno;
	return -error;
}

static int
wait_writable(int fd, usec_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct timespec ts;
	int n;

	do
		n = ppoll(&p, 1, deadline_timeout(deadline_left(deadline), &ts), NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

static int
connect_one(const struct addrinfo *address, usec_t deadline, int *ret_fd)
{
	int fd = -1, r = dial_begin(address, &fd);

	if (r < 0)
		return r;
	r = wait_writable(fd, deadline);
	if (r == 0)
		r = dial_end(fd);
	if (r < 0)
		(void)close(fd);
	else
		*ret_fd = fd;
	return r;
}

int
dial_connect(const struct addrinfo *addresses, usec_t deadline, int *ret_fd)
{
	const struct addrinfo *a;
	usec_t left;
	size_t n = 0;
	int r = -ECONNREFUSED;

	for (a = addresses; a; a = a->ai_next)
		n++;
	for (a = addresses; a; a = a->ai_next, n--) {
		left = deadline_left(deadline);
		if (left != DEADLINE_NEVER)
			left = clock_monotonic_usec() + left / n;
		r = connect_one(a, left, ret_fd);
		if (r == 0)
			break;
	}
	return r;
}
