/* SPDX-License-Identifier: MIT */
#include "amqp/session.h"
#include "ack/judge.h"
#include "base/hash.h"
#include "hl7/timestamp.h"

#include <errno.h>
#include <time.h>

/* One frame on its way from the intake to its answer. */
struct delivery {
	struct session *s;
	struct frame *frame;
	struct message message;
	bool readable; /* the message has a header that can be answered */
	enum outcome outcome;
	const char *code;     /* of the answer, "" for none */
	struct buffer answer; /* framed */
	bool delivered;
	int error; /* negative errno of the connection, or 0 */
	char message_id[HASH_HEX_BYTES];
	const char *published; /* the publisher's word, "" when it was not asked */
};

/* --- answering ------------------------------------------------------------------------------- */

static void
write_now(usec_t now, char ret[TIMESTAMP_BYTES])
{
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	struct tm tm = { 0 };

	(void)localtime_r(&seconds, &tm);
	timestamp_format(seconds, (int)tm.tm_gmtoff, ret);
}

static int
render_answer(struct delivery *d, struct buffer *rendered)
{
	static const struct template_set none = { 0 };
	struct session *s = d->s;
	struct template_failures failures;
	char timestamp[TIMESTAMP_BYTES];
	usec_t now = clock_realtime_usec();
	struct ack_answer answer = {
		.message = &d->message,
		.outcome = d->outcome,
		.code = d->code,
		.input = {
			.ids = &s->ids,
			.now_usec = now,
			.variables = {
				[TEMPLATE_NOW] = span_str(timestamp),
				[TEMPLATE_PEER_ADDRESS] = span_str(s->reporter.names.peer_address),
				[TEMPLATE_LOCAL_PORT] = span_str(s->reporter.names.local_port),
				[TEMPLATE_HOST] = span_str(s->host),
			},
		},
	};

	write_now(now, timestamp);
	answer.input.variables[TEMPLATE_NOW] = span_str(timestamp);
	return ack_render(&none, s->shipped, &answer, rendered, &failures);
}

/* Makes the framed answer for the outcome in hand; none where none is owed. 0, or what went wrong.
 */
static int
prepare_answer(struct delivery *d)
{
	struct buffer rendered = BUFFER_INIT(0);
	enum ack_class class = outcome_info(d->outcome)->class;
	int r;

	buffer_clear(&d->answer);
	d->code = "";
	if (class == ACK_NONE || !d->readable || ack_is_acknowledgement(&d->message))
		return 0;
	d->code = ack_code(d->s->options->ack_mode, class, message_header_field(&d->message, 15),
		message_header_field(&d->message, 16));
	if (!d->code[0])
		return 0;
	rendered.max = ack_bytes_max(&d->message);
	d->answer.max = rendered.max + 3;
	r = render_answer(d, &rendered);
	if (r == 0)
		r = frame_encode(&d->answer, buffer_span(&rendered));
	buffer_deinit(&rendered);
	return r;
}

static void
send_answer(struct delivery *d)
{
	struct session *s = d->s;
	int r;

	if (d->answer.n == 0)
		return;
	r = connection_write(&s->connection, buffer_span(&d->answer),
		deadline_in(s->options->write_timeout_usec));
	d->delivered = r == 0;
	if (r && d->error == 0)
		d->error = r == CONNECTION_E_TIMEOUT ? -ETIMEDOUT : r;
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

/* The answer is prepared first: a message whose answer cannot be made is not taken. */
static enum outcome
accept_message(struct delivery *d)
{
	int r = prepare_answer(d);

	if (r == -ENOMEM)
		return OUTCOME_NO_MEMORY;
	return r ? OUTCOME_TEMPLATE_BROKEN : publish(d);
}

static bool
is_accepted(enum outcome outcome)
{
	return outcome == OUTCOME_STORED || outcome == OUTCOME_ACKNOWLEDGEMENT;
}

static void
prepare_refusal(struct delivery *d)
{
	if (prepare_answer(d) == 0)
		return;
	buffer_clear(&d->answer); /* it failed twice: there is none */
	d->code = "";
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
		.outcome = d->outcome,
		.message = d->readable ? &d->message : NULL,
		.frame = d->frame,
		.code = d->code,
		.delivered = d->delivered,
		.error = d->error,
		.duration_usec = clock_monotonic_usec() - s->intake.started_usec,
		.message_id = d->message_id,
		.broker = d->message_id[0] ? publisher_endpoint(&s->publisher) : "",
		.published = d->published,
		.reason = d->message_id[0] ? publisher_reason(&s->publisher) : "",
	};

	report_deviations(&s->reporter, d->frame);
	report_message(&s->reporter, &m);
}

/* Whether the peer is owed a further conversation after this frame. */
static bool
goes_on(const struct delivery *d)
{
	if (d->outcome == OUTCOME_NO_HEADER || d->outcome == OUTCOME_FRAME_LOST ||
		d->outcome == OUTCOME_FRAME_TIMEOUT)
		return false;
	if (d->outcome == OUTCOME_STORAGE_FAILED && !d->code[0])
		return false; /* the end of the connection is all that it can be told with */
	return !d->code[0] || d->delivered;
}

static bool
handle_frame(struct session *s, struct frame *f, enum outcome outcome, int *exit_status)
{
	struct delivery d = {
		.s = s,
		.frame = f,
		.outcome = intake_look_behind(&s->intake, f, outcome),
		.code = "",
		.published = "",
		.error = s->intake.error,
	};

	d.outcome = judge(&d);
	if (is_accepted(d.outcome))
		d.outcome = accept_message(&d);
	if (!is_accepted(d.outcome))
		prepare_refusal(&d);
	send_answer(&d);
	report(&d);
	if (*exit_status == 0)
		*exit_status = outcome_info(d.outcome)->exit_status;
	message_deinit(&d.message);
	buffer_deinit(&d.answer);
	return goes_on(&d);
}

static void
report_late(struct session *s)
{
	if (s->intake.late_offset)
		report_late_data(&s->reporter, s->intake.late_offset);
	s->intake.late_offset = 0;
}

static bool
asked_to_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

static bool
converse_once(struct session *s, int *exit_status)
{
	enum outcome outcome = OUTCOME_STORED;
	struct frame f = { 0 };
	int r = intake_next(&s->intake, &f, &outcome);

	report_late(s);
	if (r == INTAKE_E_IDLE)
		report_idle(&s->reporter);
	return r == 0 && handle_frame(s, &f, outcome, exit_status);
}

int
session_run(struct session *s)
{
	size_t n = 0, max = s->options->messages;
	bool more = true;
	int exit_status = 0;

	while (more && (max == 0 || n < max) && !(n > 0 && asked_to_stop())) {
		more = converse_once(s, &exit_status);
		n++;
	}
	connection_shutdown_write(&s->connection);
	intake_drain(&s->intake, s->options->drain_timeout_usec);
	report_late(s);
	return exit_status;
}
