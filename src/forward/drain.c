/* SPDX-License-Identifier: MIT */
#include "forward/drain.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "cli/options.h"
#include "net/notify.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* sysexits.h: some messages still wait. */
#define EXIT_TEMPORARY 75

/* Between two looks while a commit to this queue is in the middle, twice as long each time up to
 * LOOK_MAX_USEC: it may be a process that is stopped. And for an entry that an operator has in
 * hand.
 */
#define LOOK_USEC     (5 * USEC_PER_MSEC)
#define LOOK_MAX_USEC USEC_PER_SEC
#define BUSY_USEC     USEC_PER_SEC

/* While messages wait to be tried again, new ones are looked for so seldom that it takes a fifth of
 * the time at most. */
#define REST_FACTOR   4
#define REST_MAX_USEC USEC_PER_SEC

/* A message that is due again goes before new ones, but after so many that were delivered: however
 * many are due, the others have their turn. */
#define PASS_DONE_LEAST 100

/* The line of "systemctl status" is written so often at most while nothing but figures changes. */
#define STATUS_PAUSE_USEC USEC_PER_SEC

/* Of one pass: messages that are tried again, and nothing is heard. Those behind wait for the next
 * pass, and new ones have their turn. */
#define PASS_SILENT_MAX 3

/* What a look at one entry came to. */
enum {
	STEP_DONE,        /* it left the queue */
	STEP_GONE,        /* another took it */
	STEP_UNCOMMITTED, /* it does not count, or not yet */
	STEP_HELD,        /* it waits, with those of its key */
	STEP_SILENT,      /* the same: it was tried, and the destination said nothing */
	STEP_DOWN,        /* all wait */
};

/* What one way through the queue came to. */
struct pass {
	size_t n_done, n_waiting, n_uncommitted, n_silent;
	size_t n_later; /* came while it went on */
};

/* The entry in hand. */
struct work {
	const struct store_entry_name *entry;
	struct message message; /* parsed, as far as it could be */
	uint8_t key[16];
	struct hold *hold; /* of its key, when it was tried before */
	struct delivery delivery;
	uint64_t n_tries;
	uint64_t n_errors, n_rejects; /* of the tries */
};

/* --- waiting --------------------------------------------------------------------------------- */

static bool
asked_to_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

static void
forget_events(int watch)
{
	char events[4096];
	ssize_t n;

	do
		n = read(watch, events, sizeof(events));
	while (n > 0);
}

/* Until the deadline, a signal that ends the program, or with `watched` a change of the queue. True
 * for a change. */
static bool
wait_until(struct drain *d, usec_t deadline, bool watched)
{
	struct pollfd p[2] = {
		{ .fd = d->signals, .events = POLLIN }, /* never read: it stays pending */
		{ .fd = watched ? d->watch : -1, .events = POLLIN },
	};
	struct timespec ts;

	if (ppoll(p, 2, deadline_timeout(deadline_left(deadline), &ts), NULL) <= 0 || !p[1].revents)
		return false;
	forget_events(d->watch);
	return true;
}

static usec_t
earlier(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* When to look again for a commit that is in the middle. */
static usec_t
next_look(struct drain *d)
{
	usec_t pause = LOOK_MAX_USEC;

	if (d->n_looks < 8)
		pause = LOOK_USEC << d->n_looks++;
	return deadline_in(earlier(pause, LOOK_MAX_USEC));
}

/* --- what is known of the destination -------------------------------------------------------- */

#define TIME_BYTES 32

static const char *
format_time(usec_t at, char ret[TIME_BYTES])
{
	time_t seconds = (time_t)(at / USEC_PER_SEC);
	struct tm tm;

	if (at == 0 || !localtime_r(&seconds, &tm) || strftime(ret, TIME_BYTES, "%F %T", &tm) == 0)
		return "never";
	return ret;
}

static void
write_status(const struct drain *d)
{
	char text[STATE_ERROR_BYTES + 384], doing[STATE_ERROR_BYTES + 128] = "nothing waits";
	const struct state *s = &d->state;
	char since[TIME_BYTES], last[TIME_BYTES];

	if (s->kind == STATE_DELIVERING)
		(void)snprintf(doing, sizeof(doing), "%zu waiting, delivering", d->n_left);
	else if (s->kind == STATE_DOWN)
		(void)snprintf(doing, sizeof(doing), "%zu waiting, destination down since %s (%s)",
			d->n_left, format_time(s->since_usec, since), s->last_error);
	(void)snprintf(text, sizeof(text),
		"%s: %s; %llu delivered in all, the last %s; %llu failed", d->options->name, doing,
		(unsigned long long)s->n_delivered, format_time(s->last_delivery_usec, last),
		(unsigned long long)s->n_failed);
	notify_status(d->notify, text);
}

/* Each change, and figures once in STATUS_PAUSE_USEC. */
static void
tell_status(struct drain *d)
{
	usec_t now = clock_monotonic_usec();

	if (d->notify < 0)
		return;
	if (d->notified == d->state.kind && now - d->notified_usec < STATUS_PAUSE_USEC)
		return;
	write_status(d);
	d->notified = d->state.kind;
	d->notified_usec = now;
}

static void
set_state(struct drain *d, enum state_kind kind)
{
	if (d->state.kind != kind)
		d->state.since_usec = clock_realtime_usec();
	d->state.kind = kind;
	state_write(d->state_fd, &d->state);
	tell_status(d);
}

static void
note_error(struct drain *d, const char *error, enum state_kind kind)
{
	d->state.last_error_usec = clock_realtime_usec();
	(void)snprintf(d->state.last_error, sizeof(d->state.last_error), "%s", error);
	set_state(d, kind);
}

static void
note_down(struct drain *d, const char *error)
{
	if (d->n_tries == 0) {
		report_down(&d->reporter, error);
		d->down_since_usec = clock_monotonic_usec();
	}
	d->n_tries++;
	d->retry_at_usec = deadline_in(backoff_pause(&d->backoff, d->n_tries));
	d->state.n_retries++;
	note_error(d, error, STATE_DOWN);
}

static void
note_up(struct drain *d)
{
	d->n_silent = 0;
	if (d->n_tries > 0)
		report_up(&d->reporter, d->n_tries, clock_monotonic_usec() - d->down_since_usec);
	d->n_tries = 0;
	d->retry_at_usec = 0;
}

/* --- one message ----------------------------------------------------------------------------- */

static struct forward_report
report_of(const struct work *w)
{
	return (struct forward_report){
		.entry = w->entry,
		.control_id = w->delivery.control_id,
		.message_type =
			w->message.n_headers ? message_header_field(&w->message, 9) : SPAN_NULL,
		.code = w->delivery.code,
		.error = w->delivery.error,
		.n_tries = w->n_tries,
		.bytes = w->delivery.bytes.n,
		.duration_usec = w->delivery.duration_usec,
	};
}

static void
release(struct drain *d, struct work *w)
{
	if (w->hold)
		holds_remove(&d->holds, w->hold);
	w->hold = NULL;
}

/* Removes what was delivered. Until that succeeds it is the only thing that is tried: what is still
 * there must not be sent again. */
static int
remove_delivered(struct drain *d, const struct store_entry_name *entry)
{
	int r = queue_done(&d->queue, entry);

	d->undone = *entry;
	d->has_undone = r < 0 && r != -ENOENT;
	return d->has_undone ? r : 0;
}

static int
finish(struct drain *d, struct work *w)
{
	struct forward_report report = report_of(w);
	int r = remove_delivered(d, w->entry);

	release(d, w);
	d->n_left--;
	d->state.n_delivered++;
	d->state.last_delivery_usec = clock_realtime_usec();
	set_state(d, STATE_DELIVERING);
	report_delivered(&d->reporter, &report);
	return r < 0 ? r : STEP_DONE;
}

/* For the file beside the message: no field's text. */
static void
write_reason(const struct drain *d, const struct work *w, struct buffer *out)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
		"outcome: failed\ndestination: %s\nanswer: %s\nreason: %s\ntries: %llu\n",
		d->options->name, w->delivery.code, w->delivery.error,
		(unsigned long long)w->n_tries);
	(void)buffer_append(out, span_str(text));
}

static int
give_up(struct drain *d, struct work *w)
{
	struct forward_report report = report_of(w);
	struct buffer reason = BUFFER_INIT(4096);
	int r;

	write_reason(d, w, &reason);
	r = queue_fail(&d->queue, w->entry, buffer_span(&reason));
	buffer_deinit(&reason);
	if (r < 0)
		return r;
	d->n_left--;
	release(d, w);
	d->state.n_failed++;
	note_error(d, w->delivery.error, STATE_DELIVERING);
	report_failed(&d->reporter, &report);
	return STEP_DONE;
}

static bool
is_too_old(const struct drain *d, const struct work *w)
{
	usec_t limit = d->options->give_up_after_usec, now = clock_realtime_usec();

	return limit && now > w->entry->stem.stamp && now - w->entry->stem.stamp > limit;
}

/* It waits, with those of its key behind it. */
static int
hold_back(struct drain *d, struct work *w)
{
	struct forward_report report = report_of(w);
	bool alone = d->options->keyed && d->n_tries == 0;

	if (!w->hold)
		w->hold = holds_add(&d->holds, w->key);
	if (!w->hold) /* has_room() was asked */
		return -ENOBUFS;
	w->hold->entry = *w->entry;
	w->hold->pass = d->pass;
	if (w->hold->n_tries == 0)
		report_held_back(&d->reporter, &report);
	w->hold->n_tries = w->n_tries;
	w->hold->n_errors = w->n_errors;
	w->hold->n_rejects = w->n_rejects;
	w->hold->due_usec = deadline_in(backoff_pause(&d->backoff, w->n_tries));
	d->state.n_retries++;
	note_error(d, w->delivery.error, alone ? STATE_DELIVERING : STATE_DOWN);
	return STEP_HELD;
}

static int
apply_policy(struct drain *d, struct work *w)
{
	bool rejected = w->delivery.rejected;
	const struct policy *p = rejected ? &d->options->on_reject : &d->options->on_error;
	uint64_t n = rejected ? ++w->n_rejects : ++w->n_errors;

	switch (p->action) {
	case POLICY_DONE: return finish(d, w);
	case POLICY_FAIL: return n < p->tries ? hold_back(d, w) : give_up(d, w);
	case POLICY_RETRY: return hold_back(d, w);
	}
	return hold_back(d, w);
}

/* No message can go now; those that are too old go to failed/, without being tried each by each. */
static int
apply_unreachable(struct drain *d, struct work *w)
{
	bool first = d->unreachable_pass != d->pass;

	if (first) {
		d->unreachable_pass = d->pass;
		memcpy(d->unreachable, w->delivery.error, sizeof(d->unreachable));
		note_down(d, w->delivery.error);
	}
	return is_too_old(d, w) ? give_up(d, w) : STEP_DOWN;
}

/* The message was not tried to the end, or not told from others. Whether the destination is back is
 * as unknown as before. */
static int
apply_silence(struct drain *d, struct work *w)
{
	int r = is_too_old(d, w) ? give_up(d, w) : hold_back(d, w);

	d->n_silent++;
	return r < 0 ? r : r == STEP_HELD ? STEP_SILENT : r;
}

static int
apply_result(struct drain *d, struct work *w, enum result result)
{
	if (w->delivery.answered)
		note_up(d);
	switch (result) {
	case RESULT_DELIVERED: return finish(d, w);
	case RESULT_REFUSED: return is_too_old(d, w) ? give_up(d, w) : apply_policy(d, w);
	case RESULT_PERMANENT: return give_up(d, w);
	case RESULT_UNREACHABLE: return apply_unreachable(d, w);
	case RESULT_LATER: break;
	}
	return apply_silence(d, w);
}

/* The value at the key's address; a message that has none has the empty one. */
static void
make_key(const struct drain *d, struct work *w)
{
	const struct address *key = &d->options->key;
	struct span value = SPAN_NULL;
	uint32_t seen = 0;
	struct hash h;
	size_t i;

	for (i = 0; d->options->keyed && i < w->message.n_segments; i++)
		if (span_eq(message_segment_name(&w->message, i), span_str(key->segment)) &&
			++seen == (key->occurrence ? key->occurrence : 1)) {
			value = address_read(key, &w->message, i);
			break;
		}
	hash_init(&h);
	hash_add(&h, value);
	hash_end(&h, w->key);
}

/* What a command of exec: may want to know of the message: names that the store made. */
static void
tell_command(const struct drain *d, const struct work *w)
{
	char name[STORE_NAME_BYTES];

	if (!d->options->command)
		return;
	store_entry_format(w->entry, "hl7", name);
	(void)setenv("HL7_QUEUE_NAME", name, 1);
	(void)setenv("HL7_DESTINATION", d->options->name, 1);
}

/* 0 or a negative errno. */
static int
deliver_now(struct drain *d, struct work *w, enum result *ret)
{
	if (d->unreachable_pass == d->pass) {
		w->delivery.code = "";
		memcpy(w->delivery.error, d->unreachable, sizeof(d->unreachable));
		*ret = RESULT_UNREACHABLE;
		return 0;
	}
	tell_command(d, w);
	return deliver(&d->peer, &w->delivery, ret);
}

static int
try_message(struct drain *d, struct work *w)
{
	enum result result = RESULT_LATER;
	int r;

	if (w->hold) {
		w->n_tries = w->hold->n_tries;
		w->n_errors = w->hold->n_errors;
		w->n_rejects = w->hold->n_rejects;
	}
	w->n_tries++;
	r = deliver_now(d, w, &result);
	return r < 0 ? r : apply_result(d, w, result);
}

/* Whether it waits: for its next try, or behind another of its key. */
static bool
is_held(struct drain *d, struct work *w, const struct pass *pass)
{
	struct hold *hold = holds_find(&d->holds, w->key);

	if (!hold)
		return false;
	if (store_entry_compare(&hold->entry, w->entry) == 0) {
		hold->pass = d->pass;
		w->hold = hold;
		return deadline_left(hold->due_usec) > 0 || pass->n_silent >= PASS_SILENT_MAX;
	}
	if (hold->pass == d->pass)
		return true;
	/* the one that waited is gone, or comes behind this one: an operator's doing */
	holds_remove(&d->holds, hold);
	return false;
}

/* Whether it could be held back, should it come to that. Once one could not, no other that was not
 * tried yet is tried in this pass: it might be of the same key. */
static bool
has_room(struct drain *d, const struct work *w)
{
	if (w->hold)
		return true;
	if (d->holds.n == HOLDS_MAX)
		d->pass_full = true;
	if (d->pass_full && !d->full)
		report_full(&d->reporter, d->holds.n);
	d->full = d->full || d->pass_full;
	return !d->pass_full;
}

/* Its key is known; whether it may go. */
static bool
may_go(struct drain *d, struct work *w, const struct pass *pass)
{
	if (!is_held(d, w, pass) && has_room(d, w))
		return true;
	if (d->options->keyed)
		keys_note(&d->keys, w->entry, w->key);
	return false;
}

/* The message is read. */
static int
judge_message(struct drain *d, struct work *w, const struct pass *pass)
{
	int r = message_parse(&w->message, buffer_span(&d->message));

	if (r < 0)
		return r;
	w->delivery.bytes = buffer_span(&d->message);
	if (w->message.n_headers)
		w->delivery.control_id = message_header_field(&w->message, 10);
	make_key(d, w);
	if (!may_go(d, w, pass))
		return STEP_HELD;
	r = try_message(d, w);
	if (d->options->keyed && (r == STEP_HELD || r == STEP_SILENT))
		keys_note(&d->keys, w->entry, w->key);
	return r;
}

static int
give_up_unread(struct drain *d, struct work *w)
{
	w->delivery.code = "";
	(void)snprintf(w->delivery.error, sizeof(w->delivery.error),
		"the message is larger than --max-message");
	return give_up(d, w);
}

static int
take_entry(const struct drain *d, const struct store_entry_name *entry, int *ret_fd)
{
	usec_t deadline = deadline_in(BUSY_USEC);
	int r = queue_take(&d->queue, entry, ret_fd);

	while (r == QUEUE_E_BUSY && deadline_left(deadline) > 0) {
		(void)poll(NULL, 0, (int)(LOOK_USEC / USEC_PER_MSEC));
		r = queue_take(&d->queue, entry, ret_fd);
	}
	switch (r) {
	case QUEUE_E_GONE: return STEP_GONE;
	case QUEUE_E_UNCOMMITTED: return STEP_UNCOMMITTED;
	case QUEUE_E_BUSY: return -EBUSY;
	default: return r;
	}
}

static int
read_and_judge(struct drain *d, struct work *w, const struct pass *pass)
{
	_cleanup_close_ int fd = -1; /* and its lock, until it is known what became of it */
	int r = take_entry(d, w->entry, &fd);

	if (r)
		return r;
	buffer_clear(&d->message);
	r = queue_read(fd, &d->message);
	if (r == BUFFER_E_FULL)
		r = give_up_unread(d, w);
	else if (r == 0)
		r = judge_message(d, w, pass);
	message_deinit(&w->message);
	return r;
}

/* Looks at one entry: a STEP, or a negative errno of our own side. */
static int
step(struct drain *d, const struct store_entry_name *entry, const struct pass *pass)
{
	struct work w = { .entry = entry };

	if (!d->options->keyed || !keys_find(&d->keys, entry, w.key))
		return read_and_judge(d, &w, pass);
	if (!may_go(d, &w, pass))
		return STEP_HELD;
	w.hold = NULL; /* asked for again when it is read */
	return read_and_judge(d, &w, pass);
}

/* --- the queue ------------------------------------------------------------------------------- */

static void
count_step(struct pass *pass, int r)
{
	pass->n_done += r == STEP_DONE;
	pass->n_uncommitted += r == STEP_UNCOMMITTED;
	pass->n_silent += r == STEP_SILENT;
	pass->n_waiting += r == STEP_HELD || r == STEP_SILENT || r == STEP_DOWN;
}

static bool
pass_ends(struct drain *d, const struct pass *pass, int r)
{
	if (r == STEP_DOWN || asked_to_stop())
		return true;
	if (!d->options->keyed) /* all wait behind the first */
		return r == STEP_HELD || r == STEP_SILENT;
	if (d->options->once)
		return false;
	/* before the next message is tried: it may be in vain as well */
	if (r == STEP_SILENT)
		(void)wait_until(d, deadline_in(backoff_pause(&d->backoff, d->n_silent)), false);
	return pass->n_done >= PASS_DONE_LEAST &&
	       deadline_left(holds_first_due_seen(&d->holds, d->pass)) == 0;
}

static int
run_pass(struct drain *d, const struct queue_list *list, struct pass *pass)
{
	size_t i;
	int r;

	d->n_left = list->n;
	for (i = 0; i < list->n && !asked_to_stop(); i++) {
		r = step(d, &list->items[i], pass);
		if (r < 0)
			return r;
		count_step(pass, r);
		if (pass_ends(d, pass, r))
			return 0;
	}
	holds_forget(&d->holds, d->pass);
	return 0;
}

static void
note_foreign(struct drain *d, size_t n)
{
	if (n > 0 && d->n_foreign == 0)
		report_foreign(&d->reporter, n);
	d->n_foreign = n;
}

static void
begin_pass(struct drain *d, struct pass *pass)
{
	*pass = (struct pass){ .n_done = 0 };
	d->pass++;
	d->pass_full = false;
	d->retry_at_usec = 0;
	/* told anew only after a while of less */
	if (d->holds.n < HOLDS_MAX / 2)
		d->full = false;
}

/* One way through all that waits now: 0, or a negative errno of our own side. */
static int
look_through(struct drain *d, struct pass *pass)
{
	struct queue_list list;
	int r = 0;

	if (d->has_undone)
		r = remove_delivered(d, &d->undone);
	if (r == 0)
		r = queue_list_ready(&d->queue, &list);
	if (r)
		return r;
	note_foreign(d, list.n_foreign);
	pass->n_later = list.n_later;
	r = run_pass(d, &list, pass);
	queue_list_deinit(&list);
	return r;
}

/* Our own side failing is like a destination that is down: it is told once, and tried again. */
static void
note_failure(struct drain *d, int error)
{
	char text[STATE_ERROR_BYTES];

	(void)snprintf(text, sizeof(text), "the queue: %s", strerrordesc_np(-error));
	d->failing = true;
	note_down(d, text);
}

static void
pass_once(struct drain *d, struct pass *pass)
{
	usec_t began = clock_monotonic_usec();
	int r;

	begin_pass(d, pass);
	r = look_through(d, pass);
	keys_end_pass(&d->keys);
	if (r < 0) {
		note_failure(d, r);
		pass->n_waiting++;
	} else if (d->failing) {
		d->failing = false;
		if (!d->retry_at_usec)
			note_up(d);
	}
	d->pass_usec = clock_monotonic_usec() - began;
	if (pass->n_done > 0)
		d->n_looks = 0;
}

/* Until the first of those that wait is due; with keys new messages may go before. */
static void
wait_for_retry(struct drain *d, const struct pass *pass)
{
	usec_t due = holds_first_due(&d->holds);

	if (d->retry_at_usec || !d->options->keyed) {
		(void)wait_until(d, d->retry_at_usec ? d->retry_at_usec : due, false);
		return;
	}
	if (pass->n_uncommitted > 0)
		due = earlier(due, next_look(d));
	if (!wait_until(d, due, true))
		return;
	d->n_looks = 0;
	(void)wait_until(
		d, deadline_in(earlier(1 + REST_FACTOR * d->pass_usec, REST_MAX_USEC)), false);
}

/* Whether nothing is in the queue, once it was swept. All that is there then counts. */
static bool
is_empty(struct drain *d)
{
	struct queue_list list;
	bool empty;

	if (queue_list_waiting(&d->queue, &list) < 0)
		return false;
	empty = list.n == 0;
	queue_list_deinit(&list);
	return empty;
}

/* Nothing is left that could be delivered. Waits for more; false when none came. */
static bool
linger(struct drain *d)
{
	set_state(d, STATE_IDLE);
	if (d->options->once)
		return false;
	if (d->options->linger_usec && wait_until(d, deadline_in(d->options->linger_usec), true))
		return true;
	/* as long as the folder is not empty the path unit would start the next forwarder at once
	 */
	if (d->n_foreign == 0 || asked_to_stop())
		return false;
	peer_close(&d->peer);
	return wait_until(d, DEADLINE_NEVER, true);
}

/* Nothing counts. Whether there may be more to do; otherwise the wait for more is over. */
static bool
wait_for_more(struct drain *d)
{
	size_t n = 0;
	int r = queue_sweep(&d->queue, &n);

	if (n > 0)
		report_swept(&d->reporter, n);
	if (r < 0)
		report_error(&d->reporter, "the queue cannot be swept", r);
	/* its entries may count the next moment */
	if (r == QUEUE_E_BUSY || (r == 0 && !is_empty(d))) {
		if (wait_until(d, next_look(d), true))
			d->n_looks = 0;
		return true;
	}
	d->n_looks = 0;
	return linger(d);
}

int
drain_run(struct drain *d)
{
	struct pass pass;

	while (!asked_to_stop()) {
		pass_once(d, &pass);
		if (asked_to_stop())
			break;
		if (pass.n_waiting > 0 && d->options->once)
			return EXIT_TEMPORARY;
		if (pass.n_waiting > 0 && (pass.n_done == 0 || d->retry_at_usec))
			wait_for_retry(d, &pass);
		else if (pass.n_done == 0 && pass.n_later == 0 && !wait_for_more(d))
			break;
	}
	return EXIT_OK;
}
