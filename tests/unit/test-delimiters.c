/* SPDX-License-Identifier: MIT */
#include "hl7/delimiters.h"

#include "guard.h"
#include "unit.h"

struct parse_case {
	const char *name;
	struct span header;
	int result;
	bool usable;
	struct delimiters d;
};

#define STANDARD                                                                                   \
	{                                                                                          \
		'|', '^', '~', '\\', '&', 0                                                        \
	}

static const struct parse_case parses[] = {
	{ "the usual ones", BYTES("MSH|^~\\&|A|B"), 0, true, STANDARD },
	{ "the usual ones, and nothing behind", BYTES("MSH|^~\\&"), 0, true, STANDARD },
	{ "others", BYTES("MSH!@#$%!A"), 0, true, { '!', '@', '#', '$', '%', 0 } },
	{ "three: no subcomponents", BYTES("MSH|^~\\|A"), 0, true, { '|', '^', '~', '\\', 0, 0 } },
	{ "five: a truncation character", BYTES("MSH|^~\\&#|A"), 0, true,
		{ '|', '^', '~', '\\', '&', '#' } },
	{ "two are too few: the standard's", BYTES("MSH|^~|A"), 0, true, STANDARD },
	{ "six are too many: the standard's", BYTES("MSH|^~\\&#!|A"), 0, true, STANDARD },
	{ "none: the standard's", BYTES("MSH||A"), 0, true, STANDARD },
	{ "a header that ends behind the separator", BYTES("MSH|"), 0, true, STANDARD },
	{ "doubled: the standard's", BYTES("MSH|^^\\&|A"), 0, true, STANDARD },
	{ "letters: the standard's", BYTES("MSH|^~a&|A"), 0, true, STANDARD },
	{ "digits: the standard's", BYTES("MSH|1234|A"), 0, true, STANDARD },
	{ "a blank: the standard's", BYTES("MSH|^~ &|A"), 0, true, STANDARD },
	{ "a NUL: the standard's", BYTES("MSH|^~\0&|A"), 0, true, STANDARD },
	{ "a VT: the standard's", BYTES("MSH|^~\x0B&|A"), 0, true, STANDARD },
	{ "a byte above ASCII: the standard's", BYTES("MSH|^~\xE9&|A"), 0, true, STANDARD },
	{ "another separator, no usable MSH-2", BYTES("MSH*ABCD*A"), 0, true,
		{ '*', '^', '~', '\\', '&', 0 } },
	{ "a separator that is a standard's component, MSH-2 of its own", BYTES("MSH^|~\\&^A"), 0,
		true, { '^', '|', '~', '\\', '&', 0 } },
	{ "a separator that clashes with the standard's component", BYTES("MSH^XY^A"), 0, false,
		{ '^', 0, '~', '\\', '&', 0 } },
	{ "a separator that clashes with the standard's escape", BYTES("MSH\\XY\\A"), 0, false,
		{ '\\', '^', '~', 0, '&', 0 } },
	{ "a separator that clashes with the standard's subcomponent", BYTES("MSH&XY&A"), 0, true,
		{ '&', '^', '~', '\\', 0, 0 } },
	{ "batch headers are alike", BYTES("BHS|^~\\&|A"), 0, true, STANDARD },
	{ "the name alone", BYTES("MSH"), DELIMITERS_E_NO_HEADER, false, { 0 } },
	{ "less than a name", BYTES("MS"), DELIMITERS_E_NO_HEADER, false, { 0 } },
	{ "nothing", BYTES(""), DELIMITERS_E_NO_HEADER, false, { 0 } },
	{ "a letter behind the name", BYTES("MSHA^~\\&A"), DELIMITERS_E_NO_HEADER, false, { 0 } },
	{ "a blank behind the name", BYTES("MSH ^~\\& A"), DELIMITERS_E_NO_HEADER, false, { 0 } },
	{ "a NUL behind the name", BYTES("MSH\0^~\\&"), DELIMITERS_E_NO_HEADER, false, { 0 } },
	{ "a byte above ASCII behind the name", BYTES("MSH\xA6^~\\&"), DELIMITERS_E_NO_HEADER,
		false, { 0 } },
};

static void
parse(void **state)
{
	const struct parse_case *c = *state;
	struct guard g = guard_map(c->header.n, 1);
	struct delimiters d;

	memset(&d, 0xA5, sizeof(d));
	assert_int_equal(delimiters_parse(guard_copy(&g, c->header), &d), c->result);
	if (c->result == 0) {
		assert_true(delimiters_equal(&d, &c->d));
		assert_int_equal(delimiters_usable(&d), c->usable);
	}
	guard_unmap(&g);
}

struct spell_case {
	const char *name;
	struct delimiters d;
	struct span spelled;
	bool usable;
};

static const struct spell_case spells[] = {
	{ "four are spelled", STANDARD, BYTES("^~\\&"), true },
	{ "three are spelled", { '|', '^', '~', '\\', 0, 0 }, BYTES("^~\\"), true },
	{ "five are spelled", { '|', '^', '~', '\\', '&', '#' }, BYTES("^~\\&#"), true },
	{ "none is unusable", { '|', 0, 0, 0, 0, 0 }, BYTES(""), false },
	{ "a gap ends it", { '|', '^', '~', 0, '&', 0 }, BYTES("^~"), false },
	{ "a double is unusable", { '|', '^', '~', '^', '&', 0 }, BYTES("^~^&"), false },
	{ "the separator among them is unusable", { '^', '^', '~', '\\', '&', 0 }, BYTES("^~\\&"),
		false },
	{ "no separator is unusable", { 0, '^', '~', '\\', '&', 0 }, BYTES("^~\\&"), false },
};

static void
spell(void **state)
{
	const struct spell_case *c = *state;
	uint8_t chars[5];
	size_t n = delimiters_encoding_characters(&c->d, chars);

	assert_span_equal(span_of(chars, n), c->spelled);
	assert_int_equal(delimiters_usable(&c->d), c->usable);
}

static void
standard(void **state)
{
	(void)state;
	assert_true(delimiters_usable(&delimiters_standard));
	assert_true(delimiters_equal(&delimiters_standard, &(struct delimiters)STANDARD));
	assert_false(delimiters_equal(
		&delimiters_standard, &(struct delimiters){ '|', '^', '~', '\\', '&', '#' }));
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, parse, parses);
	add_cases(&s, spell, spells);
	add_test(&s, "the standard's", standard);
	return run_suite("delimiters", &s);
}
