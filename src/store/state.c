/* SPDX-License-Identifier: MIT */
#include "store/state.h"
#include "base/cleanup.h"
#include "store/name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* One size always, so that a change is one write of one page. */
#define STATE_BYTES 1024

static const char *const kinds[STATE_N] = {
	[STATE_IDLE] = "idle",
	[STATE_DELIVERING] = "delivering",
	[STATE_DOWN] = "down",
};

const char *
state_name(enum state_kind kind)
{
	return kinds[kind];
}

static int
open_state(int root, const char *name, int flags, int *ret_fd)
{
	char path[STORE_NAME_BYTES];
	int fd;

	(void)snprintf(path, sizeof(path), "queue/.%s", name);
	fd = openat(root, path, flags | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

void
state_write(int fd, const struct state *state)
{
	char text[STATE_BYTES + 1];
	int n = snprintf(text, sizeof(text),
		"state: %s\nsince: %" PRIu64 "\ndelivered: %" PRIu64 "\nfailed: %" PRIu64
		"\nretries: %" PRIu64 "\nlast-delivery: %" PRIu64 "\nlast-error-at: %" PRIu64
		"\nlast-error: %s\n",
		kinds[state->kind], state->since_usec, state->n_delivered, state->n_failed,
		state->n_retries, state->last_delivery_usec, state->last_error_usec,
		state->last_error);

	if (n < 0 || n > STATE_BYTES)
		return;
	memset(text + n, '\n', (size_t)(STATE_BYTES - n));
	(void)!pwrite(fd, text, STATE_BYTES, 0); /* figures only: no reason to stop */
}

static uint64_t
number_of(struct span value)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < value.n && value.p[i] >= '0' && value.p[i] <= '9'; i++)
		n = n * 10 + (uint64_t)(value.p[i] - '0');
	return n;
}

static void
take_fact(struct state *state, struct span name, struct span value)
{
	int kind;

	for (kind = 0; kind < STATE_N; kind++)
		if (span_eq(name, SPAN("state")) && span_eq(value, span_str(kinds[kind])))
			state->kind = (enum state_kind)kind;
	if (span_eq(name, SPAN("since")))
		state->since_usec = number_of(value);
	else if (span_eq(name, SPAN("delivered")))
		state->n_delivered = number_of(value);
	else if (span_eq(name, SPAN("failed")))
		state->n_failed = number_of(value);
	else if (span_eq(name, SPAN("retries")))
		state->n_retries = number_of(value);
	else if (span_eq(name, SPAN("last-delivery")))
		state->last_delivery_usec = number_of(value);
	else if (span_eq(name, SPAN("last-error-at")))
		state->last_error_usec = number_of(value);
	else if (span_eq(name, SPAN("last-error")))
		(void)snprintf(state->last_error, sizeof(state->last_error), "%.*s", (int)value.n,
			(const char *)value.p);
}

void
state_parse(struct span text, struct state *ret)
{
	struct span line;
	size_t colon;

	*ret = (struct state){ .kind = STATE_IDLE };
	while (span_cut(&text, '\n', &line)) {
		colon = span_find(line, ':');
		take_fact(ret, span_first(line, colon), span_from(line, colon + 2));
	}
}

static int
read_state(int fd, struct state *ret)
{
	char text[STATE_BYTES];
	ssize_t n = pread(fd, text, sizeof(text), 0);

	if (n < 0)
		return -errno;
	state_parse(span_of(text, (size_t)n), ret);
	return 0;
}

int
state_open(int root, const char *name, int *ret_fd, struct state *ret)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	_cleanup_close_ int fd = -1;
	int r = open_state(root, name, O_RDWR | O_CREAT, &fd);

	if (r < 0)
		return r;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EAGAIN || errno == EACCES ? STATE_E_LOCKED : -errno;
	r = read_state(fd, ret);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

int
state_read(int root, const char *name, struct state *ret, bool *ret_running)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	_cleanup_close_ int fd = -1;
	int r = open_state(root, name, O_RDONLY, &fd);

	if (r == 0)
		r = read_state(fd, ret);
	if (r < 0)
		return r;
	/* only asks: a lock taken here could keep a forwarder from starting */
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	*ret_running = lock.l_type != F_UNLCK;
	return 0;
}
