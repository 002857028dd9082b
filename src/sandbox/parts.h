/* SPDX-License-Identifier: MIT */
#pragma once

/* The parts of sandbox/sandbox.h. Not for others. */

#include "sandbox/sandbox.h"

/* SANDBOX_FILES, SANDBOX_TCP and SANDBOX_SCOPE. No new privileges are needed before. */
void landlock_enter(const struct sandbox_needs *needs, struct sandbox_walls *walls);

/* SANDBOX_CALLS; the last one, as it refuses what builds the others. 0 or a negative errno. */
int seccomp_enter(const struct sandbox_needs *needs);

/* SANDBOX_LIMITS. 0 or the first negative errno;
 * those behind it are tried all the same. */
int limits_enter(const struct sandbox_needs *needs);

/* Whether the form knows each system call that it makes. */
static inline bool
sandbox_is_strict(const struct sandbox_needs *needs)
{
	return needs->form == SANDBOX_CONNECTION && !SANDBOX_SANITIZED;
}
