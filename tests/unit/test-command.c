/* SPDX-License-Identifier: MIT */

/*
 * Commands as transport and as destination. Nothing depends on how fast a command is: where that
 * matters, it says when it is ready.
 */

#include "net/command.h"

#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSED ((usec_t)1) /* a deadline that was before this machine started, or as good as */

/* A grace that no command needs, and one that is over at once. */
#define LONG  (60 * USEC_PER_SEC)
#define SHORT (20 * USEC_PER_MSEC)

static size_t
count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	assert_int_equal(closedir(dir), 0);
	return n;
}

static struct command
start(const char *command)
{
	struct command c = COMMAND_NULL;

	assert_int_equal(command_start(command, &c), 0);
	assert_true(c.pid > 0);
	assert_true(fcntl(c.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(c.fd, F_GETFD) & FD_CLOEXEC);
	return c;
}

/* What the command says next; "" at its end. */
static const char *
hear(const struct command *c)
{
	static char text[256];
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	ssize_t n;

	assert_int_equal(poll(&p, 1, -1), 1);
	n = recv(c->fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		assert_int_equal(errno, ECONNRESET);
	text[n < 0 ? 0 : n] = 0;
	return text;
}

static void
say(const struct command *c, const char *text)
{
	assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The command is gone, and so is all that it started: what it leaves behind is ours to reap. */
static void
assert_stopped(const struct command *c)
{
	assert_int_equal(c->pid, 0);
	assert_int_equal(c->fd, -1);
	assert_int_equal(c->pidfd, -1);
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
}

/* --- as transport ---------------------------------------------------------------------------- */

static void
there_and_back(void **state)
{
	struct command c = start("cat");
	int status = -1;

	(void)state;
	say(&c, "abc");
	assert_string_equal(hear(&c), "abc");
	say(&c, "def");
	assert_string_equal(hear(&c), "def");
	assert_int_equal(recv(c.fd, &status, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	/* the end of its input is its end */
	assert_int_equal(command_stop(&c, LONG, &status), 0);
	assert_int_equal(status, 0);
	assert_stopped(&c);
}

static void
without_a_pidfd(void **state)
{
	struct command c = start("cat; exit 3");
	int status = -1;

	(void)state;
	if (c.pidfd >= 0)
		assert_int_equal(close(c.pidfd), 0);
	c.pidfd = -1;
	assert_int_equal(command_stop(&c, LONG, &status), 0);
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_stopped(&c);
}

struct end_case {
	const char *name, *command;
	int exit_status;
};

static const struct end_case ends[] = {
	{ "one that ends at once", "true", 0 },
	{ "one that fails at once", "exit 7", 7 },
	{ "one that is not there", "exec 2>/dev/null; /nonexistent/command", 127 },
	{ "one that cannot be run", "exec 2>/dev/null; /dev/null", 126 },
	{ "no command at all", "", 0 },
	{ "no shell command", "exec 2>/dev/null; eval 'if'", 2 },
};

static void
ends_by_itself(void **state)
{
	const struct end_case *t = *state;
	struct command c = start(t->command);
	int status = -1;

	assert_string_equal(hear(&c), "");
	assert_int_equal(command_stop(&c, LONG, &status), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), t->exit_status);
	assert_stopped(&c);
}

static void
ends_with_bytes_unread(void **state)
{
	struct command c = start("read line; echo $line; read line");
	int status = -1;

	(void)state;
	say(&c, "one\n");
	assert_string_equal(hear(&c), "one\n");
	say(&c, "two\nthree\n");
	assert_string_equal(hear(&c), "");
	assert_int_equal(send(c.fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(command_stop(&c, LONG, &status), 0);
	assert_stopped(&c);
}

static void
never_reads(void **state)
{
	static const uint8_t bytes[4 * 1024 * 1024];
	struct command c = start("echo ready; exec sleep 300");
	int status = -1;

	(void)state;
	assert_string_equal(hear(&c), "ready\n");
	while (send(c.fd, bytes, sizeof(bytes), MSG_NOSIGNAL) >= 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(command_stop(&c, SHORT, &status), COMMAND_E_TIMEOUT);
	assert_int_equal(status, -1);
	assert_stopped(&c);
}

static void
ignores_sigterm(void **state)
{
	struct command c = start("trap '' TERM; echo ready; while :; do sleep 300; done");
	int status = -1;

	(void)state;
	assert_string_equal(hear(&c), "ready\n");
	assert_int_equal(command_stop(&c, SHORT, &status), COMMAND_E_TIMEOUT);
	assert_int_equal(status, -1);
	assert_stopped(&c);
}

static void
is_stopped_itself(void **state)
{
	struct command c = start("echo ready; kill -STOP $$");
	int status = -1;

	(void)state;
	assert_string_equal(hear(&c), "ready\n");
	assert_int_equal(command_stop(&c, SHORT, &status), COMMAND_E_TIMEOUT);
	assert_stopped(&c);
}

/* A process that was left to this one ended by that signal. */
static void
assert_reaped(pid_t pid, int signal)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), signal);
}

struct left_case {
	const char *name, *command;
	usec_t grace_usec;
	int result, signal;
};

/* Each says the number of a process that it leaves behind. */
static const struct left_case left[] = {
	{ "what one that ended left behind is killed", "sleep 300 & echo $!; cat >/dev/null", LONG,
		0, SIGKILL },
	{ "and so is all of one that ignores SIGTERM",
		"trap '' TERM; sleep 300 & echo $!; exec sleep 300", SHORT, COMMAND_E_TIMEOUT,
		SIGKILL },
	{ "SIGTERM is for all of its group", "sleep 300 & echo $!; exec sleep 300", SHORT,
		COMMAND_E_TIMEOUT, SIGTERM },
};

static void
leaves_behind(void **state)
{
	const struct left_case *t = *state;
	struct command c = start(t->command);
	pid_t pid = (pid_t)strtol(hear(&c), NULL, 10);
	int status = -1;

	assert_true(pid > 1);
	assert_int_equal(command_stop(&c, t->grace_usec, &status), t->result);
	assert_reaped(pid, t->signal);
	assert_stopped(&c);
}

/* The command is told when the process that started it dies, whatever it does with its input. */
static void
outlives_nobody(void **state)
{
	struct command c = COMMAND_NULL;
	int fds[2], status;
	pid_t middle;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	middle = fork();
	if (middle == 0) {
		if (command_start("exec sleep 300", &c) == 0)
			(void)!write(fds[1], &c.pid, sizeof(c.pid));
		(void)raise(SIGKILL);
	}
	assert_int_equal(read(fds[0], &c.pid, sizeof(c.pid)), sizeof(c.pid));
	assert_int_equal(waitpid(middle, &status, 0), middle);
	assert_reaped(c.pid, SIGTERM);
	assert_int_equal(close(fds[0]) | close(fds[1]), 0);
}

/* A caller without 0, 1 and 2, whose numbers the command's own descriptors then have. */
static void
without_standard_descriptors(void **state)
{
	struct command c = COMMAND_NULL;
	char text[4] = "";
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		(void)close_range(0, 2, 0);
		if (command_start("cat", &c) < 0 || write(c.fd, "abc", 3) != 3)
			_exit(1);
		(void)poll(&(struct pollfd){ .fd = c.fd, .events = POLLIN }, 1, -1);
		if (read(c.fd, text, 3) != 3 || strcmp(text, "abc") != 0)
			_exit(2);
		_exit(command_stop(&c, LONG, &status) == 0 && status == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- to its end ------------------------------------------------------------------------------ */

struct run_case {
	const char *name, *command;
	int exit_status, signal;
};

/* The input is "abc". */
static const struct run_case runs[] = {
	{ "success", "true", 0 },
	{ "try again later", "exit 75", 75 },
	{ "the largest status", "exit 255", 255 },
	{ "not found", "exec 2>/dev/null; /nonexistent/command", 127 },
	{ "a signal", "kill -KILL $$", 0, SIGKILL },
	{ "its input", "test \"$(cat)\" = abc" },
	{ "its input by name", "test \"$(cat /dev/stdin)\" = abc" },
	{ "its input in pieces", "test \"$(head -c 1; cat)\" = abc" },
	{ "a pipeline", "cat | { test \"$(cat)\" = abc; }" },
	{ "assignments in front", "A=1 B=2 sh -c 'test $A$B = 12'" },
	{ "several commands", "A=3; cat >/dev/null; exit $A", 3 },
	{ "what it says goes nowhere", "echo said; test $(readlink /proc/$$/fd/1) = /dev/null" },
	{ "a descriptor that was not closed stays here", "test ! -e /proc/$$/fd/77" },
	{ "a session of its own",
		"read p n s pp g sid rest </proc/$$/stat; test $p = $g -a $p = $sid" },
	{ "SIGPIPE as it is by default", "kill -PIPE $$; exit 0", 0, SIGPIPE },
	{ "SIGTERM is not blocked", "kill -TERM $$; exit 0", 0, SIGTERM },
	{ "SIGHUP as it is by default", "kill -HUP $$; exit 0", 0, SIGHUP },
};

static void
run_to_the_end(void **state)
{
	const struct run_case *c = *state;
	int status = -1;

	assert_int_equal(command_run(c->command, SPAN("abc"), DEADLINE_NEVER, &status), 0);
	assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, c->signal);
	if (!c->signal)
		assert_int_equal(WEXITSTATUS(status), c->exit_status);
	assert_stopped(&COMMAND_NULL);
}

static void
a_large_input(void **state)
{
	static const uint8_t bytes[4 * 1024 * 1024];
	struct span input = span_of(bytes, sizeof(bytes));
	int status = -1;

	(void)state;
	assert_int_equal(command_run("test $(wc -c) = 4194304", input, DEADLINE_NEVER, &status), 0);
	assert_int_equal(status, 0);
	assert_int_equal(command_run("exit 0", input, DEADLINE_NEVER, &status), 0);
	assert_int_equal(status, 0);
	assert_int_equal(command_run("test $(wc -c) = 0", SPAN_NULL, DEADLINE_NEVER, &status), 0);
	assert_int_equal(status, 0);
}

static void
out_of_time(void **state)
{
	int status = -1;

	(void)state;
	assert_int_equal(command_run("sleep 300", SPAN("abc"), PASSED, &status), COMMAND_E_TIMEOUT);
	assert_int_equal(
		command_run("sleep 300 | sleep 300", SPAN("abc"), deadline_in(SHORT), &status),
		COMMAND_E_TIMEOUT);
	assert_int_equal(command_run("trap '' TERM; while :; do sleep 300; done", SPAN("abc"),
				 deadline_in(SHORT), &status),
		COMMAND_E_TIMEOUT);
	assert_int_equal(status, -1);
	assert_stopped(&COMMAND_NULL);
}

static void
its_errors_are_ours(void **state)
{
	int fds[2], saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), status = -1;
	char text[8] = "";

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	(void)command_run("echo said >&2", SPAN_NULL, DEADLINE_NEVER, &status);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(read(fds[0], text, sizeof(text) - 1), 5);
	assert_string_equal(text, "said\n");
	assert_int_equal(close(saved) | close(fds[0]) | close(fds[1]), 0);
}

static void
descriptions(void **state)
{
	char text[COMMAND_STATUS_BYTES];

	(void)state;
	command_describe(W_EXITCODE(0, 0), text);
	assert_string_equal(text, "exit status 0");
	command_describe(W_EXITCODE(127, 0), text);
	assert_string_equal(text, "exit status 127");
	command_describe(W_EXITCODE(0, SIGTERM), text);
	assert_string_equal(text, "killed by SIGTERM");
	command_describe(W_EXITCODE(0, SIGSEGV) | WCOREFLAG, text);
	assert_string_equal(text, "killed by SIGSEGV");
	command_describe(W_EXITCODE(0, SIGRTMAX), text);
	assert_string_equal(text, "killed by signal 64");
}

static void
nothing_is_left_open(void **state)
{
	size_t before = count_descriptors();
	struct command c;
	int status, i;

	(void)state;
	for (i = 0; i < 3; i++) {
		c = start(i ? "true" : "cat");
		(void)command_stop(&c, LONG, &status);
		(void)command_run("true", SPAN("abc"), DEADLINE_NEVER, &status);
		(void)command_run("sleep 300", SPAN("abc"), PASSED, &status);
	}
	assert_int_equal(count_descriptors(), before);
}

int
main(void)
{
	static struct suite s;
	sigset_t term;

	/* what no command may inherit */
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGHUP, SIG_IGN) == SIG_ERR ||
		sigprocmask(SIG_BLOCK, &term, NULL) < 0 || dup2(STDERR_FILENO, 77) < 0)
		return EXIT_FAILURE;
	/* who leaves processes behind leaves them to this one */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return EXIT_FAILURE;
	add_test(&s, "there and back", there_and_back);
	add_test(&s, "without a pidfd", without_a_pidfd);
	add_cases(&s, ends_by_itself, ends);
	add_test(&s, "one that ends with bytes unread", ends_with_bytes_unread);
	add_test(&s, "one that never reads", never_reads);
	add_test(&s, "one that ignores SIGTERM", ignores_sigterm);
	add_test(&s, "one that is stopped", is_stopped_itself);
	add_cases(&s, leaves_behind, left);
	add_test(&s, "one whose parent dies", outlives_nobody);
	add_test(&s, "without standard descriptors", without_standard_descriptors);
	add_cases(&s, run_to_the_end, runs);
	add_test(&s, "a large input", a_large_input);
	add_test(&s, "out of time", out_of_time);
	add_test(&s, "its errors are ours", its_errors_are_ours);
	add_test(&s, "statuses in words", descriptions);
	add_test(&s, "nothing is left open", nothing_is_left_open);
	return run_suite("command", &s);
}
