/* SPDX-License-Identifier: MIT */
#include "template/charset.h"

#include "unit.h"

#include <errno.h>

struct name_case {
	const char *name;
	const char *set; /* NULL: unknown */
};

static const struct name_case names[] = {
	{ "UNICODE UTF-8", "UNICODE UTF-8" },
	{ "utf8", "UNICODE UTF-8" },
	{ "UTF-8", "UNICODE UTF-8" },
	{ "UNICODE", "UNICODE UTF-8" },
	{ "8859/1", "8859/1" },
	{ "ISO-8859-1", "8859/1" },
	{ "iso_8859-15", "8859/15" },
	{ "ISO IR100", "8859/1" },
	{ "windows-1252", "windows-1252" },
	{ "CP1252", "windows-1252" },
	{ "GB 18030-2000", "GB 18030-2000" },
	{ "Shift_JIS", "Shift_JIS" },
	{ "ISO IR87", "ISO IR87" },
	{ "ISO IR159", "ISO IR159" },
	{ "UNICODE UTF-16", NULL }, /* MLLP cannot carry it */
	{ "UNICODE UTF-32", NULL },
	{ "EBCDIC", NULL },
	{ "", NULL },
};

static void
name(void **state)
{
	const struct name_case *c = *state;
	const struct charset *set = charset_find(span_str(c->name));

	if (c->set)
		assert_string_equal(set->name, c->set);
	else
		assert_null(set);
}

struct message_case {
	const char *name; /* MSH-18 */
	const char *iconv;
};

static const struct message_case messages[] = {
	{ "", "UTF-8" }, /* ASCII is a part of it, and many do not say what they send */
	{ "ASCII", "UTF-8" },
	{ "8859/1~8859/2", "ISO-8859-1" },
	{ "~ISO IR87", "ISO-2022-JP-3" },
	{ "ISO IR6~ISO IR159", "ISO-2022-JP-2" },
};

static void
of_message(void **state)
{
	const struct message_case *c = *state;
	const struct charset *set = NULL;

	assert_int_equal(charset_of_message(span_str(c->name), &delimiters_standard, &set), 0);
	assert_string_equal(set->iconv, c->iconv);
}

static void
unknown_of_message(void **state)
{
	const struct charset *set = NULL;

	(void)state;
	assert_int_equal(
		charset_of_message(SPAN("EBCDIC"), &delimiters_standard, &set), CHARSET_E_UNKNOWN);
}

struct convert_case {
	const char *name;
	const char *set;
	struct span bytes, text; /* in the set, in UTF-8 */
};

static const struct convert_case converts[] = {
	{ "an umlaut in Latin 1", "8859/1", BYTES("M\xFCller"), BYTES("M\xC3\xBCller") },
	{ "the euro in Latin 9", "8859/15", BYTES("\xA4"), BYTES("\xE2\x82\xAC") },
	{ "the euro in windows-1252", "windows-1252", BYTES("\x80"), BYTES("\xE2\x82\xAC") },
	{ "Greek", "8859/7", BYTES("\xE1"), BYTES("\xCE\xB1") },
	{ "GB18030", "GB18030", BYTES("\xD6\xD0"), BYTES("\xE4\xB8\xAD") },
	{ "a second byte that looks like a backslash", "Shift_JIS", BYTES("\x95\x5C"),
		BYTES("\xE8\xA1\xA8") },
	{ "half-width kana of JIS X 0201", "ISO IR14", BYTES("\xB1"), BYTES("\xEF\xBD\xB1") },
	{ "ISO 2022, with its escape sequences", "ISO IR87", BYTES("a\x1B$B;3\x1B(B|"),
		BYTES("a\xE5\xB1\xB1|") },
	{ "nothing", "8859/1", BYTES(""), BYTES("") },
};

static void
both_ways(void **state)
{
	const struct convert_case *c = *state;
	const struct charset *set = charset_find(span_str(c->set));
	struct buffer text = BUFFER_INIT(1000), bytes = BUFFER_INIT(1000);
	size_t at;

	assert_int_equal(charset_decode(set, c->bytes, &delimiters_standard, NULL, &text, &at), 0);
	assert_span_equal(buffer_span(&text), c->text);
	assert_int_equal(charset_encode(set, c->text, NULL, &bytes, &at), 0);
	assert_span_equal(buffer_span(&bytes), c->bytes);
	buffer_deinit(&text);
	buffer_deinit(&bytes);
}

/* ESC $ B and ESC ( B as HL7 spells them. */
static void
switches_in_hexadecimal(void **state)
{
	struct buffer text = BUFFER_INIT(1000);
	size_t at;

	(void)state;
	assert_int_equal(
		charset_decode(charset_find(SPAN("ISO IR87")), SPAN("a\\M2442\\;3\\C2842\\|\\F\\"),
			&delimiters_standard, NULL, &text, &at),
		0);
	assert_span_equal(buffer_span(&text), SPAN("a\xE5\xB1\xB1|\\F\\"));
	buffer_deinit(&text);
}

static void
bad_characters(void **state)
{
	const struct charset *utf8 = charset_find(SPAN("UTF-8"));
	const struct charset *latin = charset_find(SPAN("8859/1"));
	const struct span substitute = SPAN("?");
	struct buffer out = BUFFER_INIT(1000);
	size_t at = 99;

	(void)state;
	assert_int_equal(charset_decode(utf8,
				 SPAN("ab\xFF"
				      "cd"),
				 &delimiters_standard, NULL, &out, &at),
		CHARSET_E_CHARACTER);
	assert_int_equal(at, 2);
	buffer_clear(&out);
	assert_int_equal(charset_decode(utf8,
				 SPAN("ab\xFF"
				      "cd\xC3"),
				 &delimiters_standard, &substitute, &out, &at),
		0);
	assert_span_equal(buffer_span(&out), SPAN("ab?cd?"));
	buffer_clear(&out);
	assert_int_equal(charset_encode(latin, SPAN("x\xE2\x82\xACy"), NULL, &out, &at),
		CHARSET_E_CHARACTER);
	assert_int_equal(at, 1);
	buffer_clear(&out);
	assert_int_equal(charset_encode(latin, SPAN("x\xE2\x82\xACy"), &substitute, &out, &at), 0);
	assert_span_equal(buffer_span(&out), SPAN("x?y"));
	buffer_deinit(&out);
}

static void
output_limit(void **state)
{
	struct buffer out = BUFFER_INIT(100);
	uint8_t bytes[200];
	size_t at;

	(void)state;
	memset(bytes, 0xFC, sizeof(bytes));
	assert_int_equal(charset_decode(charset_find(SPAN("8859/1")), span_of(bytes, sizeof(bytes)),
				 &delimiters_standard, NULL, &out, &at),
		-EFBIG);
	buffer_deinit(&out);
}

/* Every name that is known has a conversion in this C library. */
static void
all_available(void **state)
{
	static const char *const all[] = { "UTF-8", "ASCII", "8859/1", "8859/2", "8859/3", "8859/4",
		"8859/5", "8859/6", "8859/7", "8859/8", "8859/9", "8859/15", "CP1250", "CP1251",
		"CP1252", "CP1253", "CP1254", "GB18030", "BIG5", "KS X 1001", "CNS 11643-1992",
		"ISO IR14", "SJIS", "ISO IR87", "ISO IR159" };
	struct buffer out = BUFFER_INIT(100);
	size_t i, at;

	(void)state;
	for (i = 0; i < N_OF(all); i++)
		assert_int_equal(charset_decode(charset_find(span_str(all[i])), SPAN("a"),
					 &delimiters_standard, NULL, &out, &at),
			0);
	buffer_deinit(&out);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, name, names);
	add_cases(&s, of_message, messages);
	add_test(&s, "MSH-18 names a set that is not known", unknown_of_message);
	add_cases(&s, both_ways, converts);
	add_test(&s, "all have a conversion", all_available);
	add_test(&s, "switches in hexadecimal", switches_in_hexadecimal);
	add_test(&s, "bad characters and substitutes", bad_characters);
	add_test(&s, "a result that is too large", output_limit);
	return run_suite("charset", &s);
}
