/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What stands against a message before anybody looks at what the message is for. Every program that
 * acknowledges judges by these rules.
 *
 * Pure. Not for templates, stores and brokers: what they say comes later.
 */

#include "ack/outcome.h"
#include "hl7/message.h"

/* Puts together what the framing says (OUTCOME_STORED: nothing against it), what message_parse()
 * returned, and what the message itself says: the first that is against it counts, OUTCOME_STORED
 * where nothing is. `*ret_readable` tells whether its header can be answered. */
enum outcome judge_message(
	enum outcome framing, int parsed, const struct message *m, bool *ret_readable);
