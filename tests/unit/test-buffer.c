/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include "guard.h"
#include "unit.h"

#include <fcntl.h>

static void
grows_to_its_maximum(void **state)
{
	struct buffer b = BUFFER_INIT(100000);
	size_t i;

	(void)state;
	assert_null(b.p);
	for (i = 0; i < 100000; i++)
		assert_int_equal(buffer_append_byte(&b, (uint8_t)i), 0);
	assert_int_equal(b.n, 100000);
	assert_int_equal(b.allocated, 100000);
	assert_int_equal(buffer_append_byte(&b, 1), BUFFER_E_FULL);
	assert_int_equal(b.n, 100000);
	for (i = 0; i < b.n; i++)
		assert_int_equal(b.p[i], (uint8_t)i);
	buffer_deinit(&b);
	assert_null(b.p);
	assert_int_equal(b.max, 100000);
	assert_int_equal(buffer_append_byte(&b, 1), 0); /* usable again */
	buffer_deinit(&b);
}

static void
refuses_what_does_not_fit(void **state)
{
	struct buffer b = BUFFER_INIT(4);

	(void)state;
	assert_int_equal(buffer_append(&b, SPAN("abcde")), BUFFER_E_FULL);
	assert_int_equal(buffer_append(&b, SPAN("abc")), 0);
	assert_int_equal(buffer_append(&b, SPAN("de")), BUFFER_E_FULL);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX), BUFFER_E_FULL);
	assert_int_equal(buffer_reserve(&b, SIZE_MAX - 2), BUFFER_E_FULL);
	assert_int_equal(buffer_append(&b, SPAN("")), 0);
	assert_span_equal(buffer_span(&b), SPAN("abc"));
	buffer_deinit(&b);
}

static void
a_buffer_of_nothing(void **state)
{
	struct buffer b = BUFFER_INIT(0);

	(void)state;
	assert_int_equal(buffer_append(&b, SPAN("")), 0);
	assert_int_equal(buffer_append_byte(&b, 'a'), BUFFER_E_FULL);
	assert_int_equal(buffer_span(&b).n, 0);
	buffer_deinit(&b);
}

static void
drops_its_front(void **state)
{
	struct buffer b = BUFFER_INIT(64);

	(void)state;
	assert_int_equal(buffer_append(&b, SPAN("abcdef")), 0);
	buffer_drop_front(&b, 0);
	assert_span_equal(buffer_span(&b), SPAN("abcdef"));
	buffer_drop_front(&b, 4);
	assert_span_equal(buffer_span(&b), SPAN("ef"));
	buffer_drop_front(&b, 2);
	assert_int_equal(b.n, 0);
	buffer_clear(&b);
	buffer_deinit(&b);
}

/* --- spans
 * ------------------------------------------------------------------------------------------- */

struct cut_case {
	const char *name;
	struct span whole;
	struct span pieces[4];
	size_t n;
};

static const struct cut_case cuts[] = {
	{ "nothing is one empty piece", BYTES(""), { BYTES("") }, 1 },
	{ "no separator: the whole", BYTES("abc"), { BYTES("abc") }, 1 },
	{ "a separator alone: two empty pieces", BYTES("|"), { BYTES(""), BYTES("") }, 2 },
	{ "two in a row", BYTES("a||b"), { BYTES("a"), BYTES(""), BYTES("b") }, 3 },
	{ "one at the end", BYTES("a|"), { BYTES("a"), BYTES("") }, 2 },
	{ "one in front", BYTES("|a"), { BYTES(""), BYTES("a") }, 2 },
	{ "NUL is a byte", BYTES("a\0|\0"), { BYTES("a\0"), BYTES("\0") }, 2 },
};

static void
cut(void **state)
{
	const struct cut_case *c = *state;
	struct guard g = guard_map(c->whole.n, 1);
	struct span rest = guard_copy(&g, c->whole), piece = SPAN_NULL;
	size_t i;

	for (i = 0; i < c->n; i++) {
		assert_true(span_cut(&rest, '|', &piece));
		assert_span_equal(piece, c->pieces[i]);
	}
	assert_false(span_cut(&rest, '|', &piece));
	assert_false(span_cut(&rest, '|', &piece));
	guard_unmap(&g);
}

static void
span_parts(void **state)
{
	struct span none = SPAN_NULL, s = SPAN("abc");

	(void)state;
	assert_true(span_eq(none, SPAN("")));
	assert_true(span_eq(SPAN("a\0b"), SPAN("a\0b")));
	assert_false(span_eq(SPAN("a\0b"), SPAN("a\0c")));
	assert_false(span_eq(SPAN("a"), SPAN("ab")));
	assert_true(span_starts(s, SPAN("")));
	assert_true(span_starts(s, SPAN("abc")));
	assert_false(span_starts(s, SPAN("abcd")));
	assert_span_equal(span_from(s, 1), SPAN("bc"));
	assert_span_equal(span_from(s, 3), SPAN(""));
	assert_span_equal(span_from(s, 4), SPAN(""));
	assert_null(span_from(none, 4).p);
	assert_span_equal(span_first(s, 2), SPAN("ab"));
	assert_span_equal(span_first(s, 9), s);
	assert_int_equal(span_find(s, 'c'), 2);
	assert_int_equal(span_find(s, 'x'), 3);
	assert_int_equal(span_find(none, 'x'), 0);
	assert_span_equal(span_str("abc"), s);
	assert_int_equal(span_str(NULL).n, 0);
}

/* --- clocks and descriptors
 * -------------------------------------------------------------------------- */

static void
deadlines(void **state)
{
	usec_t before = clock_monotonic_usec();

	(void)state;
	assert_true(deadline_in(0) == DEADLINE_NEVER);
	assert_true(deadline_in(DEADLINE_NEVER) == DEADLINE_NEVER);
	assert_true(deadline_in(DEADLINE_NEVER - 1) == DEADLINE_NEVER);
	assert_true(deadline_in(USEC_PER_SEC) >= before + USEC_PER_SEC);
	assert_true(deadline_left(DEADLINE_NEVER) == DEADLINE_NEVER);
	assert_true(deadline_left(1) == 0);
	assert_true(deadline_left(before) == 0);
	assert_true(deadline_left(before + 1000 * USEC_PER_SEC) > 0);
	assert_true(deadline_left(before + 1000 * USEC_PER_SEC) <= 1000 * USEC_PER_SEC);
	assert_true(clock_monotonic_usec() >= before);
	assert_true(clock_realtime_usec() > 1500000000 * USEC_PER_SEC);
}

static void
close_at_the_end_of_the_scope(void **state)
{
	int kept, closed;

	(void)state;
	{
		_cleanup_close_ int a = open("/dev/null", O_RDONLY | O_CLOEXEC);
		_cleanup_close_ int b = open("/dev/null", O_RDONLY | O_CLOEXEC);
		_cleanup_close_ int none = -1;

		assert_true(a >= 0 && b >= 0);
		assert_int_equal(none, -1);
		closed = a;
		kept = steal_fd(&b);
		assert_int_equal(b, -1);
		errno = 123;
	}
	assert_int_equal(errno, 123);
	assert_int_equal(fcntl(closed, F_GETFD), -1);
	assert_int_not_equal(fcntl(kept, F_GETFD), -1);
	assert_int_equal(close(kept), 0);
}

int
main(void)
{
	static struct suite s;

	add_test(&s, "a buffer grows to its maximum and not beyond", grows_to_its_maximum);
	add_test(&s, "what does not fit changes nothing", refuses_what_does_not_fit);
	add_test(&s, "a buffer that may hold nothing", a_buffer_of_nothing);
	add_test(&s, "the front is dropped", drops_its_front);
	add_cases(&s, cut, cuts);
	add_test(&s, "parts of spans, and of no span", span_parts);
	add_test(&s, "deadlines, also those that never come", deadlines);
	add_test(&s, "descriptors and memory go at the end of their scope",
		close_at_the_end_of_the_scope);
	return run_suite("buffer", &s);
}
