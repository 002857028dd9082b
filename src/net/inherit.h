/* SPDX-License-Identifier: MIT */
#pragma once

/* What whoever started this process passed on: a connection, or the sockets that connections come
 * in by. By systemd (sd_listen_fds(3)) or an inetd. */

#include "net/connection.h"

#define INHERIT_LISTENERS_MAX 16

enum {
	INHERIT_E_SUCCESS,
	INHERIT_E_NOTHING,      /* neither systemd nor an inetd passed anything */
	INHERIT_E_SEVERAL,      /* more than one descriptor, not all of them listening sockets */
	INHERIT_E_NOT_A_STREAM, /* a socket, but not of a stream */
	INHERIT_E_LISTENING,    /* listening, where the program takes a connection only */
};

struct inherited {
	struct connection connection; /* where there are no listeners */
	/* sockets that listen, none of which blocks: Accept=no, inetd's wait */
	int listeners[INHERIT_LISTENERS_MAX];
	size_t n_listeners;
	bool stderr_usable;
};

/* An inetd passes the peer as standard output and error too. Puts /dev/null there, before the first
 * thing is printed, and where one of the three is closed; whether standard error was the peer or
 * closed. */
bool inherit_shield_peer(void);

/* Takes the descriptors from 3 on from systemd, else 0 (a stream socket, or 0 and 1 two pipes) from
 * an inetd. From an inetd, descriptors 0 and 1 become /dev/null, and 2 as well where it is the
 * connection, so that nothing but an answer is ever written to the peer; `stderr_usable` tells. 0,
 * a condition or a negative errno. */
int inherit_sockets(struct inherited *ret);
