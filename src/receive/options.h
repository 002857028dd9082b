/* SPDX-License-Identifier: MIT */
#pragma once

/* The receiver's options; hl7-receive(8) lists them with their defaults. */

#include "ack/ack.h"
#include "base/clock.h"

enum storage_error_answer {
	ON_STORAGE_ERROR_REJECT, /* AR, CR: may be sent again */
	ON_STORAGE_ERROR_ERROR,  /* AE, CE */
	ON_STORAGE_ERROR_CLOSE,  /* no answer */
};

enum log_target {
	LOG_TARGET_AUTO,
	LOG_TARGET_JOURNAL,
	LOG_TARGET_STDERR,
};

struct options {
	const char *store; /* NULL: --no-store */
	bool store_given;  /* on the command line, either way */
	const char *ack_templates, *convert_templates, *tables; /* directories */
	size_t max_message_bytes, max_result_bytes;
	size_t min_free_bytes, min_free_inodes; /* of the store's file system */
	bool reject_reused;                     /* control ids */
	bool reject_unmatched;                  /* messages that no conversion template wants */
	size_t messages;                        /* 0: until the peer closes */
	usec_t idle_timeout_usec, frame_timeout_usec, write_timeout_usec, drain_timeout_usec;
	enum ack_mode ack_mode;
	enum storage_error_answer on_storage_error;
	enum log_target log;
};

/* The defaults, $STATE_DIRECTORY, then the command line. 0 or an OPTIONS_E
 * condition of cli/options.h. */
int options_parse(struct options *o, int argc, char **argv);
