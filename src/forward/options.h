/* SPDX-License-Identifier: MIT */
#pragma once

/* The forwarder's options: of destinations/NAME.conf, then of the command line; hl7-forward(8)
 * lists them with their defaults. */

#include "base/clock.h"
#include "hl7/address.h"
#include "journal/journal.h"
#include "sandbox/sandbox.h"

/* What is done with a message that the destination did not take. */
enum policy_action {
	POLICY_RETRY, /* until it is taken */
	POLICY_FAIL,  /* after `tries` it goes to failed/ */
	POLICY_DONE,  /* it counts as delivered */
};

struct policy {
	enum policy_action action;
	size_t tries;
};

struct options {
	const char *name;  /* of the destination */
	const char *store; /* a directory */
	const char *destinations;
	const char *to;      /* as given */
	const char *host;    /* of mllp://, behind it; NULL otherwise */
	const char *command; /* of exec:, behind it; NULL otherwise */
	const char *via;     /* NULL: over TCP */
	bool keyed;
	struct address key;
	struct policy on_error, on_reject;
	usec_t connect_timeout_usec, ack_timeout_usec; /* 0: for ever */
	usec_t retry_min_usec, retry_max_usec;
	usec_t give_up_after_usec; /* since it was stored; 0: never */
	usec_t linger_usec;
	size_t max_message_bytes, max_ack_bytes;
	size_t per_connection; /* messages; 0: no limit */
	bool once;
	enum sandbox_mode sandbox;
	enum log_target log;

	char *file; /* owned: what `to` and others of the file point into */
};

/* 0, or an OPTIONS_E condition of cli/options.h; OPTIONS_E_CONFIG when the destination's file is
 * not usable. Give it to options_deinit() whatever the outcome. */
#define OPTIONS_E_CONFIG 100
int options_parse(struct options *o, int argc, char **argv);
void options_deinit(struct options *o);

/* What stands in a file that cannot be taken. */
struct options_fault {
	size_t line; /* from 1 on */
	const char *text;
};

/* The parts of options_parse() that a destination's file goes through, without the file. Takes the
 * settings of a text upon what is in `o`, which then points into it; the text is cut to pieces. 0
 * or OPTIONS_E_CONFIG, where what came before the fault has been taken. */
void options_defaults(struct options *o);
int options_take_text(struct options *o, char *text, struct options_fault *ret);
