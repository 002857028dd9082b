/* SPDX-License-Identifier: MIT */
#include "store/name.h"

#include "unit.h"

/* 2026-11-23 18:11:47.123456 UTC */
#define STAMP 1795457507123456

static const struct store_stem stem = { .stamp = STAMP, .inode = 4711, .pid = 42 };

static void
form(void **state)
{
	const struct store_entry_name entry = { stem, 7 };
	char name[STORE_NAME_BYTES];

	(void)state;
	store_name_format(&stem, "hl7", name);
	assert_string_equal(name, "20261123T181147.123456Z-4711-42.hl7");
	store_name_format(&stem, "txt", name);
	assert_string_equal(name, "20261123T181147.123456Z-4711-42.txt");
	store_entry_format(&entry, "hl7", name);
	assert_string_equal(name, "20261123T181147.123456Z-4711-42.007.hl7");
}

struct there_and_back {
	const char *name;
	struct store_stem stem;
	uint32_t number;
};

static const struct there_and_back numbers[] = {
	{ "the beginning of time", { 0, 0, 0 }, 0 },
	{ "an ordinary one", { STAMP, 4711, 42 }, 1 },
	{ "the last microsecond of a day", { 1795478399999999, 1, 1 }, 999 },
	{ "the 29th of February", { 1709164800000000, 1, 1 }, 10 },
	{ "a large inode", { STAMP, INT64_MAX, 1 }, 0 },
	{ "the largest process", { STAMP, 1, 4194304 }, 0 },
	{ "the year 9999", { 253402300799999999, 1, 1 }, 0 },
};

static void
there_and_back(void **state)
{
	const struct there_and_back *c = *state;
	const struct store_entry_name entry = { c->stem, c->number };
	struct store_entry_name entry_back;
	char name[STORE_NAME_BYTES];
	struct store_stem back;

	store_name_format(&c->stem, "hl7", name);
	assert_true(strlen(name) + 1 < STORE_NAME_BYTES);
	assert_true(store_name_parse(name, "hl7", &back));
	assert_int_equal(store_stem_compare(&back, &c->stem), 0);
	assert_false(store_name_parse(name, "txt", &back));
	assert_false(store_entry_parse(name, "hl7", &entry_back));
	store_entry_format(&entry, "hl7", name);
	assert_true(store_entry_parse(name, "hl7", &entry_back));
	assert_int_equal(store_entry_compare(&entry_back, &entry), 0);
	assert_false(store_name_parse(name, "hl7", &back));
}

struct name_case {
	const char *name;
	const char *text;
};

static const struct name_case foreign[] = {
	{ "nothing", "" },
	{ "a point", "." },
	{ "two points", ".." },
	{ "a hidden file", ".k0123456789abcdef0123456789abcdef" },
	{ "a word", "README" },
	{ "no suffix", "20261123T181147.123456Z-4711-42" },
	{ "an empty suffix", "20261123T181147.123456Z-4711-42." },
	{ "another suffix", "20261123T181147.123456Z-4711-42.hl8" },
	{ "more behind the suffix", "20261123T181147.123456Z-4711-42.hl7~" },
	{ "more before the date", " 20261123T181147.123456Z-4711-42.hl7" },
	{ "a month that is none", "20261323T181147.123456Z-4711-42.hl7" },
	{ "a day that is none", "20260230T181147.123456Z-4711-42.hl7" },
	{ "an hour that is none", "20261123T241147.123456Z-4711-42.hl7" },
	{ "a leap second", "20261231T235960.123456Z-4711-42.hl7" },
	{ "no microseconds", "20261123T181147Z-4711-42.hl7" },
	{ "five digits of microseconds", "20261123T181147.12345Z-4711-42.hl7" },
	{ "another zone", "20261123T181147.123456-4711-42.hl7" },
	{ "no process", "20261123T181147.123456Z-4711.hl7" },
	{ "no inode", "20261123T181147.123456Z--42.hl7" },
	{ "a zero in front", "20261123T181147.123456Z-04711-42.hl7" },
	{ "a sign", "20261123T181147.123456Z-4711-+42.hl7" },
	{ "a number of 30 digits",
		"20261123T181147.123456Z-123456789012345678901234567890-42.hl7" },
	{ "a long name of digits",
		"202611231811471234564711420000000000000000000000000000000000000000"
		"00000000000000000000000000000000000000000000000000000000000000" },
};

static const struct name_case foreign_entries[] = {
	{ "an entry without a number", "20261123T181147.123456Z-4711-42.hl7" },
	{ "an entry of two digits", "20261123T181147.123456Z-4711-42.00.hl7" },
	{ "an entry of four digits", "20261123T181147.123456Z-4711-42.0000.hl7" },
	{ "an entry with a letter", "20261123T181147.123456Z-4711-42.00a.hl7" },
	{ "an entry's reason", "20261123T181147.123456Z-4711-42.000.txt" },
	{ "two numbers", "20261123T181147.123456Z-4711-42.000.000.hl7" },
};

static void
not_ours(void **state)
{
	const struct name_case *c = *state;
	struct store_entry_name entry;
	struct store_stem back;

	assert_false(store_name_parse(c->text, "hl7", &back));
	assert_false(store_entry_parse(c->text, "hl7", &entry));
}

static void
not_an_entry(void **state)
{
	const struct name_case *c = *state;
	struct store_entry_name entry;

	assert_false(store_entry_parse(c->text, "hl7", &entry));
}

/* In this order: by time, inode, process, number; and the names sort as they do. */
static void
order(void **state)
{
	static const struct store_entry_name sorted[] = {
		{ { STAMP - 1, 999, 999 }, 999 },
		{ { STAMP, 100, 200 }, 0 },
		{ { STAMP, 100, 200 }, 1 },
		{ { STAMP, 100, 200 }, 10 },
		{ { STAMP, 100, 201 }, 0 },
		{ { STAMP, 101, 100 }, 0 },
		{ { STAMP + 1, 100, 100 }, 0 },
	};
	char a[STORE_NAME_BYTES], b[STORE_NAME_BYTES];
	size_t i, k;
	int wanted;

	(void)state;
	for (i = 0; i < N_OF(sorted); i++)
		for (k = 0; k < N_OF(sorted); k++) {
			wanted = (i > k) - (i < k);
			assert_int_equal(store_entry_compare(&sorted[i], &sorted[k]), wanted);
			store_entry_format(&sorted[i], "hl7", a);
			store_entry_format(&sorted[k], "hl7", b);
			assert_int_equal((strcmp(a, b) > 0) - (strcmp(a, b) < 0), wanted);
		}
}

/* An inode has more digits than another: the names may sort otherwise, the compare does not. */
static void
order_of_numbers(void **state)
{
	const struct store_stem small = { STAMP, 9, 1 }, large = { STAMP, 10, 1 };

	(void)state;
	assert_true(store_stem_compare(&small, &large) < 0);
	assert_true(store_stem_compare(&large, &small) > 0);
	assert_int_equal(store_stem_compare(&large, &large), 0);
}

struct destination_case {
	const char *name;
	struct span text;
	bool valid;
};

#define TEXT_64 "0123456789012345678901234567890123456789012345678901234567890123"

static const struct destination_case destinations[] = {
	{ "letters", BYTES("ris"), true },
	{ "all kinds", BYTES("RIS-2_b"), true },
	{ "one character", BYTES("x"), true },
	{ "64 characters", BYTES(TEXT_64), true },
	{ "65 characters", BYTES(TEXT_64 "4"), false },
	{ "no character", BYTES(""), false },
	{ "a point", BYTES("."), false },
	{ "a point in front", BYTES(".ris"), false },
	{ "up", BYTES(".."), false },
	{ "a slash", BYTES("a/b"), false },
	{ "a space", BYTES("a b"), false },
	{ "a letter of another alphabet", BYTES("r\xC3\xAFs"), false },
	{ "a NUL", BYTES("a\0b"), false },
	{ "a line's end", BYTES("ris\n"), false },
};

static void
destination(void **state)
{
	const struct destination_case *c = *state;

	assert_int_equal(store_destination_is_valid(c->text), c->valid);
}

int
main(void)
{
	static struct suite s;

	add_test(&s, "the form of names", form);
	add_cases(&s, there_and_back, numbers);
	add_cases(&s, not_ours, foreign);
	add_cases(&s, not_an_entry, foreign_entries);
	add_test(&s, "names sort by time, inode, process, number", order);
	add_test(&s, "numbers compare as numbers", order_of_numbers);
	add_cases(&s, destination, destinations);
	return run_suite("name", &s);
}
