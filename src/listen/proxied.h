/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A connection behind a proxy: it begins with the PROXY header, which says who the peer is, and
 * about its TLS.
 *
 * The header is demanded, never looked for: a peer that could choose whether there is one could say
 * that it is somebody else. That nobody but the proxy can connect is the socket's business.
 */

#include "listen/intake.h"
#include "listen/options.h"
#include "listen/report.h"
#include "net/proxy.h"

enum {
	PROXIED_E_SUCCESS,
	PROXIED_E_ENDS, /* no header came, or none that can be read; it was told */
};

/* What the proxy said; `names` of the connection and `tls` of the reporter point here or are copied
 * from it. */
struct proxied {
	uint8_t bytes[PROXY_BYTES_MAX];
	size_t n;
	struct proxy_header header;
};

/* Reads the header, where the options demand one, before anything else is read. What came behind it
 * goes to the intake; `names` and the entries of the reporter are the peer's from now on, unless
 * the proxy speaks for itself or does not know. 0, or PROXIED_E_ENDS: then the connection is to be
 * closed without a word. `*p` is there as long as the reporter is used. */
int proxied_begin(struct proxied *p, struct intake *in, const struct listen_options *o,
	struct connection_names *names, struct reporter *r);
