/* SPDX-License-Identifier: MIT */

/*
 * Character sets: whatever comes in, what is decoded is UTF-8, and what can be encoded comes back
 * the same.
 */

#include "template/charset.h"

#include "fuzz.h"

static const char *const names[] = { "UTF-8", "8859/1", "8859/15", "windows-1252", "GB18030",
	"Shift_JIS", "ISO IR87", "ISO IR159", "BIG-5", "KS X 1001", "ISO IR14", "CNS 11643-1992" };

#define N_NAMES (sizeof(names) / sizeof(names[0]))

static bool
is_utf8(struct span s)
{
	struct buffer again = BUFFER_INIT(s.n + 64);
	size_t at;
	int r = charset_decode(
		charset_find(SPAN("UTF-8")), s, &delimiters_standard, NULL, &again, &at);
	bool same = r == 0 && span_eq(buffer_span(&again), s);

	buffer_deinit(&again);
	return same;
}

/* What a set could represent, it gives back. */
static void
there_and_back(const struct charset *c, struct span text)
{
	struct buffer bytes = BUFFER_INIT(text.n * 8 + 64), again = BUFFER_INIT(text.n * 8 + 64);
	size_t at = 0;
	int r = charset_encode(c, text, NULL, &bytes, &at);

	require(r == 0 || (r == CHARSET_E_CHARACTER && at < text.n));
	if (r == 0 && !c->iso_2022) {
		require(charset_decode(c, buffer_span(&bytes), &delimiters_standard, NULL, &again,
				&at) == 0);
		require(is_utf8(buffer_span(&again)));
	}
	buffer_deinit(&bytes);
	buffer_deinit(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	const struct charset *from = charset_find(span_str(names[take_byte(&input) % N_NAMES]));
	const struct charset *to = charset_find(span_str(names[take_byte(&input) % N_NAMES]));
	const struct span substitute = SPAN("?");
	struct buffer text = BUFFER_INIT(size * 8 + 64);
	size_t at = 0;
	int r;

	r = charset_decode(from, input, &delimiters_standard, NULL, &text, &at);
	require(r == 0 || r == CHARSET_E_CHARACTER);
	buffer_clear(&text);
	r = charset_decode(from, input, &delimiters_standard, &substitute, &text, &at);
	require(r == 0 || (r == CHARSET_E_CHARACTER && from->iso_2022));
	if (r == 0) {
		require(is_utf8(buffer_span(&text)));
		there_and_back(to, buffer_span(&text));
	}
	buffer_deinit(&text);
	return 0;
}
