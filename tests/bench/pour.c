/* SPDX-License-Identifier: MIT */

/*
 * pour PORT MESSAGES FILE: sends the message of the file so many times over one connection to
 * 127.0.0.1, each with a control id of its own, without waiting for answers, and reads these
 * meanwhile; for tests/bench/connections, which compiles it.
 *
 * What is measured so is the listener's own work, not the time that two processes need to wake each
 * other. Prints messages a second; fails where an answer is missing, not AA or not in its order.
 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A listener that answers each message needs room for its answers. */
#define WINDOW 256

/* Of messages, and of answers. */
#define BYTES_MAX ((size_t)16 * 1024)

#define ID       "SAMPLE-0001"
#define ID_BYTES (sizeof(ID) - 1)

struct pour {
	int fd;
	char message[BYTES_MAX]; /* framed */
	size_t n_message, id_at;
	size_t n_jobs, n_sent, n_answered;
	size_t written; /* of the message in hand */
	char in[2 * BYTES_MAX];
	size_t n_in;
};

static void
check(int done, const char *what)
{
	if (done)
		return;
	perror(what);
	exit(1);
}

static void
read_message(struct pour *p, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	char *id;
	size_t i;

	check(fd >= 0, path);
	n = read(fd, p->message + 1, BYTES_MAX - 3);
	check(n > 0, path);
	(void)close(fd);
	for (i = 1; i <= (size_t)n; i++)
		if (p->message[i] == '\n')
			p->message[i] = '\r';
	p->message[0] = '\v';
	memcpy(p->message + n + 1, "\034\r", 2);
	p->n_message = (size_t)n + 3;
	id = memmem(p->message, p->n_message, ID, ID_BYTES);
	check(id != NULL, "the message's control id");
	p->id_at = (size_t)(id - p->message);
}

static void
write_id(size_t number, char ret[ID_BYTES + 1])
{
	(void)snprintf(ret, ID_BYTES + 1, "%011u", (unsigned)number % 100000000U);
}

/* As much as is taken. */
static void
pour_more(struct pour *p)
{
	char id[ID_BYTES + 1];
	ssize_t n;

	while (p->n_sent < p->n_jobs && p->n_sent - p->n_answered < WINDOW) {
		write_id(p->n_sent, id);
		memcpy(p->message + p->id_at, id, ID_BYTES);
		n = send(p->fd, p->message + p->written, p->n_message - p->written,
			MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return;
		p->written += (size_t)n;
		if (p->written < p->n_message)
			return;
		p->written = 0;
		p->n_sent++;
	}
}

static void
check_answer(const struct pour *p, const char *answer, size_t n)
{
	char id[ID_BYTES + 1], wanted[32];

	write_id(p->n_answered, id);
	(void)snprintf(wanted, sizeof(wanted), "MSA|AA|%s", id);
	if (memmem(answer, n, wanted, strlen(wanted)))
		return;
	(void)fprintf(
		stderr, "message %zu got another answer: %.*s\n", p->n_answered, (int)n, answer);
	exit(1);
}

/* The answers that are there. */
static void
take_answers(struct pour *p)
{
	ssize_t got = recv(p->fd, p->in + p->n_in, sizeof(p->in) - p->n_in, MSG_DONTWAIT);
	char *end, *begin = p->in;

	if (got <= 0) {
		(void)fprintf(stderr, "the connection ended behind %zu answers\n", p->n_answered);
		exit(1);
	}
	p->n_in += (size_t)got;
	while ((end = memchr(begin, '\034', p->n_in - (size_t)(begin - p->in)))) {
		check_answer(p, begin, (size_t)(end - begin));
		p->n_answered++;
		begin = end + 1;
	}
	p->n_in -= (size_t)(begin - p->in);
	memmove(p->in, begin, p->n_in);
}

static void
pour_all(struct pour *p)
{
	struct pollfd polled = { .fd = p->fd };

	while (p->n_answered < p->n_jobs) {
		pour_more(p);
		polled.events = POLLIN;
		if (p->n_sent < p->n_jobs && p->n_sent - p->n_answered < WINDOW)
			polled.events = POLLIN | POLLOUT;
		check(poll(&polled, 1, 10000) == 1, "no answer for 10 seconds");
		if (polled.revents & (POLLIN | POLLHUP | POLLERR))
			take_answers(p);
	}
}

static double
seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static struct pour p;
	double began;

	if (argc != 4)
		return 64;
	a.sin_port = htons((in_port_t)strtoul(argv[1], NULL, 10));
	p.n_jobs = strtoul(argv[2], NULL, 10);
	read_message(&p, argv[3]);
	p.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(p.fd >= 0 && connect(p.fd, (struct sockaddr *)&a, sizeof(a)) == 0, "connect");
	began = seconds();
	pour_all(&p);
	(void)printf("%.1f\n", (double)p.n_jobs / (seconds() - began));
	return 0;
}
