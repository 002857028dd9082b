/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A connection: descriptors to read from and write to, with deadlines.
 *
 * Descriptors stay blocking, as systemd and inetd pass them: every call waits with poll() for what
 * is left of an absolute deadline, then reads or writes without waiting. EINTR, short counts and
 * signals live here.
 */

#include "base/clock.h"
#include "base/span.h"

#include <signal.h>

enum {
	CONNECTION_E_SUCCESS,
	CONNECTION_E_TIMEOUT,     /* the deadline passed */
	CONNECTION_E_INTERRUPTED, /* a signal that the given mask lets through came first */
	CONNECTION_E_GONE,        /* of connection_accept() */
};

struct connection {
	int in, out; /* the same descriptor for a socket */
	bool socket;
};

#define CONNECTION_NULL ((struct connection){ .in = -1, .out = -1 })

/* Names of the two ends of a socket, numeric; "" where there is none, or the peer is already gone.
 */
#define CONNECTION_NAME_BYTES 64
struct connection_names {
	char peer_address[CONNECTION_NAME_BYTES];
	char peer_port[8];
	char local_port[8];
};
void connection_names(const struct connection *c, struct connection_names *ret);

/* Reads what is there, up to `n` bytes. `*ret_n` is 0 at the end of input. `deadline` 0 only looks.
 * `mask` (NULL: as it is) is the signal mask while waiting; what it lets through ends the wait,
 * unless bytes are there already. 0, a CONNECTION_E condition or a negative errno (-ECONNRESET: the
 * peer is gone). */
int connection_read(const struct connection *c, void *p, size_t n, usec_t deadline,
	const sigset_t *mask, size_t *ret_n);

/* Writes all of it, in one segment where the kernel takes it at once, which a socket is tried for
 * whatever the deadline says. 0, CONNECTION_E_TIMEOUT or a negative errno; SIGPIPE must be ignored
 * where the output is a pipe. */
int connection_write(const struct connection *c, struct span bytes, usec_t deadline);

/* Tells the peer that nothing more comes. */
void connection_shutdown_write(struct connection *c);

void connection_close(struct connection *c);

/* Takes the next connection of a listening socket that does not block, with the socket's options.
 * 0, CONNECTION_E_GONE when there is none, or none any more, or a negative errno (accept(2):
 * -EMFILE and the like may pass). The peer has its name also where it has reset the connection
 * meanwhile, so that nobody without one gets around a limit. */
int connection_accept(int listener, struct connection *ret, struct connection_names *ret_names);

/* Whether nothing will ever come of a connection just accepted: its peer has ended it, or reset it,
 * without having sent a byte. */
bool connection_is_over(const struct connection *c);

/* Small answers go out at once; no matter where the socket is not TCP. Of one that listens: those
 * of its connections. */
void connection_set_no_delay(int fd);

/* The address as text: four bytes in network order, or 16. A mapped one is the IPv4 address that
 * people know. */
void connection_format_address(bool inet6, const uint8_t *address, char ret[CONNECTION_NAME_BYTES]);
