/* SPDX-License-Identifier: MIT */
#pragma once

/* What the unit tests share: tables of cases with names for people, and spans that compare
 * readably. */

#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A span in a static table, where SPAN() is no constant. */
#define BYTES(literal)                                                                             \
	{                                                                                          \
		(const uint8_t *)("" literal), sizeof(literal) - 1                                 \
	}

/* The tests of one program, in the order they were added. */
struct suite {
	struct CMUnitTest tests[512];
	size_t n;
};

static inline void
add_test(struct suite *s, const char *name, CMUnitTestFunction test)
{
	assert_true(s->n < N_OF(s->tests));
	s->tests[s->n++] = (struct CMUnitTest){ .name = name, .test_func = test };
}

/* One test for each element of a table, whose first member is `const char *name`. */
#define add_cases(suite, test, table)                                                              \
	add_cases_of((suite), (test), (table), N_OF(table), sizeof((table)[0]))

static inline void
add_cases_of(
	struct suite *s, CMUnitTestFunction test, const void *table, size_t n, size_t item_bytes)
{
	const uint8_t *item = table;
	const char *name;
	size_t i;

	for (i = 0; i < n; i++, item += item_bytes) {
		memcpy(&name, item, sizeof(name));
		add_test(s, *name ? name : "(nothing)", test);
		/* cmocka hands it on unchanged; the tests read it only */
		s->tests[s->n - 1].initial_state = (void *)(uintptr_t)item;
	}
}

#define run_suite(name, suite)                                                                     \
	_cmocka_run_group_tests((name), (suite)->tests, (suite)->n, NULL, NULL)

/* Prints bytes so that what cannot be seen is seen. */
static inline void
print_bytes(const char *label, struct span s)
{
	size_t i;

	(void)fprintf(stderr, "%s (%zu bytes): \"", label, s.n);
	for (i = 0; i < s.n && i < 2000; i++)
		if (s.p[i] >= ' ' && s.p[i] < 0x7F)
			(void)fputc(s.p[i], stderr);
		else
			(void)fprintf(stderr, "\\x%02X", s.p[i]);
	(void)fprintf(stderr, "%s\"\n", i < s.n ? "..." : "");
}

#define assert_span_equal(actual, expected)                                                        \
	assert_span_equal_at((actual), (expected), __FILE__, __LINE__)

static inline void
assert_span_equal_at(struct span actual, struct span expected, const char *file, int line)
{
	if (span_eq(actual, expected))
		return;
	print_bytes("  got   ", actual);
	print_bytes("  wanted", expected);
	_fail(file, line);
}
