/* SPDX-License-Identifier: MIT */
#include "net/inherit.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

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

static int
check_stream(int fd)
{
	int r = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1);

	if (r == 0)
		return INHERIT_E_NOT_A_STREAM;
	if (r > 0)
		r = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1);
	return r > 0 ? INHERIT_E_LISTENING : r;
}

/* Small answers go out at once; no matter where the socket is not TCP. */
static void
set_no_delay(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int
from_systemd(struct connection *ret)
{
	int r = check_stream(SD_LISTEN_FDS_START);

	if (r)
		return r;
	set_no_delay(SD_LISTEN_FDS_START);
	*ret = (struct connection){ SD_LISTEN_FDS_START, SD_LISTEN_FDS_START, true };
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
from_inetd(struct connection *ret, bool *ret_stderr_usable)
{
	struct connection c = { .socket = is_type(STDIN_FILENO, S_IFSOCK) };
	int r = c.socket ? check_stream(STDIN_FILENO) : 0;

	if (r)
		return r;
	if (!c.socket && !(is_type(STDIN_FILENO, S_IFIFO) && is_type(STDOUT_FILENO, S_IFIFO)))
		return INHERIT_E_NOTHING;
	/* some leave copies of the connection behind, which would keep it open after us */
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	r = vacate(&c, ret_stderr_usable);
	if (r)
		return r;
	if (c.socket)
		set_no_delay(c.in);
	*ret = c;
	return 0;
}

bool
inherit_shield_peer(void)
{
	_cleanup_close_ int null = -1;
	bool error;

	if (!is_type(STDIN_FILENO, S_IFSOCK))
		return false;
	error = is_same(STDERR_FILENO, STDIN_FILENO);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (error)
		(void)dup2(null, STDERR_FILENO);
	if (is_same(STDOUT_FILENO, STDIN_FILENO))
		(void)dup2(null, STDOUT_FILENO);
	return error;
}

int
inherit_connection(struct connection *ret, enum inherit_from *ret_from, bool *ret_stderr_usable)
{
	int n = sd_listen_fds(1);

	if (n < 0)
		return n;
	if (n > 1)
		return INHERIT_E_SEVERAL;
	*ret_from = n == 1 ? INHERIT_SYSTEMD : INHERIT_INETD;
	*ret_stderr_usable = true;
	return n == 1 ? from_systemd(ret) : from_inetd(ret, ret_stderr_usable);
}
