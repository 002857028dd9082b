/* SPDX-License-Identifier: MIT */

/* A file of messages: each begins with a header, none comes twice, and what is sent can be framed.
 */

#include "hl7/split.h"
#include "hl7/message.h"

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer out = BUFFER_INIT(size + 1);
	struct span file = span_of(data, size);
	struct splitter s = splitter_begin(file);
	size_t offset = 0, behind = 0, total = 0;
	struct message m;
	int r;

	while ((r = splitter_next(&s, &out, &offset)) == 0) {
		require(offset >= behind && offset < size);
		require(span_starts(span_from(file, offset), SPAN("MSH")));
		require(s.at > offset && s.at <= size);
		behind = s.at;
		require(!count_byte(buffer_span(&out), 0x0B) &&
			!count_byte(buffer_span(&out), 0x1C));
		require(message_parse(&m, buffer_span(&out)) == 0);
		require(m.header == 0 && m.preamble_bytes == 0);
		message_deinit(&m);
		total += out.n;
	}
	require(r == SPLIT_E_END);
	require(s.skipped + total <= size + 1);
	buffer_deinit(&out);
	return 0;
}
