/* SPDX-License-Identifier: MIT */
#include "queue/way.h"
#include "queue/facts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct event *
next_event(struct way *w)
{
	size_t wanted = w->allocated ? 2 * w->allocated : 16;
	struct event *grown;

	if (w->n == w->allocated) {
		grown = reallocarray(w->items, wanted, sizeof(*grown));
		if (!grown)
			return NULL;
		w->items = grown;
		w->allocated = wanted;
	}
	return &w->items[w->n];
}

int
way_add(struct way *w, usec_t at, const char *format, ...)
{
	struct event *e = next_event(w);
	va_list arguments;

	if (!e)
		return -ENOMEM;
	e->at = at;
	e->n = w->n++;
	va_start(arguments, format);
	(void)vsnprintf(e->text, sizeof(e->text), format, arguments);
	va_end(arguments);
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->n > y->n) - (x->n < y->n);
}

void
way_print(struct way *w)
{
	char time[FACT_TIME_BYTES];
	size_t i;

	if (w->n > 0)
		qsort(w->items, w->n, sizeof(*w->items), compare);
	for (i = 0; i < w->n; i++) {
		facts_format_time(w->items[i].at, time);
		(void)printf("  %s.%06u  %s\n", time, (unsigned)(w->items[i].at % USEC_PER_SEC),
			w->items[i].text);
	}
	free(w->items);
	*w = (struct way){ 0 };
}
