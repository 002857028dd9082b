/* SPDX-License-Identifier: MIT */
#include "cli/output.h"

#include <unistd.h>

bool
output_is_terminal(FILE *out)
{
	return isatty(fileno(out)) == 1;
}

static bool
is_control(struct span s, size_t i)
{
	/* C1 controls come in UTF-8 as C2 80 to C2 9F */
	return s.p[i] < ' ' || s.p[i] == 0x7F ||
	       (s.p[i] == 0xC2 && i + 1 < s.n && s.p[i + 1] >= 0x80 && s.p[i + 1] < 0xA0);
}

void
output_bytes(FILE *out, struct span bytes, bool safe)
{
	size_t i;

	if (!safe && bytes.n > 0)
		(void)fwrite(bytes.p, 1, bytes.n, out);
	if (!safe)
		return;
	for (i = 0; i < bytes.n; i++) {
		if (is_control(bytes, i))
			(void)fprintf(out, "\\x%02x", bytes.p[i]);
		else
			(void)fputc(bytes.p[i], out);
	}
}
