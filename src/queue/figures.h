/* SPDX-License-Identifier: MIT */
#pragma once

/* The figures of all destinations, for a table and for monitoring systems. */

#include "queue/options.h"
#include "store/name.h"
#include "store/state.h"

struct destination {
	char name[STORE_DESTINATION_BYTES];
	size_t n_waiting, n_failed;
	usec_t oldest_usec; /* when the first that waits was received; 0: none waits */
	bool known;         /* a forwarder ever ran: */
	bool running;
	struct state state;
};

struct figures {
	struct destination *items; /* owned */
	size_t n;
};

/* Of those that the options name. 0 or a negative errno, as entries_destinations(); give it to
 * figures_deinit() whatever the outcome. */
int figures_read(const struct options *o, struct figures *ret);
void figures_deinit(struct figures *f);

/* Since when the oldest waits; 0 when none does. */
usec_t figures_age(const struct destination *d, usec_t now);

/* What is going on, in a word: a state_name(), "stopped" where messages wait and no forwarder runs,
 * or "idle". */
const char *figures_state(const struct destination *d);
