/* SPDX-License-Identifier: MIT */
#include "base/vector.h"

#include <stdlib.h>

/* By doubling. */
void *
vector_grow(void *items, size_t n, size_t *allocated, size_t item_bytes)
{
	size_t wanted = *allocated ? *allocated * 2 : 16;
	void *grown;

	if (n < *allocated)
		return items;
	grown = reallocarray(items, wanted, item_bytes);
	if (grown)
		*allocated = wanted;
	return grown;
}
