/* SPDX-License-Identifier: MIT */
#include "forward/keys.h"

#include "unit.h"

static struct store_entry_name
entry_of(uint32_t number)
{
	return (struct store_entry_name){ .stem = { 1000 + number, 1, 1 } };
}

static void
note(struct keys *k, uint32_t number)
{
	struct store_entry_name entry = entry_of(number);
	uint8_t key[16] = { (uint8_t)(number & 0xFF) };

	keys_note(k, &entry, key);
}

static bool
knows(struct keys *k, uint32_t number)
{
	struct store_entry_name entry = entry_of(number);
	uint8_t key[16] = { 0 };

	if (!keys_find(k, &entry, key))
		return false;
	assert_int_equal(key[0], number & 0xFF);
	return true;
}

static void
nothing(void **state)
{
	struct keys k = { 0 };

	(void)state;
	assert_false(knows(&k, 1));
	keys_end_pass(&k);
	assert_false(knows(&k, 1));
	keys_deinit(&k);
}

static void
from_pass_to_pass(void **state)
{
	struct keys k = { 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		assert_false(knows(&k, i));
		note(&k, i);
	}
	keys_end_pass(&k);
	/* of every third one another became known; the others are gone */
	for (i = 0; i < 1000; i += 3) {
		assert_true(knows(&k, i));
		note(&k, i);
	}
	keys_end_pass(&k);
	for (i = 0; i < 1010; i++)
		assert_int_equal(knows(&k, i), i % 3 == 0 && i < 1000);
	keys_deinit(&k);
}

static void
a_pass_that_ends_early(void **state)
{
	struct keys k = { 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 10; i++)
		note(&k, i);
	keys_end_pass(&k);
	assert_true(knows(&k, 0));
	note(&k, 0);
	assert_true(knows(&k, 2));
	note(&k, 2);
	keys_end_pass(&k);
	for (i = 0; i < 10; i++)
		assert_int_equal(knows(&k, i), i != 1);
	assert_int_equal(k.known.n, 9);
	keys_deinit(&k);
}

static void
a_pass_that_never_began(void **state)
{
	struct keys k = { 0 };

	(void)state;
	note(&k, 5);
	keys_end_pass(&k);
	keys_end_pass(&k);
	assert_true(knows(&k, 5));
	keys_deinit(&k);
}

int
main(void)
{
	static struct suite s;

	add_test(&s, "nothing", nothing);
	add_test(&s, "from pass to pass", from_pass_to_pass);
	add_test(&s, "a pass that ends early", a_pass_that_ends_early);
	add_test(&s, "a pass that never began", a_pass_that_never_began);
	return run_suite("keys", &s);
}
