/* SPDX-License-Identifier: MIT */
#include "hl7/escape.h"

#include "guard.h"
#include "unit.h"

#define STANDARD                                                                                   \
	{                                                                                          \
		'|', '^', '~', '\\', '&', 0                                                        \
	}
#define TRUNCATES                                                                                  \
	{                                                                                          \
		'|', '^', '~', '\\', '&', '#'                                                      \
	}
#define OTHERS                                                                                     \
	{                                                                                          \
		'!', '@', '#', '$', '%', 0                                                         \
	}
#define THREE                                                                                      \
	{                                                                                          \
		'|', '^', '~', '\\', 0, 0                                                          \
	}
#define SWAPPED                                                                                    \
	{                                                                                          \
		'^', '|', '\\', '~', '&', 0                                                        \
	}

struct text_case {
	const char *name;
	struct span text;
	struct delimiters to;
	struct span written;
};

static const struct text_case texts[] = {
	{ "plain", BYTES("Test text 1.5"), STANDARD, BYTES("Test text 1.5") },
	{ "nothing", BYTES(""), STANDARD, BYTES("") },
	{ "all delimiters", BYTES("|^~\\&"), STANDARD, BYTES("\\F\\\\S\\\\R\\\\E\\\\T\\") },
	{ "a truncation character where there is one", BYTES("a#"), TRUNCATES, BYTES("a\\P\\") },
	{ "and where there is none", BYTES("a#"), STANDARD, BYTES("a#") },
	{ "others' delimiters are plain", BYTES("!@#$%"), STANDARD, BYTES("!@#$%") },
	{ "with other delimiters", BYTES("a!b@c$"), OTHERS, BYTES("a$F$b$S$c$E$") },
	{ "line ends and frame bytes",
		BYTES("a\rb\nc\x0B"
		      "d\x1C"),
		STANDARD, BYTES("a\\X0D\\b\\X0A\\c\\X0B\\d\\X1C\\") },
	{ "of control characters only a tab stays", BYTES("\0\t\x7F"), STANDARD,
		BYTES("\\X00\\\t\\X7F\\") },
	{ "bytes above ASCII stay", BYTES("\xC3\xA4\xFF"), STANDARD, BYTES("\xC3\xA4\xFF") },
	{ "without a subcomponent character & is plain", BYTES("a&b"), THREE, BYTES("a&b") },
	{ "without an escape character what cannot stand is a blank", BYTES("a^b\r"),
		{ '|', '^', '~', 0, 0, 0 }, BYTES("a b ") },
};

static void
text(void **state)
{
	const struct text_case *c = *state;
	struct guard g = guard_map(c->text.n, 1);
	struct buffer out = BUFFER_INIT(1000), back = BUFFER_INIT(1000);

	assert_int_equal(escape_text(&out, guard_copy(&g, c->text), &c->to), 0);
	assert_span_equal(buffer_span(&out), c->written);
	if (c->to.escape) {
		assert_int_equal(escape_decode(&back, buffer_span(&out), &c->to), 0);
		assert_span_equal(buffer_span(&back), c->text);
	}
	buffer_deinit(&out);
	buffer_deinit(&back);
	guard_unmap(&g);
}

struct translate_case {
	const char *name;
	struct span part;
	struct delimiters from, to;
	struct span written;
	bool segment;
};

static const struct translate_case translations[] = {
	{ "the same delimiters: byte for byte", BYTES("A^B&C~D\\F\\\\Zx\\4\\5"), STANDARD, STANDARD,
		BYTES("A^B&C~D\\F\\\\Zx\\4\\5") },
	{ "the same delimiters, but raw breaks", BYTES("a\nb\x0B\x1C\r"), STANDARD, STANDARD,
		BYTES("a\\X0A\\b\\X0B\\\\X1C\\\\X0D\\") },
	{ "structure stays structure", BYTES("A@B%C#D"), OTHERS, STANDARD, BYTES("A^B&C~D") },
	{ "escaped delimiters stay data", BYTES("a$F$$S$$R$$E$$T$b"), OTHERS, STANDARD,
		BYTES("a!@#$%b") },
	{ "data that is a delimiter of the other is escaped", BYTES("a|b^c\\d"), OTHERS, STANDARD,
		BYTES("a\\F\\b\\S\\c\\E\\d") },
	{ "delimiters that changed places", BYTES("a|b^c"), SWAPPED, STANDARD, BYTES("a^b\\S\\c") },
	{ "formatting is carried over", BYTES("a\\.br\\b\\H\\c\\N\\"), STANDARD, OTHERS,
		BYTES("a$.br$b$H$c$N$") },
	{ "bytes in hexadecimal are carried over", BYTES("\\X0D0A\\"), STANDARD, OTHERS,
		BYTES("$X0D0A$") },
	{ "a lone escape character is data", BYTES("4\\5"), STANDARD, OTHERS, BYTES("4\\5") },
	{ "and escaped where it must be", BYTES("4$5"), OTHERS, { '|', '^', '~', '$', '&', 0 },
		BYTES("4$E$5") },
	{ "an unterminated sequence is data", BYTES("a\\F"), STANDARD, OTHERS, BYTES("a\\F") },
	{ "an unknown sequence is data", BYTES("\\Q\\"), STANDARD, OTHERS, BYTES("\\Q\\") },
	{ "an empty sequence is data", BYTES("a\\\\b"), STANDARD, OTHERS, BYTES("a\\\\b") },
	{ "a path with backslashes keeps its components", BYTES("C:\\Xtemp^D:\\foo"), STANDARD,
		OTHERS, BYTES("C:\\Xtemp@D:\\foo") },
	{ "a path with backslashes keeps its repetitions", BYTES("\\Zone~\\Ztwo"), STANDARD, OTHERS,
		BYTES("\\Zone#\\Ztwo") },
	{ "a path with backslashes keeps its subcomponents", BYTES("\\.a&\\.b"), STANDARD, OTHERS,
		BYTES("\\.a%\\.b") },
	{ "no sequence reaches over a field separator", BYTES("ZZZ|\\Xa|b\\"), STANDARD, OTHERS,
		BYTES("ZZZ!\\Xa!b\\"), true },
	{ "a sequence that holds a delimiter of the other is written as text", BYTES("$Za|b$"),
		OTHERS, STANDARD, BYTES("$Za\\F\\b$") },
	{ "raw breaks become data", BYTES("a\rb\nc"), STANDARD, OTHERS, BYTES("a$X0D$b$X0A$c") },
	{ "a break inside a sequence becomes data", BYTES("\\Za\rb\\"), STANDARD, OTHERS,
		BYTES("\\Za$X0D$b\\") },
	{ "a delimiter that the other lacks becomes data", BYTES("a&b"), STANDARD, THREE,
		BYTES("a&b") },
	{ "a field separator in a field is data", BYTES("a|b"), STANDARD, OTHERS, BYTES("a|b") },
	{ "in a segment it is structure", BYTES("ZZZ|a^b|c"), STANDARD, OTHERS, BYTES("ZZZ!a@b!c"),
		true },
	{ "in a segment data stays data", BYTES("ZZZ!a|b!c"), OTHERS, STANDARD,
		BYTES("ZZZ|a\\F\\b|c"), true },
	{ "delete this value", BYTES("\"\""), STANDARD, OTHERS, BYTES("\"\"") },
	{ "nothing", BYTES(""), STANDARD, OTHERS, BYTES("") },
};

static void
translate(void **state)
{
	const struct translate_case *c = *state;
	struct guard g = guard_map(c->part.n, 1);
	struct span part = guard_copy(&g, c->part);
	struct buffer out = BUFFER_INIT(1000);
	int r;

	r = c->segment ? escape_translate_segment(&out, part, &c->from, &c->to)
		       : escape_translate(&out, part, &c->from, &c->to);
	assert_int_equal(r, 0);
	assert_span_equal(buffer_span(&out), c->written);
	buffer_deinit(&out);
	guard_unmap(&g);
}

struct decode_case {
	const char *name;
	struct span part;
	struct delimiters from;
	struct span data;
};

static const struct decode_case decodes[] = {
	{ "plain", BYTES("abc"), STANDARD, BYTES("abc") },
	{ "delimiters", BYTES("\\F\\\\S\\\\R\\\\E\\\\T\\"), STANDARD, BYTES("|^~\\&") },
	{ "the delimiters are the sender's", BYTES("$F$$S$"), OTHERS, BYTES("!@") },
	{ "a truncation character", BYTES("\\P\\"), TRUNCATES, BYTES("#") },
	{ "a truncation character that is not declared", BYTES("\\P\\"), STANDARD, BYTES("\\P\\") },
	{ "bytes in hexadecimal", BYTES("\\X0D\\\\X4142\\\\Xfe\\"), STANDARD,
		BYTES("\r"
		      "AB"
		      "\xFE") },
	{ "leading zeros are bytes", BYTES("\\X000d\\"), STANDARD, BYTES("\0\r") },
	{ "an odd number of digits is kept", BYTES("\\X0D0\\"), STANDARD, BYTES("\\X0D0\\") },
	{ "no digit is kept", BYTES("\\X\\"), STANDARD, BYTES("\\X\\") },
	{ "what is no digit is kept", BYTES("\\X0G\\"), STANDARD, BYTES("\\X0G\\") },
	{ "formatting is kept", BYTES("a\\.br\\b"), STANDARD, BYTES("a\\.br\\b") },
	{ "a lone escape character", BYTES("4\\5"), STANDARD, BYTES("4\\5") },
	{ "one at the end", BYTES("a\\"), STANDARD, BYTES("a\\") },
	{ "a lone one before a sequence", BYTES("a\\b\\F\\"), STANDARD, BYTES("a\\b|") },
	{ "small letters are no sequence", BYTES("\\f\\"), STANDARD, BYTES("\\f\\") },
	{ "without an escape character nothing is decoded", BYTES("\\F\\"),
		{ '|', '^', '~', 0, 0, 0 }, BYTES("\\F\\") },
};

static void
decode(void **state)
{
	const struct decode_case *c = *state;
	struct guard g = guard_map(c->part.n, 1);
	struct buffer out = BUFFER_INIT(1000);

	assert_int_equal(escape_decode(&out, guard_copy(&g, c->part), &c->from), 0);
	assert_span_equal(buffer_span(&out), c->data);
	buffer_deinit(&out);
	guard_unmap(&g);
}

/* Every byte, alone and between others, written as data by every set of delimiters, reads the same
 * again. */
static void
every_byte_comes_back(void **state)
{
	static const struct delimiters sets[] = { STANDARD, TRUNCATES, OTHERS, THREE, SWAPPED };
	struct buffer out = BUFFER_INIT(1000), back = BUFFER_INIT(1000);
	uint8_t bytes[3] = { 'a', 0, 'F' };
	unsigned byte;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(sets); i++)
		for (byte = 0; byte < 256; byte++) {
			bytes[1] = (uint8_t)byte;
			buffer_clear(&out);
			buffer_clear(&back);
			assert_int_equal(escape_text(&out, span_of(bytes, 3), &sets[i]), 0);
			assert_int_equal(escape_decode(&back, buffer_span(&out), &sets[i]), 0);
			assert_span_equal(buffer_span(&back), span_of(bytes, 3));
		}
	buffer_deinit(&out);
	buffer_deinit(&back);
}

static void
stops_at_the_limit(void **state)
{
	const struct delimiters standard = STANDARD, others = OTHERS;
	struct buffer out = BUFFER_INIT(4);

	(void)state;
	assert_int_equal(escape_text(&out, SPAN("abcd"), &standard), 0);
	buffer_clear(&out);
	assert_int_equal(escape_text(&out, SPAN("abcde"), &standard), BUFFER_E_FULL);
	buffer_clear(&out);
	assert_int_equal(escape_text(&out, SPAN("ab|"), &standard), BUFFER_E_FULL);
	buffer_clear(&out);
	assert_int_equal(
		escape_translate(&out, SPAN("abcde"), &standard, &standard), BUFFER_E_FULL);
	buffer_clear(&out);
	assert_int_equal(escape_translate(&out, SPAN("a^b^c"), &standard, &others), BUFFER_E_FULL);
	buffer_clear(&out);
	assert_int_equal(escape_decode(&out, SPAN("abcde"), &standard), BUFFER_E_FULL);
	buffer_deinit(&out);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, text, texts);
	add_cases(&s, translate, translations);
	add_cases(&s, decode, decodes);
	add_test(&s, "every byte comes back", every_byte_comes_back);
	add_test(&s, "the limit of the buffer", stops_at_the_limit);
	return run_suite("escape", &s);
}
