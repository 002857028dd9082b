/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A shell command in the place of a peer: as transport, like ProxyCommand of ssh(1), or as the
 * destination itself.
 *
 * It runs by /bin/sh -c, so whatever a shell takes will do, in a session of its own: it has no
 * terminal to ask at, and all that it starts can be ended together, but for what makes itself a
 * session. Standard error, the environment and the working directory are the caller's; of
 * descriptors it gets no others. Signals have their defaults and none is blocked. When this process
 * dies, the shell gets SIGTERM, and the others find the end of their input.
 *
 * For processes with one thread, where SIGCHLD is not ignored.
 */

#include "base/clock.h"
#include "base/span.h"

#include <sys/types.h>

enum {
	COMMAND_E_SUCCESS,
	COMMAND_E_TIMEOUT, /* it did not end in time, and was killed */
};

struct command {
	int fd;    /* our end of its standard input and output */
	pid_t pid; /* of the shell, also the number of its process group; 0: no command */
	int pidfd; /* -1 where the kernel has none (before Linux 5.3) */
};

#define COMMAND_NULL ((struct command){ .fd = -1, .pidfd = -1 })

/* Starts a command whose standard input and output are one stream socket; `ret->fd`, the other end,
 * does not block. 0, once the shell runs, or a negative errno. What the command says is its own
 * matter: one that cannot be found is a shell that ends with status 127.
 *
 * When the command ends, reads give 0, or -ECONNRESET where it left bytes unread, and writes
 * -EPIPE: use send(2) with MSG_NOSIGNAL. */
int command_start(const char *command, struct command *ret);

/* Closes our end, which a command finds as the end of its input, waits for `grace_usec` (0: not at
 * all) for it to end, then sends SIGTERM, waits as long again, and sends SIGKILL. Whatever is left
 * of its process group is killed as well. `*c` is COMMAND_NULL then, whatever the outcome.
 *
 * 0 when it ended by itself, with its status as waitpid(2) gives it; COMMAND_E_TIMEOUT; or a
 * negative errno. */
int command_stop(struct command *c, usec_t grace_usec, int *ret_status);

/* Runs a command to its end, with `input` as its standard input, read or not, and its standard
 * output in /dev/null. At the deadline it is ended with SIGTERM and a second later SIGKILL.
 * Whatever is left of its process group is killed. 0 with its status as waitpid(2) gives it;
 * COMMAND_E_TIMEOUT; or a negative errno: then it was not started, or its status is not known
 * (-ECHILD). */
int command_run(const char *command, struct span input, usec_t deadline, int *ret_status);

/* "exit status 127" or "killed by SIGTERM". */
#define COMMAND_STATUS_BYTES 32
void command_describe(int status, char text[COMMAND_STATUS_BYTES]);
