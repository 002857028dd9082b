/* SPDX-License-Identifier: MIT */
#pragma once

/* How much a store holds, and how much room it has. */

#include "base/clock.h"

#include <stdint.h>

struct usage {
	uint64_t n_received, n_rejected;
	usec_t last_received_usec, last_rejected_usec; /* of the youngest that is kept; 0: none */
	uint64_t free_bytes;
	uint64_t free_inodes; /* of those that are not root's */
	uint64_t inodes;      /* 0: the file system does not count them */
};

/* Reads the names of all files in both folders. 0 or a negative errno. */
int usage_read(const char *path, struct usage *ret);
