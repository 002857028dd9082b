/* SPDX-License-Identifier: MIT */
#include "receive/session.h"
#include "hl7/timestamp.h"

#include <errno.h>
#include <time.h>

/* Why a conversation ends before its last message. */
enum {
	SESSION_E_GOES_ON,
	SESSION_E_ENDS, /* the peer left, a wait ended, or we are asked to stop */
};

struct conversation {
	struct session *s;
	struct frame_decoder decoder;
	struct frame last;           /* the last one answered */
	usec_t idle_deadline;
	usec_t frame_deadline;       /* 0 while no frame has begun */
	usec_t frame_started_usec;
	uint64_t empty_frames;
	int read_error;              /* of the connection, or of memory to read into */
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
	struct span location; /* ERR-2 of a failed :required */
	char location_bytes[ADDRESS_ERL_BYTES];
	struct message_report report;
	char store_name[STORE_NAME_BYTES];
};

/* --- reading ----------------------------------------------------------------------------------------- */

/* What came behind the FS of a frame already answered says whether it was the whole message. */
static void
check_late_data(struct conversation *c)
{
	struct frame late = c->last;

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

/* A read failed or waited too long: 0 with what there is of a frame and its outcome, or SESSION_E_ENDS. */
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

/* Before the commit, a look without waiting at what stands behind the FS: data there means that it was no
 * end. */
static void
look_behind(struct conversation *c, struct frame *f, enum outcome *outcome)
{
	if (!frame_awaits_cr(&c->decoder))
		return;
	(void)fill(c, 0, NULL); /* nothing there, or an error: told by the next read */
	if (frame_recheck(&c->decoder, f) == FRAME_E_FS_INSIDE)
		*outcome = OUTCOME_FS_INSIDE;
}

/* --- judging ----------------------------------------------------------------------------------------- */

static bool
is_blank(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] != ' ')
			return false;
	return true;
}

static bool
begins_with_batch(const struct message *m)
{
	struct span first = message_segment(m, 0);

	return span_starts(first, SPAN("FHS")) || span_starts(first, SPAN("BHS"));
}

/* What the message itself says against it. */
static enum outcome
judge_message(const struct message *m)
{
	if (m->header > 0)
		return begins_with_batch(m) ? OUTCOME_BATCH : OUTCOME_HEADER_NOT_FIRST;
	if (m->n_headers > 1)
		return OUTCOME_SEVERAL_MESSAGES;
	return is_blank(message_header_field(m, 10)) ? OUTCOME_NO_CONTROL_ID : OUTCOME_STORED;
}

/* Puts together what framing, parsing and the message say: the first that is against it counts. */
static enum outcome
judge(struct delivery *d)
{
	int parsed = message_parse(&d->message, d->frame->payload);

	d->readable = d->message.n_headers > 0;
	if (d->outcome == OUTCOME_FRAME_LOST)
		return OUTCOME_FRAME_LOST;
	if (!d->readable)
		return parsed == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_NO_HEADER;
	if (d->outcome != OUTCOME_STORED)
		return d->outcome;
	if (parsed)
		return parsed == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_TOO_MANY_SEGMENTS;
	if (d->c->s->templates_broken)
		return OUTCOME_TEMPLATE_BROKEN;
	return judge_message(&d->message);
}

/* --- answering --------------------------------------------------------------------------------------- */

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
	if (d->outcome == OUTCOME_STORAGE_FAILED)
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

static int
render_answer(struct delivery *d, struct buffer *rendered, struct template_failures *failures)
{
	struct session *s = d->c->s;
	usec_t now = clock_realtime_usec();
	char timestamp[TIMESTAMP_BYTES];
	struct ack_answer answer = {
		.message = &d->message,
		.outcome = d->outcome,
		.code = d->report.code,
		.location = d->location,
		.input = {
			.ids = &s->ids,
			.now_usec = now,
			.variables = {
				[TEMPLATE_PEER_ADDRESS] = span_str(s->names.peer_address),
				[TEMPLATE_LOCAL_PORT] = span_str(s->names.local_port),
				[TEMPLATE_HOST] = span_str(s->host),
			},
		},
	};

	write_now(now, timestamp);
	answer.input.variables[TEMPLATE_NOW] = span_str(timestamp);
	return ack_render(&s->templates, s->shipped, &answer, rendered, failures);
}

static void
note_required(struct delivery *d, const struct template_failures *failures)
{
	size_t n = 0;

	if (failures->n > 0 && failures->at[0].segment[0])
		n = address_format_erl(&failures->at[0], d->location_bytes);
	d->location = span_of(d->location_bytes, n);
}

/* What a failed rendering makes of the outcome. */
static enum outcome
outcome_of_rendering(int r)
{
	if (r == ACK_E_REQUIRED)
		return OUTCOME_VALUE_REQUIRED;
	return r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_TEMPLATE_BROKEN;
}

/* Makes the framed answer for the outcome in hand; none where none is owed. 0, or what went wrong. */
static int
prepare_answer(struct delivery *d, struct template_failures *failures)
{
	const struct message *m = &d->message;
	struct buffer rendered = BUFFER_INIT(ACK_BYTES_MAX);
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
	r = render_answer(d, &rendered, failures);
	if (r == 0)
		r = frame_encode(&d->answer, buffer_span(&rendered));
	buffer_deinit(&rendered);
	return r;
}

/* The answer to a message that is not taken. It is made by the same templates, so it may fail as well; a
 * second time there is no answer. */
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

static int
commit(struct delivery *d)
{
	struct session *s = d->c->s;

	if (!s->options->store)
		return 0;
	if (s->store_error)
		return s->store_error;
	return store_commit(&s->store, d->frame->payload, d->store_name);
}

/* The answer is made before the commit: a message whose answer cannot be made is not taken. */
static void
accept_message(struct delivery *d)
{
	struct template_failures failures = { .n = 0 };
	int r = prepare_answer(d, &failures);

	if (r) {
		d->outcome = outcome_of_rendering(r);
		note_required(d, &failures);
		prepare_refusal(d);
		return;
	}
	d->report.error = commit(d);
	if (d->report.error == 0)
		return;
	d->store_name[0] = 0;
	d->outcome = OUTCOME_STORAGE_FAILED;
	prepare_refusal(d);
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

	d->report.outcome = d->outcome;
	d->report.frame = d->frame;
	d->report.message = d->readable ? &d->message : NULL;
	d->report.duration_usec = clock_monotonic_usec() - c->frame_started_usec;
	d->report.store_name = d->store_name;
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
	if (d->outcome == OUTCOME_STORAGE_FAILED && !d->report.code[0])
		return false;
	return !d->report.code[0] || d->report.delivered;
}

static int
handle_frame(struct conversation *c, struct frame *f, enum outcome outcome)
{
	struct delivery d = {
		.c = c,
		.frame = f,
		.message = MESSAGE_NULL,
		.answer = BUFFER_INIT(ACK_BYTES_MAX + 3),
		.outcome = outcome,
		.report = { .code = "", .error = c->read_error },
	};
	bool more;

	look_behind(c, f, &d.outcome);
	d.outcome = judge(&d);
	if (d.readable && d.outcome == OUTCOME_STORED && ack_is_acknowledgement(&d.message))
		d.outcome = OUTCOME_ACKNOWLEDGEMENT;
	if (d.outcome == OUTCOME_STORED || d.outcome == OUTCOME_ACKNOWLEDGEMENT)
		accept_message(&d);
	else
		prepare_refusal(&d);
	send_answer(&d);
	report(&d);
	more = goes_on(&d);
	c->last = *f;
	message_deinit(&d.message);
	buffer_deinit(&d.answer);
	return more ? SESSION_E_GOES_ON : SESSION_E_ENDS;
}

/* --- the whole --------------------------------------------------------------------------------------- */

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

/* Lets the peer take the last answer: closing with bytes unread would reset the connection, and the kernel
 * would throw the answer away with it. */
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
		if (connection_read(&c->s->connection, scratch, sizeof(scratch), deadline, NULL, &n))
			n = 0;
}

static void
report_rest(struct conversation *c)
{
	struct frame rest = frame_head(&c->decoder);

	if (!frame_begun(&c->decoder))
		report_deviations(&c->s->reporter, &rest);
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
