/* SPDX-License-Identifier: MIT */
#include "hl7/control_id.h"

#include "unit.h"

#include <string.h>

#define NOW 1764000000000000

static void
form(void **state)
{
	struct control_id_source s = { .pid = 1, .random = 35 };
	char id[CONTROL_ID_CHARS + 2];

	(void)state;
	memset(id, 'x', sizeof(id));
	control_id_next(&s, 36, id);
	assert_string_equal(id, "0000000010"
				"00001"
				"0000Z");
	assert_int_equal(id[CONTROL_ID_CHARS + 1], 'x');
	control_id_next(&s, NOW, id);
	assert_int_equal(strlen(id), CONTROL_ID_CHARS);
	assert_int_equal(strspn(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"), CONTROL_ID_CHARS);
}

static void
clock_that_stands_still(void **state)
{
	struct control_id_source s = { .pid = 4711, .random = 42 };
	char last[CONTROL_ID_CHARS + 1] = "", id[CONTROL_ID_CHARS + 1];
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		/* it stands still, and once goes back an hour */
		control_id_next(&s, i < 500 ? NOW : NOW - 3600000000, id);
		assert_true(strcmp(id, last) > 0);
		memcpy(last, id, sizeof(id));
	}
	control_id_next(&s, NOW + 5000, id);
	assert_true(strcmp(id, last) > 0);
}

static void
same_microsecond(void **state)
{
	struct control_id_source a = { .pid = 100, .random = 7 }, b = { .pid = 101, .random = 7 },
				 c = { .pid = 100, .random = 8 };
	char ids[3][CONTROL_ID_CHARS + 1];

	(void)state;
	control_id_next(&a, NOW, ids[0]);
	control_id_next(&b, NOW, ids[1]);
	control_id_next(&c, NOW, ids[2]);
	assert_string_not_equal(ids[0], ids[1]);
	assert_string_not_equal(ids[0], ids[2]);
	assert_string_not_equal(ids[1], ids[2]);
}

static void
largest_numbers(void **state)
{
	struct control_id_source s = { .pid = UINT32_MAX, .random = UINT32_MAX };
	char id[CONTROL_ID_CHARS + 1];

	(void)state;
	control_id_next(&s, UINT64_MAX, id);
	assert_int_equal(strlen(id), CONTROL_ID_CHARS);
}

/* The process numbers that Linux can have (up to 2^22) all differ in five characters. */
static void
all_process_numbers_differ(void **state)
{
	struct control_id_source a = { .pid = 1 << 22 }, b = { .pid = (1 << 22) - 1 };
	char ids[2][CONTROL_ID_CHARS + 1];

	(void)state;
	assert_true((1 << 22) < 36 * 36 * 36 * 36 * 36);
	control_id_next(&a, NOW, ids[0]);
	control_id_next(&b, NOW, ids[1]);
	assert_string_not_equal(ids[0], ids[1]);
}

int
main(void)
{
	static struct suite s;

	add_test(&s, "20 characters, digits and capitals", form);
	add_test(&s, "a clock that stands still or goes back", clock_that_stands_still);
	add_test(&s, "two processes, two machines, one microsecond", same_microsecond);
	add_test(&s, "the largest numbers", largest_numbers);
	add_test(&s, "all process numbers differ", all_process_numbers_differ);
	return run_suite("control-id", &s);
}
