/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Wait mode: the sockets that listen are this process's, as Accept=no and inetd's wait pass them.
 * It accepts and forks one process for each connection; none of them sees another's.
 *
 * A child that a signal killed had a fault in it, and its siblings have the same addresses and the
 * same stack canary: who made one crash could try again, and learn. So the supervisor ends then,
 * and the next connection starts a new one, whose addresses are others.
 */

#include "net/inherit.h"
#include "receive/templates.h"

enum {
	SUPERVISOR_E_SUCCESS,
	SUPERVISOR_E_CONNECTION, /* this is a child: its connection is in *ret */
};

struct supervisor {
	const struct inherited *inherited;
	const struct options *options;
	const struct reporter *reporter;
	struct templates *templates;    /* refreshed for each connection */
	struct connection_names *names; /* a child's connection's */
	int notify;                     /* of net/notify.h, or -1 */
};

/* Serves until it is idle for long enough, SIGTERM, or a child's crash: 0, in the parent. Children
 * that are not done by --stop-timeout are left to themselves. SUPERVISOR_E_CONNECTION in each
 * child; a negative errno when it cannot go on. SIGTERM must be blocked. */
int supervisor_run(const struct supervisor *s, struct connection *ret);
