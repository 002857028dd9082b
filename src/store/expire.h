/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Removes what need not be kept any longer: messages by age and by size, and the leftovers of work
 * that was never finished. Runs beside receivers and forwarders; expire.c says why that is right.
 */

#include "store/retention.h"

enum {
	EXPIRE_E_SUCCESS,
	EXPIRE_E_BUSY, /* another one runs */
};

struct expire_options {
	struct retention_rules received, rejected;
	usec_t keep_failed_usec; /* since they failed; 0: for ever */
	bool dry_run;            /* only counts; of leftovers those of received/ */
	void (*progress)(uint64_t n_files, void *userdata);
	void *userdata;
};

struct expire_result {
	uint64_t n_received, n_rejected, n_failed;
	uint64_t n_leftovers;
	uint64_t bytes; /* of the messages */
};

/* 0, EXPIRE_E_BUSY or a negative errno; *ret counts what was done in any case. `now` is of
 * CLOCK_REALTIME. */
int expire_run(
	const char *path, const struct expire_options *o, usec_t now, struct expire_result *ret);
