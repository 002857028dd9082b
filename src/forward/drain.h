/* SPDX-License-Identifier: MIT */
#pragma once

/* Emptying a destination's queue: which message is tried next, what becomes of it, and the pauses.
 */

#include "forward/backoff.h"
#include "forward/deliver.h"
#include "forward/holds.h"
#include "forward/report.h"
#include "store/queue.h"
#include "store/state.h"

#include <signal.h>

struct drain {
	const struct options *options;
	struct queue queue;
	struct peer peer;
	struct reporter reporter;
	struct backoff backoff;
	struct state state;
	int state_fd;
	int watch;          /* inotify(7) of the queue's folder */
	sigset_t idle_mask; /* while waiting: SIGTERM comes through */
	struct holds holds;
	struct buffer message;
	uint64_t pass; /* number of this way through the queue */

	/* delivered, but it could not be removed: it is not sent again */
	struct store_entry_name undone;
	bool has_undone;

	size_t n_foreign; /* files in the queue that are none of ours */

	/* the destination as a whole, when it takes nothing */
	uint64_t n_tries;
	usec_t retry_at_usec; /* 0: it is not down */
	usec_t down_since_usec;
};

/* Delivers until nothing is left and nothing comes for a while, or SIGTERM. Returns the exit
 * status. */
int drain_run(struct drain *d);
