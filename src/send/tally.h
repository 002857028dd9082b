/* SPDX-License-Identifier: MIT */
#pragma once

/* What became of the messages: counts and latencies, and the summary they make. */

#include "base/clock.h"

#include <stddef.h>
#include <stdio.h>

enum verdict {
	VERDICT_ACCEPTED,   /* AA, CA */
	VERDICT_ERROR,      /* AE, CE */
	VERDICT_REJECTED,   /* AR, CR */
	VERDICT_UNANSWERED, /* no connection, no answer in time, or none that is this message's */
	VERDICT_N,
};

/* Latencies in buckets that are 1/16 of a power of two wide: 6 % off at most, whatever their
 * number. */
#define TALLY_BUCKETS ((size_t)64 * 16)

struct tally {
	size_t counts[VERDICT_N];
	size_t latencies[TALLY_BUCKETS];
	size_t n_latencies;
	usec_t slowest_usec;
	uint64_t bytes; /* of messages that were answered */
};

void tally_add(struct tally *t, enum verdict verdict, usec_t latency_usec, size_t bytes);

/* Counts, rate, percentiles and a histogram. */
void tally_print(const struct tally *t, usec_t elapsed_usec, FILE *out);

/* 0 all accepted, else the worst: 3 unanswered, 2 rejected, 1 error. */
int tally_exit_status(const struct tally *t);
