/* SPDX-License-Identifier: MIT */
#pragma once

/* The connection that whoever started this process passed on: systemd (sd_listen_fds(3)) or an
 * inetd. */

#include "net/connection.h"

enum {
	INHERIT_E_SUCCESS,
	INHERIT_E_NOTHING,      /* neither systemd nor an inetd passed a connection */
	INHERIT_E_SEVERAL,      /* systemd passed more than one descriptor */
	INHERIT_E_NOT_A_STREAM, /* a socket, but not of a stream */
	INHERIT_E_LISTENING,    /* a listening socket: Accept=no, or inetd's wait */
};

enum inherit_from {
	INHERIT_SYSTEMD,
	INHERIT_INETD,
};

/* An inetd passes the peer as standard output and error too. Puts /dev/null there, before the first
 * thing is printed; whether standard error was the peer. */
bool inherit_shield_peer(void);

/* Takes descriptor 3 from systemd, else 0 (a stream socket, or 0 and 1 two pipes) from an inetd.
 * From an inetd, descriptors 0 and 1 become /dev/null, and 2 as well where it is the connection, so
 * that nothing but an answer is ever written to the peer; `*ret_stderr_usable` tells. 0, a
 * condition or a negative errno. */
int inherit_connection(
	struct connection *ret, enum inherit_from *ret_from, bool *ret_stderr_usable);
