/* SPDX-License-Identifier: MIT */
#include "listen/intake.h"

#include <assert.h>
#include <errno.h>

void
intake_init(struct intake *in, size_t max_bytes)
{
	frame_decoder_init(&in->decoder, max_bytes);
}

void
intake_deinit(struct intake *in)
{
	frame_decoder_deinit(&in->decoder);
}

int
intake_give(struct intake *in, struct span bytes)
{
	uint8_t *room;
	size_t n;
	int r = 0;

	assert(bytes.n <= INTAKE_GIVEN_MAX);
	while (bytes.n > 0) {
		r = frame_decoder_space(&in->decoder, &room, &n);
		if (r)
			return r;
		n = n < bytes.n ? n : bytes.n;
		memcpy(room, bytes.p, n);
		frame_decoder_filled(&in->decoder, n);
		bytes = span_from(bytes, n);
	}
	return 0;
}

/* What came behind the FS of a frame already answered says whether it was the whole message. */
static void
check_late_data(struct intake *in)
{
	struct frame late = in->last;

	if (in->last.payload.n > 0 && frame_awaits_cr(&in->decoder) &&
		frame_recheck(&in->decoder, &late) == FRAME_E_FS_INSIDE)
		in->late_offset = late.fault_offset;
}

/* Reads once into the decoder: 0, a CONNECTION_E condition or a negative errno. */
static int
fill(struct intake *in, usec_t deadline, const sigset_t *mask)
{
	uint8_t *room;
	size_t n;
	int r = frame_decoder_space(&in->decoder, &room, &n);

	if (r == 0)
		r = connection_read(in->connection, room, n, deadline, mask, &n);
	if (r)
		return r;
	if (n == 0)
		frame_decoder_eof(&in->decoder);
	else
		frame_decoder_filled(&in->decoder, n);
	return 0;
}

/* When the next pause is due to serve in. */
static usec_t
next_pause(const struct intake *in)
{
	usec_t pause = in->serve ? in->pause_usec(in->userdata) : DEADLINE_NEVER;

	return pause == DEADLINE_NEVER ? DEADLINE_NEVER : deadline_in(pause);
}

/* The same, with pauses to serve in. */
static int
fill_serving(struct intake *in, usec_t deadline, const sigset_t *mask)
{
	usec_t next = next_pause(in);
	int r = fill(in, deadline < next ? deadline : next, mask);

	while (r == CONNECTION_E_TIMEOUT && deadline_left(deadline) > 0) {
		in->serve(in->userdata);
		next = next_pause(in);
		r = fill(in, deadline < next ? deadline : next, mask);
	}
	return r;
}

static void
note_beginning(struct intake *in)
{
	if (in->frame_deadline || !frame_begun(&in->decoder))
		return;
	in->frame_deadline = deadline_in(in->frame_timeout_usec);
	in->started_usec = clock_monotonic_usec();
}

/* A read failed or waited too long: 0 with what there is of a frame and its outcome, or a
 * condition. */
static int
give_up(struct intake *in, int r, struct frame *f, enum outcome *ret_outcome)
{
	if (r < 0)
		in->error = r;
	if (!frame_begun(&in->decoder))
		return r == CONNECTION_E_TIMEOUT ? INTAKE_E_IDLE : INTAKE_E_ENDS;
	*f = frame_head(&in->decoder);
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

static int
next_frame(struct intake *in, struct frame *f, enum outcome *ret_outcome)
{
	int r = frame_next(&in->decoder, f);

	while (r == FRAME_E_PARTIAL) {
		note_beginning(in);
		if (in->frame_deadline)
			r = fill_serving(in, in->frame_deadline, NULL);
		else
			r = fill_serving(in, in->idle_deadline, &in->idle_mask);
		if (r)
			return give_up(in, r, f, ret_outcome);
		check_late_data(in);
		r = frame_next(&in->decoder, f);
	}
	if (r == FRAME_E_END)
		return INTAKE_E_ENDS;
	if (!in->frame_deadline)
		in->started_usec = clock_monotonic_usec();
	*ret_outcome = outcome_of_frame(r);
	return 0;
}

int
intake_next(struct intake *in, struct frame *ret, enum outcome *ret_outcome)
{
	bool empty;
	int r;

	in->idle_deadline = deadline_in(in->idle_timeout_usec);
	do {
		in->frame_deadline = 0;
		r = next_frame(in, ret, ret_outcome);
		if (r)
			return r;
		empty = ret->payload.n == 0 && ret->discarded_bytes == 0 &&
			*ret_outcome == OUTCOME_STORED;
		/* some senders keep a line alive with them; they do not move the idle deadline */
		in->empty_frames += empty;
		in->last = *ret;
	} while (empty);
	return 0;
}

enum outcome
intake_look_behind(struct intake *in, struct frame *f, enum outcome outcome)
{
	if (!frame_awaits_cr(&in->decoder))
		return outcome;
	(void)fill(in, 0, NULL); /* nothing there, or an error: told by the next read */
	if (frame_recheck(&in->decoder, f) == FRAME_E_FS_INSIDE && outcome == OUTCOME_STORED)
		outcome = OUTCOME_FS_INSIDE;
	in->last = *f;
	return outcome;
}

void
intake_drain(struct intake *in, usec_t timeout_usec)
{
	usec_t deadline = deadline_in(timeout_usec);
	uint8_t scratch[2 * 1024];
	size_t n = 1;

	if (frame_awaits_cr(&in->decoder) && fill(in, deadline, NULL) == 0)
		check_late_data(in);
	while (n > 0)
		if (connection_read(in->connection, scratch, sizeof(scratch), deadline, NULL, &n))
			n = 0;
}
