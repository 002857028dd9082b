/* SPDX-License-Identifier: MIT */

/* hl7-queue retry, drop and export. */

#include "base/buffer.h"
#include "base/cleanup.h"
#include "cli/options.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/reason.h"
#include "queue/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* The text of a reason; a message, where it is copied, goes through it in pieces. */
#define REASON_BYTES_MAX ((size_t)4096)

/* What else can be in the way; internal to this file. */
enum {
	CHANGE_E_NEEDS_YES = 100,
	CHANGE_E_NOT_FAILED,
};

/* What is done to entries, and how it went. */
struct change {
	const struct options *o;
	/* 0, a condition of store/queue.h or a negative errno */
	int (*call)(const struct entry *e, const struct change *c);
	const char *done;        /* "put back" */
	const char *done_failed; /* of failed ones, if that is something else */
	struct reporter reporter;
	int folder; /* of an export */
	bool all;
	size_t n, n_failed;
	int status;
};

static int
complain(const char *id, int r)
{
	switch (r) {
	case CHANGE_E_NEEDS_YES:
		(void)fprintf(stderr,
			"hl7-queue: %s: it is a failed one; drop --yes deletes it for good\n", id);
		return EXIT_NOT_ALL;
	case CHANGE_E_NOT_FAILED:
		(void)fprintf(stderr, "hl7-queue: %s: it did not fail, it waits\n", id);
		return EXIT_NOT_ALL;
	default: return entries_complain_of(id, r);
	}
}

static void
count_result(struct change *c, const char *id, int r)
{
	int status;

	/* taken by the forwarder, or by another operator, since it was listed: nothing is wrong */
	if (c->all && r == QUEUE_E_GONE)
		return;
	status = r ? complain(id, r) : EXIT_OK;
	c->n += r == 0;
	c->status = c->status == EXIT_OK ? status : c->status;
}

static int
change_entry(const struct entry *e, void *userdata)
{
	struct change *c = userdata;
	char id[ENTRY_ID_BYTES];
	int r;

	if (c->all && e->place == PLACE_UNCOMMITTED)
		return 0;
	entry_format_id(e, id);
	r = c->call(e, c);
	c->n_failed += r == 0 && e->place == PLACE_FAILED;
	count_result(c, id, r);
	return 0;
}

static void
change_named(struct change *c, const char *id)
{
	struct target t;
	struct queue q;
	struct entry e;
	int r;

	if (!target_parse(id, &t)) {
		count_result(c, id, QUEUE_E_GONE);
		return;
	}
	r = target_find(c->o, &t, &q, &e);
	if (r == 0)
		(void)change_entry(&e, c);
	else
		count_result(c, id, r);
	queue_close(&q);
}

static int
change_all(struct change *c, const struct options *which)
{
	int r;

	c->all = true;
	r = entries_visit(which, change_entry, c);
	return r < 0 ? entries_complain(which->destination ? which->destination : which->store, r)
		     : EXIT_OK;
}

static void
print_done(size_t n, const char *done)
{
	(void)printf("%zu %s %s\n", n, n == 1 ? "message" : "messages", done);
}

static void
print_result(const struct change *c)
{
	size_t n_failed = c->done_failed ? c->n_failed : 0;

	if (c->n > n_failed || n_failed == 0)
		print_done(c->n - n_failed, c->done);
	if (n_failed)
		print_done(n_failed, c->done_failed);
}

static int
change_entries(struct change *c, const struct options *which, size_t n_ids)
{
	int status = EXIT_OK;
	size_t i;

	if (which->all)
		status = change_all(c, which);
	for (i = 0; i < n_ids; i++)
		change_named(c, which->arguments[i]);
	print_result(c);
	return status == EXIT_OK ? c->status : status;
}

/* The same, of what the journal has to know. */
static int
change_and_tell(struct change *c, const struct options *which)
{
	int status;

	reporter_init(&c->reporter, which->operator);
	status = change_entries(c, which, which->n_arguments);
	reporter_deinit(&c->reporter);
	return status;
}

/* --- retry ----------------------------------------------------------------------------------- */

static int
retry(const struct entry *e, const struct change *c)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (e->place != PLACE_FAILED)
		return e->place == PLACE_WAITING ? CHANGE_E_NOT_FAILED : QUEUE_E_UNCOMMITTED;
	r = queue_take_failed(e->queue, &e->name, &fd);
	if (r == 0)
		r = queue_retry(e->queue, &e->name);
	if (r == 0)
		report_change(&c->reporter, REPORT_RETRIED, e, fd);
	return r;
}

int
command_retry(const struct options *o)
{
	struct change c = { .o = o, .call = retry, .done = "put back" };
	struct options which = *o;

	which.failed = true;
	return change_and_tell(&c, &which);
}

/* --- drop ------------------------------------------------------------------------------------ */

static int
move_to_failed(const struct entry *e, const struct change *c)
{
	struct buffer reason = BUFFER_INIT(REASON_BYTES_MAX);
	_cleanup_close_ int fd = -1;
	int r = queue_take(e->queue, &e->name, &fd);

	if (r == 0)
		r = reason_of_drop(e, &reason);
	if (r == 0)
		r = queue_fail(e->queue, &e->name, buffer_span(&reason));
	if (r == 0)
		report_change(&c->reporter, REPORT_DROPPED, e, fd);
	buffer_deinit(&reason);
	return r;
}

static int
delete_failed(const struct entry *e, const struct change *c)
{
	_cleanup_close_ int fd = -1;
	int r = queue_take_failed(e->queue, &e->name, &fd);

	if (r == 0)
		r = queue_delete_failed(e->queue, &e->name);
	if (r == 0)
		report_change(&c->reporter, REPORT_DELETED, e, fd);
	return r;
}

static int
drop(const struct entry *e, const struct change *c)
{
	if (e->place != PLACE_FAILED)
		return move_to_failed(e, c);
	return c->o->yes ? delete_failed(e, c) : CHANGE_E_NEEDS_YES;
}

/* A failed entry is deleted only by its own ID and --yes, or by all three of --all, --failed and
 * --yes. */
int
command_drop(const struct options *o)
{
	struct change c = {
		.o = o,
		.call = drop,
		.done = "moved to the failed ones",
		.done_failed = "deleted for good",
	};
	struct options which = *o;

	which.waiting = !o->failed;
	if (o->failed)
		c.done = c.done_failed;
	return change_and_tell(&c, &which);
}

/* --- export ---------------------------------------------------------------------------------- */

static int
copy_bytes(int from, int to)
{
	uint8_t chunk[64 * 1024];
	ssize_t n;

	while ((n = read(from, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (write(to, chunk, (size_t)n) != n)
			return -EIO;
	}
	return 0;
}

/* Numbers of entries are those of all destinations together, so names are not the same in two of
 * them. Nothing that is there is written over. */
static int
export_entry(const struct entry *e, const struct change *c)
{
	_cleanup_close_ int from = -1, to = -1;
	char name[STORE_NAME_BYTES];
	int r = queue_look(e->queue, &e->name, e->place == PLACE_FAILED, &from);

	if (r)
		return r;
	store_entry_format(&e->name, "hl7", name);
	to = openat(c->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	r = copy_bytes(from, to);
	if (r < 0)
		(void)unlinkat(c->folder, name, 0);
	return r;
}

int
command_export(const struct options *o)
{
	const char *path = o->arguments[o->n_arguments - 1];
	_cleanup_close_ int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct change c = { .o = o, .call = export_entry, .done = "exported", .folder = folder };

	if (folder < 0) {
		(void)entries_complain(path, -errno);
		return EXIT_IO;
	}
	return change_entries(&c, o, o->n_arguments - 1);
}
