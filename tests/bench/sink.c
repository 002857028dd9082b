/* SPDX-License-Identifier: MIT */

/*
 * What tests/bench/forward, which compiles it, compares with:
 *
 *   sink serve         a listener that accepts every message at once; prints its port
 *   sink remove DIR    removes the files of a folder in the order of their names, and syncs the
 *                      folder after each, as whoever takes messages out of a queue must; prints the
 *                      seconds
 */

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define VT 0x0B
#define FS 0x1C
#define CR 0x0D

/* The field of the MSH behind so many separators. */
#define CONTROL_ID 9

static char buffer[1024 * 1024];

static void
check(int done, const char *what)
{
	if (done)
		return;
	perror(what);
	_exit(1);
}

/* Answers a message, which begins behind its VT. */
static void
answer(int fd, const char *message, size_t n)
{
	const char *end = memchr(message, CR, n), *id = message, *next;
	char text[512];
	int i, length;

	check(end != NULL, "a message without CR");
	for (i = 0; i < CONTROL_ID && id; i++) {
		id = memchr(id, '|', (size_t)(end - id));
		id = id ? id + 1 : NULL;
	}
	check(id != NULL, "a message without MSH-10");
	next = memchr(id, '|', (size_t)(end - id));
	length = snprintf(text, sizeof(text),
		"\x0bMSH|^~\\&|SINK||||20260102030405||ACK|A|P|2.5\rMSA|AA|%.*s\r\x1c\r",
		(int)((next ? next : end) - id), id);
	check(send(fd, text, (size_t)length, MSG_NOSIGNAL) == length, "send");
}

/* Answers all whole messages; returns how many bytes were of them. */
static size_t
answer_all(int fd, size_t n)
{
	size_t done = 0;
	char *fs;

	while ((fs = memchr(buffer + done, FS, n - done)) && fs + 1 < buffer + n) {
		check(buffer[done] == VT, "not a frame");
		answer(fd, buffer + done + 1, (size_t)(fs - buffer) - done - 1);
		done = (size_t)(fs - buffer) + 2;
	}
	return done;
}

static void
serve_connection(int fd)
{
	size_t n = 0, done;
	ssize_t got;

	while (n < sizeof(buffer) && (got = read(fd, buffer + n, sizeof(buffer) - n)) > 0) {
		n += (size_t)got;
		done = answer_all(fd, n);
		memmove(buffer, buffer + done, n - done);
		n -= done;
	}
}

static void
serve(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, one = 1;
	socklen_t n = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(listener, (struct sockaddr *)&address, n) == 0, "bind");
	check(listen(listener, 16) == 0, "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &n) == 0, "getsockname");
	(void)printf("%d\n", ntohs(address.sin_port));
	(void)fflush(stdout);
	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		check(fd >= 0, "accept");
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		serve_connection(fd);
		(void)close(fd);
	}
}

static double
seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void
remove_all(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n, i;
	struct dirent **names;
	double began;

	check(dir >= 0, path);
	n = scandir(path, &names, NULL, alphasort);
	check(n >= 0, path);
	began = seconds();
	for (i = 0; i < n; i++) {
		if (names[i]->d_name[0] == '.')
			continue;
		check(unlinkat(dir, names[i]->d_name, 0) == 0, names[i]->d_name);
		check(fsync(dir) == 0, "fsync");
	}
	(void)printf("%.6f\n", seconds() - began);
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "serve") == 0)
		serve();
	else if (argc == 3 && strcmp(argv[1], "remove") == 0)
		remove_all(argv[2]);
	else
		return 64;
	return 0;
}
