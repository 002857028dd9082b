/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which peers may connect: a list of address ranges, as of --allow.
 *
 * Not for host names, which would have to be asked for, nor for what the kernel's own filter does
 * (IPAddressAllow= in the socket unit): that one refuses before a process is started.
 */

#include "base/span.h"

/* Of one list; it is gone through for each connection. */
#define ALLOW_RANGES_MAX 64

enum {
	ALLOW_E_SUCCESS,
	ALLOW_E_ADDRESS,   /* neither an IPv4 nor an IPv6 address */
	ALLOW_E_PREFIX,    /* what follows the slash is no length that such an address has */
	ALLOW_E_HOST_BITS, /* bits behind the prefix are set, as in 10.1.2.3/8: one of both is wrong
			    */
	ALLOW_E_TOO_MANY,  /* more than ALLOW_RANGES_MAX */
};

/* IPv4 is kept as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2), its prefix 96 more than written. */
struct allow_range {
	uint8_t address[16];
	uint8_t prefix_bits;
};

/* All zero: the empty list, which admits nobody. */
struct allow {
	struct allow_range ranges[ALLOW_RANGES_MAX];
	size_t n_ranges;
};

/* Adds what `text` lists, ADDRESS[/BITS][,ADDRESS[/BITS]...], without spaces; no BITS: that address
 * alone. 0 or a condition; then *ret_wrong is the item that is at fault, a piece of `text`, and the
 * list is as before. */
int allow_add(struct allow *list, struct span text, struct span *ret_wrong);

/* Whether the peer, by its numeric address, is in one of the ranges. An IPv4-mapped peer, as a
 * socket for both families has them, is IPv4, and in no range of IPv6, not even ::/0. False for
 * what is no address, such as "" of a peer on a Unix socket. */
bool allow_admits(const struct allow *list, struct span peer);
