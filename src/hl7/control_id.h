/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * New message control ids (MSH-10): at most 20 characters, the standard's limit up to version 2.6.
 *
 * 10 digits of base 36 for the microsecond, 5 for the process, 5 at random: two processes that
 * start in the same microsecond differ by their number, two machines or containers by chance.
 */

#include <stdint.h>

#define CONTROL_ID_CHARS 20

struct control_id_source {
	uint64_t last_usec;
	uint32_t pid;
	uint32_t random;
};

/* `ret` has CONTROL_ID_CHARS characters and a NUL. A clock that stands still or goes back does not
 * make the same id twice. */
void control_id_next(
	struct control_id_source *s, uint64_t now_usec, char ret[CONTROL_ID_CHARS + 1]);
