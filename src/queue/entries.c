/* SPDX-License-Identifier: MIT */
#include "queue/entries.h"
#include "cli/options.h"
#include "queue/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

const char *
place_name(enum place place)
{
	static const char *const names[] = {
		[PLACE_WAITING] = "waiting",
		[PLACE_FAILED] = "failed",
		[PLACE_UNCOMMITTED] = "uncommitted",
	};

	return names[place];
}

void
entry_format_id(const struct entry *e, char ret[ENTRY_ID_BYTES])
{
	char name[STORE_NAME_BYTES];
	int n;

	store_entry_format(&e->name, "hl7", name);
	n = (int)strlen(name) - (int)strlen(".hl7");
	(void)snprintf(ret, ENTRY_ID_BYTES, "%s/%.*s", e->queue->name, n, name);
}

/* --- all of them ----------------------------------------------------------------------------- */

static int
call_one(const struct options *o, const char *name, int (*call)(struct queue *q, void *userdata),
	void *userdata)
{
	struct queue q;
	int r = queue_open(&q, o->store, name, false);

	if (r == 0)
		r = call(&q, userdata);
	queue_close(&q);
	return r;
}

int
entries_destinations(
	const struct options *o, int (*call)(struct queue *q, void *userdata), void *userdata)
{
	struct queue_names names;
	size_t i;
	int r;

	if (o->destination)
		return call_one(o, o->destination, call, userdata);
	r = queue_names_read(o->store, &names);
	for (i = 0; r == 0 && i < names.n; i++) {
		r = call_one(o, names.items[i], call, userdata);
		if (r == -ENOENT)
			r = 0; /* its folder is gone meanwhile */
	}
	queue_names_deinit(&names);
	return r;
}

struct visit {
	const struct options *o;
	int (*call)(const struct entry *e, void *userdata);
	void *userdata;
};

static int
visit_list(const struct visit *v, struct queue *q, const struct queue_list *list, bool failed)
{
	struct entry e = { .queue = q, .place = PLACE_FAILED };
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < list->n; i++) {
		e.name = list->items[i];
		if (!failed) {
			r = queue_counts(q, &e.name);
			if (r < 0)
				break;
			e.place = r ? PLACE_UNCOMMITTED : PLACE_WAITING;
		}
		r = v->call(&e, v->userdata);
	}
	return r;
}

static int
visit_destination(struct queue *q, void *userdata)
{
	const struct visit *v = userdata;
	struct queue_list list = { 0 };
	int r = 0;

	if (!v->o->waiting)
		r = queue_list_failed(q, &list);
	if (r == 0)
		r = visit_list(v, q, &list, true);
	queue_list_deinit(&list);
	if (r || v->o->failed)
		return r;
	r = queue_list_waiting(q, &list);
	if (r == 0)
		r = visit_list(v, q, &list, false);
	queue_list_deinit(&list);
	return r;
}

int
entries_visit(
	const struct options *o, int (*call)(const struct entry *e, void *userdata), void *userdata)
{
	struct visit v = { o, call, userdata };

	return entries_destinations(o, visit_destination, &v);
}

/* --- one of them ----------------------------------------------------------------------------- */

/* The names in the store end in .hl7; a text may do without. */
static bool
parse_name(const char *text, struct target *ret)
{
	char name[STORE_NAME_BYTES];
	size_t n = strlen(text);
	bool whole = n > 4 && strcmp(text + n - 4, ".hl7") == 0;

	if (n + 5 > sizeof(name))
		return false;
	(void)snprintf(name, sizeof(name), "%s%s", text, whole ? "" : ".hl7");
	ret->entry.number = 0;
	if (ret->kind == TARGET_ENTRY)
		return store_entry_parse(name, "hl7", &ret->entry);
	return store_name_parse(name, "hl7", &ret->entry.stem);
}

static bool
parse_as(enum target_kind kind, const char *text, struct target *ret)
{
	*ret = (struct target){ .kind = kind };
	return parse_name(text, ret);
}

bool
target_parse(const char *text, struct target *ret)
{
	const char *slash = strchr(text, '/');
	struct span folder = span_of(text, slash ? (size_t)(slash - text) : 0);

	if (!slash)
		return parse_as(TARGET_RECEIVED, text, ret);
	/* a destination may be called so, too */
	if (span_eq(folder, SPAN("received")) && parse_as(TARGET_RECEIVED, slash + 1, ret))
		return true;
	if (span_eq(folder, SPAN("rejected")) && parse_as(TARGET_REJECTED, slash + 1, ret))
		return true;
	if (!store_destination_is_valid(folder) || !parse_as(TARGET_ENTRY, slash + 1, ret))
		return false;
	memcpy(ret->destination, folder.p, folder.n);
	return true;
}

static bool
is_there(int folder, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES];

	store_entry_format(entry, "hl7", name);
	return folder >= 0 && faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int
target_find(const struct options *o, const struct target *t, struct queue *queue, struct entry *ret)
{
	int r;

	*queue = QUEUE_NULL;
	if (t->kind != TARGET_ENTRY)
		return QUEUE_E_GONE;
	r = queue_open(queue, o->store, t->destination, false);
	if (r < 0)
		return r == -ENOENT ? QUEUE_E_GONE : r;
	*ret = (struct entry){ .queue = queue, .name = t->entry, .place = PLACE_FAILED };
	if (is_there(queue->waiting, &t->entry)) {
		r = queue_counts(queue, &t->entry);
		ret->place = r ? PLACE_UNCOMMITTED : PLACE_WAITING;
		return r < 0 ? r : 0;
	}
	return is_there(queue->failed, &t->entry) ? 0 : QUEUE_E_GONE;
}

int
entry_count_before(const struct entry *e, size_t *ret)
{
	struct queue_list list;
	size_t i, n = 0;
	int r = queue_list_waiting(e->queue, &list);

	for (i = 0; r == 0 && i < list.n; i++) {
		if (store_entry_compare(&list.items[i], &e->name) >= 0)
			break;
		n += queue_counts(e->queue, &list.items[i]) == 0;
	}
	queue_list_deinit(&list);
	if (r == 0)
		*ret = n;
	return r;
}

/* --- what went wrong ------------------------------------------------------------------------- */

int
entries_complain(const char *what, int error)
{
	(void)fprintf(stderr, "hl7-queue: %s: %s\n", what, strerrordesc_np(-error));
	switch (-error) {
	case ENOENT:
	case ENOTDIR:
	case EACCES:
	case EPERM: return EXIT_NO_INPUT;
	default: return EXIT_OS;
	}
}

int
entries_complain_of(const char *id, int condition)
{
	static const char *const texts[] = {
		[QUEUE_E_GONE] = "no such message is waiting or failed",
		[QUEUE_E_UNCOMMITTED] = "its received message is not there, so it does not count",
		[QUEUE_E_BUSY] = "it is being worked on just now; try again",
	};

	if (condition < 0)
		return entries_complain(id, condition);
	(void)fprintf(stderr, "hl7-queue: %s: %s\n", id, texts[condition]);
	return EXIT_NOT_ALL;
}
