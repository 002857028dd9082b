/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The order of commits: each gets a time that no commit before it had, whatever the clock does.
 *
 * The last one is the modification time of the file .order in the store, read and set under a lock.
 */

#include "base/clock.h"

#define ORDER_FILE ".order"

/* Opens the file, made where it is missing. 0 or a negative errno. */
int order_open(int root, int *ret_fd);

/* The present time, or a microsecond more than the last that was given: 0, -ETIMEDOUT or a negative
 * errno. */
int order_next(int fd, usec_t *ret_stamp);
