/* SPDX-License-Identifier: MIT */
#include "net/inherit.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first of those that systemd passes: sd_listen_fds(3), which says that its protocol may be
 * spoken without its library. */
#define LISTEN_FDS_START 3

static bool
is_type(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static bool
is_same(int a, int b)
{
	struct stat left, right;

	return fstat(a, &left) == 0 && fstat(b, &right) == 0 && left.st_dev == right.st_dev &&
	       left.st_ino == right.st_ino;
}

/* Whether it is a stream's, and then whether it listens. */
static int
check_stream(int fd, bool *ret_listening)
{
	int type = 0, listening = 0;
	socklen_t n = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 && errno != ENOTSOCK)
		return -errno;
	if (type != SOCK_STREAM)
		return INHERIT_E_NOT_A_STREAM;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0)
		return -errno;
	*ret_listening = listening != 0;
	return 0;
}

/* A number of the environment, or 0. */
static int
environment_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (!text || *text < '0' || *text > '9')
		return 0;
	n = strtol(text, &end, 10);
	return *end || n > INT_MAX ? 0 : (int)n;
}

/* How many descriptors systemd passed to this process, or a negative errno. What it is started by
 * may have been passed some, which are none of its own: LISTEN_PID tells. No process started by
 * this one gets them or is told of them. */
static int
passed_by_systemd(void)
{
	int i, n = environment_number("LISTEN_FDS");

	if (environment_number("LISTEN_PID") != getpid())
		n = 0;
	if (n > INT_MAX - LISTEN_FDS_START)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (fcntl(LISTEN_FDS_START + i, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return n;
}

/* A connection may be gone again when its turn comes: accept(2) would wait for the next one. */
static int
add_listener(struct inherited *in, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	connection_set_no_delay(fd);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	in->listeners[in->n_listeners++] = fd;
	return 0;
}

static int
from_systemd(struct inherited *in, int n)
{
	bool listening = false;
	int i, r = 0;

	if (n > INHERIT_LISTENERS_MAX)
		return INHERIT_E_SEVERAL;
	for (i = 0; r == 0 && i < n; i++) {
		r = check_stream(LISTEN_FDS_START + i, &listening);
		if (r == 0 && listening)
			r = add_listener(in, LISTEN_FDS_START + i);
	}
	if (r || in->n_listeners == (size_t)n)
		return r;
	if (n > 1)
		return INHERIT_E_SEVERAL;
	connection_set_no_delay(LISTEN_FDS_START);
	in->connection = (struct connection){ LISTEN_FDS_START, LISTEN_FDS_START, true };
	return 0;
}

/* Moves the connection away from 0, 1 and 2, and puts /dev/null there. */
static int
vacate(struct connection *c, bool *ret_stderr_usable)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	_cleanup_close_ int out = c->socket ? -1 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	bool usable = fcntl(STDERR_FILENO, F_GETFD) >= 0 && !is_same(STDERR_FILENO, STDIN_FILENO) &&
		      !is_same(STDERR_FILENO, STDOUT_FILENO);

	if (null < 0 || in < 0 || (!c->socket && out < 0))
		return -errno;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
		(!usable && dup2(null, STDERR_FILENO) < 0))
		return -errno;
	c->in = steal_fd(&in);
	c->out = c->socket ? c->in : steal_fd(&out);
	*ret_stderr_usable = usable;
	return 0;
}

static int
from_inetd(struct inherited *in)
{
	struct connection c = { .socket = is_type(STDIN_FILENO, S_IFSOCK) };
	bool listening = false;
	int r = c.socket ? check_stream(STDIN_FILENO, &listening) : 0;

	if (r)
		return r;
	if (!c.socket && !(is_type(STDIN_FILENO, S_IFIFO) && is_type(STDOUT_FILENO, S_IFIFO)))
		return INHERIT_E_NOTHING;
	/* some leave copies of the connection behind, which would keep it open after us */
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	r = vacate(&c, &in->stderr_usable);
	if (r)
		return r;
	if (listening)
		return add_listener(in, c.in);
	if (c.socket)
		connection_set_no_delay(c.in);
	in->connection = c;
	return 0;
}

/* What is opened later must not become what is printed to. */
static void
fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

bool
inherit_shield_peer(void)
{
	_cleanup_close_ int null = -1;
	bool error = fcntl(STDERR_FILENO, F_GETFD) < 0;

	fill_standard_descriptors();
	if (!is_type(STDIN_FILENO, S_IFSOCK))
		return error;
	error |= is_same(STDERR_FILENO, STDIN_FILENO);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (error)
		(void)dup2(null, STDERR_FILENO);
	if (is_same(STDOUT_FILENO, STDIN_FILENO))
		(void)dup2(null, STDOUT_FILENO);
	return error;
}

int
inherit_sockets(struct inherited *ret)
{
	struct inherited in = { .connection = CONNECTION_NULL, .stderr_usable = true };
	int n = passed_by_systemd(), r;

	if (n < 0)
		return n;
	r = n > 0 ? from_systemd(&in, n) : from_inetd(&in);
	if (r == 0)
		*ret = in;
	return r;
}
