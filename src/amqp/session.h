/* SPDX-License-Identifier: MIT */
#pragma once

/* One connection's conversation: frame in, judged, published, answered, reported; until it ends. */

#include "amqp/options.h"
#include "amqp/report.h"
#include "listen/intake.h"
#include "listen/proxied.h"
#include "listen/reply.h"

struct session {
	const struct options *options;
	struct connection connection;
	struct intake intake;
	struct proxied proxied;
	struct publisher publisher;
	int password_error; /* negative errno: there is none to log in with; or 0 */
	struct connection_names names;
	struct reporter reporter;
	struct replier replier;
	struct template *shipped; /* acknowledgement */
};

/* Runs the conversation to its end. Returns the exit status: of the first outcome that has one, 0
 * when all that went wrong was the peer's. */
int session_run(struct session *s);
