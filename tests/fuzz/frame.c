/* SPDX-License-Identifier: MIT */

/*
 * The frame decoder against a second one that is as simple as the rules are, and that sees the
 * whole input at once. First byte: the maximum. Four bytes: the sizes of reads, in turn. Then the
 * stream, in which 0xFF and a number stand for many bytes of filling, so that small inputs reach
 * the limits.
 */

#include "mllp/frame.h"

#include "fuzz.h"

#define STREAM_MAX ((size_t)40 * 1024)
#define HEAD_BYTES                                                                                 \
	((size_t)8192) /* at least this much of a frame that is too large is given, if it is there \
			*/

static struct buffer
unfold(struct span input)
{
	struct buffer stream = BUFFER_INIT(STREAM_MAX);
	uint8_t byte;
	size_t n;

	require(buffer_reserve(&stream, STREAM_MAX) == 0);
	while (input.n > 0 && stream.n < STREAM_MAX) {
		byte = take_byte(&input);
		n = byte == 0xFF ? take_byte(&input) * (size_t)131 : 1;
		n = n < STREAM_MAX - stream.n ? n : STREAM_MAX - stream.n;
		memset(stream.p + stream.n, byte == 0xFF ? 'x' : byte, n);
		stream.n += n;
	}
	return stream;
}

/* --- the simple decoder
 * ------------------------------------------------------------------------------ */

struct simple {
	struct span stream;
	size_t at;
	size_t max;
};

static bool
is_filler(uint8_t c)
{
	return c == '\r' || c == '\n' || c == 0;
}

static void
skip_noise(struct simple *s, struct frame *f)
{
	for (; s->at < s->stream.n && s->stream.p[s->at] != FRAME_VT; s->at++) {
		f->noise_bytes++;
		if (!is_filler(s->stream.p[s->at]) && !(f->deviations & FRAME_DEVIATION_NOISE)) {
			f->deviations |= FRAME_DEVIATION_NOISE;
			f->noise_offset = s->at;
		}
	}
}

static int
judge_end(struct simple *s, size_t fs, struct frame *f)
{
	struct span behind = span_from(s->stream, fs + 1);

	s->at = fs + 1;
	if (behind.n > 0 && behind.p[0] == FRAME_CR) {
		s->at++;
		return 0;
	}
	if (behind.n > 0 && !is_filler(behind.p[0]) && behind.p[0] != FRAME_VT) {
		f->fault_offset = fs;
		return FRAME_E_FS_INSIDE;
	}
	f->deviations |= FRAME_DEVIATION_NO_CR;
	return 0;
}

static int
simple_next(struct simple *s, struct frame *f)
{
	size_t begin, end;
	int r;

	*f = (struct frame){ 0 };
	skip_noise(s, f);
	if (s->at == s->stream.n)
		return FRAME_E_END;
	f->offset = s->at;
	begin = end = s->at + 1;
	for (; end < s->stream.n && s->stream.p[end] != FRAME_FS; end++)
		if (s->stream.p[end] == FRAME_VT) {
			f->discarded_bytes += end - begin;
			f->deviations |= FRAME_DEVIATION_VT_INSIDE;
			f->offset = end;
			begin = end + 1;
		}
	f->payload = span_of(s->stream.p + begin, end - begin);
	if (end == s->stream.n) {
		s->at = end;
		f->fault_offset = end;
		return FRAME_E_TRUNCATED;
	}
	r = judge_end(s, end, f);
	if (f->payload.n > s->max) {
		f->fault_offset = begin + s->max;
		r = FRAME_E_TOO_LARGE;
	}
	return r;
}

/* --- the decoder
 * ------------------------------------------------------------------------------------- */

struct feed {
	struct frame_decoder d;
	struct span rest;
	const uint8_t *sizes; /* four */
	size_t n_reads;
};

static size_t
read_size(struct feed *f)
{
	uint8_t size = f->sizes[f->n_reads++ % 4];

	/* the largest is as much as there is room for */
	return size == 0xFF ? SIZE_MAX : size < 128 ? (size_t)size + 1 : (size_t)(size - 127) * 128;
}

static void
feed_once(struct feed *f)
{
	size_t n = read_size(f), room_n = 0;
	uint8_t *room = NULL;

	if (f->rest.n == 0) {
		frame_decoder_eof(&f->d);
		return;
	}
	require(frame_decoder_space(&f->d, &room, &room_n) == 0);
	require(room_n > 0);
	n = n < room_n ? n : room_n;
	n = n < f->rest.n ? n : f->rest.n;
	memcpy(room, f->rest.p, n);
	frame_decoder_filled(&f->d, n);
	f->rest = span_from(f->rest, n);
}

static int
decoder_next(struct feed *f, struct frame *frame)
{
	int r = frame_next(&f->d, frame);

	while (r == FRAME_E_PARTIAL) {
		require(!frame_awaits_cr(&f->d));
		feed_once(f);
		r = frame_next(&f->d, frame);
	}
	/* as the receiver does: a look behind the FS before the frame counts */
	if (frame_awaits_cr(&f->d)) {
		feed_once(f);
		if (r == 0)
			r = frame_recheck(&f->d, frame);
		else
			(void)frame_recheck(&f->d, &(struct frame){ .payload = frame->payload });
		require(!frame_awaits_cr(&f->d));
	}
	return r;
}

static void
compare(const struct frame *got, int r, const struct frame *wanted, int wanted_r)
{
	size_t given = wanted->payload.n;

	require(r == wanted_r);
	if (r == FRAME_E_TOO_LARGE || r == FRAME_E_TRUNCATED)
		given = given < HEAD_BYTES ? given : HEAD_BYTES;
	/* what a payload was when the look behind its FS was taken is the caller's to check no more
	 */
	if (r != FRAME_E_TOO_LARGE)
		require(span_eq(got->payload, span_first(wanted->payload, given)));
	require(got->payload.n == given);
	require(got->offset == wanted->offset);
	require(got->fault_offset == wanted->fault_offset);
	require(got->noise_bytes == wanted->noise_bytes);
	require(got->noise_offset == wanted->noise_offset);
	require(got->discarded_bytes == wanted->discarded_bytes);
	/* of a frame that is too large nobody asks once more */
	require((got->deviations | (r == FRAME_E_TOO_LARGE ? FRAME_DEVIATION_NO_CR : 0U)) ==
		(wanted->deviations | (r == FRAME_E_TOO_LARGE ? FRAME_DEVIATION_NO_CR : 0U)));
}

static void
encode_again(const struct frame *f)
{
	struct buffer out = BUFFER_INIT(f->payload.n + 3);

	require(frame_encode(&out, f->payload) == 0);
	require(out.n == f->payload.n + 3 && out.p[0] == FRAME_VT);
	require(out.p[out.n - 2] == FRAME_FS && out.p[out.n - 1] == FRAME_CR);
	buffer_deinit(&out);
}

static void
run(struct span stream, size_t max, const uint8_t sizes[4])
{
	struct simple simple = { .stream = stream, .max = max };
	struct feed feed = { .rest = stream, .sizes = sizes };
	struct frame got = { 0 }, wanted = { 0 };
	int r;

	frame_decoder_init(&feed.d, max);
	do {
		r = simple_next(&simple, &wanted);
		require(decoder_next(&feed, &got) == r);
		if (r == FRAME_E_END)
			got = frame_head(&feed.d);
		else
			compare(&got, r, &wanted, r);
		require(feed.d.buffer.allocated <= feed.d.buffer.max);
		if (r == 0)
			encode_again(&got);
	} while (r != FRAME_E_END);
	require(got.noise_bytes == wanted.noise_bytes);
	require(got.deviations == wanted.deviations);
	frame_decoder_deinit(&feed.d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t at_once[4] = { 0xFF, 0xFF, 0xFF, 0xFF };
	struct span input = span_of(data, size);
	uint8_t sizes[4], max = take_byte(&input);
	struct buffer stream;
	size_t i;

	for (i = 0; i < 4; i++)
		sizes[i] = take_byte(&input);
	stream = unfold(input);
	run(buffer_span(&stream), max < 200 ? max : (size_t)max * 100, sizes);
	run(buffer_span(&stream), max < 200 ? max : (size_t)max * 100, at_once);
	buffer_deinit(&stream);
	return 0;
}
