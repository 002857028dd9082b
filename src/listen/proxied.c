/* SPDX-License-Identifier: MIT */
#include "listen/proxied.h"

#include <stdio.h>

/* Why it ends; no text: nobody has to know. */
struct refusal {
	const char *text;
	uint64_t offset;
	int error; /* negative errno, or 0 */
};

static struct refusal
refusal_of_read(const struct proxied *p, int r)
{
	/* a probe: also a health check that ends before it has sent its header */
	if (p->n == 0)
		return (struct refusal){ .text = NULL };
	if (r == CONNECTION_E_TIMEOUT)
		return (struct refusal){ "the PROXY header was not complete in time", p->n, 0 };
	return (struct refusal){ proxy_fault_text(PROXY_E_PARTIAL), p->n, r < 0 ? r : 0 };
}

/* 0 with the header, or PROXIED_E_ENDS and why. */
static int
read_header(struct proxied *p, const struct intake *in, usec_t deadline, struct refusal *why)
{
	size_t got, at = 0;
	int r = PROXY_E_PARTIAL;

	while (r == PROXY_E_PARTIAL) {
		r = connection_read(in->connection, p->bytes + p->n, sizeof(p->bytes) - p->n,
			deadline, &in->idle_mask, &got);
		if (r || got == 0) {
			*why = refusal_of_read(p, r);
			return PROXIED_E_ENDS;
		}
		p->n += got;
		r = proxy_parse(span_of(p->bytes, p->n), &p->header, &at);
	}
	if (r == 0)
		return 0;
	*why = (struct refusal){ proxy_fault_text(r), at, 0 };
	return PROXIED_E_ENDS;
}

static void
take_names(const struct proxy_header *h, struct connection_names *names)
{
	bool inet6 = h->family == PROXY_INET6;

	if (h->family != PROXY_INET && !inet6)
		return; /* of another kind, or not known: no name is better than the proxy's */
	connection_format_address(inet6, h->source.address, names->peer_address);
	(void)snprintf(names->peer_port, sizeof(names->peer_port), "%u", (unsigned)h->source.port);
	(void)snprintf(
		names->local_port, sizeof(names->local_port), "%u", (unsigned)h->destination.port);
}

int
proxied_begin(struct proxied *p, struct intake *in, const struct listen_options *o,
	struct connection_names *names, struct reporter *r)
{
	struct refusal why = { NULL };
	struct span rest;
	int status;

	if (!o->proxy_protocol)
		return 0;
	p->n = 0;
	status = read_header(p, in, deadline_in(o->proxy_timeout_usec), &why);
	if (status == 0) {
		rest = span_from(span_of(p->bytes, p->n), p->header.n_bytes);
		why = (struct refusal){ .error = intake_give(in, rest) };
		if (why.error)
			why.text = "no memory to read into";
		status = why.error ? PROXIED_E_ENDS : 0;
	}
	if (why.text)
		report_refused_header(r, why.text, p->n, why.offset, why.error);
	if (status)
		return status;
	take_names(&p->header, names);
	r->proxy = &p->header;
	return 0;
}
