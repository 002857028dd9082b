/* SPDX-License-Identifier: MIT */
#pragma once

/* Connecting to a listener: with a deadline, or step by step for programs that poll many
 * connections. */

#include "base/clock.h"
#include "base/span.h"

struct addrinfo;

enum {
	DIAL_E_SUCCESS,
	DIAL_E_ADDRESS, /* no HOST, HOST:PORT or [HOST]:PORT */
	DIAL_E_UNKNOWN, /* the name cannot be resolved */
};

#define DIAL_PORT_DEFAULT "5123"

/* Whether the text is HOST, HOST:PORT or [HOST]:PORT. */
bool dial_target_is_valid(const char *target);

/* The port of such a text. */
uint16_t dial_port(const char *target);

/* Resolves "HOST[:PORT]"; an IPv6 address with a port is written in brackets. 0 or a condition; the
 * caller frees `*ret` with freeaddrinfo(3). Waits as long as the resolver does. */
int dial_resolve(const char *target, struct addrinfo **ret);

/* Begins to connect: a non-blocking descriptor in *ret_fd, writable when it is done, or a negative
 * errno. */
int dial_begin(const struct addrinfo *address, int *ret_fd);

/* How it ended, once the descriptor is writable: 0 or a negative errno. */
int dial_end(int fd);

/* Connects to the first of the addresses that can be, in their order: a non-blocking descriptor in
 * *ret_fd, or the negative errno of the last. Each gets its part of the time that is left: one that
 * does not answer takes nothing away from the others. */
int dial_connect(const struct addrinfo *addresses, usec_t deadline, int *ret_fd);
