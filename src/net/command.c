/* SPDX-License-Identifier: MIT */
#include "net/command.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL "/bin/sh"

/* Between two looks whether a command has ended, where there is no pidfd to wait for. */
#define LOOK_USEC (10 * USEC_PER_MSEC)

/* From SIGTERM to SIGKILL for one that ran out of time; and from SIGKILL to the end, for which a
 * process in the middle of a system call that cannot be interrupted may take for ever. */
#define KILL_USEC USEC_PER_SEC

/* --- the child, from fork() to exec(): only what is safe in a signal handler ------------------ */

struct streams {
	int in, out; /* to be */
	int report;  /* takes the errno of what failed before exec(), which closes it */
};

/* Where the caller's own 0, 1 or 2 were closed, ours may have got their numbers. */
static int
move_above_standard(struct streams *s)
{
	s->in = fcntl(s->in, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	s->out = fcntl(s->out, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return s->in < 0 || s->out < 0 ? -errno : 0;
}

static void
reset_signals(void)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		(void)sigaction(i, &action, NULL); /* not those that nobody can change */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
prepare_child(struct streams *s, pid_t parent)
{
	int r = move_above_standard(s);

	if (r < 0)
		return r;
	if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return -errno;
	if (getppid() != parent) /* it died before it could be noticed */
		return -ESRCH;
	if (dup2(s->in, STDIN_FILENO) < 0 || dup2(s->out, STDOUT_FILENO) < 0)
		return -errno;
	/* ours are closed by exec() in any case; also those that this process inherited */
	(void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	reset_signals();
	return 0;
}

static _Noreturn void
become(const char *command, struct streams s, pid_t parent)
{
	int report = fcntl(s.report, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error;

	error = report < 0 ? -errno : prepare_child(&s, parent);
	if (error == 0) {
		(void)execl(SHELL, "sh", "-c", command, (char *)NULL);
		error = -errno;
	}
	(void)!write(report < 0 ? s.report : report, &error, sizeof(error));
	_exit(127);
}

/* --- starting -------------------------------------------------------------------------------- */

/* With all signals blocked, so that no handler of ours ever runs in the child. */
static pid_t
fork_command(const char *command, const struct streams *s)
{
	sigset_t all, before;
	pid_t pid, parent = getpid();

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		become(command, *s, parent);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

/* Waits until the child is the shell: 0, or the negative errno that kept it from that. */
static int
read_report(int fd)
{
	int error = 0;
	ssize_t n;

	do
		n = read(fd, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(error) ? error : 0;
}

static int
reap(pid_t pid, int options, int *ret_status)
{
	pid_t r;

	do
		r = waitpid(pid, ret_status, options);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* Starts it with `in` and `out`, which stay open here. */
static int
spawn(const char *command, int in, int out, struct command *ret)
{
	_cleanup_close_ int reader = -1, writer = -1;
	struct streams s = { .in = in, .out = out };
	int report[2], status, r;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	reader = report[0];
	s.report = writer = report[1];
	pid = fork_command(command, &s);
	if (pid < 0)
		return -errno;
	(void)close(steal_fd(&writer));
	r = read_report(reader);
	if (r < 0) {
		(void)reap(pid, 0, &status);
		return r;
	}
	*ret = (struct command){ -1, pid, (int)syscall(SYS_pidfd_open, pid, 0) };
	return 0;
}

int
command_start(const char *command, struct command *ret)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	struct command c = COMMAND_NULL;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = spawn(command, theirs, theirs, &c);
	if (r < 0)
		return r;
	c.fd = steal_fd(&ours);
	*ret = c;
	return 0;
}

/* --- ending ---------------------------------------------------------------------------------- */

/* 1 when it has ended, 0 when not, -1 when it is no child of ours: somebody else reaped it. It
 * stays unreaped, so that nobody gets its number, which is its group's, too. */
static int
look(const struct command *c)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return -1;
	return info.si_pid != 0;
}

static void
signal_group(const struct command *c, int signal)
{
	if (look(c) >= 0)
		(void)kill(-c->pid, signal);
}

static bool
ends_by(const struct command *c, usec_t deadline)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
	struct timespec ts;
	usec_t left;

	while (look(c) == 0) {
		left = deadline_left(deadline);
		if (left == 0)
			return false;
		if (c->pidfd < 0 && left > LOOK_USEC)
			left = LOOK_USEC;
		(void)ppoll(&p, 1, deadline_timeout(left, &ts), NULL);
	}
	return true;
}

/* Waits for the end until the deadline, then makes it. */
static int
finish(struct command *c, usec_t deadline, usec_t grace_usec, int *ret_status)
{
	bool ended = ends_by(c, deadline);
	int status = 0, r;

	if (!ended) {
		signal_group(c, SIGTERM);
		(void)ends_by(c, clock_monotonic_usec() + grace_usec);
	}
	/* also what it left behind */
	signal_group(c, SIGKILL);
	(void)ends_by(c, clock_monotonic_usec() + KILL_USEC);
	r = reap(c->pid, WNOHANG, &status);
	if (c->pidfd >= 0)
		(void)close(c->pidfd);
	*c = COMMAND_NULL;
	if (!ended)
		return COMMAND_E_TIMEOUT;
	if (r == 0)
		*ret_status = status;
	return r;
}

int
command_stop(struct command *c, usec_t grace_usec, int *ret_status)
{
	(void)close(steal_fd(&c->fd));
	return finish(c, clock_monotonic_usec() + grace_usec, grace_usec, ret_status);
}

/* --- running one to its end ------------------------------------------------------------------ */

/* A file in memory, at its begin: unlike a pipe it needs nobody to feed it, and a command that does
 * not read it takes nothing away. */
static int
open_input(struct span input, int *ret_fd)
{
	_cleanup_close_ int fd = memfd_create("input", MFD_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (input.n > 0) {
		n = write(fd, input.p, input.n);
		if (n < 0 && errno != EINTR)
			return -errno;
		input = span_from(input, n < 0 ? 0 : (size_t)n);
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int
command_run(const char *command, struct span input, usec_t deadline, int *ret_status)
{
	_cleanup_close_ int in = -1, out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct command c = COMMAND_NULL;
	int r;

	if (out < 0)
		return -errno;
	r = open_input(input, &in);
	if (r == 0)
		r = spawn(command, in, out, &c);
	if (r < 0)
		return r;
	return finish(&c, deadline, KILL_USEC, ret_status);
}

void
command_describe(int status, char text[COMMAND_STATUS_BYTES])
{
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (!WIFSIGNALED(status))
		(void)snprintf(text, COMMAND_STATUS_BYTES, "exit status %d", WEXITSTATUS(status));
	else if (name)
		(void)snprintf(text, COMMAND_STATUS_BYTES, "killed by SIG%s", name);
	else
		(void)snprintf(text, COMMAND_STATUS_BYTES, "killed by signal %d", WTERMSIG(status));
}
