/* SPDX-License-Identifier: MIT */
#pragma once

/* A set of stems: filled, sorted once, then asked. Not for others than the store's own files. */

#include "store/name.h"

struct stems {
	struct store_stem *items; /* owned */
	size_t n, allocated;
};

/* 0 or -ENOMEM. */
int stems_add(struct stems *s, const struct store_stem *stem);
void stems_sort(struct stems *s);

/* Of a sorted one. */
bool stems_have(const struct stems *s, const struct store_stem *stem);
void stems_deinit(struct stems *s);
