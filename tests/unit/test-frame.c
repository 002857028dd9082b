/* SPDX-License-Identifier: MIT */

/*
 * The frame decoder. Every case is given at once, byte by byte, and cut into two at every byte;
 * what comes out must be the same each time. What the decoder has not been given yet lies behind a
 * PROT_NONE page.
 */

#include "mllp/frame.h"

#include "guard.h"
#include "unit.h"

#include <errno.h>

#define VT "\x0B"
#define FS "\x1C"
#define CR "\r"
#define LF "\n"

#define NO_CR     FRAME_DEVIATION_NO_CR
#define VT_INSIDE FRAME_DEVIATION_VT_INSIDE
#define NOISE     FRAME_DEVIATION_NOISE

#define EVENTS_MAX 8

/* More than any case needs; the decoder never has to grow it. */
#define CASE_MAX_BYTES     64
#define DECODER_BYTES(max) ((max) + (size_t)32 * 1024)

struct event {
	struct span payload;
	uint64_t offset, fault_offset, noise_bytes, noise_offset, discarded_bytes;
	int condition;
	unsigned deviations;
};

struct frame_case {
	const char *name;
	struct span input;
	struct event events[EVENTS_MAX];
	size_t n_events;
	struct event tail; /* the noise behind the last frame */
	size_t max_bytes;  /* 0: CASE_MAX_BYTES */
};

static const struct frame_case cases[] = {
	{ "no byte at all", BYTES("") },
	{
		"a clean frame",
		BYTES(VT "MSH|a" CR FS CR),
		.events = { { BYTES("MSH|a" CR) } },
		.n_events = 1,
	},
	{
		"a frame without a byte of payload",
		BYTES(VT FS CR),
		.events = { { BYTES("") } },
		.n_events = 1,
	},
	{
		"three frames in one read",
		BYTES(VT "one" FS CR VT "two" FS CR VT "three" FS CR),
		.events = {
			{ BYTES("one") },
			{ BYTES("two"), .offset = 6 },
			{ BYTES("three"), .offset = 12 },
		},
		.n_events = 3,
	},
	{
		"only noise: a web browser on the port",
		BYTES("GET / HTTP/1.1\r\n\r\n"),
		.tail = { .noise_bytes = 18, .deviations = NOISE },
	},
	{
		"only line ends, as a keep-alive",
		BYTES(CR LF CR LF),
		.tail = { .noise_bytes = 4 },
	},
	{
		"an FS and a CR without a VT before them are noise",
		BYTES("MSH|a" FS CR),
		.tail = { .noise_bytes = 7, .deviations = NOISE },
	},
	{
		"noise before a frame is skipped and counted",
		BYTES("xyz" VT "a" FS CR),
		.events = { { BYTES("a"), .offset = 3, .noise_bytes = 3, .deviations = NOISE } },
		.n_events = 1,
	},
	{
		"CR, LF and NUL between frames are counted, but nothing to tell",
		BYTES(VT "a" FS CR "\0\r\n" VT "b" FS CR LF VT "c" FS CR),
		.events = {
			{ BYTES("a") },
			{ BYTES("b"), .offset = 7, .noise_bytes = 3 },
			{ BYTES("c"), .offset = 12, .noise_bytes = 1 },
		},
		.n_events = 3,
	},
	{
		"the offset of noise is that of its first byte that is no line end",
		BYTES("\r\n\0zz" VT "a" FS CR),
		.events = {
			{ BYTES("a"), .offset = 5, .noise_bytes = 5, .noise_offset = 3,
				.deviations = NOISE },
		},
		.n_events = 1,
	},
	{
		"noise behind the last frame",
		BYTES(VT "a" FS CR "\0bye"),
		.events = { { BYTES("a") } },
		.n_events = 1,
		.tail = { .noise_bytes = 4, .noise_offset = 5, .deviations = NOISE },
	},
	{
		"FS without CR before the end of input",
		BYTES(VT "a" FS),
		.events = { { BYTES("a"), .deviations = NO_CR } },
		.n_events = 1,
	},
	{
		"FS LF",
		BYTES(VT "a" FS LF),
		.events = { { BYTES("a"), .deviations = NO_CR } },
		.n_events = 1,
		.tail = { .noise_bytes = 1 },
	},
	{
		"FS CR LF is clean",
		BYTES(VT "a" FS CR LF VT "b" FS CR LF),
		.events = { { BYTES("a") }, { BYTES("b"), .offset = 5, .noise_bytes = 1 } },
		.n_events = 2,
		.tail = { .noise_bytes = 1 },
	},
	{
		"FS NUL",
		BYTES(VT "a" FS "\0" VT "b" FS "\0"),
		.events = {
			{ BYTES("a"), .deviations = NO_CR },
			{ BYTES("b"), .offset = 4, .noise_bytes = 1, .deviations = NO_CR },
		},
		.n_events = 2,
		.tail = { .noise_bytes = 1 },
	},
	{
		"FS and at once the next VT",
		BYTES(VT "a" FS VT "b" FS CR),
		.events = { { BYTES("a"), .deviations = NO_CR }, { BYTES("b"), .offset = 3 } },
		.n_events = 2,
	},
	{
		"an FS inside the data is a fault with its offset",
		BYTES("\n" VT "ab" FS "cd" FS CR),
		.events = {
			{ BYTES("ab"), .condition = FRAME_E_FS_INSIDE, .offset = 1, .noise_bytes = 1,
				.fault_offset = 4 },
		},
		.n_events = 1,
		.tail = { .noise_bytes = 4, .noise_offset = 5, .deviations = NOISE },
	},
	{
		"two FS in a row: the first stood inside the data",
		BYTES(VT "a" FS FS CR),
		.events = { { BYTES("a"), .condition = FRAME_E_FS_INSIDE, .fault_offset = 2 } },
		.n_events = 1,
		.tail = { .noise_bytes = 2, .noise_offset = 3, .deviations = NOISE },
	},
	{
		"behind a fault the next VT begins a frame again",
		BYTES(VT "a" FS "b" FS CR VT "c" FS CR),
		.events = {
			{ BYTES("a"), .condition = FRAME_E_FS_INSIDE, .fault_offset = 2 },
			{ BYTES("c"), .offset = 6, .noise_bytes = 3, .noise_offset = 3,
				.deviations = NOISE },
		},
		.n_events = 2,
	},
	{
		"VT VT: nothing was lost, but it is told",
		BYTES(VT VT "a" FS CR),
		.events = { { BYTES("a"), .offset = 1, .deviations = VT_INSIDE } },
		.n_events = 1,
	},
	{
		"a VT inside: the first half is lost, the second delivered",
		BYTES(VT "first half" VT "second" FS CR),
		.events = {
			{ BYTES("second"), .offset = 11, .discarded_bytes = 10,
				.deviations = VT_INSIDE },
		},
		.n_events = 1,
	},
	{
		"two VT inside: what is lost adds up",
		BYTES("n" VT "ab" VT "cde" VT "f" FS CR VT "g" FS CR),
		.events = {
			{ BYTES("f"), .offset = 8, .noise_bytes = 1, .discarded_bytes = 5,
				.deviations = VT_INSIDE | NOISE },
			{ BYTES("g"), .offset = 12 },
		},
		.n_events = 2,
	},
	{
		"NUL is data like any other byte",
		BYTES(VT "\0a\0\0b\0" FS CR),
		.events = { { BYTES("\0a\0\0b\0") } },
		.n_events = 1,
	},
	{
		"CR, LF, a byte order mark and bytes above ASCII are data",
		BYTES(VT "\xEF\xBB\xBF" "a" CR LF "\xFF\x80\x7F\x01" CR FS CR),
		.events = { { BYTES("\xEF\xBB\xBF" "a" CR LF "\xFF\x80\x7F\x01" CR) } },
		.n_events = 1,
	},
	{
		"CR in front of the FS belongs to the payload",
		BYTES(VT CR FS CR),
		.events = { { BYTES(CR) } },
		.n_events = 1,
	},
	{
		"one byte less than the maximum",
		BYTES(VT "1234567" FS CR),
		.events = { { BYTES("1234567") } },
		.n_events = 1,
		.max_bytes = 8,
	},
	{
		"the maximum",
		BYTES(VT "12345678" FS CR),
		.events = { { BYTES("12345678") } },
		.n_events = 1,
		.max_bytes = 8,
	},
	{
		"one byte more than the maximum",
		BYTES(VT "123456789" FS CR),
		.events = {
			{ BYTES("123456789"), .condition = FRAME_E_TOO_LARGE, .fault_offset = 9 },
		},
		.n_events = 1,
		.max_bytes = 8,
	},
	{
		"a frame that is too large keeps its head, and the next frame is read",
		BYTES("no" VT "MSH|too large by far" FS CR LF VT "ok" FS CR),
		.events = {
			{ BYTES("MSH|too large by far"), .condition = FRAME_E_TOO_LARGE, .offset = 2,
				.noise_bytes = 2, .fault_offset = 11, .deviations = NOISE },
			{ BYTES("ok"), .offset = 26, .noise_bytes = 1 },
		},
		.n_events = 2,
		.max_bytes = 8,
	},
	{
		"too large, and without a CR",
		BYTES(VT "123456789" FS VT "ok" FS),
		.events = {
			{ BYTES("123456789"), .condition = FRAME_E_TOO_LARGE, .fault_offset = 9,
				.deviations = NO_CR },
			{ BYTES("ok"), .offset = 11, .deviations = NO_CR },
		},
		.n_events = 2,
		.max_bytes = 8,
	},
	{
		"too large, and with an FS inside: too large it is told as",
		BYTES(VT "123456789" FS "x" FS CR),
		.events = {
			{ BYTES("123456789"), .condition = FRAME_E_TOO_LARGE, .fault_offset = 9 },
		},
		.n_events = 1,
		.tail = { .noise_bytes = 3, .noise_offset = 11, .deviations = NOISE },
		.max_bytes = 8,
	},
	{
		"a VT inside a frame that is too large begins one that is not",
		BYTES(VT "1234567890" VT "ok" FS CR),
		.events = {
			{ BYTES("ok"), .offset = 11, .discarded_bytes = 10, .deviations = VT_INSIDE },
		},
		.n_events = 1,
		.max_bytes = 8,
	},
	{
		"a maximum of no byte takes the empty frame only",
		BYTES(VT FS CR VT "a" FS CR),
		.events = {
			{ BYTES("") },
			{ BYTES("a"), .condition = FRAME_E_TOO_LARGE, .offset = 3,
				.fault_offset = 4 },
		},
		.n_events = 2,
		.max_bytes = SIZE_MAX, /* stands for 0 */
	},
	{
		"the end of input inside a frame",
		BYTES(VT "MSH|a"),
		.events = {
			{ BYTES("MSH|a"), .condition = FRAME_E_TRUNCATED, .fault_offset = 6 },
		},
		.n_events = 1,
	},
	{
		"the end of input right behind a VT",
		BYTES("x" VT),
		.events = {
			{ BYTES(""), .condition = FRAME_E_TRUNCATED, .offset = 1, .noise_bytes = 1,
				.fault_offset = 2, .deviations = NOISE },
		},
		.n_events = 1,
	},
	{
		"the end of input inside the second frame",
		BYTES(VT "a" FS CR VT "b"),
		.events = {
			{ BYTES("a") },
			{ BYTES("b"), .condition = FRAME_E_TRUNCATED, .offset = 4,
				.fault_offset = 6 },
		},
		.n_events = 2,
	},
	{
		"the end of input inside a frame begun anew",
		BYTES(VT "ab" VT "c"),
		.events = {
			{ BYTES("c"), .condition = FRAME_E_TRUNCATED, .offset = 3,
				.discarded_bytes = 2, .fault_offset = 5,
				.deviations = VT_INSIDE },
		},
		.n_events = 1,
	},
	{
		"the end of input inside a frame that is too large",
		BYTES(VT "1234567890"),
		.events = {
			{ BYTES("1234567890"), .condition = FRAME_E_TRUNCATED, .fault_offset = 11 },
		},
		.n_events = 1,
		.max_bytes = 8,
	},
};

/* --- running a case
 * ---------------------------------------------------------------------------------- */

struct run {
	struct frame_decoder decoder;
	const struct frame_case *c;
	size_t given;    /* bytes of the input */
	size_t n_events; /* seen so far */
	bool look;       /* look behind an FS before the frame counts, as the receiver does */
};

static size_t
max_of(const struct frame_case *c)
{
	if (c->max_bytes == SIZE_MAX)
		return 0;
	return c->max_bytes ? c->max_bytes : CASE_MAX_BYTES;
}

/* The decoder's own buffer lies so that its byte `edge_at` is the first behind the edge. */
static void
begin_run(struct run *run, const struct frame_case *c, const struct guard *g, size_t edge_at,
	bool look)
{
	*run = (struct run){ .c = c, .look = look };
	frame_decoder_init(&run->decoder, max_of(c));
	run->decoder.buffer.p = g->edge - edge_at;
	run->decoder.buffer.allocated = run->decoder.buffer.max;
}

static void
give(struct run *run, size_t n)
{
	uint8_t *room;
	size_t room_n;

	assert_int_equal(frame_decoder_space(&run->decoder, &room, &room_n), 0);
	assert_true(n <= room_n);
	if (n)
		memcpy(room, run->c->input.p + run->given, n);
	frame_decoder_filled(&run->decoder, n);
	run->given += n;
}

static void
check_event(int condition, const struct frame *f, struct event e)
{
	assert_int_equal(condition, e.condition);
	assert_span_equal(f->payload, e.payload);
	assert_int_equal(f->offset, e.offset);
	assert_int_equal(f->fault_offset, e.fault_offset);
	assert_int_equal(f->noise_bytes, e.noise_bytes);
	assert_int_equal(f->noise_offset, e.noise_offset);
	assert_int_equal(f->discarded_bytes, e.discarded_bytes);
	assert_int_equal(f->deviations, e.deviations);
}

/* What was returned before the byte behind the FS came: nothing can be said against its end yet. */
static struct event
unjudged(struct event e)
{
	if (e.condition == FRAME_E_FS_INSIDE) {
		e.condition = 0;
		e.fault_offset = 0;
	}
	e.deviations &= ~(unsigned)NO_CR;
	return e;
}

static struct event
next_event(struct run *run)
{
	assert_true(run->n_events < run->c->n_events);
	return run->c->events[run->n_events++];
}

/* Gives the next `chunk` bytes of the input, or its end. */
static void
give_more(struct run *run, size_t chunk)
{
	size_t left = run->c->input.n - run->given;

	if (left == 0)
		frame_decoder_eof(&run->decoder);
	else
		give(run, chunk < left ? chunk : left);
}

static void
take_frame(struct run *run, int condition, struct frame *f, size_t chunk)
{
	struct event e = next_event(run);
	bool awaits = frame_awaits_cr(&run->decoder);

	check_event(condition, f, awaits ? unjudged(e) : e);
	if (!awaits || !run->look || condition)
		return;
	/* the frame counts only after one more read, as in the receiver */
	give_more(run, chunk);
	condition = frame_recheck(&run->decoder, f);
	assert_false(frame_awaits_cr(&run->decoder));
	check_event(condition, f, e);
	assert_int_equal(frame_recheck(&run->decoder, f), 0); /* judged once */
}

/* Takes what there is to take; the condition it ends with. */
static int
take_all(struct run *run, size_t chunk)
{
	struct frame f;
	int r;

	for (;;) {
		memset(&f, 0xA5, sizeof(f));
		r = frame_next(&run->decoder, &f);
		if (r == FRAME_E_PARTIAL || r == FRAME_E_END)
			return r;
		take_frame(run, r, &f, chunk);
	}
}

static void
check_tail(struct run *run)
{
	struct frame rest = frame_head(&run->decoder);

	assert_int_equal(run->n_events, run->c->n_events);
	assert_false(frame_begun(&run->decoder));
	assert_int_equal(rest.noise_bytes, run->c->tail.noise_bytes);
	assert_int_equal(rest.noise_offset, run->c->tail.noise_offset);
	assert_int_equal(rest.deviations, run->c->tail.deviations);
	assert_int_equal(take_all(run, 1), FRAME_E_END); /* however often it is asked */
}

/* The first `first` bytes in one read, flush against the edge, the rest in reads of `chunk`. */
static void
run_case(const struct frame_case *c, const struct guard *g, size_t first, size_t chunk, bool look)
{
	struct run run;
	int r;

	begin_run(&run, c, g, first, look);
	guard_shut(g);
	give(&run, first);
	if (look)
		guard_open(g); /* it reads on before the first part is done */
	if (take_all(&run, chunk) == FRAME_E_PARTIAL)
		guard_open(g);
	while (run.given < c->input.n) {
		give_more(&run, chunk);
		r = take_all(&run, chunk);
		assert_int_equal(r, run.decoder.eof ? FRAME_E_END : FRAME_E_PARTIAL);
	}
	frame_decoder_eof(&run.decoder);
	assert_int_equal(take_all(&run, chunk), FRAME_E_END);
	check_tail(&run);
}

static struct guard
guard_for(const struct frame_case *c)
{
	size_t n = DECODER_BYTES(max_of(c)) + c->input.n;

	return guard_map(n, n);
}

/* The end of input is known with the last byte: what is behind the last FS is judged at once. */
static void
at_once(void **state)
{
	const struct frame_case *c = *state;
	struct guard g = guard_for(c);
	struct run run;

	begin_run(&run, c, &g, c->input.n, false);
	give(&run, c->input.n);
	frame_decoder_eof(&run.decoder);
	assert_int_equal(take_all(&run, 1), FRAME_E_END);
	check_tail(&run);
	guard_unmap(&g);
}

static void
byte_by_byte(void **state)
{
	const struct frame_case *c = *state;
	struct guard g = guard_for(c);

	run_case(c, &g, 0, 1, true);
	run_case(c, &g, 0, 1, false);
	guard_unmap(&g);
}

static void
split_everywhere(void **state)
{
	const struct frame_case *c = *state;
	struct guard g = guard_for(c);
	size_t first;

	for (first = 0; first <= c->input.n; first++) {
		run_case(c, &g, first, c->input.n + 1, true);
		run_case(c, &g, first, c->input.n + 1, false);
	}
	guard_unmap(&g);
}

static void
in_threes(void **state)
{
	const struct frame_case *c = *state;
	struct guard g = guard_for(c);
	size_t first;

	for (first = 0; first < 3 && first <= c->input.n; first++) {
		run_case(c, &g, first, 3, true);
		run_case(c, &g, first, 3, false);
	}
	guard_unmap(&g);
}

/* --- more than a table can say
 * ----------------------------------------------------------------------- */

static void
fill_room(struct frame_decoder *d, uint8_t byte, size_t n)
{
	uint8_t *room;
	size_t room_n, part;

	while (n > 0) {
		assert_int_equal(frame_decoder_space(d, &room, &room_n), 0);
		part = n < room_n ? n : room_n;
		memset(room, byte, part);
		frame_decoder_filled(d, part);
		n -= part;
	}
}

static void
give_bytes(struct frame_decoder *d, struct span bytes)
{
	uint8_t *room;
	size_t room_n;

	assert_int_equal(frame_decoder_space(d, &room, &room_n), 0);
	assert_true(bytes.n <= room_n);
	memcpy(room, bytes.p, bytes.n);
	frame_decoder_filled(d, bytes.n);
}

/* A frame of 3 MiB where 100 bytes are allowed: its head is kept, and no more memory than promised.
 */
static void
far_too_large(void **state)
{
	struct frame_decoder d;
	struct frame f = { 0 };
	size_t i, most = 0;

	(void)state;
	frame_decoder_init(&d, 100);
	give_bytes(&d, SPAN(VT "MSH|head"));
	for (i = 0; i < 3072; i++) {
		assert_int_equal(frame_next(&d, &f), FRAME_E_PARTIAL);
		assert_true(frame_begun(&d));
		fill_room(&d, 'x', 1024);
		most = d.buffer.allocated > most ? d.buffer.allocated : most;
	}
	give_bytes(&d, SPAN(FS CR VT "next" FS CR));
	assert_int_equal(frame_next(&d, &f), FRAME_E_TOO_LARGE);
	assert_true(span_starts(f.payload, SPAN("MSH|head")));
	assert_in_range(f.payload.n, 100, 8192);
	assert_int_equal(f.fault_offset, 101);
	assert_int_equal(frame_next(&d, &f), 0);
	assert_span_equal(f.payload, SPAN("next"));
	assert_int_equal(f.offset, 1 + 8 + 3072 * 1024 + 2);
	assert_in_range(most, 1, 100 + 1 + 4096 + 8192);
	frame_decoder_deinit(&d);
}

/* The same in steps of every size around the head that is kept. */
static void
too_large_around_the_head(void **state)
{
	static const size_t sizes[] = { 8190, 8191, 8192, 8193, 8194, 12287, 12288, 12289, 12290 };
	struct frame_decoder d;
	struct frame f = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(sizes); i++) {
		frame_decoder_init(&d, 16);
		give_bytes(&d, SPAN(VT));
		assert_int_equal(frame_next(&d, &f), FRAME_E_PARTIAL);
		fill_room(&d, 'a', 4);
		assert_int_equal(frame_next(&d, &f), FRAME_E_PARTIAL);
		while (d.offset + d.buffer.n < 1 + sizes[i] - 1) {
			fill_room(&d, 'x', 1);
			assert_int_equal(frame_next(&d, &f), FRAME_E_PARTIAL);
		}
		fill_room(&d, 'z', 1);
		give_bytes(&d, SPAN(FS CR VT "b" FS CR));
		assert_int_equal(frame_next(&d, &f), FRAME_E_TOO_LARGE);
		assert_int_equal(f.payload.n, sizes[i] < 8192 ? sizes[i] : 8192);
		assert_int_equal(f.payload.p[3], 'a');
		assert_int_equal(f.payload.p[4], 'x');
		assert_int_equal(frame_next(&d, &f), 0);
		assert_span_equal(f.payload, SPAN("b"));
		assert_int_equal(f.offset, 1 + sizes[i] + 2);
		frame_decoder_deinit(&d);
	}
}

/* An FS that is the last byte the buffer can hold: there must still be room for the look behind it.
 */
static void
room_behind_a_full_buffer(void **state)
{
	struct frame_decoder d;
	struct frame f = { 0 };
	uint8_t *room;
	size_t n;

	(void)state;
	frame_decoder_init(&d, 100);
	fill_room(&d, 'n', 8300);
	give_bytes(&d, SPAN(VT "x"));
	assert_int_equal(frame_next(&d, &f), FRAME_E_PARTIAL);
	assert_int_equal(frame_decoder_space(&d, &room, &n), 0);
	memset(room, 'x', n);
	room[n - 1] = FRAME_FS;
	frame_decoder_filled(&d, n);
	assert_int_equal(frame_next(&d, &f), FRAME_E_TOO_LARGE);
	assert_int_equal(f.offset, 8300);
	assert_true(frame_awaits_cr(&d));
	give_bytes(&d, SPAN(CR));
	assert_int_equal(frame_recheck(&d, &f), 0);
	assert_int_equal(f.payload.p[0], 'x');
	give_bytes(&d, SPAN(VT "b" FS CR));
	assert_int_equal(frame_next(&d, &f), 0);
	assert_span_equal(f.payload, SPAN("b"));
	assert_int_equal(f.offset, 8300 + 2 + n + 1);
	assert_int_equal(f.noise_bytes, 0);
	frame_decoder_deinit(&d);
}

/* Many frames of all sizes through one decoder, in reads of all sizes: the buffer moves often. */
static void
many_frames_of_all_sizes(void **state)
{
	struct frame_decoder d;
	struct buffer stream = BUFFER_INIT((size_t)4 * 1024 * 1024);
	struct frame f = { 0 };
	uint64_t offset = 0;
	size_t given = 0, n, i, size, seen = 0;
	uint8_t *room;
	int r;

	(void)state;
	for (i = 0; i < 400; i++) {
		size = i * 7919 % 8193;
		assert_int_equal(buffer_append(&stream, SPAN(VT)), 0);
		for (n = 0; n < size; n++)
			assert_int_equal(buffer_append_byte(&stream, (uint8_t)('a' + i % 26)), 0);
		assert_int_equal(buffer_append(&stream, SPAN(FS CR)), 0);
	}
	frame_decoder_init(&d, 8192);
	for (i = 0; seen < 400; i++) {
		r = frame_next(&d, &f);
		if (r == FRAME_E_PARTIAL) {
			assert_int_equal(frame_decoder_space(&d, &room, &n), 0);
			n = 1 + i * 104729 % n;
			n = n < stream.n - given ? n : stream.n - given;
			assert_true(n > 0);
			memcpy(room, stream.p + given, n);
			frame_decoder_filled(&d, n);
			given += n;
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(f.offset, offset);
		assert_int_equal(f.payload.n, seen * 7919 % 8193);
		assert_span_equal(f.payload, span_of(stream.p + offset + 1, f.payload.n));
		offset += f.payload.n + 3;
		seen++;
	}
	frame_decoder_deinit(&d);
	buffer_deinit(&stream);
}

/* The payload stays when more is read, but may move: a recheck finds it. */
static void
recheck_finds_the_payload(void **state)
{
	struct frame_decoder d;
	struct frame f = { 0 };
	uint8_t *before;

	(void)state;
	frame_decoder_init(&d, 20000);
	fill_room(&d, '\n', 30000);
	give_bytes(&d, SPAN(VT "payload" FS));
	assert_int_equal(frame_next(&d, &f), 0);
	assert_true(frame_awaits_cr(&d));
	before = d.buffer.p + d.start;
	give_bytes(&d, SPAN(CR VT "next" FS CR));
	assert_ptr_not_equal(d.buffer.p + d.start, before);
	assert_int_equal(frame_recheck(&d, &f), 0);
	assert_span_equal(f.payload, SPAN("payload"));
	assert_int_equal(frame_next(&d, &f), 0);
	assert_span_equal(f.payload, SPAN("next"));
	frame_decoder_deinit(&d);
}

static void
head_of_a_frame_in_hand(void **state)
{
	struct frame_decoder d;
	struct frame f = { 0 };

	(void)state;
	frame_decoder_init(&d, 64);
	assert_false(frame_begun(&d));
	assert_int_equal(frame_head(&d).payload.n, 0);
	give_bytes(&d, SPAN("n" VT "MSH|half"));
	assert_int_equal(frame_next(&d, &f), FRAME_E_PARTIAL);
	assert_true(frame_begun(&d));
	f = frame_head(&d);
	assert_span_equal(f.payload, SPAN("MSH|half"));
	assert_int_equal(f.offset, 1);
	assert_int_equal(f.noise_bytes, 1);
	assert_int_equal(f.fault_offset, 10);
	give_bytes(&d, SPAN(" and half" FS CR));
	assert_int_equal(frame_next(&d, &f), 0);
	assert_false(frame_begun(&d));
	assert_span_equal(f.payload, SPAN("MSH|half and half"));
	frame_decoder_deinit(&d);
}

struct encode_case {
	const char *name;
	struct span payload, frame;
	size_t max;
	int result;
};

static const struct encode_case encodes[] = {
	{ "a payload is framed", BYTES("MSH|a" CR), BYTES(VT "MSH|a" CR FS CR), 100, 0 },
	{ "an empty payload is framed", BYTES(""), BYTES(VT FS CR), 100, 0 },
	{ "a NUL is framed", BYTES("a\0b"), BYTES(VT "a\0b" FS CR), 100, 0 },
	{ "a VT cannot be framed", BYTES("a" VT "b"), BYTES(""), 100, -EBADMSG },
	{ "an FS cannot be framed", BYTES("a" FS CR "b"), BYTES(""), 100, -EBADMSG },
	{ "a frame that just fits", BYTES("abc"), BYTES(VT "abc" FS CR), 6, 0 },
	{ "a frame too large by one byte leaves nothing", BYTES("abcd"), BYTES(""), 6,
		BUFFER_E_FULL },
};

static void
encode(void **state)
{
	const struct encode_case *c = *state;
	struct buffer out = BUFFER_INIT(c->max);

	assert_int_equal(frame_encode(&out, c->payload), c->result);
	assert_span_equal(buffer_span(&out), c->frame);
	buffer_deinit(&out);
}

/* In its place there is always room for the frame. */
static void
enclose(void **state)
{
	const struct encode_case *c = *state;
	struct buffer b = BUFFER_INIT(c->max);
	bool framed = c->result != -EBADMSG;

	assert_int_equal(buffer_append(&b, c->payload), 0);
	assert_int_equal(frame_enclose(&b), framed ? 0 : -EBADMSG);
	assert_int_equal(b.max, c->max + (framed ? FRAME_BYTES : 0));
	assert_int_equal(b.n, c->payload.n + (framed ? FRAME_BYTES : 0));
	if (c->result == 0)
		assert_span_equal(buffer_span(&b), c->frame);
	if (!framed)
		assert_span_equal(buffer_span(&b), c->payload);
	buffer_deinit(&b);
}

int
main(void)
{
	static struct suite once, bytes, halves, threes, s;

	add_cases(&once, at_once, cases);
	add_cases(&bytes, byte_by_byte, cases);
	add_cases(&halves, split_everywhere, cases);
	add_cases(&threes, in_threes, cases);
	add_test(&s, "a frame 30000 times too large takes no more memory", far_too_large);
	add_test(&s, "too large around the head that is kept", too_large_around_the_head);
	add_test(&s, "room behind a full buffer for the look behind the FS",
		room_behind_a_full_buffer);
	add_test(&s, "many frames of all sizes in reads of all sizes", many_frames_of_all_sizes);
	add_test(&s, "a recheck finds the payload that moved", recheck_finds_the_payload);
	add_test(&s, "the head of a frame that is not complete", head_of_a_frame_in_hand);
	add_cases(&s, encode, encodes);
	add_cases(&s, enclose, encodes);
	return run_suite("at once", &once) | run_suite("byte by byte", &bytes) |
	       run_suite("cut into two at every byte", &halves) |
	       run_suite("three bytes at a time", &threes) | run_suite("frame", &s);
}
