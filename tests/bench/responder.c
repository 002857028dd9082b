/* SPDX-License-Identifier: MIT */

/*
 * responder MODE: the least that answers HL7 messages, with nothing of ours around it; for
 * tests/bench/connections and tests/bench/startup, which compile it.
 *
 *   one     the connection of a socket unit with Accept=yes, descriptor 3, until the peer closes
 *   fork    listens on 127.0.0.1, prints the port, and forks a process for each connection
 *   nothing ends at once
 *
 * It finds the control id, as a sender checks it, and looks at nothing else: no limit, no deadline,
 * no file, no log.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTION_FD 3

static const char head[] = "\vMSH|^~\\&|BENCH|BENCH|||20260102030405||ACK|1|P|2.5\rMSA|AA|";

/* MSH-10, between the ninth separator and the one behind. */
static size_t
control_id(const char *message, const char *end, const char **ret)
{
	const char *p = message, *behind;
	int i;

	for (i = 0; i < 9 && p; i++) {
		p = memchr(p, '|', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	*ret = p;
	behind = p ? memchr(p, '|', (size_t)(end - p)) : NULL;
	return behind ? (size_t)(behind - p) : 0;
}

static void
answer(int fd, const char *message, const char *end)
{
	const char *id;
	size_t n = control_id(message, end, &id);
	char out[512];

	if (n > 200)
		n = 0;
	memcpy(out, head, sizeof(head) - 1);
	memcpy(out + sizeof(head) - 1, id, n);
	memcpy(out + sizeof(head) - 1 + n, "\r\034\r", 3);
	(void)!write(fd, out, sizeof(head) - 1 + n + 3);
}

static int
converse(int fd)
{
	static char in[64 * 1024];
	size_t n = 0;
	ssize_t got;
	char *end;

	while ((got = read(fd, in + n, sizeof(in) - n)) > 0) {
		n += (size_t)got;
		end = memchr(in, '\034', n);
		if (!end || end + 1 == in + n)
			continue;
		answer(fd, in, end);
		n = 0; /* whoever waits for each answer has nothing behind it */
	}
	return 0;
}

static int
listen_here(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, size) < 0 || listen(fd, 4096) < 0 ||
		getsockname(fd, (struct sockaddr *)&a, &size) < 0)
		return -1;
	(void)printf("%u\n", (unsigned)ntohs(a.sin_port));
	(void)fflush(stdout);
	return fd;
}

static int
serve(void)
{
	int listener = listen_here(), fd, one = 1;

	if (listener < 0)
		return 1;
	(void)signal(SIGCHLD, SIG_IGN);
	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (fork() == 0)
			_exit(converse(fd));
		(void)close(fd);
	}
}

int
main(int argc, char **argv)
{
	const char *mode = argc == 2 ? argv[1] : "";

	if (strcmp(mode, "one") == 0)
		return converse(CONNECTION_FD);
	if (strcmp(mode, "fork") == 0)
		return serve();
	return strcmp(mode, "nothing") == 0 ? 0 : 64;
}
