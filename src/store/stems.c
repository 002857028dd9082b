/* SPDX-License-Identifier: MIT */
#include "store/stems.h"

#include <errno.h>
#include <stdlib.h>

int
stems_add(struct stems *s, const struct store_stem *stem)
{
	size_t wanted = s->allocated ? 2 * s->allocated : 64;
	struct store_stem *grown;

	if (s->n == s->allocated) {
		grown = reallocarray(s->items, wanted, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->items = grown;
		s->allocated = wanted;
	}
	s->items[s->n++] = *stem;
	return 0;
}

static int
compare(const void *a, const void *b)
{
	return store_stem_compare(a, b);
}

void
stems_sort(struct stems *s)
{
	if (s->n > 0)
		qsort(s->items, s->n, sizeof(*s->items), compare);
}

bool
stems_have(const struct stems *s, const struct store_stem *stem)
{
	return s->n > 0 && bsearch(stem, s->items, s->n, sizeof(*s->items), compare);
}

void
stems_deinit(struct stems *s)
{
	free(s->items);
	*s = (struct stems){ 0 };
}
