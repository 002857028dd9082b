/* SPDX-License-Identifier: MIT */
#include "store/stems.h"
#include "base/vector.h"

#include <errno.h>
#include <stdlib.h>

int
stems_add(struct stems *s, const struct store_stem *stem)
{
	return VECTOR_APPEND(s, *stem) ? 0 : -ENOMEM;
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
