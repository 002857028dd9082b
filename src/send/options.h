/* SPDX-License-Identifier: MIT */
#pragma once

/* The sender's options; hl7-send(1) lists them with their defaults. */

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>

struct options {
	const char *target; /* HOST[:PORT]; NULL with `via` */
	const char *via;    /* the shell command that is talked to instead, or NULL */
	char **files;
	size_t n_files;
	bool keep_open, new_id, quiet, summary;
	size_t repeat, connections;
	size_t rate;         /* messages per second, 0: as fast as answers come */
	usec_t timeout_usec; /* from the beginning of a connection or message to its whole answer */
	size_t max_ack_bytes;
};

/* 0 or an OPTIONS_E condition of cli/options.h. */
int options_parse(struct options *o, int argc, char **argv);
