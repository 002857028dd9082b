/* SPDX-License-Identifier: MIT */
#include "hl7/split.h"

#include "guard.h"
#include "unit.h"

#define HEAD  "MSH|^~\\&|A|B"
#define HEAD2 "MSH|^~\\&|C|D"
#define VT    "\x0B"
#define FS    "\x1C"
#define BOM   "\xEF\xBB\xBF"

struct split_case {
	const char *name;
	struct span file;
	struct span messages[3];
	size_t n, skipped;
};

static const struct split_case cases[] = {
	{ "an empty file", BYTES("") },
	{ "a bare message with CR", BYTES(HEAD "\rPID|1\r"), { BYTES(HEAD "\rPID|1\r") }, 1 },
	{ "with LF", BYTES(HEAD "\nPID|1\n"), { BYTES(HEAD "\rPID|1\r") }, 1 },
	{ "with CRLF", BYTES(HEAD "\r\nPID|1\r\n"), { BYTES(HEAD "\rPID|1\r") }, 1 },
	{ "without a line end at its end", BYTES(HEAD "\nPID|1"), { BYTES(HEAD "\rPID|1\r") }, 1 },
	{ "a lone LF among CR stays", BYTES(HEAD "\rNTE|1||a\nb\r"),
		{ BYTES(HEAD "\rNTE|1||a\nb\r") }, 1 },
	{ "blank lines at the end go", BYTES(HEAD "\r\r\n\n\r"), { BYTES(HEAD "\r") }, 1 },
	{ "a framed message is taken byte for byte", BYTES(VT HEAD "\nPID|1\n\n" FS "\r"),
		{ BYTES(HEAD "\nPID|1\n\n") }, 1 },
	{ "a frame without its end", BYTES(VT HEAD "\rPID|1"), { BYTES(HEAD "\rPID|1") }, 1 },
	{ "an MSH inside a frame begins no message", BYTES(VT HEAD "\r" HEAD2 "\r" FS "\r"),
		{ BYTES(HEAD "\r" HEAD2 "\r") }, 1 },
	{ "two bare messages", BYTES(HEAD "\rPID|1\r" HEAD2 "\r"),
		{ BYTES(HEAD "\rPID|1\r"), BYTES(HEAD2 "\r") }, 2 },
	{ "two with blank lines between", BYTES(HEAD "\n\n\n" HEAD2 "\n"),
		{ BYTES(HEAD "\r"), BYTES(HEAD2 "\r") }, 2 },
	{ "two frames", BYTES(VT HEAD "\r" FS "\r" VT HEAD2 "\r" FS "\r"),
		{ BYTES(HEAD "\r"), BYTES(HEAD2 "\r") }, 2 },
	{ "a frame and a bare one", BYTES(VT HEAD "\r" FS "\r" HEAD2 "\r"),
		{ BYTES(HEAD "\r"), BYTES(HEAD2 "\r") }, 2 },
	{ "MSH inside a field begins nothing", BYTES(HEAD "\rNTE|MSH|^~\\&|x\r"),
		{ BYTES(HEAD "\rNTE|MSH|^~\\&|x\r") }, 1 },
	{ "a line MSH without a separator begins nothing", BYTES(HEAD "\rMSHELL\r"),
		{ BYTES(HEAD "\rMSHELL\r") }, 1 },
	{ "a byte order mark", BYTES(BOM HEAD "\n"), { BYTES(HEAD "\r") }, 1 },
	{ "a byte order mark before each", BYTES(BOM HEAD "\n" BOM HEAD2 "\n"),
		{ BYTES(HEAD "\r"), BYTES(HEAD2 "\r") }, 2 },
	{ "blanks before the header", BYTES("  " HEAD "\n\t" HEAD2 "\n"),
		{ BYTES(HEAD "\r"), BYTES(HEAD2 "\r") }, 2 },
	{ "a batch", BYTES("FHS|^~\\&\rBHS|^~\\&\r" HEAD "\rPID|1\r" HEAD2 "\rBTS|2\rFTS|1\r"),
		{ BYTES(HEAD "\rPID|1\r"), BYTES(HEAD2 "\r") }, 2 },
	{ "two batches", BYTES("BHS|^~\\&\n" HEAD "\nBTS|1\nBHS|^~\\&\n" HEAD2 "\nBTS|1\n"),
		{ BYTES(HEAD "\r"), BYTES(HEAD2 "\r") }, 2 },
	{ "what is before the first message is counted", BYTES("to whom\nit concerns\n" HEAD "\n"),
		{ BYTES(HEAD "\r") }, 1, 16 },
	{ "a file of something else", BYTES("PID|1\nPV1|1\n"), .skipped = 10 },
	{ "NUL inside a message is data", BYTES(HEAD "\rNTE|\0\r"), { BYTES(HEAD "\rNTE|\0\r") },
		1 },
	{ "a header cut off", BYTES("MSH"), .skipped = 3 },
};

static void
split(void **state)
{
	const struct split_case *c = *state;
	struct guard g = guard_map(c->file.n, 1);
	struct buffer out = BUFFER_INIT(1000);
	struct span file = guard_copy(&g, c->file);
	struct splitter s = splitter_begin(file);
	size_t i, offset;

	for (i = 0; i < c->n; i++) {
		assert_int_equal(splitter_next(&s, &out, &offset), 0);
		assert_span_equal(buffer_span(&out), c->messages[i]);
		assert_true(span_starts(span_from(file, offset), SPAN("MSH")));
	}
	assert_int_equal(splitter_next(&s, &out, &offset), SPLIT_E_END);
	assert_int_equal(splitter_next(&s, &out, &offset), SPLIT_E_END);
	assert_int_equal(s.skipped, c->skipped);
	buffer_deinit(&out);
	guard_unmap(&g);
}

static void
too_large_and_on(void **state)
{
	struct buffer out = BUFFER_INIT(sizeof(HEAD2));
	struct splitter s = splitter_begin(SPAN(HEAD "\rPID|1\r" HEAD2 "\r"));
	size_t offset;

	(void)state;
	assert_int_equal(splitter_next(&s, &out, &offset), SPLIT_E_TOO_LARGE);
	assert_int_equal(splitter_next(&s, &out, &offset), 0);
	assert_span_equal(buffer_span(&out), SPAN(HEAD2 "\r"));
	assert_int_equal(offset, sizeof(HEAD "\rPID|1\r") - 1);
	assert_int_equal(splitter_next(&s, &out, &offset), SPLIT_E_END);
	buffer_deinit(&out);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, split, cases);
	add_test(&s, "a message that is too large, and the next", too_large_and_on);
	return run_suite("split", &s);
}
