/* SPDX-License-Identifier: MIT */
#include "store/retention.h"

#include <stdlib.h>

static int
compare_stems(const void *a, const void *b)
{
	const struct retention_file *x = a, *y = b;

	return store_stem_compare(&x->stem, &y->stem);
}

static bool
is_older(const struct retention_file *file, usec_t age, usec_t now)
{
	return now > age && file->stem.stamp < now - age;
}

static bool
may_go(const struct retention_file *file, const struct retention_rules *rules, uint64_t total,
	usec_t now)
{
	return (rules->keep_usec && is_older(file, rules->keep_usec, now)) ||
	       (rules->max_bytes && total > rules->max_bytes);
}

static void
swap(struct retention_file *a, struct retention_file *b)
{
	struct retention_file t = *a;

	*a = *b;
	*b = t;
}

size_t
retention_choose(struct retention_file *files, size_t n, const struct retention_rules *rules,
	const struct stems *held, usec_t now)
{
	size_t i, n_chosen = 0;
	uint64_t total = 0;

	if (n > 0)
		qsort(files, n, sizeof(*files), compare_stems);
	for (i = 0; i < n; i++)
		total += files[i].bytes;
	for (i = 0; i < n && is_older(&files[i], RETENTION_LEAST_USEC, now); i++) {
		if (!may_go(&files[i], rules, total, now))
			break; /* and none of those behind it, which are younger */
		if (stems_have(held, &files[i].stem))
			continue;
		total -= files[i].bytes;
		swap(&files[n_chosen++], &files[i]);
	}
	return n_chosen;
}

static int
compare_inodes(const void *a, const void *b)
{
	const struct retention_file *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

void
retention_sort_by_inode(struct retention_file *files, size_t n)
{
	if (n > 0)
		qsort(files, n, sizeof(*files), compare_inodes);
}

struct retention_file *
retention_find(struct retention_file *files, size_t n, uint64_t inode)
{
	const struct retention_file wanted = { .inode = inode };

	return n > 0 ? bsearch(&wanted, files, n, sizeof(*files), compare_inodes) : NULL;
}
