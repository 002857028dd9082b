/* SPDX-License-Identifier: MIT */
#include "amqp/session.h"
#include "ack/judge.h"
#include "base/hash.h"
#include "listen/process.h"

/* One frame on its way from the intake to its answer. */
struct delivery {
	struct session *s;
	struct frame *frame;
	struct message message;
	bool readable; /* the message has a header that can be answered */
	enum outcome outcome;
	struct reply reply;
	int error; /* negative errno of the connection, or 0 */
	char message_id[HASH_HEX_BYTES];
	const char *published; /* the publisher's word, "" when it was not asked */
};

/* --- answering ------------------------------------------------------------------------------- */

static int
prepare_reply(struct delivery *d)
{
	struct template_failures failures;
	enum ack_class class = outcome_info(d->outcome)->class;

	if (!d->readable || ack_is_acknowledgement(&d->message))
		class = ACK_NONE;
	return reply_make(
		&d->reply, &d->s->replier, &d->message, d->outcome, class, NULL, &failures);
}

static void
send_reply(struct delivery *d)
{
	struct session *s = d->s;
	int r = reply_send(&d->reply, &s->connection, s->options->listen.write_timeout_usec);

	if (d->error == 0)
		d->error = r;
}

/* --- publishing ------------------------------------------------------------------------------ */

/* The same bytes from the same sender are the same message: so says the hash, which has all of
 * them. */
static void
set_message_id(struct delivery *d)
{
	struct hash h;

	hash_init(&h);
	hash_add(&h, d->frame->payload);
	hash_end_hex(&h, d->message_id);
}

static enum outcome
publish(struct delivery *d)
{
	struct session *s = d->s;
	const struct message *m = &d->message;
	const struct publication publication = {
		.body = d->frame->payload,
		.message_id = d->message_id,
		.control_id = message_header_field(m, 10),
		.type = message_header_field(m, 9),
		.application = message_header_field(m, 3),
		.facility = message_header_field(m, 4),
	};
	int r;

	if (s->password_error) {
		d->published = "no-password";
		d->error = s->password_error;
		return OUTCOME_STORAGE_FAILED;
	}
	set_message_id(d);
	r = publisher_publish(&s->publisher, &publication);
	d->published = publisher_condition_name(r);
	return r == PUBLISHER_E_SUCCESS ? d->outcome : OUTCOME_STORAGE_FAILED;
}

/* The reply is made first: a message whose reply cannot be made is not taken. */
static enum outcome
accept_message(struct delivery *d)
{
	int r = prepare_reply(d);

	return r ? reply_outcome(r) : publish(d);
}

static bool
is_accepted(enum outcome outcome)
{
	return outcome == OUTCOME_STORED || outcome == OUTCOME_ACKNOWLEDGEMENT;
}

static void
prepare_refusal(struct delivery *d)
{
	if (prepare_reply(d) != 0)
		reply_clear(&d->reply); /* it failed twice: there is none */
}

/* --- the whole ------------------------------------------------------------------------------- */

static enum outcome
judge(struct delivery *d)
{
	int parsed = message_parse(&d->message, d->frame->payload);
	enum outcome outcome = judge_message(d->outcome, parsed, &d->message, &d->readable);

	if (outcome == OUTCOME_STORED && ack_is_acknowledgement(&d->message))
		return OUTCOME_ACKNOWLEDGEMENT;
	return outcome;
}

static void
report(struct delivery *d)
{
	struct session *s = d->s;
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
		.message_id = d->message_id,
		.broker = d->message_id[0] ? publisher_endpoint(&s->publisher) : "",
		.published = d->published,
		.reason = d->message_id[0] ? publisher_reason(&s->publisher) : "",
	};

	report_deviations(&s->reporter, d->frame);
	report_message(&s->reporter, &m);
}

static bool
handle_frame(struct session *s, struct frame *f, enum outcome outcome, int *exit_status)
{
	struct delivery d = {
		.s = s,
		.frame = f,
		.outcome = intake_look_behind(&s->intake, f, outcome),
		.reply = REPLY_NULL,
		.published = "",
		.error = s->intake.error,
	};
	bool more;

	d.outcome = judge(&d);
	if (is_accepted(d.outcome))
		d.outcome = accept_message(&d);
	if (!is_accepted(d.outcome))
		prepare_refusal(&d);
	send_reply(&d);
	report(&d);
	if (*exit_status == 0)
		*exit_status = outcome_info(d.outcome)->exit_status;
	more = reply_goes_on(&d.reply, d.outcome);
	message_deinit(&d.message);
	reply_deinit(&d.reply);
	return more;
}

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
	return exit_status;
}
