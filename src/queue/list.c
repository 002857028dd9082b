/* SPDX-License-Identifier: MIT */

/* hl7-queue list: an entry a line. */

#include "base/cleanup.h"
#include "cli/options.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/facts.h"
#include "queue/reason.h"

#include <stdio.h>

/* The end of a list that --limit cuts; internal to this file. */
enum {
	LIST_E_LIMIT = 100,
};

struct list {
	const struct options *o;
	size_t n;
};

static void
print_line(const char *id, const char *time, const char *state, const char *bytes,
	const struct facts *f, const char *reason)
{
	(void)printf("%-52s  %-19s  %-11s  %8s  %-15s  %-20s%s%s\n", id, time, state, bytes,
		f->type, f->control_id, *reason ? "  " : "", reason);
}

static void
print_head(void)
{
	const struct facts f = { .type = "TYPE", .control_id = "CONTROL-ID" };

	print_line("ID", "RECEIVED", "STATE", "BYTES", &f, "REASON");
}

static int
print_entry(const struct entry *e, void *userdata)
{
	struct list *list = userdata;
	char id[ENTRY_ID_BYTES], time[FACT_TIME_BYTES], bytes[32], reason[REASON_LINE_BYTES] = "";
	_cleanup_close_ int fd = -1;
	struct facts f;
	int r = queue_look(e->queue, &e->name, e->place == PLACE_FAILED, &fd);

	if (r == 0)
		r = facts_read(fd, &f);
	if (r)
		return r == QUEUE_E_GONE ? 0 : r; /* delivered a moment ago */
	if (list->n++ == 0)
		print_head();
	if (e->place == PLACE_FAILED)
		reason_line(e, reason);
	entry_format_id(e, id);
	facts_format_time(e->name.stem.stamp, time);
	(void)snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)f.bytes);
	print_line(id, time, place_name(e->place), bytes, &f, reason);
	return list->n == list->o->limit ? LIST_E_LIMIT : 0;
}

int
command_list(const struct options *o)
{
	struct list list = { .o = o };
	int r = entries_visit(o, print_entry, &list);

	if (r < 0)
		return entries_complain(o->destination ? o->destination : o->store, r);
	return EXIT_OK;
}
