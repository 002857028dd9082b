/* SPDX-License-Identifier: MIT */

/* hl7-queue show and why: one message. */

#include "base/buffer.h"
#include "base/cleanup.h"
#include "cli/options.h"
#include "cli/output.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/facts.h"
#include "store/folder.h"
#include "store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* More than any listener takes. */
#define MESSAGE_BYTES_MAX ((size_t)4 * 1024 * 1024 * 1024)

/* --- show ------------------------------------------------------------------------------------ */

/* received/STEM.hl7 or rejected/STEM.SUFFIX. */
static int
open_stem(const struct options *o, const struct target *t, const char *suffix, int *ret_fd)
{
	const char *folder = t->kind == TARGET_REJECTED ? "rejected" : "received";
	char name[STORE_NAME_BYTES], path[STORE_NAME_BYTES + 16];
	_cleanup_close_ int root = open(o->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (root < 0)
		return -errno;
	store_name_format(&t->entry.stem, suffix, name);
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? QUEUE_E_GONE : -errno;
	*ret_fd = fd;
	return 0;
}

static int
open_target(const struct options *o, const struct target *t, int *ret_fd)
{
	struct queue q;
	struct entry e;
	int r;

	if (t->kind != TARGET_ENTRY)
		return open_stem(o, t, "hl7", ret_fd);
	r = target_find(o, t, &q, &e);
	if (r == 0)
		r = queue_look(&q, &e.name, e.place == PLACE_FAILED, ret_fd);
	queue_close(&q);
	return r;
}

/* For a terminal: each segment on a line, and nothing that steers it. */
static void
print_segments(struct span bytes)
{
	size_t n;

	while (bytes.n > 0) {
		for (n = 0; n < bytes.n && bytes.p[n] != '\r' && bytes.p[n] != '\n';)
			n++;
		output_bytes(stdout, span_first(bytes, n), true);
		(void)putchar('\n');
		n += span_starts(span_from(bytes, n), SPAN("\r\n")) ? 2 : 1;
		bytes = span_from(bytes, n);
	}
}

static int
show_one(const struct options *o, const char *id)
{
	struct buffer bytes = BUFFER_INIT(MESSAGE_BYTES_MAX);
	_cleanup_close_ int fd = -1;
	struct target t;
	int r = QUEUE_E_GONE;

	if (target_parse(id, &t))
		r = open_target(o, &t, &fd);
	if (r)
		return entries_complain_of(id, r);
	r = queue_read(fd, &bytes);
	if (r == 0 && output_is_terminal(stdout))
		print_segments(buffer_span(&bytes));
	else if (r == 0)
		output_bytes(stdout, buffer_span(&bytes), false);
	buffer_deinit(&bytes);
	return r ? entries_complain(id, r < 0 ? r : -EFBIG) : EXIT_OK;
}

static int
for_arguments(const struct options *o, int (*call)(const struct options *o, const char *argument))
{
	int status = EXIT_OK, one;
	size_t i;

	for (i = 0; i < o->n_arguments; i++) {
		one = call(o, o->arguments[i]);
		status = status == EXIT_OK ? one : status;
	}
	return status;
}

int
command_show(const struct options *o)
{
	return for_arguments(o, show_one);
}

/* --- why ------------------------------------------------------------------------------------- */

static void
print_text(int r, const struct buffer *text)
{
	if (r == 0)
		output_bytes(stdout, buffer_span(text), false);
	else if (r == -ENOENT)
		(void)puts("no reason is kept");
	else
		(void)printf("the reason cannot be read: %s\n", strerrordesc_np(-r));
}

static void
print_reason(const struct entry *e)
{
	struct buffer text = BUFFER_INIT((size_t)64 * 1024);

	print_text(queue_read_reason(e->queue, &e->name, &text), &text);
	buffer_deinit(&text);
}

/* What its destination's forwarder is doing. */
static void
print_state(const struct queue *q)
{
	char time[FACT_TIME_BYTES];
	struct state s;
	bool running;
	int r = state_read(q->root, q->name, &s, &running);

	if (r < 0) {
		(void)printf("forwarder: %s\n", r == -ENOENT ? "none ever ran" : "cannot be told");
		return;
	}
	facts_format_time(s.since_usec, time);
	(void)printf("forwarder: %s%s since %s\n", running ? "" : "not running, was ",
		state_name(s.kind), time);
	facts_format_time(s.last_delivery_usec, time);
	(void)printf("last delivery: %s\n", time);
	if (s.last_error[0]) {
		facts_format_time(s.last_error_usec, time);
		(void)printf("last error: %s (%s)\n", s.last_error, time);
	}
}

static int
explain_waiting(const struct entry *e)
{
	char time[FACT_TIME_BYTES], span[FACT_TIME_BYTES];
	usec_t now = clock_realtime_usec(), at = e->name.stem.stamp;
	size_t n = 0;
	int r = entry_count_before(e, &n);

	if (r < 0)
		return r;
	facts_format_time(at, time);
	facts_format_span(now > at ? now - at : 0, span);
	(void)printf("waiting since: %s (%s)\nmessages in front of it: %zu\n", time, span, n);
	print_state(e->queue);
	return 0;
}

static int
explain(const struct entry *e)
{
	char id[ENTRY_ID_BYTES];
	int r = 0;

	entry_format_id(e, id);
	(void)printf("%s: %s\n", id, place_name(e->place));
	switch (e->place) {
	case PLACE_WAITING: r = explain_waiting(e); break;
	case PLACE_FAILED: print_reason(e); break;
	case PLACE_UNCOMMITTED:
		(void)puts("its received message is not there: the commit is in the middle, was "
			   "never finished\n(it was not acknowledged then), or the received "
			   "message was removed by hand");
		break;
	}
	return r;
}

static int
explain_rejected(const struct options *o, const char *id, const struct target *t)
{
	struct buffer text = BUFFER_INIT((size_t)64 * 1024);
	_cleanup_close_ int fd = -1;
	int r = open_stem(o, t, "txt", &fd);

	if (r)
		return entries_complain_of(id, r);
	(void)printf("%s: rejected\n", id);
	print_text(queue_read(fd, &text), &text);
	buffer_deinit(&text);
	return EXIT_OK;
}

static int
explain_target(const struct options *o, const char *id, const struct target *t)
{
	struct queue q;
	struct entry e;
	int r;

	if (t->kind == TARGET_REJECTED)
		return explain_rejected(o, id, t);
	r = target_find(o, t, &q, &e);
	if (r == 0)
		r = explain(&e);
	queue_close(&q);
	return r ? entries_complain_of(id, r) : EXIT_OK;
}

/* All entries of a control id, or of a message. */
struct search {
	const struct options *o;
	const char *control_id;
	const struct target *stem; /* NULL: the control id counts */
	size_t n;
};

static int
explain_if_wanted(const struct entry *e, void *userdata)
{
	struct search *s = userdata;
	_cleanup_close_ int fd = -1;
	int r;

	if (s->stem && store_stem_compare(&e->name.stem, &s->stem->entry.stem) != 0)
		return 0;
	r = queue_look(e->queue, &e->name, e->place == PLACE_FAILED, &fd);
	if (r == 0)
		r = s->stem ? 1 : facts_has_control_id(fd, span_str(s->control_id));
	else if (r == QUEUE_E_GONE)
		r = 0; /* delivered a moment ago */
	if (r <= 0)
		return r;
	if (s->n++ > 0)
		(void)putchar('\n');
	return explain(e);
}

/* A refused message by its control id, or by its name. */
static int
explain_if_rejected(const struct dirent *d, void *userdata)
{
	struct search *s = userdata;
	struct target t = { .kind = TARGET_REJECTED };
	char id[STORE_NAME_BYTES + 16];
	_cleanup_close_ int fd = -1;
	int r;

	if (!store_name_parse(d->d_name, "hl7", &t.entry.stem))
		return 0;
	if (s->stem && store_stem_compare(&t.entry.stem, &s->stem->entry.stem) != 0)
		return 0;
	r = open_stem(s->o, &t, "hl7", &fd);
	if (r == 0)
		r = s->stem ? 1 : facts_has_control_id(fd, span_str(s->control_id));
	else if (r == QUEUE_E_GONE)
		r = 0;
	if (r <= 0)
		return r;
	if (s->n++ > 0)
		(void)putchar('\n');
	(void)snprintf(id, sizeof(id), "rejected/%.*s", (int)strlen(d->d_name) - 4, d->d_name);
	(void)explain_rejected(s->o, id, &t);
	return 0;
}

static int
search_rejected(struct search *s)
{
	_cleanup_close_ int root = open(s->o->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int folder = -1;

	if (root < 0)
		return -errno;
	folder = openat(root, "rejected", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return errno == ENOENT ? 0 : -errno;
	return folder_read(folder, explain_if_rejected, s);
}

static int
explain_one(const struct options *o, const char *text)
{
	struct search s = { .o = o, .control_id = text };
	struct target t;
	int r;

	if (target_parse(text, &t)) {
		if (t.kind != TARGET_RECEIVED)
			return explain_target(o, text, &t);
		s.stem = &t;
	}
	r = entries_visit(o, explain_if_wanted, &s);
	if (r == 0)
		r = search_rejected(&s);
	if (r < 0)
		return entries_complain(o->store, r);
	if (s.n > 0)
		return EXIT_OK;
	(void)fprintf(stderr,
		"hl7-queue: %s: nothing of it waits or failed, nor was refused and kept; "
		"hl7-queue trace tells more\n",
		text);
	return EXIT_NOT_ALL;
}

int
command_why(const struct options *o)
{
	return for_arguments(o, explain_one);
}
