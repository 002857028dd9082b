/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a forwarder is doing, for hl7-queue to read: the file queue/.NAME, a line each fact. It is
 * also the lock that lets only one forwarder of a destination run.
 *
 * It is never synced: after a power cut it may be old, which harms nothing but the figures.
 */

#include "base/clock.h"
#include "base/span.h"

enum state_kind {
	STATE_IDLE,       /* nothing waits */
	STATE_DELIVERING, /* the last try went well */
	STATE_DOWN, /* the destination cannot be reached, or does not take the message: pausing */
	STATE_N,
};

/* The longest text of an error, with its NUL. */
#define STATE_ERROR_BYTES 160

struct state {
	enum state_kind kind;
	usec_t since_usec;                         /* of this kind; times are CLOCK_REALTIME */
	uint64_t n_delivered, n_failed, n_retries; /* since the file was made */
	usec_t last_delivery_usec;                 /* 0: never */
	usec_t last_error_usec;
	char last_error[STATE_ERROR_BYTES]; /* of ours, never a peer's words */
};

/* "idle", "delivering", "down" */
const char *state_name(enum state_kind kind);

enum {
	STATE_E_SUCCESS,
	STATE_E_LOCKED, /* another forwarder runs */
};

/* The forwarder's side: opens and locks the file of a destination in the store's root directory,
 * made where it is missing, and reads what it says. 0, STATE_E_LOCKED or a negative errno. */
int state_open(int root, const char *name, int *ret_fd, struct state *ret);
void state_write(int fd, const struct state *state);

/* The reader's side: 0 with the state, and whether a forwarder runs, or a negative errno (-ENOENT:
 * none ever ran). */
int state_read(int root, const char *name, struct state *ret, bool *ret_running);

/* What a file of any bytes says, without the file. Lines that are not understood are passed over.
 */
void state_parse(struct span text, struct state *ret);
