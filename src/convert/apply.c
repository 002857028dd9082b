/* SPDX-License-Identifier: MIT */
#include "convert/apply.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "hl7/split.h"
#include "hl7/timestamp.h"
#include "mllp/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* Results are gathered to so much before they are written. */
#define OUTPUT_GATHER_BYTES ((size_t)256 * 1024)

struct run {
	const struct options *o;
	const struct templates *t;
	struct control_id_source ids;
	struct buffer message, result, out;
	const char *path; /* of the input file in hand */
	size_t number;    /* of the message in it, from 1 */
	size_t n_messages, n_results, n_refused;
	struct progress progress;
	usec_t now;
	char timestamp[TIMESTAMP_BYTES];
	char host[65];
	int status; /* of the worst that happened */
};

static int
complain(struct run *run, const char *what, const char *text, int status)
{
	progress_end(&run->progress);
	(void)fprintf(stderr, "hl7-convert: %s: %s\n", what, text);
	if (status != EXIT_OK && (run->status == EXIT_OK || run->status == 1))
		run->status = status;
	return status;
}

/* --- writing --------------------------------------------------------------------------------- */

static int
flush(struct run *run)
{
	size_t n = run->out.n ? fwrite(run->out.p, 1, run->out.n, stdout) : 0;
	bool whole = n == run->out.n && fflush(stdout) == 0;

	buffer_clear(&run->out);
	return whole ? 0 : -errno;
}

static int
gather(struct run *run, struct span bytes)
{
	int r = buffer_append(&run->out, bytes);

	if (r)
		return r < 0 ? r : -EFBIG;
	return run->out.n >= OUTPUT_GATHER_BYTES ? flush(run) : 0;
}

static int
gather_lines(struct run *run, struct span result)
{
	size_t start = run->out.n, i;
	int r = buffer_append(&run->out, result);

	if (r)
		return r < 0 ? r : -EFBIG;
	for (i = start; i < run->out.n; i++)
		if (run->out.p[i] == '\r')
			run->out.p[i] = '\n';
	return run->out.n >= OUTPUT_GATHER_BYTES ? flush(run) : 0;
}

static int
gather_frame(struct run *run, struct span result)
{
	int r = frame_encode(&run->out, result);

	if (r)
		return r < 0 ? r : -EFBIG;
	return run->out.n >= OUTPUT_GATHER_BYTES ? flush(run) : 0;
}

/* A file that is there already is somebody's: it is not overwritten. */
static int
write_split(struct run *run, struct span result)
{
	char path[4096];
	FILE *file;
	bool whole;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%06zu.hl7", run->o->split, run->n_results);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		(void)close(fd);
		return -ENOMEM;
	}
	whole = result.n == 0 || fwrite(result.p, 1, result.n, file) == result.n;
	return fclose(file) == 0 && whole ? 0 : -EIO;
}

static int
write_message(struct run *run, struct span result)
{
	struct buffer framed = BUFFER_INIT(run->o->max_result_bytes + 3);
	int r;

	run->n_results++;
	if (!run->o->split)
		return run->o->framed  ? gather_frame(run, result)
		       : run->o->lines ? gather_lines(run, result)
				       : gather(run, result);
	r = run->o->framed ? frame_encode(&framed, result) : 0;
	if (r == 0)
		r = write_split(run, run->o->framed ? buffer_span(&framed) : result);
	buffer_deinit(&framed);
	return r;
}

static int
write_result(struct run *run)
{
	struct span rest = buffer_span(&run->result), message;
	int r = 0;

	while (r == 0 && template_cut_message(&rest, &message))
		r = write_message(run, message);
	return r;
}

/* --- --explain ------------------------------------------------------------------------------- */

struct explaining {
	struct run *run;
	const struct message *message;
};

/* "12:5  {PID-3.1 or PID-2.1}  PID-3.1 of segment 2: 4711" */
static void
explain_hole(void *userdata, const struct template_trace *t)
{
	const struct explaining *e = userdata;
	bool safe = output_is_terminal(stdout);
	int column;

	column = printf("%u:%u ", t->line, t->column);
	(void)printf("%*s{", column < 8 ? 8 - column : 0, "");
	output_bytes(stdout, t->hole, safe);
	(void)fputs("} ", stdout);
	if (t->source.n == 0) {
		(void)fputs("empty\n", stdout);
		return;
	}
	if (t->from_segment)
		(void)printf("from segment %zu (%.3s)", t->segment + 1,
			(const char *)message_segment(e->message, t->segment).p);
	if (!span_starts(t->hole, t->source)) { /* not the first alternative */
		(void)fputs(t->from_segment ? ", by " : "by ", stdout);
		output_bytes(stdout, t->source, safe);
	}
	(void)fputs(": ", stdout);
	output_bytes(stdout, t->value, safe);
	(void)fputc('\n', stdout);
}

/* --- one message ----------------------------------------------------------------------------- */

static struct template_input
template_input(struct run *run, const struct message *m)
{
	return (struct template_input){
		.message = m,
		.ids = &run->ids,
		.now_usec = run->now,
		.variables = {
			[TEMPLATE_NOW] = span_str(run->timestamp),
			[TEMPLATE_HOST] = span_str(run->host),
		},
	};
}

static void
tell_failures(struct run *run, const char *template, const struct template_failures *failures)
{
	char erl[ADDRESS_ERL_BYTES];
	size_t i;

	progress_end(&run->progress);
	for (i = 0; i < failures->n && i < TEMPLATE_FAILURES_MAX; i++) {
		const struct template_failure *f = &failures->items[i];

		erl[f->at.segment[0] ? address_format_erl(&f->at, erl) : 0] = 0;
		(void)fprintf(stderr, "hl7-convert: %s, message %zu: %s", run->path, run->number,
			template);
		if (f->line) /* a character set is no line's fault */
			(void)fprintf(stderr, ":%u", f->line);
		(void)fprintf(stderr, ": %s%s%s\n", template_refusal_text(f->refusal),
			erl[0] ? ", at " : "", erl);
	}
	run->n_refused++;
	run->status = run->status == EXIT_OK ? 1 : run->status;
}

static int
apply(struct run *run, const struct template_file *file, const struct message *m)
{
	struct explaining explaining = { run, m };
	struct template_input in = template_input(run, m);
	struct template_failures failures = { .n = 0 };
	int r;

	if (run->o->mode == MODE_EXPLAIN) {
		(void)printf("# %s, message %zu\n", run->path, run->number);
		in.trace = explain_hole;
		in.trace_userdata = &explaining;
	}
	if (!template_applies(file->template, &in)) {
		if (run->o->mode == MODE_EXPLAIN)
			(void)puts("not wanted: {when} does not hold");
		return 0;
	}
	buffer_clear(&run->result);
	r = template_render(file->template, &in, &run->result, &failures);
	if (r == TEMPLATE_E_REFUSED) {
		tell_failures(run, file->name, &failures);
		return 0;
	}
	if (r == TEMPLATE_E_TOO_LARGE) {
		(void)complain(run, run->path, "a result passes --max-result", 1);
		return 0;
	}
	return r == 0 && run->o->mode == MODE_APPLY ? write_result(run) : r;
}

/* For --when: what the condition's holes read is why it does not hold. */
static void
say_when(struct run *run, const struct template_file *file, const struct message *m, bool *wanted)
{
	struct explaining explaining = { run, m };
	struct template_input in = template_input(run, m);
	struct span when;

	if (!file->template) {
		(void)printf("  %s: does not compile\n", file->name);
		return;
	}
	if (template_applies(file->template, &in)) {
		(void)printf("  %s: takes it\n", file->name);
		*wanted = true;
		return;
	}
	(void)template_when(file->template, &when);
	(void)printf("  %s: not wanted, {when %.*s}, as\n", file->name, (int)when.n,
		(const char *)when.p);
	in.trace = explain_hole;
	in.trace_userdata = &explaining;
	(void)template_applies(file->template, &in);
}

static int
handle_message(struct run *run, const struct message *m)
{
	bool wanted = false;
	size_t i;

	if (run->o->mode != MODE_WHEN)
		return apply(run, &run->t->set.files[0], m);
	(void)printf("%s, message %zu:\n", run->path, run->number);
	for (i = 0; i < run->t->set.n; i++)
		say_when(run, &run->t->set.files[i], m, &wanted);
	if (!wanted)
		run->status = run->status == EXIT_OK ? 1 : run->status;
	return 0;
}

/* --- all of them ----------------------------------------------------------------------------- */

static void
show_progress(struct run *run, size_t at, size_t n)
{
	char text[128];

	if (!run->progress.shown)
		return;
	(void)snprintf(text, sizeof(text), "%zu messages, %zu refused, %zu %% of the file",
		run->n_messages, run->n_refused, n ? at * 100 / n : 100);
	progress_show(&run->progress, text);
}

static void
set_time(struct run *run)
{
	usec_t now = clock_realtime_usec();
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	struct tm tm = { 0 };

	/* once a second is enough for what is written to the second */
	if (now / USEC_PER_SEC != run->now / USEC_PER_SEC || run->now == 0) {
		(void)localtime_r(&seconds, &tm);
		timestamp_format(seconds, (int)tm.tm_gmtoff, run->timestamp);
	}
	run->now = now;
}

static int
run_messages(struct run *run, struct span file)
{
	struct splitter s = splitter_begin(file);
	struct message m;
	size_t offset;
	int r = 0;

	while (r == 0) {
		r = splitter_next(&s, &run->message, &offset);
		if (r)
			break;
		run->number++;
		run->n_messages++;
		set_time(run);
		r = message_parse(&m, buffer_span(&run->message));
		if (r == 0)
			r = handle_message(run, &m);
		else if (r > 0)
			(void)complain(
				run, run->path, "a message has too many segments", EXIT_DATA),
				r = 0;
		message_deinit(&m);
		show_progress(run, offset, file.n);
	}
	return r == SPLIT_E_END ? 0 : r;
}

static int
run_file(struct run *run, const struct input_path *path)
{
	struct input in;
	int r = input_open(&in, path->path);

	run->path = path->path;
	run->number = 0;
	if (r < 0) {
		input_close(&in);
		(void)complain(run, path->path, strerrordesc_np(-r), EXIT_NO_INPUT);
		return 0;
	}
	r = run_messages(run, in.bytes);
	input_close(&in);
	if (r == SPLIT_E_TOO_LARGE)
		(void)complain(run, path->path, "a message is too large", EXIT_DATA);
	else if (r == 0 && run->number == 0)
		(void)complain(run, path->path, "no HL7 message found (no segment MSH)",
			path->from_directory ? EXIT_OK : EXIT_DATA);
	return r > 0 ? 0 : r;
}

static int
run_files(struct run *run, const struct input_list *list)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < list->n; i++)
		r = run_file(run, &list->items[i]);
	if (r == 0)
		r = flush(run);
	progress_end(&run->progress);
	if (r < 0)
		(void)complain(run, run->o->split ? run->o->split : "standard output",
			strerrordesc_np(-r), r == -ENOMEM ? EXIT_OS : EXIT_IO);
	return run->status;
}

int
apply_all(const struct options *o, const struct templates *t)
{
	struct run run = {
		.o = o,
		.t = t,
		.message = BUFFER_INIT(INPUT_BYTES_MAX),
		.result = BUFFER_INIT(o->max_result_bytes),
		.out = BUFFER_INIT(o->max_result_bytes + OUTPUT_GATHER_BYTES + 3),
		.ids.pid = (uint32_t)getpid(),
		.progress = progress_begin(false),
	};
	struct input_list list;
	const char *path = "";
	int r = input_list(&list, o->files, o->n_files, &path);

	if (getrandom(&run.ids.random, sizeof(run.ids.random), GRND_NONBLOCK) < 0)
		run.ids.random = (uint32_t)clock_monotonic_usec();
	if (gethostname(run.host, sizeof(run.host) - 1) < 0)
		run.host[0] = 0;
	if (r < 0)
		r = complain(&run, path, strerrordesc_np(-r), EXIT_NO_INPUT);
	else
		r = run_files(&run, &list);
	input_list_deinit(&list);
	buffer_deinit(&run.message);
	buffer_deinit(&run.result);
	buffer_deinit(&run.out);
	return r;
}
