/* SPDX-License-Identifier: MIT */
#include "receive/session.h"
#include "ack/judge.h"
#include "hl7/timestamp.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* An answer has at most what its message may have, and ACK_BYTES_MAX on top. */
#define STORED_ANSWER_BYTES_MAX ((size_t)4096 * 1024 * 1024)

/* Why a conversation ends before its last message. */
enum {
	SESSION_E_GOES_ON,
	SESSION_E_ENDS, /* the peer left, a wait ended, or we are asked to stop */
};

struct conversation {
	struct session *s;
	struct frame_decoder decoder;
	struct frame last; /* the last one answered */
	usec_t idle_deadline;
	usec_t frame_deadline; /* 0 while no frame has begun */
	usec_t frame_started_usec;
	uint64_t empty_frames;
	int read_error; /* of the connection, or of memory to read into */
	int exit_status;
};

/* One frame on its way from the decoder to its answer. */
struct delivery {
	struct conversation *c;
	struct frame *frame;
	struct message message;
	bool readable; /* the message has a header */
	enum outcome outcome;
	struct buffer answer; /* framed */
	struct conversion conversion;
	struct template_failures failures; /* with OUTCOME_VALUE_REFUSED */
	struct message_report report;
	struct store_receipt receipt;
	char code[3]; /* of an answer that was kept */
};

/* --- reading --------------------------------------------------------------------------------- */

/* What came behind the FS of a frame already answered says whether it was the whole message. */
static void
check_late_data(struct conversation *c)
{
	struct frame late = c->last;

	if (c->last.payload.n == 0)
		return; /* none was answered, or an empty one passed since */
	if (frame_awaits_cr(&c->decoder) && frame_recheck(&c->decoder, &late) == FRAME_E_FS_INSIDE)
		report_late_data(&c->s->reporter, late.fault_offset);
}

/* Reads once into the decoder: 0, a CONNECTION_E condition or a negative errno. */
static int
fill(struct conversation *c, usec_t deadline, const sigset_t *mask)
{
	uint8_t *room;
	size_t n;
	int r = frame_decoder_space(&c->decoder, &room, &n);

	if (r == 0)
		r = connection_read(&c->s->connection, room, n, deadline, mask, &n);
	if (r)
		return r;
	if (n == 0)
		frame_decoder_eof(&c->decoder);
	else
		frame_decoder_filled(&c->decoder, n);
	return 0;
}

static void
note_beginning(struct conversation *c)
{
	if (c->frame_deadline || !frame_begun(&c->decoder))
		return;
	c->frame_deadline = deadline_in(c->s->options->frame_timeout_usec);
	c->frame_started_usec = clock_monotonic_usec();
}

/* A read failed or waited too long: 0 with what there is of a frame and its outcome, or
 * SESSION_E_ENDS. */
static int
give_up(struct conversation *c, int r, struct frame *f, enum outcome *ret_outcome)
{
	bool begun = frame_begun(&c->decoder);

	*f = frame_head(&c->decoder);
	if (r < 0)
		c->read_error = r;
	if (!begun && r == CONNECTION_E_TIMEOUT)
		report_idle(&c->s->reporter, "no message within --idle-timeout");
	if (!begun)
		return SESSION_E_ENDS;
	if (r == CONNECTION_E_TIMEOUT)
		*ret_outcome = OUTCOME_FRAME_TIMEOUT;
	else
		*ret_outcome = r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_FRAME_LOST;
	return 0;
}

static enum outcome
outcome_of_frame(int condition)
{
	switch (condition) {
	case FRAME_E_TRUNCATED: return OUTCOME_FRAME_LOST;
	case FRAME_E_TOO_LARGE: return OUTCOME_TOO_LARGE;
	case FRAME_E_FS_INSIDE: return OUTCOME_FS_INSIDE;
	default: return OUTCOME_STORED;
	}
}

/* 0 with a frame and what its framing makes of it (OUTCOME_STORED: nothing against it so far), or
 * SESSION_E_ENDS. */
static int
next_frame(struct conversation *c, struct frame *f, enum outcome *ret_outcome)
{
	int r = frame_next(&c->decoder, f);

	while (r == FRAME_E_PARTIAL) {
		note_beginning(c);
		if (c->frame_deadline)
			r = fill(c, c->frame_deadline, NULL);
		else
			r = fill(c, c->idle_deadline, &c->s->idle_mask);
		if (r)
			return give_up(c, r, f, ret_outcome);
		check_late_data(c);
		r = frame_next(&c->decoder, f);
	}
	if (r == FRAME_E_END)
		return SESSION_E_ENDS;
	if (!c->frame_deadline)
		c->frame_started_usec = clock_monotonic_usec();
	*ret_outcome = outcome_of_frame(r);
	return 0;
}

/* Before the commit, a look without waiting at what stands behind the FS: data there means that it
 * was no end. */
static void
look_behind(struct conversation *c, struct frame *f, enum outcome *outcome)
{
	if (!frame_awaits_cr(&c->decoder))
		return;
	(void)fill(c, 0, NULL); /* nothing there, or an error: told by the next read */
	if (frame_recheck(&c->decoder, f) == FRAME_E_FS_INSIDE && *outcome == OUTCOME_STORED)
		*outcome = OUTCOME_FS_INSIDE;
}

/* --- judging --------------------------------------------------------------------------------- */

static enum outcome
judge(struct delivery *d)
{
	int parsed = message_parse(&d->message, d->frame->payload);

	return judge_message(d->outcome, parsed, &d->message, &d->readable);
}

/* --- answering ------------------------------------------------------------------------------- */

static enum ack_class
class_of(const struct delivery *d)
{
	static const enum ack_class on_storage_error[] = {
		[ON_STORAGE_ERROR_REJECT] = ACK_REJECT,
		[ON_STORAGE_ERROR_ERROR] = ACK_ERROR,
		[ON_STORAGE_ERROR_CLOSE] = ACK_NONE,
	};

	if (!d->readable || ack_is_acknowledgement(&d->message))
		return ACK_NONE;
	if (d->outcome == OUTCOME_STORAGE_FAILED || d->outcome == OUTCOME_STORE_FULL)
		return on_storage_error[d->c->s->options->on_storage_error];
	return outcome_info(d->outcome)->class;
}

static void
write_now(usec_t now, char ret[TIMESTAMP_BYTES])
{
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	struct tm tm = { 0 };

	(void)localtime_r(&seconds, &tm);
	timestamp_format(seconds, (int)tm.tm_gmtoff, ret);
}

/* What templates can read beside the message. `timestamp` holds {now}. */
static struct template_input
template_input(struct delivery *d, char timestamp[TIMESTAMP_BYTES])
{
	struct session *s = d->c->s;
	usec_t now = clock_realtime_usec();

	write_now(now, timestamp);
	return (struct template_input){
		.message = &d->message,
		.ids = &s->ids,
		.now_usec = now,
		.variables = {
			[TEMPLATE_NOW] = span_str(timestamp),
			[TEMPLATE_PEER_ADDRESS] = span_str(s->names.peer_address),
			[TEMPLATE_LOCAL_PORT] = span_str(s->names.local_port),
			[TEMPLATE_HOST] = span_str(s->host),
		},
	};
}

static int
render_answer(struct delivery *d, struct buffer *rendered, struct template_failures *failures)
{
	struct session *s = d->c->s;
	char timestamp[TIMESTAMP_BYTES];
	struct ack_answer answer = {
		.message = &d->message,
		.outcome = d->outcome,
		.code = d->report.code,
		.failures = &d->failures,
		.input = template_input(d, timestamp),
	};
	int r = ack_render(&s->ack_templates, s->shipped, &answer, rendered, failures);

	if (answer.unusable)
		report_unusable(&s->reporter, s->options->ack_templates, answer.unusable);
	return r;
}

/* What a failed rendering makes of the outcome. */
static enum outcome
outcome_of_rendering(int r)
{
	if (r == ACK_E_REFUSED)
		return OUTCOME_VALUE_REFUSED;
	return r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_TEMPLATE_BROKEN;
}

/* Makes the framed answer for the outcome in hand; none where none is owed. 0, or what went wrong.
 */
static int
prepare_answer(struct delivery *d, struct template_failures *failures)
{
	const struct message *m = &d->message;
	struct buffer rendered = BUFFER_INIT(0);
	enum ack_class class = class_of(d);
	int r;

	buffer_clear(&d->answer);
	d->report.code = "";
	if (class == ACK_NONE)
		return 0;
	d->report.code = ack_code(d->c->s->options->ack_mode, class, message_header_field(m, 15),
		message_header_field(m, 16));
	if (!d->report.code[0])
		return 0;
	rendered.max = ack_bytes_max(m);
	d->answer.max = rendered.max + 3;
	r = render_answer(d, &rendered, failures);
	if (r == 0)
		r = frame_encode(&d->answer, buffer_span(&rendered));
	buffer_deinit(&rendered);
	return r;
}

/* The answer to a message that is not taken. It is made by the same templates, so it may fail as
 * well; a second time there is no answer. */
static void
prepare_refusal(struct delivery *d)
{
	struct template_failures failures;

	d->report.delivered = false;
	if (prepare_answer(d, &failures) != 0) {
		buffer_clear(&d->answer);
		d->report.code = "";
	}
}

/* What of it the store has to know; the answer is the one that was prepared. */
static struct store_message
to_store(const struct delivery *d)
{
	const struct message *m = &d->message;
	struct span answer = buffer_span(&d->answer);

	return (struct store_message){
		.bytes = d->frame->payload,
		.application = message_header_field(m, 3),
		.facility = message_header_field(m, 4),
		.control_id = message_header_field(m, 10),
		.answer =
			answer.n ? span_of(answer.p + 1, answer.n - 3) : SPAN_NULL, /* VT, FS CR */
		.entries = d->conversion.entries,
		.n_entries = d->conversion.n,
		.refuse_reused = d->c->s->options->reject_reused,
	};
}

/* MSA-1 of an answer that was kept. */
static void
read_code(struct span answer, char ret[3])
{
	struct message m;
	struct span code;
	size_t i;

	ret[0] = 0;
	(void)message_parse(&m, answer);
	for (i = 0; i < m.n_segments && !ret[0]; i++) {
		code = message_field(&m, i, 1);
		if (span_eq(message_segment_name(&m, i), SPAN("MSA")) && code.n == 2)
			(void)snprintf(ret, 3, "%.2s", (const char *)code.p);
	}
	message_deinit(&m);
}

/* The answer to a message that was stored before: byte for byte what it got then. Where that was
 * not kept, a backup without attributes perhaps, it is made anew. */
static int
repeat_answer(struct delivery *d)
{
	struct template_failures failures = { .n = 0 };
	struct span kept = buffer_span(&d->receipt.answer);

	if (!d->receipt.answered)
		return prepare_answer(d, &failures);
	buffer_clear(&d->answer);
	d->report.code = "";
	if (kept.n == 0)
		return 0;
	read_code(kept, d->code);
	d->report.code = d->code;
	d->answer.max = kept.n + 3;
	return frame_encode(&d->answer, kept);
}

/* Whether it was stored before, by this connection or another. */
static int
find_stored(struct delivery *d)
{
	struct store_message m = to_store(d);

	if (!d->c->s->options->store || d->c->s->store_error)
		return 0;
	return store_find(&d->c->s->store, &m, &d->receipt);
}

static enum outcome
outcome_of_commit(int r)
{
	switch (r) {
	case STORE_E_DUPLICATE: return OUTCOME_DUPLICATE;
	case STORE_E_REUSED: return OUTCOME_REUSED_ID;
	case STORE_E_FULL: return OUTCOME_STORE_FULL;
	default: return OUTCOME_STORAGE_FAILED;
	}
}

static int
commit(struct delivery *d)
{
	struct session *s = d->c->s;
	struct store_message m = to_store(d);

	if (!s->options->store)
		return 0;
	if (s->store_error)
		return s->store_error;
	return store_commit(&s->store, &m, &d->receipt);
}

static enum outcome
convert(struct delivery *d)
{
	struct session *s = d->c->s;
	char timestamp[TIMESTAMP_BYTES];
	const struct template_input in = template_input(d, timestamp);
	enum outcome outcome;

	if (s->templates_broken)
		return OUTCOME_TEMPLATE_BROKEN;
	outcome = conversion_run(
		&d->conversion, &s->convert_templates, &in, s->options->max_result_bytes);
	if (outcome == OUTCOME_VALUE_REFUSED)
		d->failures = d->conversion.failures;
	if (outcome == OUTCOME_STORED && !d->conversion.wanted && s->options->reject_unmatched)
		return OUTCOME_UNMATCHED;
	return outcome;
}

/* Converts, prepares the answer, commits, in this order: a message that cannot be converted, or
 * whose answer cannot be made, is not taken. Returns what became of it. */
static enum outcome
accept_new(struct delivery *d)
{
	struct template_failures failures = { .n = 0 };
	enum outcome outcome = d->outcome;
	int r;

	if (outcome == OUTCOME_STORED)
		outcome = convert(d);
	if (outcome != d->outcome)
		return outcome;
	r = prepare_answer(d, &failures);
	if (r) {
		d->failures = failures;
		return outcome_of_rendering(r);
	}
	r = commit(d);
	if (r == 0)
		return outcome;
	d->report.error = r < 0 ? r : 0;
	return outcome_of_commit(r);
}

/* A message that was stored before is not looked at again: what templates make of it now does not
 * matter. */
static enum outcome
accept_message(struct delivery *d)
{
	enum outcome outcome;
	int r = find_stored(d);

	outcome = r ? outcome_of_commit(r) : accept_new(d);
	d->report.error = r < 0 ? r : d->report.error;
	if (outcome != OUTCOME_DUPLICATE)
		return outcome;
	d->outcome = OUTCOME_DUPLICATE;
	r = repeat_answer(d);
	return r ? outcome_of_rendering(r) : OUTCOME_DUPLICATE;
}

/* Whether the message is on disk and answered for it. */
static bool
is_taken(enum outcome outcome)
{
	return outcome == OUTCOME_STORED || outcome == OUTCOME_ACKNOWLEDGEMENT ||
	       outcome == OUTCOME_DUPLICATE;
}

/* "why: value-refused", one line each fact; no field's text. */
static void
write_reason(const struct delivery *d, struct buffer *out)
{
	const struct outcome_info *info = outcome_info(d->outcome);
	char line[512], erl[ADDRESS_ERL_BYTES], where[40];
	size_t i;

	(void)snprintf(line, sizeof(line), "outcome: %s\nanswer: %s\nreason: %s\npeer: %s\n",
		info->name, d->report.code, info->text, d->c->s->names.peer_address);
	(void)buffer_append(out, span_str(line));
	if (d->conversion.template_name) {
		(void)snprintf(line, sizeof(line), "template: %s\n", d->conversion.template_name);
		(void)buffer_append(out, span_str(line));
	}
	for (i = 0; i < d->failures.n && i < TEMPLATE_FAILURES_MAX; i++) {
		const struct template_failure *f = &d->failures.items[i];

		erl[f->at.segment[0] ? address_format_erl(&f->at, erl) : 0] = 0;
		where[0] = 0;
		if (f->line) /* a character set is no line's */
			(void)snprintf(where, sizeof(where), " (template line %u)", f->line);
		(void)snprintf(line, sizeof(line), "value: %s%s: %s\n", erl, where,
			template_refusal_text(f->refusal));
		(void)buffer_append(out, span_str(line));
	}
}

/* Keeps a refused message with its reason; that it cannot be kept changes nothing for the peer, who
 * has it. */
static void
keep_refused(struct delivery *d)
{
	struct session *s = d->c->s;
	struct buffer reason = BUFFER_INIT((size_t)64 * 1024);
	int r;

	if (!s->options->store || s->store_error || !outcome_info(d->outcome)->kept)
		return;
	write_reason(d, &reason);
	r = store_reject(&s->store, d->frame->payload, buffer_span(&reason), d->receipt.name);
	if (r) {
		d->receipt.name[0] = 0;
		report_error(&s->reporter, "a refused message cannot be kept", r < 0 ? r : -ENOSPC);
	}
	buffer_deinit(&reason);
}

static void
send_answer(struct delivery *d)
{
	struct session *s = d->c->s;
	int r;

	if (d->answer.n == 0)
		return;
	r = connection_write(&s->connection, buffer_span(&d->answer),
		deadline_in(s->options->write_timeout_usec));
	d->report.delivered = r == 0;
	if (r < 0 && d->report.error == 0)
		d->report.error = r;
	if (r == CONNECTION_E_TIMEOUT && d->report.error == 0)
		d->report.error = -ETIMEDOUT;
}

static void
report(struct delivery *d)
{
	struct conversation *c = d->c;
	bool queued = d->outcome == OUTCOME_STORED && c->s->options->store;

	d->report.outcome = d->outcome;
	d->report.frame = d->frame;
	d->report.message = d->readable ? &d->message : NULL;
	d->report.duration_usec = clock_monotonic_usec() - c->frame_started_usec;
	d->report.store_name = d->receipt.name;
	d->report.reused_id = d->receipt.reused;
	d->report.n_queued = queued ? d->conversion.n : 0;
	d->report.template_name = d->conversion.template_name;
	report_deviations(&c->s->reporter, d->frame);
	report_message(&c->s->reporter, &d->report);
	if (c->exit_status == 0)
		c->exit_status = outcome_info(d->outcome)->exit_status;
}

/* Whether the peer is owed a further conversation after this frame. */
static bool
goes_on(const struct delivery *d)
{
	if (d->outcome == OUTCOME_NO_HEADER || d->outcome == OUTCOME_FRAME_LOST ||
		d->outcome == OUTCOME_FRAME_TIMEOUT)
		return false;
	if ((d->outcome == OUTCOME_STORAGE_FAILED || d->outcome == OUTCOME_STORE_FULL) &&
		!d->report.code[0])
		return false;
	return !d->report.code[0] || d->report.delivered;
}

static int
handle_frame(struct conversation *c, struct frame *f, enum outcome outcome)
{
	struct delivery d = {
		.c = c,
		.frame = f,
		.outcome = outcome,
		.report = { .code = "", .error = c->read_error },
		.receipt = { .answer = BUFFER_INIT(STORED_ANSWER_BYTES_MAX) },
	};
	bool more;

	report_held(&c->s->reporter);
	look_behind(c, f, &d.outcome);
	d.outcome = judge(&d);
	if (d.readable && d.outcome == OUTCOME_STORED && ack_is_acknowledgement(&d.message))
		d.outcome = OUTCOME_ACKNOWLEDGEMENT;
	if (d.outcome == OUTCOME_STORED || d.outcome == OUTCOME_ACKNOWLEDGEMENT)
		d.outcome = accept_message(&d);
	if (!is_taken(d.outcome)) {
		prepare_refusal(&d);
		keep_refused(&d);
	}
	send_answer(&d);
	report(&d);
	more = goes_on(&d);
	c->last = *f;
	conversion_deinit(&d.conversion);
	message_deinit(&d.message);
	buffer_deinit(&d.answer);
	buffer_deinit(&d.receipt.answer);
	return more ? SESSION_E_GOES_ON : SESSION_E_ENDS;
}

/* --- the whole ------------------------------------------------------------------------------- */

static bool
asked_to_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

/* The next frame with a payload, answered. */
static int
converse_once(struct conversation *c)
{
	enum outcome outcome = OUTCOME_STORED;
	struct frame f = { 0 };
	bool empty;
	int r;

	c->idle_deadline = deadline_in(c->s->options->idle_timeout_usec);
	do {
		c->frame_deadline = 0;
		r = next_frame(c, &f, &outcome);
		if (r)
			return r;
		empty = f.payload.n == 0 && f.discarded_bytes == 0 && outcome == OUTCOME_STORED;
		/* some senders keep a line alive with them; they do not move the idle deadline */
		c->empty_frames += empty;
	} while (empty);
	return handle_frame(c, &f, outcome);
}

/* Lets the peer take the last answer: closing with bytes unread would reset the connection, and the
 * kernel would throw the answer away with it. */
static void
drain(struct conversation *c)
{
	usec_t deadline = deadline_in(c->s->options->drain_timeout_usec);
	uint8_t scratch[16 * 1024];
	size_t n = 1;

	connection_shutdown_write(&c->s->connection);
	if (frame_awaits_cr(&c->decoder) && fill(c, deadline, NULL) == 0)
		check_late_data(c);
	while (n > 0)
		if (connection_read(
			    &c->s->connection, scratch, sizeof(scratch), deadline, NULL, &n))
			n = 0;
}

static void
report_rest(struct conversation *c)
{
	struct frame rest = frame_head(&c->decoder);
	size_t frames = frame_unread_frames_bytes(&c->decoder);

	if (rest.noise_bytes > 0 || c->empty_frames > 0)
		report_held(&c->s->reporter);
	if (!frame_begun(&c->decoder))
		report_deviations(&c->s->reporter, &rest);
	if (frames > 0)
		report_unread(&c->s->reporter, frames, rest.fault_offset - frames);
	if (c->empty_frames > 0)
		report_empty_frames(&c->s->reporter, c->empty_frames);
}

int
session_run(struct session *s)
{
	struct conversation c = { .s = s };
	size_t n = 0;
	int r = SESSION_E_GOES_ON;

	frame_decoder_init(&c.decoder, s->options->max_message_bytes);
	while (r == SESSION_E_GOES_ON && (s->options->messages == 0 || n < s->options->messages)) {
		r = asked_to_stop() && n > 0 ? SESSION_E_ENDS : converse_once(&c);
		n++;
	}
	drain(&c);
	report_rest(&c);
	frame_decoder_deinit(&c.decoder);
	return c.exit_status;
}
