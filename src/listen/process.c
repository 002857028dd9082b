/* SPDX-License-Identifier: MIT */
#include "listen/process.h"
#include "cli/options.h"
#include "net/inherit.h"

#include <stdio.h>
#include <string.h>

static void
on_signal(int signal)
{
	(void)signal; /* it ends ppoll(), which is all that is wanted */
}

void
process_set_signals(sigset_t *ret_idle_mask)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t term;

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &action, NULL);
	(void)sigaction(SIGXFSZ, &action, NULL);
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, ret_idle_mask);
	(void)sigdelset(ret_idle_mask, SIGTERM);
}

bool
process_asked_to_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

int
process_refuse_start(const char *program, int condition, const char *hint)
{
	static const char *const texts[] = {
		[INHERIT_E_NOTHING] = "no connection was passed to this process",
		[INHERIT_E_SEVERAL] = "more than one descriptor was passed, and not all listen",
		[INHERIT_E_NOT_A_STREAM] = "the socket that was passed is not a stream",
		[INHERIT_E_LISTENING] = "a listening socket was passed; set Accept=yes",
	};

	if (condition < 0) {
		(void)fprintf(stderr, "%s: the connection cannot be taken over: %s\n", program,
			strerrordesc_np(-condition));
		return EXIT_OS;
	}
	(void)fprintf(stderr, "%s: %s.\n%s\n", program, texts[condition], hint);
	return EXIT_USAGE;
}
