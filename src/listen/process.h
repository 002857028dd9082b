/* SPDX-License-Identifier: MIT */
#pragma once

/* A process that somebody else starts for what is passed to it: what it begins with. */

#include <signal.h>
#include <stdbool.h>

/* SIGTERM is taken only while no frame is in hand: `ret_idle_mask` lets it through, at other times
 * it stays pending. A peer that left is told by EPIPE, a limit on file sizes by EFBIG. */
void process_set_signals(sigset_t *ret_idle_mask);

/* Whether SIGTERM is pending. */
bool process_asked_to_stop(void);

/* Says why inherit_sockets() took none, and `hint`, how the program is started. Returns the exit
 * status. */
int process_refuse_start(const char *program, int condition, const char *hint);
