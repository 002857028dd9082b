/* SPDX-License-Identifier: MIT */
#pragma once

/* The commands: each takes the options and returns the exit status. */

#include "queue/options.h"

/* Beside those of cli/options.h; the first three are those of a monitoring plugin. */
enum {
	EXIT_WARNING = 1,
	EXIT_CRITICAL = 2,
	EXIT_UNKNOWN = 3,
	EXIT_NOT_ALL = 1, /* something that was asked for is not there or could not be done */
};

int command_status(const struct options *o);
int command_list(const struct options *o);
int command_show(const struct options *o);
int command_why(const struct options *o);
int command_retry(const struct options *o);
int command_drop(const struct options *o);
int command_export(const struct options *o);
int command_trace(const struct options *o);
int command_metrics(const struct options *o);
int command_check(const struct options *o);
int command_expire(const struct options *o);
