/* SPDX-License-Identifier: MIT */
#pragma once

/* What the receiver's processes give up, by sandbox/; --sandbox decides. */

#include "receive/session.h"

/* Before the first byte of the peer: the store is open, and the templates are loaded. `forked`: by
 * a process that has told of its own walls, so only what is missing is told. False when this
 * connection must not be served, which was told. */
bool confine_connection(struct session *s, bool forked);

/* The process that accepts and forks, before it does. False when it must not, which was told. */
bool confine_listener(const struct options *o, const struct reporter *r);
