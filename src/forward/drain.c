/* SPDX-License-Identifier: MIT */
#include "forward/drain.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "cli/options.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* sysexits.h: some messages still wait. */
#define EXIT_TEMPORARY 75

/* While a commit to this queue is in the middle, and for an entry that an operator has in hand. */
#define SHORT_PAUSE_USEC (5 * USEC_PER_MSEC)
#define BUSY_PAUSE_USEC  USEC_PER_SEC

/* What a look at one entry came to. */
enum {
	STEP_DONE,    /* it left the queue */
	STEP_SKIPPED, /* it does not count, or another took it */
	STEP_HELD,    /* it waits, with those of its key */
	STEP_DOWN,    /* all wait */
};

/* The entry in hand. */
struct work {
	const struct store_entry_name *entry;
	struct message message; /* parsed, as far as it could be */
	uint8_t key[16];
	struct hold *hold; /* of its key, when it was tried before */
	struct delivery delivery;
	uint64_t n_tries;
};

/* --- waiting --------------------------------------------------------------------------------- */

static bool
asked_to_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
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

/* Until the deadline, SIGTERM, or with `watched` a change of the queue. True for a change. */
static bool
wait_until(struct drain *d, usec_t deadline, bool watched)
{
	struct pollfd p = { .fd = watched ? d->watch : -1, .events = POLLIN };
	usec_t left = deadline_left(deadline);
	const struct timespec ts = {
		.tv_sec = (time_t)(left / USEC_PER_SEC),
		.tv_nsec = (long)(left % USEC_PER_SEC) * 1000,
	};

	if (ppoll(&p, 1, left == DEADLINE_NEVER ? NULL : &ts, &d->idle_mask) <= 0)
		return false;
	forget_events(d->watch);
	return true;
}

/* --- what is known of the destination -------------------------------------------------------- */

static void
set_state(struct drain *d, enum state_kind kind)
{
	if (d->state.kind != kind)
		d->state.since_usec = clock_realtime_usec();
	d->state.kind = kind;
	state_write(d->state_fd, &d->state);
}

static void
note_error(struct drain *d, const char *error, enum state_kind kind)
{
	d->state.n_retries++;
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
	note_error(d, error, STATE_DOWN);
}

static void
note_up(struct drain *d)
{
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

	if (!w->hold)
		w->hold = holds_add(&d->holds, w->key);
	if (!w->hold) {
		note_down(d, "too many messages wait to be tried again");
		return STEP_DOWN;
	}
	w->hold->entry = *w->entry;
	w->hold->pass = d->pass;
	if (w->hold->n_tries == 0)
		report_held_back(&d->reporter, &report);
	w->hold->n_tries = w->n_tries;
	w->hold->due_usec = deadline_in(backoff_pause(&d->backoff, w->n_tries));
	note_error(d, w->delivery.error, d->options->keyed ? STATE_DELIVERING : STATE_DOWN);
	return STEP_HELD;
}

static int
apply_policy(struct drain *d, struct work *w)
{
	const struct policy *p =
		w->delivery.rejected ? &d->options->on_reject : &d->options->on_error;

	switch (p->action) {
	case POLICY_DONE: return finish(d, w);
	case POLICY_FAIL: return w->n_tries < p->tries ? hold_back(d, w) : give_up(d, w);
	case POLICY_RETRY: return hold_back(d, w);
	}
	return hold_back(d, w);
}

static int
apply_result(struct drain *d, struct work *w, enum result result)
{
	if (result == RESULT_UNREACHABLE) {
		if (is_too_old(d, w))
			return give_up(d, w);
		note_down(d, w->delivery.error);
		return STEP_DOWN;
	}
	note_up(d);
	if (result != RESULT_DELIVERED && is_too_old(d, w))
		return give_up(d, w);
	switch (result) {
	case RESULT_DELIVERED: return finish(d, w);
	case RESULT_REFUSED: return apply_policy(d, w);
	case RESULT_PERMANENT: return give_up(d, w);
	case RESULT_LATER:
	case RESULT_UNREACHABLE: break;
	}
	return hold_back(d, w);
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

static int
try_message(struct drain *d, struct work *w)
{
	enum result result = RESULT_LATER;
	int r;

	w->n_tries = (w->hold ? w->hold->n_tries : 0) + 1;
	tell_command(d, w);
	r = deliver(&d->peer, &w->delivery, &result);
	return r < 0 ? r : apply_result(d, w, result);
}

/* Whether it waits: for its next try, or behind another of its key. */
static bool
is_held(struct drain *d, struct work *w)
{
	struct hold *hold = holds_find(&d->holds, w->key);

	if (!hold)
		return false;
	if (store_entry_compare(&hold->entry, w->entry) == 0) {
		hold->pass = d->pass;
		w->hold = hold;
		return deadline_left(hold->due_usec) > 0;
	}
	if (hold->pass == d->pass)
		return true;
	/* the one that waited is gone, or comes behind this one: an operator's doing */
	holds_remove(&d->holds, hold);
	return false;
}

/* The message is read; now whether it may go. */
static int
judge_message(struct drain *d, struct work *w)
{
	int r = message_parse(&w->message, buffer_span(&d->message));

	if (r < 0)
		return r;
	w->delivery.bytes = buffer_span(&d->message);
	if (w->message.n_headers)
		w->delivery.control_id = message_header_field(&w->message, 10);
	make_key(d, w);
	return is_held(d, w) ? STEP_HELD : try_message(d, w);
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
	usec_t deadline = deadline_in(BUSY_PAUSE_USEC);
	int r = queue_take(&d->queue, entry, ret_fd);

	while (r == QUEUE_E_BUSY && deadline_left(deadline) > 0) {
		(void)poll(NULL, 0, (int)(SHORT_PAUSE_USEC / USEC_PER_MSEC));
		r = queue_take(&d->queue, entry, ret_fd);
	}
	return r;
}

/* Looks at one entry: a STEP, or a negative errno of our own side. */
static int
step(struct drain *d, const struct store_entry_name *entry)
{
	_cleanup_close_ int fd = -1; /* and its lock, until it is known what became of it */
	struct work w = { .entry = entry };
	int r = take_entry(d, entry, &fd);

	if (r == QUEUE_E_BUSY)
		return -EBUSY;
	if (r)
		return r < 0 ? r : STEP_SKIPPED;
	buffer_clear(&d->message);
	r = queue_read(fd, &d->message);
	if (r == BUFFER_E_FULL)
		r = give_up_unread(d, &w);
	else if (r == 0)
		r = judge_message(d, &w);
	message_deinit(&w.message);
	return r;
}

/* --- the queue ------------------------------------------------------------------------------- */

/* What one way through the queue came to. */
struct pass {
	size_t n_done, n_waiting;
	size_t n_later; /* came while it went on */
};

static bool
pass_ends(const struct drain *d, int r)
{
	if (r == STEP_DOWN || asked_to_stop())
		return true;
	/* without keys all wait behind the first; with them, the first that is due again goes first
	 */
	return r == STEP_HELD ? !d->options->keyed : deadline_left(holds_first_due(&d->holds)) == 0;
}

static int
run_pass(struct drain *d, const struct queue_list *list, struct pass *pass)
{
	size_t i;
	int r = STEP_SKIPPED;

	for (i = 0; i < list->n && !asked_to_stop(); i++) {
		r = step(d, &list->items[i]);
		if (r < 0)
			return r;
		pass->n_done += r == STEP_DONE;
		pass->n_waiting += r == STEP_HELD || r == STEP_DOWN;
		if (pass_ends(d, r))
			break;
	}
	return 0;
}

static void
note_foreign(struct drain *d, size_t n)
{
	if (n > 0 && d->n_foreign == 0)
		report_foreign(&d->reporter, n);
	d->n_foreign = n;
}

/* One way through all that waits now. Our own side failing is like a destination that is down: it
 * is told once, and tried again. */
static void
pass_once(struct drain *d, struct pass *pass)
{
	struct queue_list list;
	char error[STATE_ERROR_BYTES];
	int r = 0;

	*pass = (struct pass){ .n_done = 0 };
	d->pass++;
	if (d->has_undone)
		r = remove_delivered(d, &d->undone);
	if (r == 0)
		r = queue_list_ready(&d->queue, &list);
	if (r == 0) {
		note_foreign(d, list.n_foreign);
		pass->n_later = list.n_later;
		r = run_pass(d, &list, pass);
		queue_list_deinit(&list);
	}
	if (r == 0)
		return;
	(void)snprintf(error, sizeof(error), "the queue: %s", strerrordesc_np(-r));
	note_down(d, error);
	pass->n_waiting++;
}

static void
wait_for_retry(struct drain *d)
{
	usec_t due = holds_first_due(&d->holds);

	if (d->retry_at_usec)
		(void)wait_until(d, d->retry_at_usec, false);
	else
		(void)wait_until(d, due, d->options->keyed);
}

/* Nothing counts. Whether there may be more to do at once; otherwise the wait for more is over. */
static bool
wait_for_more(struct drain *d)
{
	size_t n = 0;
	int r = queue_sweep(&d->queue, &n);

	if (n > 0)
		report_swept(&d->reporter, n);
	if (r == QUEUE_E_BUSY) {
		(void)wait_until(d, deadline_in(SHORT_PAUSE_USEC), false);
		return true;
	}
	if (r < 0)
		report_error(&d->reporter, "the queue cannot be swept", r);
	set_state(d, STATE_IDLE);
	/* as long as the folder is not empty the path unit would start the next forwarder at once
	 */
	if (d->n_foreign > 0 && !d->options->once)
		return wait_until(d, DEADLINE_NEVER, true);
	return d->options->linger_usec && !d->options->once &&
	       wait_until(d, deadline_in(d->options->linger_usec), true);
}

int
drain_run(struct drain *d)
{
	struct pass pass;

	while (!asked_to_stop()) {
		d->retry_at_usec = 0;
		pass_once(d, &pass);
		if (asked_to_stop())
			break;
		if (pass.n_waiting > 0 && d->options->once)
			return EXIT_TEMPORARY;
		if (pass.n_waiting > 0 && (pass.n_done == 0 || d->retry_at_usec))
			wait_for_retry(d);
		else if (pass.n_done == 0 && pass.n_later == 0 && !wait_for_more(d))
			break;
	}
	return EXIT_OK;
}
