/* SPDX-License-Identifier: MIT */
#pragma once

/* Emptying a destination's queue: which message is tried next, what becomes of it, and the pauses.
 */

#include "forward/backoff.h"
#include "forward/deliver.h"
#include "forward/holds.h"
#include "forward/keys.h"
#include "forward/report.h"
#include "store/queue.h"
#include "store/state.h"

struct drain {
	const struct options *options;
	struct queue queue;
	struct peer peer;
	struct reporter reporter;
	struct backoff backoff;
	struct state state;
	int state_fd;
	int watch;   /* inotify(7) of the queue's folder */
	int signals; /* signalfd(2) of those that end it, which are blocked */
	struct holds holds;
	struct keys keys; /* of messages that wait; with Key= only */
	struct buffer message;
	uint64_t pass;     /* number of this way through the queue */
	usec_t pass_usec;  /* what the last one took */
	bool pass_full;    /* in this one nothing more can be held back, so nothing new is tried */
	bool full;         /* that was told */
	uint64_t n_looks;  /* in a row, for a commit that is in the middle */
	uint64_t n_silent; /* tries in a row that said nothing of the destination */

	/* delivered, but it could not be removed: it is not sent again */
	struct store_entry_name undone;
	bool has_undone;

	/* the line of systemctl status */
	int notify;               /* of net/notify.h, or -1 */
	usec_t notified_usec;     /* when it was told last */
	enum state_kind notified; /* and of what */
	size_t n_left;            /* in the queue, of those that the last look found */

	bool failing;     /* our own side did in the last pass */
	size_t n_foreign; /* files in the queue that are none of ours */

	/* the destination as a whole, when it takes nothing */
	uint64_t n_tries;
	usec_t retry_at_usec; /* 0: it is not down */
	usec_t down_since_usec;
	uint64_t unreachable_pass; /* the last in which it could not be reached */
	char unreachable[PEER_ERROR_BYTES];
};

/* Delivers until nothing is left and nothing comes for a while, or SIGTERM. Returns the exit
 * status. */
int drain_run(struct drain *d);
