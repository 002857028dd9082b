/* SPDX-License-Identifier: MIT */
#include "journal/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

/* systemd's JOURNAL_NATIVE_PROTOCOL, which is promised to stay as it is. sd_journal_sendv(3) does
 * the same, but the library that has it links those for reading journals, compressed and sealed:
 * five more, which cost a process of one connection more than all that it does itself. */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* A journal that takes nothing for so long loses an entry: nobody waits for a log without end. */
#define JOURNAL_PATIENCE_SECONDS 1

/* Whether descriptor 2 is the stream that JOURNAL_STREAM names as "device:inode". */
static bool
stderr_is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;
	char *end;

	if (!s)
		return false;
	device = strtoumax(s, &end, 10);
	if (*end != ':')
		return false;
	inode = strtoumax(end + 1, &end, 10);
	return *end == 0 && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device &&
	       st.st_ino == inode;
}

bool
log_target_parse(const char *text, enum log_target *ret)
{
	static const char *const words[] = {
		[LOG_TARGET_AUTO] = "auto",
		[LOG_TARGET_JOURNAL] = "journal",
		[LOG_TARGET_STDERR] = "stderr",
	};
	int i;

	for (i = LOG_TARGET_AUTO; i <= LOG_TARGET_STDERR; i++)
		if (strcmp(text, words[i]) == 0) {
			*ret = (enum log_target)i;
			return true;
		}
	return false;
}

bool
log_level_parse(const char *text, int *ret)
{
	static const char *const words[] = { "err", "warning", "notice", "info", "debug" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = LOG_ERR + (int)i;
			return true;
		}
	}
	return false;
}

static enum journal_way
choose_way(enum log_target wanted, bool stderr_usable)
{
	if (wanted == LOG_TARGET_JOURNAL)
		return JOURNAL_NATIVE;
	if (wanted == LOG_TARGET_STDERR && stderr_usable)
		return JOURNAL_STDERR;
	if (stderr_is_journal())
		return JOURNAL_NATIVE;
	if (stderr_usable)
		return JOURNAL_STDERR;
	return access(JOURNAL_SOCKET, F_OK) == 0 ? JOURNAL_NATIVE : JOURNAL_SYSLOG;
}

struct journal_target
journal_choose(enum log_target wanted, bool stderr_usable)
{
	const struct timeval patience = { .tv_sec = JOURNAL_PATIENCE_SECONDS };
	struct journal_target target = { choose_way(wanted, stderr_usable), -1, LOG_DEBUG };

	if (target.way != JOURNAL_NATIVE)
		return target;
	target.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(target.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return target;
}

static void
add_field(struct journal_entry *e, const char *name, struct span value)
{
	size_t n = strlen(name), all = n + 1 + value.n + 1; /* '=' and the line feed */
	char *field = e->bytes + e->n_bytes, *p = field, *feed;

	if (e->n_fields == JOURNAL_FIELDS_MAX || all > JOURNAL_ENTRY_BYTES - e->n_bytes)
		return;
	p = mempcpy(p, name, n);
	*p++ = '=';
	p = mempcpy(p, value.p, value.n);
	while ((feed = memchr(field, '\n', (size_t)(p - field))))
		*feed = ' ';
	*p = '\n';
	e->starts[e->n_fields++] = e->n_bytes;
	e->n_bytes += all;
}

void
journal_begin(struct journal_entry *e, int priority, const char *message_id, const char *message)
{
	e->n_fields = 0;
	e->n_bytes = 0;
	journal_text(e, "MESSAGE", message);
	journal_number(e, "PRIORITY", (uint64_t)priority);
	journal_text(e, "MESSAGE_ID", message_id);
}

void
journal_text(struct journal_entry *e, const char *name, const char *value)
{
	add_field(e, name, span_str(value));
}

void
journal_number(struct journal_entry *e, const char *name, uint64_t value)
{
	char digits[20], *end = digits + sizeof(digits), *p = end;

	do
		*--p = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	add_field(e, name, span_of(p, (size_t)(end - p)));
}

void
journal_escape(struct span bytes, char ret[JOURNAL_ESCAPED_BYTES])
{
	struct span s = span_first(bytes, JOURNAL_PEER_BYTES_MAX);
	size_t i, n = 0;

	for (i = 0; i < s.n; i++) {
		if (s.p[i] >= ' ' && s.p[i] < 0x7F && s.p[i] != '\\' && s.p[i] != '"')
			ret[n++] = (char)s.p[i];
		else
			n += (size_t)sprintf(ret + n, "\\x%02x", s.p[i]);
	}
	memcpy(ret + n, s.n < bytes.n ? "..." : "\0\0\0", 4);
}

void
journal_bytes(struct journal_entry *e, const char *name, struct span bytes)
{
	char escaped[JOURNAL_ESCAPED_BYTES];

	journal_escape(bytes, escaped);
	add_field(e, name, span_str(escaped));
}

static struct span
field_at(const struct journal_entry *e, size_t i)
{
	size_t end = i + 1 < e->n_fields ? e->starts[i + 1] : e->n_bytes;

	return span_of(e->bytes + e->starts[i], end - 1 - e->starts[i]);
}

/* By the path each time: a journal that was started anew has another socket. */
static void
send_native(int fd, const struct journal_entry *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	const struct span all[] = {
		span_of(e->bytes, e->n_bytes),
		SPAN("SYSLOG_IDENTIFIER="),
		span_str(program_invocation_short_name),
		SPAN("\n"),
	};
	struct iovec parts[4];
	const struct msghdr m = {
		.msg_name = &address,
		.msg_namelen = sizeof(address),
		.msg_iov = parts,
		.msg_iovlen = 4,
	};
	size_t i;

	for (i = 0; i < 4; i++)
		parts[i] = (struct iovec){ (void *)(uintptr_t)all[i].p, all[i].n };
	while (sendmsg(fd, &m, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* Appends " NAME=value". A value with blanks is quoted, so that none can look like the field behind
 * it. */
static size_t
append_field(char *line, size_t room, struct span field)
{
	struct span name = span_first(field, span_find(field, '=') + 1);
	struct span value = span_from(field, name.n);
	const char *quote = span_find(value, ' ') < value.n ? "\"" : "";

	return (size_t)snprintf(line, room, " %.*s%s%.*s%s", (int)name.n, (const char *)name.p,
		quote, (int)value.n, (const char *)value.p, quote);
}

/* "text NAME=value NAME=value": the human line, then all but priority and id. Returns its length.
 */
static int
format_line(const struct journal_entry *e, char *line, size_t room)
{
	struct span s = span_from(field_at(e, 0), strlen("MESSAGE="));
	int n = snprintf(line, room, "%.*s", (int)s.n, (const char *)s.p);
	size_t i;

	for (i = 1; i < e->n_fields && (size_t)n < room; i++) {
		s = field_at(e, i);
		if (span_starts(s, SPAN("PRIORITY=")) || span_starts(s, SPAN("MESSAGE_ID=")))
			continue;
		n += (int)append_field(line + n, room - (size_t)n, s);
	}
	return (size_t)n < room ? n : (int)room - 1;
}

static int
priority_of(const struct journal_entry *e)
{
	struct span s = span_from(field_at(e, 1), strlen("PRIORITY="));

	return s.n == 1 ? s.p[0] - '0' : LOG_INFO;
}

/* In one write, so that lines of processes that share the descriptor do not mix. A reader that is
 * stuck loses lines: nobody's answer waits for a log. */
static void
write_line(struct span line)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	uint8_t cut[PIPE_BUF]; /* what poll() promises of a pipe is taken at once */

	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return;
	if (line.n > sizeof(cut)) {
		memcpy(cut, line.p, sizeof(cut) - 1);
		cut[sizeof(cut) - 1] = '\n';
		line = span_of(cut, sizeof(cut));
	}
	(void)!write(STDERR_FILENO, line.p, line.n);
}

static void
send_line(enum journal_way way, const struct journal_entry *e)
{
	char line[JOURNAL_ENTRY_BYTES + 3 * JOURNAL_FIELDS_MAX + 2]; /* a blank and quotes each */
	int n = format_line(e, line, sizeof(line) - 1);

	if (way == JOURNAL_SYSLOG) {
		syslog(LOG_DAEMON | priority_of(e), "%s", line);
		return;
	}
	line[n++] = '\n';
	write_line(span_of(line, (size_t)n));
}

void
journal_send(struct journal_target target, const struct journal_entry *e)
{
	if (priority_of(e) > target.least)
		return;
	switch (target.way) {
	case JOURNAL_NATIVE: send_native(target.fd, e); return;
	case JOURNAL_STDERR:
		if (priority_of(e) == LOG_DEBUG)
			return; /* a terminal cannot filter as journalctl -p does */
		send_line(target.way, e);
		return;
	case JOURNAL_SYSLOG: send_line(target.way, e); return;
	}
}
