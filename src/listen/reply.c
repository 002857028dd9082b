/* SPDX-License-Identifier: MIT */
#include "listen/reply.h"
#include "mllp/frame.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void
replier_identify(struct replier *r)
{
	r->ids.pid = (uint32_t)getpid();
	if (getrandom(&r->ids.random, sizeof(r->ids.random), GRND_NONBLOCK) < 0)
		r->ids.random = (uint32_t)clock_monotonic_usec();
	if (gethostname(r->host, sizeof(r->host) - 1) < 0)
		r->host[0] = 0;
}

static void
write_now(usec_t now, char ret[TIMESTAMP_BYTES])
{
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	struct tm tm = { 0 };

	(void)localtime_r(&seconds, &tm);
	timestamp_format(seconds, (int)tm.tm_gmtoff, ret);
}

struct template_input
replier_input(struct replier *r, const struct message *m, char timestamp[TIMESTAMP_BYTES])
{
	usec_t now = clock_realtime_usec();

	write_now(now, timestamp);
	return (struct template_input){
		.message = m,
		.ids = &r->ids,
		.now_usec = now,
		.variables = {
			[TEMPLATE_NOW] = span_str(timestamp),
			[TEMPLATE_PEER_ADDRESS] = span_str(r->names->peer_address),
			[TEMPLATE_LOCAL_PORT] = span_str(r->names->local_port),
			[TEMPLATE_HOST] = span_str(r->host),
		},
	};
}

static int
render(struct reply *reply, struct replier *r, struct ack_answer *answer,
	struct template_failures *ret_failures)
{
	int status;

	/* an answer may be as large as its message, which repeats its header: one copy is enough */
	reply->frame.max = ack_bytes_max(answer->message);
	status = ack_render(r->templates, r->shipped, answer, &reply->frame, ret_failures);
	reply->unusable = answer->unusable;
	if (status == 0)
		status = frame_enclose(&reply->frame);
	if (status)
		buffer_clear(&reply->frame);
	return status;
}

int
reply_make(struct reply *reply, struct replier *r, const struct message *m, enum outcome outcome,
	enum ack_class class, const struct template_failures *failures,
	struct template_failures *ret_failures)
{
	char timestamp[TIMESTAMP_BYTES];
	struct ack_answer answer = {
		.message = m,
		.outcome = outcome,
		.failures = failures,
	};

	reply_clear(reply);
	if (class == ACK_NONE)
		return 0;
	reply->code =
		ack_code(r->mode, class, message_header_field(m, 15), message_header_field(m, 16));
	if (!reply->code[0])
		return 0;
	answer.code = reply->code;
	answer.input = replier_input(r, m, timestamp);
	return render(reply, r, &answer, ret_failures);
}

void
reply_clear(struct reply *reply)
{
	buffer_clear(&reply->frame);
	reply->code = "";
	reply->delivered = false;
	reply->unusable = NULL;
}

void
reply_deinit(struct reply *reply)
{
	buffer_deinit(&reply->frame);
}

enum outcome
reply_outcome(int r)
{
	if (r == ACK_E_REFUSED)
		return OUTCOME_VALUE_REFUSED;
	return r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_TEMPLATE_BROKEN;
}

int
reply_send(struct reply *reply, const struct connection *c, usec_t timeout_usec)
{
	int r;

	if (reply->frame.n == 0)
		return 0;
	r = connection_write(c, buffer_span(&reply->frame), deadline_in(timeout_usec));
	reply->delivered = r == 0;
	return r == CONNECTION_E_TIMEOUT ? -ETIMEDOUT : r;
}

bool
reply_goes_on(const struct reply *reply, enum outcome outcome)
{
	if (outcome == OUTCOME_NO_HEADER || outcome == OUTCOME_FRAME_LOST ||
		outcome == OUTCOME_FRAME_TIMEOUT)
		return false;
	/* the end of the connection is all that it can be told with */
	if ((outcome == OUTCOME_STORAGE_FAILED || outcome == OUTCOME_STORE_FULL) && !reply->code[0])
		return false;
	return !reply->code[0] || reply->delivered;
}
