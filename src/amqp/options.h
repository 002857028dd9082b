/* SPDX-License-Identifier: MIT */
#pragma once

/* The options; hl7-amqp(8) lists them with their defaults. */

#include "ack/ack.h"
#include "amqp/publisher.h"

enum log_target {
	LOG_TARGET_AUTO,
	LOG_TARGET_JOURNAL,
	LOG_TARGET_STDERR,
};

struct options {
	struct publisher_settings publisher; /* but for the password */
	int endpoint_condition;              /* of the first URL that is none, or 0 */
	const char *password_file;           /* or NULL */
	size_t max_message_bytes;
	size_t messages; /* 0: until the peer closes */
	usec_t idle_timeout_usec, frame_timeout_usec, write_timeout_usec, drain_timeout_usec;
	enum ack_mode ack_mode;
	enum log_target log;
};

/* The defaults, then the command line. 0 or an OPTIONS_E condition of cli/options.h. */
int options_parse(struct options *o, int argc, char **argv);
