/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#define PROGRESS_INTERVAL_USEC (USEC_PER_SEC / 5)

struct progress
progress_begin(bool quiet)
{
	return (struct progress){
		.shown = !quiet && isatty(STDERR_FILENO),
		/* what is over at once shows nothing */
		.next_usec = clock_monotonic_usec() + PROGRESS_INTERVAL_USEC,
	};
}

void
progress_show(struct progress *p, const char *text)
{
	usec_t now;

	if (!p->shown)
		return;
	now = clock_monotonic_usec();
	if (now < p->next_usec)
		return;
	p->next_usec = now + PROGRESS_INTERVAL_USEC;
	(void)fprintf(stderr, "\r\033[K%s", text);
}

void
progress_end(struct progress *p)
{
	if (p->shown)
		(void)fputs("\r\033[K", stderr);
}
