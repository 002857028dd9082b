/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The PROXY header, versions 1 (a line of text) and 2 (binary): what a proxy in front of a listener
 * says about the peer that it speaks for, before the first byte of that peer.
 *
 * Pure: bytes go in, what they say or a named fault comes out; no descriptor, no clock. Nothing is
 * guessed: who calls this was told that there is a header, and whatever does not begin with one is
 * a fault. Which of the two it is shows in its first byte.
 *
 * Source: The PROXY protocol, versions 1 & 2 (doc/proxy-protocol.txt of HAProxy).
 *
 * Not for: writing headers. Who may send one is the caller's to know: a header is believed.
 */

#include "base/span.h"

/* Version 1, its CR LF included: section 2.1. */
#define PROXY_LINE_BYTES_MAX 107

/* The specification allows version 2 16 + 65535 bytes. Addresses take 232 at most, names and
 * versions some hundred more, and a client's certificate (type 0x28) one or two thousand: with this
 * much none of them is refused, and nobody makes a process hold more before it knows who speaks. */
#define PROXY_BYTES_MAX 4096

/* Of PP2_TYPE_UNIQUE_ID: section 2.2.5. */
#define PROXY_UNIQUE_ID_BYTES_MAX 128

enum {
	PROXY_E_SUCCESS,
	PROXY_E_PARTIAL,   /* more bytes are needed */
	PROXY_E_NO_HEADER, /* the bytes do not begin like either version */
	PROXY_E_LINE,      /* version 1, but not as it is written */
	PROXY_E_COMMAND,   /* version 2, with a later version or a command that is not known */
	PROXY_E_FAMILY,    /* an address family or a transport that is not known */
	PROXY_E_TOO_LARGE, /* more than PROXY_BYTES_MAX */
	PROXY_E_TOO_SHORT, /* the addresses do not fit into the length that is given */
	PROXY_E_FIELD,     /* a field leaves its header, has a wrong size or stands there twice */
	PROXY_E_CHECKSUM,
};

enum proxy_command {
	PROXY_LOCAL,     /* the proxy speaks for itself: a health check */
	PROXY_FORWARDED, /* it speaks for a peer */
};

enum proxy_family {
	PROXY_UNKNOWN, /* the proxy knows no addresses (also version 1's UNKNOWN) */
	PROXY_INET,
	PROXY_INET6,
	PROXY_UNIX,
};

struct proxy_endpoint {
	uint8_t address[16]; /* in network order, the first four of PROXY_INET */
	uint16_t port;
	struct span path; /* of PROXY_UNIX, without its NULs */
};

/* Of PP2_TYPE_SSL. The names are as the proxy wrote them: not checked, and not always ASCII. */
struct proxy_tls {
	bool used;              /* the peer speaks TLS with the proxy */
	bool certificate;       /* it showed one, now or in the session that is resumed */
	uint32_t verify_result; /* of the certificate: 0 when the proxy found it good */
	struct span version;    /* "TLSv1.3" */
	struct span client;     /* the certificate's common name */
};

/* Spans lie in the bytes that were parsed; p is NULL for what was not there. */
struct proxy_header {
	size_t n_bytes; /* of the header: what is behind belongs to the peer */
	unsigned version;
	enum proxy_command command;
	enum proxy_family family; /* and all below only of PROXY_FORWARDED */
	struct proxy_endpoint source, destination;
	struct proxy_tls tls;
	struct span authority; /* the host name that the peer asked for (SNI) */
	struct span unique_id;
};

/* Reads the header at the beginning of all bytes that came so far. 0; PROXY_E_PARTIAL, never for
 * PROXY_BYTES_MAX bytes or more; or a fault, with the place of the byte that shows it in
 * `*ret_fault_offset`. More bytes never change a result but PROXY_E_PARTIAL. */
int proxy_parse(struct span bytes, struct proxy_header *ret, size_t *ret_fault_offset);

/* The fault, for people; also for PROXY_E_PARTIAL, when nothing more comes. */
const char *proxy_fault_text(int condition);
