/* SPDX-License-Identifier: MIT */
#include "forward/holds.h"

#include "unit.h"

static struct holds holds;

static void
key_of(uint32_t number, uint8_t ret[16])
{
	memset(ret, 0, 16);
	memcpy(ret + 12, &number, sizeof(number));
}

static struct hold *
find(uint32_t number)
{
	uint8_t key[16];

	key_of(number, key);
	return holds_find(&holds, key);
}

static struct hold *
add(uint32_t number, uint64_t pass, usec_t due_usec)
{
	uint8_t key[16];
	struct hold *hold;

	key_of(number, key);
	hold = holds_add(&holds, key);
	if (hold) {
		hold->pass = pass;
		hold->due_usec = due_usec;
	}
	return hold;
}

static void
begin(void)
{
	holds.n = 0;
}

static void
none(void **state)
{
	(void)state;
	begin();
	assert_null(find(1));
	assert_true(holds_first_due(&holds) == DEADLINE_NEVER);
	holds_forget(&holds, 1);
	assert_int_equal(holds.n, 0);
}

static void
added_and_removed(void **state)
{
	(void)state;
	begin();
	(void)add(1, 1, 30);
	(void)add(2, 1, 10);
	(void)add(3, 1, 20);
	assert_int_equal(find(3)->due_usec, 20);
	assert_int_equal(find(2)->n_tries, 0);
	assert_true(holds_first_due(&holds) == 10);
	holds_remove(&holds, find(2));
	assert_null(find(2));
	assert_true(holds_first_due(&holds) == 20);
	assert_int_equal(find(1)->due_usec, 30);
	assert_int_equal(find(3)->due_usec, 20);
}

static void
what_was_left_is_not_inherited(void **state)
{
	struct hold *hold;

	(void)state;
	begin();
	hold = add(1, 7, 30);
	hold->n_tries = 9;
	hold->n_errors = 2;
	holds_remove(&holds, hold);
	hold = add(1, 8, 40);
	assert_int_equal(hold->n_tries, 0);
	assert_int_equal(hold->n_errors, 0);
}

static void
full(void **state)
{
	uint32_t i;

	(void)state;
	begin();
	for (i = 0; i < HOLDS_MAX; i++)
		assert_non_null(add(i, 1, i + 1));
	assert_null(add(i, 1, 1));
	assert_non_null(find(HOLDS_MAX - 1));
	holds_remove(&holds, find(0));
	assert_non_null(add(i, 1, 1));
}

static void
of_this_pass(void **state)
{
	(void)state;
	begin();
	(void)add(1, 4, 10);
	(void)add(2, 5, 20);
	(void)add(3, 3, 5);
	(void)add(4, 5, 15);
	assert_true(holds_first_due_seen(&holds, 5) == 15);
	assert_true(holds_first_due_seen(&holds, 9) == DEADLINE_NEVER);
	holds_forget(&holds, 5);
	assert_int_equal(holds.n, 2);
	assert_non_null(find(2));
	assert_non_null(find(4));
}

int
main(void)
{
	static struct suite s;

	add_test(&s, "none", none);
	add_test(&s, "added and removed", added_and_removed);
	add_test(&s, "what was left is not inherited", what_was_left_is_not_inherited);
	add_test(&s, "full", full);
	add_test(&s, "of this pass", of_this_pass);
	return run_suite("holds", &s);
}
