/* SPDX-License-Identifier: MIT */
#pragma once

/* One connection's conversation: frame in, judged, published, answered, reported; until it ends. */

#include "amqp/intake.h"
#include "amqp/options.h"
#include "amqp/report.h"

struct session {
	const struct options *options;
	struct connection connection;
	struct intake intake;
	struct publisher publisher;
	int password_error; /* negative errno: there is none to log in with; or 0 */
	struct reporter reporter;
	struct template *shipped; /* acknowledgement */
	struct control_id_source ids;
	char host[65]; /* HOST_NAME_MAX and a NUL */
};

/* Runs the conversation to its end. Returns the exit status: of the first outcome that has one, 0
 * when all that went wrong was the peer's. */
int session_run(struct session *s);
