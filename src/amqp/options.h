/* SPDX-License-Identifier: MIT */
#pragma once

/* The options; hl7-amqp(8) lists them with their defaults. */

#include "amqp/publisher.h"
#include "listen/options.h"

struct options {
	struct publisher_settings publisher; /* but for the password */
	int endpoint_condition;              /* of the first URL that is none, or 0 */
	const char *password_file;           /* or NULL */
	struct listen_options listen;
};

/* The defaults, then the command line. 0 or an OPTIONS_E condition of cli/options.h. */
int options_parse(struct options *o, int argc, char **argv);
