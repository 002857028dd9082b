/* SPDX-License-Identifier: MIT */
#pragma once

/* One connection's conversation: frame in, judged, committed, answered, reported; until it ends. */

#include "listen/intake.h"
#include "listen/proxied.h"
#include "listen/reply.h"
#include "receive/convert.h"
#include "receive/options.h"
#include "receive/templates.h"
#include "store/store.h"

struct session {
	const struct options *options;
	struct connection connection;
	struct connection_names names;
	struct reporter reporter;
	struct intake intake;
	struct proxied proxied;
	struct replier replier;
	struct store store;
	int store_error; /* why the store could not be opened, or 0 */
	struct templates templates;
};

/* Runs the conversation to its end. Returns the exit status: of the first outcome that has one, 0
 * when all that went wrong was the peer's. */
int session_run(struct session *s);
