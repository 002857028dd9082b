/* SPDX-License-Identifier: MIT */
#include "forward/deliver.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

/* sysexits.h: try again later. */
#define EXIT_TEMPORARY 75

/* Of the shell: the command cannot be executed, or not be found. A mistake in the configuration,
 * not in the message. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

static enum result
result_of_status(struct delivery *d, int status)
{
	char text[COMMAND_STATUS_BYTES];
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	d->answered = code >= 0 && code != EXIT_NOT_EXECUTABLE && code != EXIT_NOT_FOUND &&
		      code != EXIT_TEMPORARY;
	if (code == 0)
		return RESULT_DELIVERED;
	command_describe(status, text);
	(void)snprintf(d->error, sizeof(d->error), "the command: %s", text);
	if (code == EXIT_NOT_EXECUTABLE || code == EXIT_NOT_FOUND)
		return RESULT_UNREACHABLE;
	if (code == EXIT_TEMPORARY)
		return RESULT_LATER;
	/* a crash may be the message's fault or not: as an answer AE */
	return code < 0 ? RESULT_REFUSED : RESULT_PERMANENT;
}

static int
deliver_by_command(struct peer *p, struct delivery *d, enum result *ret)
{
	int status = 0;
	int r = command_run(p->o->command, d->bytes, deadline_in(p->o->ack_timeout_usec), &status);

	if (r < 0)
		return r;
	if (r == COMMAND_E_TIMEOUT) {
		(void)snprintf(d->error, sizeof(d->error), "the command did not end in time");
		*ret = RESULT_LATER;
	} else {
		*ret = result_of_status(d, status);
	}
	return 0;
}

static enum result
result_of_answer(struct delivery *d)
{
	d->answered = true;
	d->code = d->answer.code;
	if (d->answer.class == ACK_ACCEPT)
		return RESULT_DELIVERED;
	d->rejected = d->answer.class == ACK_REJECT;
	(void)snprintf(d->error, sizeof(d->error), "the destination answered %s%s%s",
		d->answer.code, d->answer.error[0] ? ", error " : "", d->answer.error);
	return RESULT_REFUSED;
}

static int
deliver_by_mllp(struct peer *p, struct delivery *d, enum result *ret)
{
	static const enum result results[] = {
		[PEER_E_UNREACHABLE] = RESULT_UNREACHABLE,
		[PEER_E_NO_ANSWER] = RESULT_LATER,
		[PEER_E_UNFRAMABLE] = RESULT_PERMANENT,
	};
	int r;

	if (d->control_id.n == 0) {
		(void)snprintf(d->error, sizeof(d->error),
			"the message has no control id (MSH-10): its answer could not be told from "
			"others");
		*ret = RESULT_PERMANENT;
		return 0;
	}
	r = peer_exchange(p, d->bytes, d->control_id, &d->answer);
	if (r < 0)
		return r;
	if (r == 0) {
		*ret = result_of_answer(d);
	} else {
		(void)snprintf(d->error, sizeof(d->error), "%s", p->error);
		*ret = results[r];
	}
	return 0;
}

int
deliver(struct peer *p, struct delivery *d, enum result *ret)
{
	usec_t started = clock_monotonic_usec();
	int r;

	d->error[0] = 0;
	d->code = "";
	d->answered = d->rejected = false;
	r = p->o->command ? deliver_by_command(p, d, ret) : deliver_by_mllp(p, d, ret);
	d->duration_usec = clock_monotonic_usec() - started;
	return r;
}
