/* SPDX-License-Identifier: MIT */
#include "mllp/frame.h"

#include <assert.h>
#include <errno.h>

/* What a read is offered at least, while the maximum allows it: far more than a usual message. */
#define FRAME_READ_BYTES ((size_t)4096)

/* What is kept of a frame that is too large: enough to find the MSH and answer. */
#define FRAME_HEAD_BYTES ((size_t)8192)

void
frame_decoder_init(struct frame_decoder *d, size_t max_bytes)
{
	*d = (struct frame_decoder){
		/* room for the payload, its FS, and a read that goes on behind it */
		.buffer = BUFFER_INIT(max_bytes + 1 + FRAME_READ_BYTES + FRAME_HEAD_BYTES),
		.max_bytes = max_bytes,
	};
}

void
frame_decoder_deinit(struct frame_decoder *d)
{
	buffer_deinit(&d->buffer);
}

/* Moves the live bytes to the front. Every frame is moved once at most, as the next one starts
 * behind it, so the whole stays linear. */
static void
compact(struct frame_decoder *d)
{
	buffer_drop_front(&d->buffer, d->start);
	d->scanned -= d->start;
	d->offset += d->start;
	d->start = 0;
}

int
frame_decoder_space(struct frame_decoder *d, uint8_t **ret_p, size_t *ret_n)
{
	struct buffer *b = &d->buffer;
	size_t wanted;
	int r;

	if (b->allocated - b->n < FRAME_READ_BYTES)
		compact(d);
	wanted = b->max - b->n < FRAME_READ_BYTES ? b->max - b->n : FRAME_READ_BYTES;
	assert(wanted > 0); /* frame_next() keeps a payload within max_bytes */
	r = buffer_reserve(b, wanted);
	if (r < 0 && b->allocated == b->n)
		return r;
	*ret_p = b->p + b->n;
	*ret_n = b->allocated - b->n;
	return 0;
}

void
frame_decoder_filled(struct frame_decoder *d, size_t n)
{
	assert(n <= d->buffer.allocated - d->buffer.n);
	d->buffer.n += n;
}

void
frame_decoder_eof(struct frame_decoder *d)
{
	d->eof = true;
}

/* Between two frames CR, LF and NUL are what real senders add; anything else is worth telling. */
static bool
is_filler(uint8_t byte)
{
	return byte == FRAME_CR || byte == '\n' || byte == 0;
}

static void
count_noise(struct frame_decoder *d, struct span noise)
{
	struct frame *f = &d->current;
	size_t i = 0;

	f->noise_bytes += noise.n;
	if (f->deviations & FRAME_DEVIATION_NOISE)
		return;
	while (i < noise.n && is_filler(noise.p[i]))
		i++;
	if (i == noise.n)
		return;
	f->deviations |= FRAME_DEVIATION_NOISE;
	f->noise_offset = d->offset + d->scanned + i;
}

static struct span
unscanned(const struct frame_decoder *d)
{
	return span_from(buffer_span(&d->buffer), d->scanned);
}

/* A frame begins behind the VT at buffer place `vt`. */
static void
begin_frame(struct frame_decoder *d, size_t vt)
{
	d->current.offset = d->offset + vt;
	d->start = d->scanned = vt + 1;
	d->state = FRAME_INSIDE;
}

static int
find_vt(struct frame_decoder *d)
{
	struct span rest = unscanned(d);
	size_t vt = span_find(rest, FRAME_VT);

	count_noise(d, span_first(rest, vt));
	if (vt < rest.n) {
		begin_frame(d, d->scanned + vt);
		return 0;
	}
	d->start = d->scanned = d->buffer.n;
	return d->eof ? FRAME_E_END : FRAME_E_PARTIAL;
}

/* Looks at the byte behind an FS, if it is there; FRAME_E_FS_INSIDE when the FS was data. */
static int
judge_byte_after_fs(struct frame_decoder *d, struct frame *f)
{
	struct span rest = unscanned(d);

	if (rest.n == 0 && !d->eof) {
		d->state = FRAME_AFTER_FS;
		return 0;
	}
	d->state = FRAME_OUTSIDE;
	if (rest.n > 0 && rest.p[0] == FRAME_CR) {
		d->scanned++;
		return 0;
	}
	if (rest.n == 0 || is_filler(rest.p[0]) || rest.p[0] == FRAME_VT) {
		f->deviations |= FRAME_DEVIATION_NO_CR;
		return 0;
	}
	f->fault_offset = d->offset + d->scanned - 1;
	return FRAME_E_FS_INSIDE;
}

static struct span
payload_until(const struct frame_decoder *d, size_t end)
{
	return span_of(d->buffer.p + d->start, end - d->start);
}

/* Keeps the head of a frame that is too large and forgets what was scanned behind it, so that
 * memory stays bounded however much follows, and there is room to read on. */
static void
forget_behind_head(struct frame_decoder *d)
{
	size_t keep = d->start + FRAME_HEAD_BYTES;

	if (d->buffer.n <= keep)
		return;
	/* the head stays where it is, so the bytes forgotten behind it count towards the offset */
	d->offset += d->buffer.n - keep;
	d->buffer.n = d->scanned = keep;
}

/* The FS at buffer place `fs` ends the frame in hand. */
static int
end_frame(struct frame_decoder *d, size_t fs, struct frame *ret_frame)
{
	bool too_large = d->state == FRAME_SKIPPING || fs - d->start > d->max_bytes;
	struct frame f = d->current;
	int r;

	f.payload = payload_until(d, fs);
	d->scanned = fs + 1;
	d->current = (struct frame){ 0 };
	r = judge_byte_after_fs(d, &f);
	if (too_large) {
		f.payload = span_first(f.payload, FRAME_HEAD_BYTES);
		f.fault_offset = f.offset + 1 + d->max_bytes;
		r = FRAME_E_TOO_LARGE;
	}
	if (too_large && frame_awaits_cr(d))
		forget_behind_head(d); /* the buffer may be full to its maximum */
	*ret_frame = f;
	return r;
}

static void
restart_frame(struct frame_decoder *d, size_t vt)
{
	d->current.discarded_bytes += d->offset + vt - d->current.offset - 1;
	d->current.deviations |= FRAME_DEVIATION_VT_INSIDE;
	begin_frame(d, vt);
}

/* The input ends inside a frame. */
static int
truncate_frame(struct frame_decoder *d, struct frame *ret_frame)
{
	*ret_frame = frame_head(d);
	d->state = FRAME_OUTSIDE;
	d->current = (struct frame){ 0 };
	return FRAME_E_TRUNCATED;
}

static int
find_fs(struct frame_decoder *d, struct frame *ret_frame)
{
	struct span rest = unscanned(d);
	size_t fs = span_find(rest, FRAME_FS);
	size_t vt = span_find(span_first(rest, fs), FRAME_VT);

	if (vt < fs) {
		restart_frame(d, d->scanned + vt);
		return 0;
	}
	if (fs < rest.n)
		return end_frame(d, d->scanned + fs, ret_frame);
	d->scanned = d->buffer.n;
	if (d->scanned - d->start > d->max_bytes)
		d->state = FRAME_SKIPPING;
	if (d->state == FRAME_SKIPPING)
		forget_behind_head(d);
	return d->eof ? truncate_frame(d, ret_frame) : FRAME_E_PARTIAL;
}

int
frame_next(struct frame_decoder *d, struct frame *ret_frame)
{
	struct frame f = { 0 };
	int r = 0;

	if (frame_awaits_cr(d))
		(void)judge_byte_after_fs(d, &f); /* too late to change what was answered */
	if (frame_awaits_cr(d))
		return FRAME_E_PARTIAL;
	f = (struct frame){ 0 };
	while (r == 0 && !f.payload.p)
		r = d->state == FRAME_OUTSIDE ? find_vt(d) : find_fs(d, &f);
	if (r != FRAME_E_PARTIAL && r != FRAME_E_END)
		*ret_frame = f;
	return r;
}

bool
frame_awaits_cr(const struct frame_decoder *d)
{
	return d->state == FRAME_AFTER_FS;
}

int
frame_recheck(struct frame_decoder *d, struct frame *frame)
{
	frame->payload = span_of(d->buffer.p + d->start, frame->payload.n);
	return frame_awaits_cr(d) ? judge_byte_after_fs(d, frame) : 0;
}

bool
frame_begun(const struct frame_decoder *d)
{
	return d->state == FRAME_INSIDE || d->state == FRAME_SKIPPING;
}

struct frame
frame_head(const struct frame_decoder *d)
{
	struct frame f = d->current;

	if (frame_begun(d))
		f.payload = span_first(payload_until(d, d->buffer.n), FRAME_HEAD_BYTES);
	f.fault_offset = d->offset + d->buffer.n;
	return f;
}

size_t
frame_unread_frames_bytes(const struct frame_decoder *d)
{
	struct span rest = unscanned(d);

	return rest.n - span_find(rest, FRAME_VT);
}

static bool
can_be_framed(struct span payload)
{
	return span_find(payload, FRAME_VT) == payload.n &&
	       span_find(payload, FRAME_FS) == payload.n;
}

int
frame_encode(struct buffer *out, struct span payload)
{
	int r;

	if (!can_be_framed(payload))
		return -EBADMSG;
	r = buffer_reserve(out, payload.n + FRAME_BYTES);
	if (r)
		return r;
	(void)buffer_append_byte(out, FRAME_VT);
	(void)buffer_append(out, payload);
	(void)buffer_append_byte(out, FRAME_FS);
	(void)buffer_append_byte(out, FRAME_CR);
	return 0;
}

int
frame_enclose(struct buffer *payload)
{
	struct buffer *b = payload;
	int r;

	if (!can_be_framed(buffer_span(b)))
		return -EBADMSG;
	b->max += FRAME_BYTES;
	r = buffer_reserve(b, FRAME_BYTES);
	if (r) {
		b->max -= FRAME_BYTES;
		return r;
	}
	memmove(b->p + 1, b->p, b->n);
	b->p[0] = FRAME_VT;
	b->n++;
	(void)buffer_append_byte(b, FRAME_FS);
	(void)buffer_append_byte(b, FRAME_CR);
	return 0;
}
