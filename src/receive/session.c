/* SPDX-License-Identifier: MIT */
#include "receive/session.h"
#include "ack/judge.h"
#include "listen/process.h"

#include <errno.h>
#include <stdio.h>

/* An answer has at most what its message may have, and ACK_BYTES_MAX on top. */
#define STORED_ANSWER_BYTES_MAX ((size_t)4096 * 1024 * 1024)

/* One frame on its way from the intake to its reply. */
struct delivery {
	struct session *s;
	struct frame *frame;
	struct message message;
	bool readable; /* the message has a header */
	enum outcome outcome;
	struct reply reply;
	struct conversion conversion;
	struct template_failures failures; /* with OUTCOME_VALUE_REFUSED */
	struct store_receipt receipt;
	char code[3]; /* of an answer that was kept */
	int error;    /* negative errno behind the outcome or the delivery, or 0 */
};

/* --- judging --------------------------------------------------------------------------------- */

static enum outcome
judge(struct delivery *d)
{
	int parsed = message_parse(&d->message, d->frame->payload);
	enum outcome outcome = judge_message(d->outcome, parsed, &d->message, &d->readable);

	if (outcome == OUTCOME_STORED && ack_is_acknowledgement(&d->message))
		return OUTCOME_ACKNOWLEDGEMENT;
	return outcome;
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
		return on_storage_error[d->s->options->on_storage_error];
	return outcome_info(d->outcome)->class;
}

/* Makes the reply for the outcome in hand. 0, or what went wrong. */
static int
prepare_reply(struct delivery *d, struct template_failures *failures)
{
	struct session *s = d->s;
	int r = reply_make(&d->reply, &s->replier, &d->message, d->outcome, class_of(d),
		&d->failures, failures);

	if (d->reply.unusable)
		report_unusable(&s->reporter, s->options->ack_templates, d->reply.unusable);
	return r;
}

/* The reply to a message that is not taken. It is made by the same templates, so it may fail as
 * well; a second time there is no answer. */
static void
prepare_refusal(struct delivery *d)
{
	struct template_failures failures;

	if (prepare_reply(d, &failures) != 0)
		reply_clear(&d->reply);
}

/* What of it the store has to know; the answer is the one that was prepared. */
static struct store_message
to_store(const struct delivery *d)
{
	const struct message *m = &d->message;
	struct span answer = buffer_span(&d->reply.frame);

	return (struct store_message){
		.bytes = d->frame->payload,
		.application = message_header_field(m, 3),
		.facility = message_header_field(m, 4),
		.control_id = message_header_field(m, 10),
		.answer =
			answer.n ? span_of(answer.p + 1, answer.n - 3) : SPAN_NULL, /* VT, FS CR */
		.entries = d->conversion.entries.items,
		.n_entries = d->conversion.entries.n,
		.refuse_reused = d->s->options->reject_reused,
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
		return prepare_reply(d, &failures);
	reply_clear(&d->reply);
	if (kept.n == 0)
		return 0;
	read_code(kept, d->code);
	d->reply.code = d->code;
	reply_deinit(&d->reply);
	d->reply.frame = d->receipt.answer;
	d->receipt.answer = BUFFER_INIT(STORED_ANSWER_BYTES_MAX);
	return frame_enclose(&d->reply.frame);
}

/* Whether it was stored before, by this connection or another. */
static int
find_stored(struct delivery *d)
{
	struct store_message m = to_store(d);

	if (!d->s->options->store || d->s->store_error)
		return 0;
	return store_find(&d->s->store, &m, &d->receipt);
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
	struct session *s = d->s;
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
	struct session *s = d->s;
	char timestamp[TIMESTAMP_BYTES];
	const struct template_input in = replier_input(&s->replier, &d->message, timestamp);
	enum outcome outcome;

	if (s->templates.broken)
		return OUTCOME_TEMPLATE_BROKEN;
	outcome = conversion_run(
		&d->conversion, &s->templates.convert, &in, s->options->max_result_bytes);
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
	r = prepare_reply(d, &failures);
	if (r) {
		d->failures = failures;
		return reply_outcome(r);
	}
	r = commit(d);
	if (r == 0)
		return outcome;
	d->error = r < 0 ? r : 0;
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
	d->error = r < 0 ? r : d->error;
	if (outcome != OUTCOME_DUPLICATE)
		return outcome;
	d->outcome = OUTCOME_DUPLICATE;
	r = repeat_answer(d);
	return r ? reply_outcome(r) : OUTCOME_DUPLICATE;
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
		info->name, d->reply.code, info->text, d->s->names.peer_address);
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
	struct session *s = d->s;
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
send_reply(struct delivery *d)
{
	struct session *s = d->s;
	int r = reply_send(&d->reply, &s->connection, s->options->listen.write_timeout_usec);

	if (d->error == 0)
		d->error = r;
}

static void
report(struct delivery *d)
{
	struct session *s = d->s;
	bool queued = d->outcome == OUTCOME_STORED && s->options->store;
	const struct message_report m = {
		.facts = {
			.outcome = d->outcome,
			.message = d->readable ? &d->message : NULL,
			.frame = d->frame,
			.code = d->reply.code,
			.delivered = d->reply.delivered,
			.duration_usec = clock_monotonic_usec() - s->intake.started_usec,
		},
		.error = d->error,
		.store_name = d->receipt.name,
		.reused_id = d->receipt.reused,
		.n_queued = queued ? d->conversion.entries.n : 0,
		.template_name = d->conversion.template_name,
	};

	report_deviations(&s->reporter, d->frame);
	report_message(&s->reporter, &m);
}

/* Whether the conversation goes on behind this frame. */
static bool
handle_frame(struct session *s, struct frame *f, enum outcome outcome, int *exit_status)
{
	struct delivery d = {
		.s = s,
		.frame = f,
		.reply = REPLY_NULL,
		.receipt = { .answer = BUFFER_INIT(STORED_ANSWER_BYTES_MAX) },
		.error = s->intake.error,
	};
	bool more;

	report_held(&s->reporter);
	d.outcome = intake_look_behind(&s->intake, f, outcome);
	d.outcome = judge(&d);
	if (d.outcome == OUTCOME_STORED || d.outcome == OUTCOME_ACKNOWLEDGEMENT)
		d.outcome = accept_message(&d);
	if (!is_taken(d.outcome)) {
		prepare_refusal(&d);
		keep_refused(&d);
	}
	send_reply(&d);
	report(&d);
	if (*exit_status == 0)
		*exit_status = outcome_info(d.outcome)->exit_status;
	more = reply_goes_on(&d.reply, d.outcome);
	conversion_deinit(&d.conversion);
	message_deinit(&d.message);
	reply_deinit(&d.reply);
	buffer_deinit(&d.receipt.answer);
	return more;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* The next frame with a payload, answered. */
static bool
converse_once(struct session *s, int *exit_status)
{
	enum outcome outcome = OUTCOME_STORED;
	struct frame f = { 0 };
	int r = intake_next(&s->intake, &f, &outcome);

	report_late_data(&s->reporter, &s->intake.late_offset);
	if (r == INTAKE_E_IDLE)
		report_idle(&s->reporter);
	return r == 0 && handle_frame(s, &f, outcome, exit_status);
}

static void
report_rest(struct session *s)
{
	const struct frame_decoder *decoder = &s->intake.decoder;
	struct frame rest = frame_head(decoder);
	size_t frames = frame_unread_frames_bytes(decoder);

	if (rest.noise_bytes > 0 || s->intake.empty_frames > 0)
		report_held(&s->reporter);
	if (!frame_begun(decoder))
		report_deviations(&s->reporter, &rest);
	if (frames > 0)
		report_unread(&s->reporter, frames, rest.fault_offset - frames);
	if (s->intake.empty_frames > 0)
		report_empty_frames(&s->reporter, s->intake.empty_frames);
}

int
session_run(struct session *s)
{
	size_t n = 0, max = s->options->listen.messages;
	bool more = true;
	int exit_status = 0;

	while (more && (max == 0 || n < max) && !(n > 0 && process_asked_to_stop())) {
		more = converse_once(s, &exit_status);
		n++;
	}
	connection_shutdown_write(&s->connection);
	intake_drain(&s->intake, s->options->listen.drain_timeout_usec);
	report_late_data(&s->reporter, &s->intake.late_offset);
	report_rest(s);
	return exit_status;
}
