/* SPDX-License-Identifier: MIT */
#include "queue/facts.h"
#include "hl7/message.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The first segment is in the head: of real messages it has some hundred bytes. */

#define SHOWN_BYTES 64

void
facts_escape(struct span bytes, char ret[FACT_BYTES])
{
	struct span s = span_first(bytes, SHOWN_BYTES);
	size_t i, n = 0;

	for (i = 0; i < s.n; i++) {
		if (s.p[i] > ' ' && s.p[i] < 0x7F && s.p[i] != '\\')
			ret[n++] = (char)s.p[i];
		else
			n += (size_t)sprintf(ret + n, "\\x%02x", s.p[i]);
	}
	(void)sprintf(ret + n, "%s", s.n < bytes.n ? "..." : n == 0 ? "-" : "");
}

static int
read_head(int fd, uint8_t head[FACT_HEAD_BYTES], struct span *ret)
{
	ssize_t n;

	do
		n = pread(fd, head, FACT_HEAD_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret = span_of(head, (size_t)n);
	return 0;
}

int
facts_read(int fd, struct facts *ret)
{
	uint8_t head[FACT_HEAD_BYTES];
	struct span bytes = SPAN_NULL;
	struct message m;
	struct stat st;
	int r = fstat(fd, &st) < 0 ? -errno : read_head(fd, head, &bytes);

	if (r < 0)
		return r;
	r = message_parse(&m, bytes);
	ret->bytes = (uint64_t)st.st_size;
	/* of a message without a header all fields are empty */
	facts_escape(r ? SPAN_NULL : message_header_field(&m, 10), ret->control_id);
	facts_escape(r ? SPAN_NULL : message_header_field(&m, 9), ret->type);
	facts_escape(r ? SPAN_NULL : message_header_field(&m, 3), ret->application);
	message_deinit(&m);
	return r < 0 ? r : 0;
}

void
facts_read_names(int fd, uint8_t head[FACT_HEAD_BYTES], struct fact_names *ret)
{
	struct span bytes = SPAN_NULL;
	struct message m;

	*ret = (struct fact_names){ SPAN_NULL, SPAN_NULL };
	if (read_head(fd, head, &bytes) < 0)
		return;
	if (message_parse(&m, bytes) == 0) {
		ret->control_id = message_header_field(&m, 10);
		ret->type = message_header_field(&m, 9);
	}
	message_deinit(&m);
}

int
facts_has_control_id(int fd, struct span control_id)
{
	uint8_t head[FACT_HEAD_BYTES];
	struct span bytes = SPAN_NULL;
	struct message m;
	int r = read_head(fd, head, &bytes);
	bool same;

	/* nearly all files are none of it, and need no more than this look */
	if (r < 0 || bytes.n == 0 || !memmem(bytes.p, bytes.n, control_id.p, control_id.n))
		return r;
	r = message_parse(&m, bytes);
	same = r == 0 && span_eq(message_header_field(&m, 10), control_id);
	message_deinit(&m);
	return r < 0 ? r : same;
}

void
facts_format_time(usec_t at, char ret[FACT_TIME_BYTES])
{
	time_t seconds = (time_t)(at / USEC_PER_SEC);
	struct tm tm = { 0 };

	(void)localtime_r(&seconds, &tm);
	if (at == 0 || strftime(ret, FACT_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)snprintf(ret, FACT_TIME_BYTES, "-");
}

void
facts_format_span(usec_t span, char ret[FACT_TIME_BYTES])
{
	static const struct {
		char name;
		uint64_t seconds;
	} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	uint64_t rest = span / USEC_PER_SEC;
	size_t i = 0;

	while (i < 3 && rest < units[i].seconds)
		i++;
	if (i == 3)
		(void)snprintf(ret, FACT_TIME_BYTES, "%us", (unsigned)rest);
	else
		(void)snprintf(ret, FACT_TIME_BYTES, "%llu%c %llu%c",
			(unsigned long long)(rest / units[i].seconds), units[i].name,
			(unsigned long long)(rest % units[i].seconds / units[i + 1].seconds),
			units[i + 1].name);
}
