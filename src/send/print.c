/* SPDX-License-Identifier: MIT */
#include "send/print.h"
#include "cli/output.h"

void
print_answer(struct span payload, FILE *out)
{
	struct span rest = payload, line;
	bool safe = output_is_terminal(out);
	uint8_t end = span_find(payload, '\r') < payload.n ? '\r' : '\n';

	while (span_cut(&rest, end, &line)) {
		if (line.n == 0)
			continue;
		output_bytes(out, line, safe);
		(void)fputc('\n', out);
	}
}
