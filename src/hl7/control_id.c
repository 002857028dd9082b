/* SPDX-License-Identifier: MIT */
#include "hl7/control_id.h"

static void
write_base36(char *ret, int digits, uint64_t value)
{
	while (digits-- > 0) {
		ret[digits] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[value % 36];
		value /= 36;
	}
}

void
control_id_next(struct control_id_source *s, uint64_t now_usec, char ret[CONTROL_ID_CHARS + 1])
{
	s->last_usec = now_usec > s->last_usec ? now_usec : s->last_usec + 1;
	write_base36(ret, 10, s->last_usec);
	write_base36(ret + 10, 5, s->pid);
	write_base36(ret + 15, 5, s->random);
	ret[CONTROL_ID_CHARS] = 0;
}
