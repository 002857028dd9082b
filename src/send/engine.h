/* SPDX-License-Identifier: MIT */
#pragma once

/* Sends messages over one or many connections at once and judges the answers. */

#include "cli/input.h"
#include "send/messages.h"
#include "send/options.h"
#include "send/tally.h"

struct addrinfo;

/* Runs until every message has its verdict. 0 or a negative errno of our own side. */
int engine_run(const struct options *o, const struct input_list *files,
	const struct messages *messages, const struct addrinfo *addresses, struct tally *tally);
