/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Bytes that end where the readable memory ends: reading one byte too many is a crash, in every
 * build and also where no sanitizer watches.
 */

#include "base/span.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
	uint8_t *map;
	size_t map_bytes;
	uint8_t *edge; /* the first byte that cannot be touched */
};

/* Not assert(): these calls must be made in every build. */
static inline void
guard_must(bool success)
{
	if (!success)
		abort();
}

static inline size_t
guard_round_up(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

/* Room for `before` bytes in front of the edge, and for `behind` bytes that guard_open() opens. */
static inline struct guard
guard_map(size_t before, size_t behind)
{
	size_t open = guard_round_up(before ? before : 1);
	struct guard g = { .map_bytes = open + guard_round_up(behind ? behind : 1) };

	g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	guard_must(g.map != MAP_FAILED);
	guard_must(mprotect(g.map, open, PROT_READ | PROT_WRITE) == 0);
	g.edge = g.map + open;
	return g;
}

static inline void
guard_open(const struct guard *g)
{
	guard_must(mprotect(g->map, g->map_bytes, PROT_READ | PROT_WRITE) == 0);
}

static inline void
guard_shut(const struct guard *g)
{
	guard_must(mprotect(g->edge, g->map_bytes - (size_t)(g->edge - g->map), PROT_NONE) == 0);
}

static inline void
guard_unmap(struct guard *g)
{
	guard_must(munmap(g->map, g->map_bytes) == 0);
	*g = (struct guard){ 0 };
}

/* A copy of `bytes` flush against the edge of `g`, which has room for it. */
static inline struct span
guard_copy(const struct guard *g, struct span bytes)
{
	guard_must(bytes.n <= (size_t)(g->edge - g->map));
	if (bytes.n)
		memcpy(g->edge - bytes.n, bytes.p, bytes.n);
	return span_of(g->edge - bytes.n, bytes.n);
}
