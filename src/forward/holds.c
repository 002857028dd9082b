/* SPDX-License-Identifier: MIT */
#include "forward/holds.h"

#include <string.h>

struct hold *
holds_find(struct holds *h, const uint8_t key[16])
{
	size_t i;

	for (i = 0; i < h->n; i++)
		if (memcmp(h->items[i].key, key, 16) == 0)
			return &h->items[i];
	return NULL;
}

struct hold *
holds_add(struct holds *h, const uint8_t key[16])
{
	struct hold *hold;

	if (h->n == HOLDS_MAX)
		return NULL;
	hold = &h->items[h->n++];
	*hold = (struct hold){ .due_usec = 0 };
	memcpy(hold->key, key, 16);
	return hold;
}

void
holds_remove(struct holds *h, struct hold *hold)
{
	*hold = h->items[--h->n];
}

void
holds_forget(struct holds *h, uint64_t pass)
{
	size_t i = 0;

	while (i < h->n)
		if (h->items[i].pass == pass)
			i++;
		else
			holds_remove(h, &h->items[i]);
}

usec_t
holds_first_due(const struct holds *h)
{
	usec_t first = DEADLINE_NEVER;
	size_t i;

	for (i = 0; i < h->n; i++)
		if (h->items[i].due_usec < first)
			first = h->items[i].due_usec;
	return first;
}

usec_t
holds_first_due_seen(const struct holds *h, uint64_t pass)
{
	usec_t first = DEADLINE_NEVER;
	size_t i;

	for (i = 0; i < h->n; i++)
		if (h->items[i].pass == pass && h->items[i].due_usec < first)
			first = h->items[i].due_usec;
	return first;
}
