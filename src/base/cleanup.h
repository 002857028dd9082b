/* SPDX-License-Identifier: MIT */
#pragma once

/* Descriptors and heap pointers that close or free themselves at the end of their scope. */

#include <errno.h>
#include <stdlib.h>

/* Defined in cleanup.c, so that a pure module that only frees memory needs no I/O header. */
void cleanup_close(const int *fd);

static inline void
cleanup_free(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))
#define _cleanup_free_  __attribute__((cleanup(cleanup_free)))

/* Hands the descriptor on: the scope's end no longer closes it. */
static inline int
steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
