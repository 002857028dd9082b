/* SPDX-License-Identifier: MIT */
#include "queue/way.h"
#include "base/vector.h"
#include "queue/facts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int
way_add(struct way *w, usec_t at, const char *format, ...)
{
	struct event e = { .at = at, .n = w->n };
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(e.text, sizeof(e.text), format, arguments);
	va_end(arguments);
	return VECTOR_APPEND(w, e) ? 0 : -ENOMEM;
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
