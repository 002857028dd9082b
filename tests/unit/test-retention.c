/* SPDX-License-Identifier: MIT */
#include "store/retention.h"

#include "unit.h"

#define HOUR (3600 * USEC_PER_SEC)
#define NOW  (1000 * HOUR)

struct file {
	unsigned age_hours;
	unsigned bytes;
	bool held;
};

struct retention_case {
	const char *name;
	struct file files[6];
	size_t n;
	unsigned keep_hours, max_bytes;
	unsigned going; /* a bit for each file */
};

static const struct retention_case cases[] = {
	{ "nothing", { { 0 } }, 0, 10, 10, 0 },
	{ "no rule", { { 900, 9, false }, { 2, 9, false } }, 2, 0, 0, 0 },
	{ "by age", { { 11, 1, false }, { 10, 1, false }, { 9, 1, false } }, 3, 10, 0, 1 },
	{ "in any order", { { 9, 1, false }, { 30, 1, false }, { 20, 1, false } }, 3, 10, 0, 6 },
	{ "younger than an hour", { { 1, 9, false }, { 0, 9, false } }, 2, 0, 1, 0 },
	{ "an hour and more", { { 2, 9, false }, { 1, 9, false } }, 2, 0, 1, 1 },
	{ "by size, the oldest first", { { 5, 4, false }, { 6, 4, false }, { 7, 4, false } }, 3, 0,
		8, 4 },
	{ "just the size", { { 5, 4, false }, { 6, 4, false } }, 2, 0, 8, 0 },
	{ "a byte more", { { 5, 4, false }, { 6, 5, false } }, 2, 0, 8, 2 },
	{ "held by age", { { 30, 1, true }, { 20, 1, false } }, 2, 10, 0, 2 },
	{ "held by size", { { 30, 8, true }, { 20, 1, false }, { 19, 1, false } }, 3, 0, 8, 6 },
	{ "both rules", { { 30, 1, false }, { 5, 9, false }, { 4, 9, false } }, 3, 20, 10, 3 },
	{ "all", { { 30, 1, false }, { 31, 1, false } }, 2, 1, 1, 3 },
	{ "all held", { { 30, 1, true }, { 31, 1, true } }, 2, 1, 1, 0 },
	{ "from the future", { { 0, 1, false }, { 30, 1, false } }, 2, 1, 1, 2 },
};

static usec_t
stamp_of(const struct retention_case *c, size_t i)
{
	bool future = c->files[i].age_hours == 0;

	return future ? NOW + HOUR : NOW - c->files[i].age_hours * HOUR;
}

static void
choose(void **state)
{
	const struct retention_case *c = *state;
	const struct retention_rules rules = { c->keep_hours * HOUR, c->max_bytes };
	struct retention_file files[6] = { { .bytes = 0 } };
	struct stems held = { 0 };
	unsigned going = 0, all = 0;
	size_t i, n;

	for (i = 0; i < c->n; i++) {
		files[i] = (struct retention_file){
			.stem = { .stamp = stamp_of(c, i), .inode = i },
			.inode = i,
			.bytes = c->files[i].bytes,
		};
		if (c->files[i].held)
			assert_int_equal(stems_add(&held, &files[i].stem), 0);
	}
	stems_sort(&held);
	n = retention_choose(files, c->n, &rules, &held, NOW);
	for (i = 0; i < c->n; i++) {
		going |= i < n ? 1U << files[i].inode : 0;
		all |= 1U << files[i].inode;
	}
	assert_int_equal(going, c->going);
	assert_int_equal(all, (1U << c->n) - 1);
	stems_deinit(&held);
}

static void
inodes(void **state)
{
	struct retention_file files[100] = { { .bytes = 0 } };
	const size_t n = N_OF(files);
	size_t i;

	(void)state;
	for (i = 0; i < n; i++)
		files[i].inode = (i * 37) % n * 2;
	retention_sort_by_inode(files, n);
	for (i = 0; i < n; i++) {
		assert_int_equal(retention_find(files, n, i * 2)->inode, i * 2);
		assert_null(retention_find(files, n, i * 2 + 1));
	}
	assert_null(retention_find(files, 0, 0));
}

static void
sets(void **state)
{
	struct stems s = { 0 };
	struct store_stem stem = { 0 };
	unsigned i;

	(void)state;
	assert_false(stems_have(&s, &stem));
	for (i = 0; i < 200; i++) {
		stem = (struct store_stem){ .stamp = 1000 - i, .inode = i % 3, .pid = i };
		assert_int_equal(stems_add(&s, &stem), 0);
	}
	stems_sort(&s);
	assert_true(stems_have(&s, &stem));
	stem.pid++;
	assert_false(stems_have(&s, &stem));
	stems_deinit(&s);
	assert_int_equal(s.n, 0);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, choose, cases);
	add_test(&s, "by inode", inodes);
	add_test(&s, "sets of stems", sets);
	return run_suite("retention", &s);
}
