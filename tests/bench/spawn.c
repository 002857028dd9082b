/* SPDX-License-Identifier: MIT */

/*
 * spawn NUMBER FILE COMMAND…: runs a command so often, one after the other, as systemd does with
 * Accept=yes: descriptor 3 is a connection, told by LISTEN_FDS. The peer has sent the file's bytes
 * ("-": none) and closed its side already. For tests/bench/startup, which compiles it.
 *
 * Prints the median of microseconds from the fork to the end, and means of microseconds of CPU and
 * of page faults. Fails where the command does.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECTION_FD 3

static char bytes[64 * 1024];
static size_t n_bytes;

static void
check(int done, const char *what)
{
	if (done)
		return;
	perror(what);
	_exit(1);
}

static double
microseconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec * 1e-3;
}

static void
become(int connection, char **command)
{
	int null = open("/dev/null", O_RDWR);
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("LISTEN_PID", pid, 1);
	(void)setenv("LISTEN_FDS", "1", 1);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	if (connection != CONNECTION_FD)
		(void)dup2(connection, CONNECTION_FD);
	(void)close_range(CONNECTION_FD + 1, ~0U, 0);
	(void)execv(command[0], command);
	perror(command[0]);
	_exit(1);
}

static double
run_once(char **command)
{
	int ends[2], status;
	double began;
	pid_t pid;

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	check(write(ends[0], bytes, n_bytes) == (ssize_t)n_bytes, "write");
	check(shutdown(ends[0], SHUT_WR) == 0, "shutdown");
	began = microseconds();
	pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0)
		become(ends[1], command);
	check(waitpid(pid, &status, 0) == pid && status == 0, command[0]);
	(void)close(ends[0]);
	(void)close(ends[1]);
	return microseconds() - began;
}

static int
compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void
read_bytes(const char *path)
{
	int fd;

	if (strcmp(path, "-") == 0)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0, path);
	n_bytes = (size_t)read(fd, bytes, sizeof(bytes));
	(void)close(fd);
}

int
main(int argc, char **argv)
{
	struct rusage used;
	double *times, cpu;
	size_t i, n;

	if (argc < 4 || (n = strtoul(argv[1], NULL, 10)) == 0)
		return 64;
	read_bytes(argv[2]);
	times = calloc(n, sizeof(*times));
	check(times != NULL, "calloc");
	for (i = 0; i < n; i++)
		times[i] = run_once(argv + 3);
	qsort(times, n, sizeof(*times), compare);
	(void)getrusage(RUSAGE_CHILDREN, &used);
	cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
	      (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
	(void)printf("%.1f %.1f %.1f\n", times[n / 2], cpu / (double)n,
		(double)used.ru_minflt / (double)n);
	free(times);
	return 0;
}
