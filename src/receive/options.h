/* SPDX-License-Identifier: MIT */
#pragma once

/* The receiver's options; hl7-receive(8) lists them with their defaults. */

#include "listen/options.h"
#include "net/allow.h"
#include "net/connection.h"

enum storage_error_answer {
	ON_STORAGE_ERROR_REJECT, /* AR, CR: may be sent again */
	ON_STORAGE_ERROR_ERROR,  /* AE, CE */
	ON_STORAGE_ERROR_CLOSE,  /* no answer */
};

struct options {
	const char *store; /* NULL: --no-store */
	bool store_given;  /* on the command line, either way */
	const char *ack_templates, *convert_templates, *tables; /* directories */
	struct listen_options listen;
	size_t max_result_bytes;
	size_t min_free_bytes, min_free_inodes; /* of the store's file system */
	bool reject_reused;                     /* control ids */
	bool reject_unmatched;                  /* messages that no conversion template wants */
	enum storage_error_answer on_storage_error;
	struct allow allow; /* without ranges: all may connect */
	/* of a supervisor */
	size_t max_connections;
	size_t max_connections_per_source; /* 0: as many as in all */
	usec_t idle_exit_usec;             /* 0: never */
	usec_t stop_timeout_usec;
};

/* The defaults, $STATE_DIRECTORY, then the command line. 0 or an OPTIONS_E
 * condition of cli/options.h. */
int options_parse(struct options *o, int argc, char **argv);

/* Whether --allow has the peer. */
bool options_allow(const struct options *o, const struct connection_names *names);
