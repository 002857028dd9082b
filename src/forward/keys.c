/* SPDX-License-Identifier: MIT */
#include "forward/keys.h"
#include "base/vector.h"

#include <stdlib.h>
#include <string.h>

void
keys_deinit(struct keys *k)
{
	free(k->known.items);
	free(k->next.items);
	*k = (struct keys){ 0 };
}

static void
add(struct keys_list *list, const struct keys_item *item)
{
	(void)VECTOR_APPEND(list, *item);
}

bool
keys_find(struct keys *k, const struct store_entry_name *entry, uint8_t ret[16])
{
	const struct keys_item *item;
	int order = -1;

	for (; k->at < k->known.n; k->at++) {
		item = &k->known.items[k->at];
		order = store_entry_compare(&item->entry, entry);
		if (order >= 0)
			break;
	}
	if (order != 0)
		return false;
	memcpy(ret, k->known.items[k->at].key, 16);
	return true;
}

void
keys_note(struct keys *k, const struct store_entry_name *entry, const uint8_t key[16])
{
	struct keys_item item = { .entry = *entry };

	memcpy(item.key, key, 16);
	add(&k->next, &item);
}

void
keys_end_pass(struct keys *k)
{
	const struct keys_item *item;
	struct keys_list emptied = k->known;

	for (; k->at < k->known.n; k->at++) {
		item = &k->known.items[k->at];
		if (k->next.n == 0 ||
			store_entry_compare(&k->next.items[k->next.n - 1].entry, &item->entry) < 0)
			add(&k->next, item);
	}
	emptied.n = 0;
	*k = (struct keys){ .known = k->next, .next = emptied };
}
