/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Whether a store is as hl7-store(5) says. Reads only, and is right while messages flow: what looks
 * wrong is looked at again, under the lock of those who may be changing it, before it is told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum check_severity {
	CHECK_ERROR,    /* an invariant does not hold */
	CHECK_WARNING,  /* nothing is lost by it, but somebody should know */
	CHECK_LEFTOVER, /* of work that was never finished; expire_run() removes it */
	CHECK_N,
};

struct check_options {
	bool deep; /* reads every message */
	/* `path` is relative to the store */
	void (*tell)(
		enum check_severity severity, const char *path, const char *text, void *userdata);
	void (*progress)(uint64_t n_files, void *userdata);
	void *userdata;
};

struct check_counts {
	uint64_t n_received, n_rejected, n_waiting, n_failed;
	uint64_t n_found[CHECK_N]; /* what was told */
};

/* 0, whatever was found, or a negative errno when the store cannot be read. */
int check_run(const char *path, const struct check_options *o, struct check_counts *ret);
