/* SPDX-License-Identifier: MIT */
#include "send/engine.h"
#include "ack/answer.h"
#include "cli/progress.h"
#include "hl7/control_id.h"
#include "mllp/frame.h"
#include "net/command.h"
#include "net/dial.h"
#include "send/print.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a command has to end in after our end was closed, before it gets SIGTERM: one that is done
 * with, and one that closed its end first, whose status is of interest. */
#define CLOSE_GRACE_USEC  (200 * USEC_PER_MSEC)
#define STATUS_GRACE_USEC USEC_PER_SEC

enum line_state {
	LINE_IDLE, /* no message in hand; the connection may be open */
	LINE_CONNECTING,
	LINE_TALKING, /* writing, and reading at the same time: an early answer is not missed */
};

/* One connection and the message that it carries now. */
struct line {
	enum line_state state;
	int fd;                         /* -1 when there is none */
	struct command command;         /* with --via: whose `fd` it is */
	const struct addrinfo *address; /* that is tried, or connected */
	struct frame_decoder decoder;
	struct buffer out;
	size_t written;
	size_t job;                    /* the message's number in the whole run */
	char id[CONTROL_ID_CHARS + 1]; /* with --new-id */
	usec_t started_usec, deadline;
	size_t n_answered; /* over this connection */
	bool again;        /* this message is sent for the second time */
};

struct engine {
	const struct options *options;
	const struct input_list *files;
	const struct messages *messages;
	const struct addrinfo *addresses;
	struct tally *tally;
	struct line *lines;
	struct pollfd *polls;
	struct control_id_source ids;
	struct progress progress;
	usec_t started_usec;
	size_t n_jobs, next_job, n_done;
	int error; /* of our own side: ends the run */
};

/* --- one line -------------------------------------------------------------------------------- */

static void
line_close(struct line *l)
{
	int status;

	if (l->command.pid)
		(void)command_stop(&l->command, CLOSE_GRACE_USEC, &status);
	else if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	l->n_answered = 0;
	frame_decoder_deinit(&l->decoder);
}

static size_t
message_of(const struct engine *e, size_t job)
{
	return job % e->messages->n;
}

static struct span
id_of(const struct engine *e, const struct line *l)
{
	return e->options->new_id ? span_str(l->id)
				  : messages_id(e->messages, message_of(e, l->job));
}

static void
tell(const struct engine *e, const struct line *l, const char *text)
{
	const struct outgoing *o = &e->messages->items[message_of(e, l->job)];

	(void)fprintf(stderr, "%shl7-send: %s, message %u: %s\n",
		e->progress.shown ? "\r\033[K" : "", e->files->items[o->file].path, o->number,
		text);
}

/* The message in hand has its verdict; the line is free for the next. */
static void
line_finish(struct engine *e, struct line *l, enum verdict verdict, bool keep)
{
	tally_add(e->tally, verdict, clock_monotonic_usec() - l->started_usec,
		e->messages->items[message_of(e, l->job)].n);
	e->n_done++;
	l->state = LINE_IDLE;
	l->n_answered++;
	l->again = false;
	if (!keep)
		line_close(l);
}

static void
line_fail(struct engine *e, struct line *l, const char *text)
{
	tell(e, l, text);
	line_finish(e, l, VERDICT_UNANSWERED, false);
}

/* Begins to connect to the address in hand, or to those behind it. */
static void
line_dial(struct engine *e, struct line *l)
{
	int r = -ECONNREFUSED;

	for (; l->address; l->address = l->address->ai_next) {
		r = dial_begin(l->address, &l->fd);
		if (r == 0) {
			frame_decoder_init(&l->decoder, e->options->max_ack_bytes);
			l->state = LINE_CONNECTING;
			return;
		}
	}
	line_fail(e, l, strerrordesc_np(-r));
}

static void
line_run(struct engine *e, struct line *l)
{
	char text[128];
	int r = command_start(e->options->via, &l->command);

	if (r < 0) {
		(void)snprintf(text, sizeof(text), "the command cannot be started: %s",
			strerrordesc_np(-r));
		line_fail(e, l, text);
		return;
	}
	l->fd = l->command.fd;
	frame_decoder_init(&l->decoder, e->options->max_ack_bytes);
	l->state = LINE_TALKING;
}

static void
line_connect(struct engine *e, struct line *l)
{
	if (e->options->via) {
		line_run(e, l);
		return;
	}
	l->address = e->addresses;
	line_dial(e, l);
}

static void
line_connected(struct engine *e, struct line *l)
{
	int r = dial_end(l->fd);

	if (r == 0) {
		l->state = LINE_TALKING;
		return;
	}
	line_close(l);
	if (l->address->ai_next) {
		l->address = l->address->ai_next;
		line_dial(e, l);
	} else {
		line_fail(e, l, strerrordesc_np(-r));
	}
}

/* The peer closed a connection that had carried messages before, and said nothing to this one: most
 * likely it had closed before this one came. It is sent again once, over a new connection. */
static bool
line_may_send_again(const struct line *l)
{
	return l->n_answered > 0 && !l->again && !frame_begun(&l->decoder);
}

static void
line_send_again(struct engine *e, struct line *l)
{
	line_close(l);
	l->again = true;
	l->written = 0;
	line_connect(e, l);
}

/* Stops a command that closed its end; how it ended says more than that it did. */
static void
line_command_ended(struct line *l, const char *when, char *text, size_t text_bytes)
{
	char end[COMMAND_STATUS_BYTES];
	int status, r = command_stop(&l->command, STATUS_GRACE_USEC, &status);

	l->fd = -1;
	if (r) {
		(void)snprintf(text, text_bytes, "the command closed its output %s", when);
		return;
	}
	command_describe(status, end);
	(void)snprintf(text, text_bytes, "the command ended %s (%s)", when, end);
}

static void
line_hung_up(struct engine *e, struct line *l, const char *when)
{
	char text[128];

	if (l->command.pid)
		line_command_ended(l, when, text, sizeof(text));
	else
		(void)snprintf(text, sizeof(text), "the peer closed the connection %s", when);
	line_fail(e, l, text);
}

static void
line_lost(struct engine *e, struct line *l, int error)
{
	if (line_may_send_again(l))
		line_send_again(e, l);
	else if (error)
		line_fail(e, l, strerrordesc_np(error));
	else
		line_hung_up(e, l, "without an answer");
}

/* Reads what is there into the decoder: its bytes, 0 at the end of input, or a negative errno. */
static ssize_t
line_fill(struct line *l)
{
	uint8_t *room;
	size_t n;
	ssize_t got;
	int r = frame_decoder_space(&l->decoder, &room, &n);

	if (r < 0)
		return r;
	got = recv(l->fd, room, n, MSG_DONTWAIT);
	if (got > 0)
		frame_decoder_filled(&l->decoder, (size_t)got);
	if (got < 0 && errno == ECONNRESET && l->command.pid)
		return 0; /* it ended with bytes of ours unread, which is an end all the same */
	return got < 0 ? -errno : got;
}

/* Whether nothing has come since the last answer: what comes before a message is sent cannot be its
 * answer. */
static bool
line_is_quiet(struct line *l)
{
	struct frame f;
	ssize_t n;

	if (frame_next(&l->decoder, &f) != FRAME_E_PARTIAL)
		return false;
	n = line_fill(l);
	if (n == 0 || (n < 0 && n != -EAGAIN))
		return false;
	return frame_next(&l->decoder, &f) == FRAME_E_PARTIAL && !frame_begun(&l->decoder);
}

static void
line_begin(struct engine *e, struct line *l, size_t job)
{
	struct span own = SPAN_NULL;
	int r;

	l->job = job;
	l->written = 0;
	l->started_usec = clock_monotonic_usec();
	l->deadline = deadline_in(e->options->timeout_usec);
	if (e->options->new_id) {
		control_id_next(&e->ids, clock_realtime_usec(), l->id);
		own = span_str(l->id);
	}
	r = messages_frame(e->messages, message_of(e, job), own, &l->out);
	if (r < 0) {
		e->error = r;
		return;
	}
	if (l->fd >= 0 && !line_is_quiet(l))
		line_close(l);
	if (l->fd >= 0) {
		l->state = LINE_TALKING;
		return;
	}
	line_connect(e, l);
}

static enum verdict
verdict_of(enum ack_class answered)
{
	switch (answered) {
	case ACK_ACCEPT: return VERDICT_ACCEPTED;
	case ACK_ERROR: return VERDICT_ERROR;
	case ACK_REJECT: return VERDICT_REJECTED;
	case ACK_NONE: break;
	}
	return VERDICT_UNANSWERED;
}

static void
line_answered(struct engine *e, struct line *l, const struct frame *f)
{
	struct answer answer;
	bool sent = l->written == l->out.n;
	int r = answer_judge(f->payload, id_of(e, l), &answer);

	if (r < 0) {
		e->error = r;
		return;
	}
	if (!e->options->quiet) {
		progress_end(&e->progress);
		print_answer(f->payload, stdout);
	}
	if (r == ANSWER_E_FOREIGN)
		line_fail(
			e, l, "the answer is another message's (MSA-2); the connection is closed");
	else if (r == ANSWER_E_UNREADABLE)
		line_fail(e, l, "the answer is no acknowledgement");
	else
		line_finish(e, l, verdict_of(answer.class), e->options->keep_open && sent);
}

static void
line_read(struct engine *e, struct line *l)
{
	struct frame f;
	ssize_t n = line_fill(l);
	int r;

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n == -ENOMEM)
		e->error = -ENOMEM;
	if (n == 0)
		frame_decoder_eof(&l->decoder);
	r = frame_next(&l->decoder, &f);
	if (r == 0)
		line_answered(e, l, &f);
	else if (n < 0)
		line_lost(e, l, (int)-n);
	else if (r == FRAME_E_END)
		line_lost(e, l, 0);
	else if (r == FRAME_E_TRUNCATED)
		line_hung_up(e, l, "in the middle of its answer");
	else if (r != FRAME_E_PARTIAL)
		line_fail(e, l, "the answer is larger than --max-ack, or not a clean frame");
}

static void
line_write(struct engine *e, struct line *l)
{
	struct span rest = span_from(buffer_span(&l->out), l->written);
	ssize_t n = send(l->fd, rest.p, rest.n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		l->written += (size_t)n;
	else if (errno == EPIPE || errno == ECONNRESET)
		line_read(e, l); /* an answer may be waiting all the same */
	else if (errno != EAGAIN && errno != EINTR)
		line_fail(e, l, strerrordesc_np(errno));
}

static void
line_event(struct engine *e, struct line *l, short events)
{
	if (l->state == LINE_CONNECTING) {
		line_connected(e, l);
		return;
	}
	if (events & (POLLIN | POLLHUP | POLLERR))
		line_read(e, l);
	if (l->state == LINE_TALKING && events & POLLOUT && l->written < l->out.n)
		line_write(e, l);
}

static void
line_timeout(struct engine *e, struct line *l)
{
	if (l->state == LINE_CONNECTING)
		line_fail(e, l, "no connection within --timeout");
	else
		line_fail(e, l, "no whole answer within --timeout; the connection is closed");
}

/* --- the whole ------------------------------------------------------------------------------- */

/* When the next message may go: --rate spreads them evenly from the beginning. */
static usec_t
release_time(const struct engine *e)
{
	if (e->options->rate == 0)
		return e->started_usec;
	return e->started_usec + (usec_t)e->next_job * USEC_PER_SEC / e->options->rate;
}

static void
begin_jobs(struct engine *e)
{
	struct line *l;
	size_t i;

	for (i = 0; i < e->options->connections && e->next_job < e->n_jobs && !e->error; i++) {
		l = &e->lines[i];
		if (l->state == LINE_IDLE && release_time(e) <= clock_monotonic_usec())
			line_begin(e, l, e->next_job++);
	}
}

static short
events_of(const struct line *l)
{
	if (l->state == LINE_IDLE)
		return 0;
	if (l->state == LINE_CONNECTING)
		return POLLOUT;
	return l->written < l->out.n ? POLLIN | POLLOUT : POLLIN;
}

/* Fills the poll table; returns the first deadline of all. */
static usec_t
prepare_polls(struct engine *e)
{
	usec_t first = DEADLINE_NEVER;
	bool idle = false;
	size_t i;

	for (i = 0; i < e->options->connections; i++) {
		const struct line *l = &e->lines[i];

		idle |= l->state == LINE_IDLE;
		e->polls[i] = (struct pollfd){
			.fd = l->state == LINE_IDLE ? -1 : l->fd,
			.events = events_of(l),
		};
		if (l->state != LINE_IDLE && l->deadline < first)
			first = l->deadline;
	}
	if (idle && e->next_job < e->n_jobs && release_time(e) < first)
		first = release_time(e);
	return first;
}

static int
wait_for_events(struct engine *e, usec_t until)
{
	struct timespec ts;
	int n = ppoll(e->polls, e->options->connections,
		deadline_timeout(deadline_left(until), &ts), NULL);

	return n < 0 && errno != EINTR ? -errno : 0;
}

static void
handle_events(struct engine *e)
{
	usec_t now = clock_monotonic_usec();
	struct line *l;
	size_t i;

	for (i = 0; i < e->options->connections; i++) {
		l = &e->lines[i];
		if (l->state == LINE_IDLE)
			continue;
		if (e->polls[i].revents)
			line_event(e, l, e->polls[i].revents);
		if (l->state != LINE_IDLE && l->deadline <= now)
			line_timeout(e, l);
	}
}

static void
show_progress(struct engine *e)
{
	const size_t *n = e->tally->counts;
	char text[128];

	(void)snprintf(text, sizeof(text), "%zu of %zu messages answered, %zu not accepted",
		e->n_done, e->n_jobs,
		n[VERDICT_ERROR] + n[VERDICT_REJECTED] + n[VERDICT_UNANSWERED]);
	progress_show(&e->progress, text);
}

static void
run(struct engine *e)
{
	e->started_usec = clock_monotonic_usec();
	while (e->n_done < e->n_jobs && !e->error) {
		begin_jobs(e);
		if (e->n_done == e->n_jobs || e->error)
			break;
		e->error = wait_for_events(e, prepare_polls(e));
		handle_events(e);
		show_progress(e);
	}
	progress_end(&e->progress);
}

static int
engine_init(struct engine *e)
{
	size_t i, n = e->options->connections;

	e->lines = calloc(n, sizeof(*e->lines));
	e->polls = calloc(n, sizeof(*e->polls));
	if (!e->lines || !e->polls)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		e->lines[i].fd = -1;
		e->lines[i].command = COMMAND_NULL;
		e->lines[i].out = BUFFER_INIT(INPUT_BYTES_MAX + 1024);
	}
	e->ids.pid = (uint32_t)getpid();
	if (getrandom(&e->ids.random, sizeof(e->ids.random), GRND_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static void
engine_deinit(struct engine *e)
{
	size_t i;

	for (i = 0; e->lines && i < e->options->connections; i++) {
		line_close(&e->lines[i]);
		buffer_deinit(&e->lines[i].out);
	}
	free(e->lines);
	free(e->polls);
}

int
engine_run(const struct options *o, const struct input_list *files, const struct messages *messages,
	const struct addrinfo *addresses, struct tally *tally)
{
	struct engine e = {
		.options = o,
		.files = files,
		.messages = messages,
		.addresses = addresses,
		.tally = tally,
		.progress = progress_begin(false),
		.n_jobs = messages->n * o->repeat,
	};

	e.error = engine_init(&e);
	if (e.error == 0)
		run(&e);
	engine_deinit(&e);
	return e.error;
}
