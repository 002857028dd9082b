/* SPDX-License-Identifier: MIT */
#pragma once

/* Descriptors that close themselves at the end of their scope. */

#include <errno.h>

void cleanup_close(const int *fd);

#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))

/* Hands the descriptor on: the scope's end no longer closes it. */
static inline int
steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
