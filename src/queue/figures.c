/* SPDX-License-Identifier: MIT */
#include "queue/figures.h"
#include "queue/entries.h"

#include <errno.h>
#include <stdlib.h>

static int
count_waiting(const struct queue *q, struct destination *d)
{
	struct queue_list list;
	size_t i;
	int r = queue_list_waiting(q, &list), counts;

	for (i = 0; r == 0 && i < list.n; i++) {
		counts = queue_counts(q, &list.items[i]);
		if (counts < 0)
			r = counts;
		if (counts)
			continue;
		if (d->n_waiting++ == 0)
			d->oldest_usec = list.items[i].stem.stamp;
	}
	queue_list_deinit(&list);
	return r;
}

static int
count_failed(const struct queue *q, struct destination *d)
{
	struct queue_list list;
	int r = queue_list_failed(q, &list);

	d->n_failed = list.n;
	queue_list_deinit(&list);
	return r;
}

static int
add_destination(struct queue *q, void *userdata)
{
	struct figures *f = userdata;
	struct destination *d = reallocarray(f->items, f->n + 1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	f->items = d;
	d = &f->items[f->n++];
	*d = (struct destination){ 0 };
	memcpy(d->name, q->name, sizeof(d->name));
	r = count_waiting(q, d);
	if (r == 0)
		r = count_failed(q, d);
	if (r < 0)
		return r;
	r = state_read(q->root, q->name, &d->state, &d->running);
	d->known = r == 0;
	return r == -ENOENT ? 0 : r;
}

int
figures_read(const struct options *o, struct figures *ret)
{
	*ret = (struct figures){ 0 };
	return entries_destinations(o, add_destination, ret);
}

void
figures_deinit(struct figures *f)
{
	free(f->items);
	*f = (struct figures){ 0 };
}

usec_t
figures_age(const struct destination *d, usec_t now)
{
	return d->oldest_usec && now > d->oldest_usec ? now - d->oldest_usec : 0;
}

const char *
figures_state(const struct destination *d)
{
	if (d->known && d->running)
		return state_name(d->state.kind);
	return d->n_waiting > 0 ? "stopped" : "idle";
}
