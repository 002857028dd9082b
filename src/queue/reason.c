/* SPDX-License-Identifier: MIT */
#include "queue/reason.h"
#include "queue/facts.h"

#include <stdio.h>
#include <unistd.h>

#define REASON_BYTES_MAX ((size_t)64 * 1024)

static struct span
choose_line(struct span text)
{
	struct span first = span_first(text, span_find(text, '\n')), line;

	while (span_cut(&text, '\n', &line))
		if (span_starts(line, SPAN("reason: ")))
			return span_from(line, strlen("reason: "));
	return first;
}

void
reason_line(const struct entry *e, char ret[REASON_LINE_BYTES])
{
	struct buffer text = BUFFER_INIT(REASON_BYTES_MAX);
	struct span line;
	size_t i;

	ret[0] = 0;
	if (queue_read_reason(e->queue, &e->name, &text) == 0) {
		line = span_first(choose_line(buffer_span(&text)), REASON_LINE_BYTES - 1);
		for (i = 0; i < line.n; i++)
			ret[i] = (char)(line.p[i] >= ' ' && line.p[i] < 0x7F ? line.p[i] : '?');
		ret[line.n] = 0;
	}
	buffer_deinit(&text);
}

int
reason_of_drop(const struct entry *e, struct buffer *ret)
{
	char text[512], time[FACT_TIME_BYTES];

	facts_format_time(clock_realtime_usec(), time);
	(void)snprintf(text, sizeof(text),
		"outcome: dropped\ndestination: %s\nreason: dropped by the operator\ntime: %s\n",
		e->queue->name, time);
	return buffer_append(ret, span_str(text));
}
