/* SPDX-License-Identifier: MIT */
#pragma once

/* A line about this process for "systemctl status", by the protocol of sd_notify(3), which may be
 * spoken without its library. */

/* The socket that the service manager listens on, connected: to be called before walls stand in the
 * way. -1 where nobody listens. No process that is started later is told of it. */
int notify_open(void);

/* Never waited for: a line that is not taken is lost. Nothing with -1. */
void notify_status(int fd, const char *text);
