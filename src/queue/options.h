/* SPDX-License-Identifier: MIT */
#pragma once

/* hl7-queue's commands and their options; hl7-queue(8) lists them with their defaults. */

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum command {
	COMMAND_STATUS,
	COMMAND_LIST,
	COMMAND_SHOW,
	COMMAND_WHY,
	COMMAND_RETRY,
	COMMAND_DROP,
	COMMAND_EXPORT,
	COMMAND_TRACE,
	COMMAND_METRICS,
	COMMAND_CHECK,
	COMMAND_EXPIRE,
	COMMAND_N,
};

/* Two limits of one figure, above which it is bad. */
#define LIMIT_NONE UINT64_MAX
struct limits {
	uint64_t warn, crit;
};

struct options {
	const char *store;
	enum command command;
	char *const *arguments; /* behind the command */
	size_t n_arguments;

	bool failed, waiting, all; /* which entries */
	const char *destination;   /* NULL: all of them */
	size_t limit;              /* of what is listed; 0: none */
	bool yes;                  /* delete */
	bool nagios, judge;        /* print for a monitoring system; any limit is set */
	struct limits age, count, dead;
	const char *output;       /* of the figures; NULL: standard output */
	const char *journal_file; /* NULL: the system's journal */
	bool no_journal;
	usec_t since_usec; /* before now; 0: ever */
	bool deep;
	usec_t keep_received_usec, keep_rejected_usec, keep_failed_usec; /* 0: for ever */
	size_t max_received_bytes, max_rejected_bytes;                   /* 0: any */
	bool dry_run;

	uid_t operator; /* who asks for it; main() finds it before it becomes the store's owner */
};

/* 0 or an OPTIONS_E condition of cli/options.h. */
int options_parse(struct options *o, int argc, char **argv);
