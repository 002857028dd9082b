/* SPDX-License-Identifier: MIT */

/* hl7-queue trace: a message's way, from all that there is under its name. */

#include "base/buffer.h"
#include "base/cleanup.h"
#include "queue/entries.h"
#include "queue/facts.h"
#include "queue/reason.h"
#include "queue/trace.h"
#include "store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* As in forward/report.c. */
#define ID_DOWN "4039871389bc45b5baf6d25b7a5424e1"
#define ID_UP   "5e4d9ba4804f424c9c0a9c8125c5bd8c"

const char *const trace_fields[TRACE_FIELDS_N] = { "SYSLOG_IDENTIFIER", "MESSAGE", "HL7_STORE_NAME",
	"HL7_DESTINATION", "HL7_CONTROL_ID", "HL7_ACK", "HL7_QUEUED", "HL7_TRIES", "HL7_TEMPLATE",
	"HL7_ERROR", "HL7_DURATION_USEC", "HL7_PEER", "HL7_OPERATOR" };

int
trace_add_found(struct way *way, const struct journal_found *found)
{
	char text[EVENT_BYTES];
	size_t i;
	int n = snprintf(text, sizeof(text), "%s: %s", found->values[FIELD_IDENTIFIER],
		found->values[FIELD_MESSAGE]);

	for (i = FIELD_DESTINATION; i < TRACE_FIELDS_N && n >= 0 && (size_t)n < sizeof(text); i++)
		if (found->values[i][0])
			n += snprintf(text + n, sizeof(text) - (size_t)n, " %s=%s", trace_fields[i],
				found->values[i]);
	return way_add(way, found->at, "%s", text);
}

int
trace_complain_of_journal(const struct trace *t, int r)
{
	(void)fprintf(stderr, "hl7-queue: %s: %s\n",
		t->o->journal_file ? t->o->journal_file : "the journal", strerrordesc_np(-r));
	return t->o->journal_file ? r : 0;
}

static void
note_destination(struct trace *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->n_destinations; i++)
		if (strcmp(t->destinations[i], name) == 0)
			return;
	if (i == DESTINATIONS_MAX || *name == 0)
		return;
	(void)snprintf(t->destinations[i], sizeof(t->destinations[i]), "%s", name);
	t->n_destinations++;
}

static bool
is_of_its_destinations(const struct trace *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->n_destinations; i++)
		if (strcmp(t->destinations[i], name) == 0)
			return true;
	return false;
}

static int
take_journal_entry(const struct journal_found *found, void *userdata)
{
	struct trace *t = userdata;

	note_destination(t, found->values[FIELD_DESTINATION]);
	t->delivered |= strcmp(found->values[FIELD_MESSAGE], "message delivered") == 0;
	if (found->at > t->until_usec)
		t->until_usec = found->at;
	return trace_add_found(&t->way, found);
}

static int
tell_journal(struct trace *t)
{
	char match[STORE_NAME_BYTES + 32], name[STORE_NAME_BYTES];
	const char *const matches[] = { match };
	const struct journal_query q = {
		.file = t->o->journal_file,
		.matches = matches,
		.n_matches = 1,
		.fields = trace_fields,
		.n_fields = TRACE_FIELDS_N,
		.max = ENTRIES_MAX,
	};
	int r;

	if (t->o->no_journal)
		return 0;
	store_name_format(t->stem, "hl7", name);
	(void)snprintf(match, sizeof(match), "HL7_STORE_NAME=%s", name);
	r = journal_read(&q, take_journal_entry, t);
	return r < 0 ? trace_complain_of_journal(t, r) : 0;
}

static int
take_down_or_up(const struct journal_found *found, void *userdata)
{
	struct trace *t = userdata;

	if (t->n_waiting == 0 && found->at > t->until_usec)
		return 0;
	if (!is_of_its_destinations(t, found->values[FIELD_DESTINATION]))
		return 0;
	return trace_add_found(&t->way, found);
}

/* What kept it from going on: those entries are of no message. */
static int
tell_destinations(struct trace *t)
{
	static const char *const matches[] = { "MESSAGE_ID=" ID_DOWN, "MESSAGE_ID=" ID_UP };
	const struct journal_query q = {
		.file = t->o->journal_file,
		.matches = matches,
		.n_matches = 2,
		.fields = trace_fields,
		.n_fields = TRACE_FIELDS_N,
		.since_usec = t->stem->stamp,
		.max = ENTRIES_MAX,
	};
	int r;

	if (t->o->no_journal || t->n_destinations == 0)
		return 0;
	r = journal_read(&q, take_down_or_up, t);
	return r < 0 ? trace_complain_of_journal(t, r) : 0;
}

/* A fact of a reason on its way into an event: ours, but for the names of templates. */
static void
clean(char *text, struct span line)
{
	size_t i;

	for (i = 0; i < line.n; i++)
		text[i] = (char)(line.p[i] >= ' ' && line.p[i] < 0x7F ? line.p[i] : '?');
	text[i] = 0;
}

/* The facts together, but each value that was refused by itself. */
static int
tell_facts(struct trace *t, struct span text)
{
	char all[EVENT_BYTES] = "", one[EVENT_BYTES];
	struct span line;
	size_t n = 0;
	int r = 0;

	while (r == 0 && span_cut(&text, '\n', &line)) {
		clean(one, span_first(line, sizeof(one) - 1));
		if (span_starts(line, SPAN("value: ")))
			r = way_add(&t->way, t->stem->stamp, "store: refused: %s", one);
		else if (line.n > 0 && n < sizeof(all))
			n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", one);
	}
	return r ? r : way_add(&t->way, t->stem->stamp, "store: refused: %s", all);
}

static int
tell_refusal(struct trace *t)
{
	char path[STORE_NAME_BYTES + 16], name[STORE_NAME_BYTES];
	struct buffer text = BUFFER_INIT((size_t)64 * 1024);
	_cleanup_close_ int fd = -1;
	int r;

	store_name_format(t->stem, "txt", name);
	(void)snprintf(path, sizeof(path), "rejected/%s", name);
	fd = openat(t->root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	t->rejected = true;
	r = queue_read(fd, &text);
	if (r == 0)
		r = tell_facts(t, buffer_span(&text));
	buffer_deinit(&text);
	return r > 0 ? 0 : r;
}

/* The message itself, in received/ or rejected/. */
static int
tell_message(struct trace *t, const char *folder)
{
	char path[STORE_NAME_BYTES + 16], name[STORE_NAME_BYTES];
	_cleanup_close_ int fd = -1;
	struct facts f;
	int r;

	store_name_format(t->stem, "hl7", name);
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = openat(t->root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = facts_read(fd, &f);
	if (r < 0)
		return r;
	t->n_files_of_it++;
	return way_add(&t->way, t->stem->stamp, "store: %s: %s %s from %s, %llu bytes", folder,
		f.type, f.control_id, f.application, (unsigned long long)f.bytes);
}

/* When it failed: its reason was written then. */
static usec_t
time_of_failure(const struct entry *e)
{
	char name[STORE_NAME_BYTES];
	struct stat st;

	store_entry_format(&e->name, "txt", name);
	if (fstatat(e->queue->failed, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return e->name.stem.stamp;
	return (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC + (usec_t)st.st_mtim.tv_nsec / 1000;
}

static int
tell_failure(struct trace *t, const struct entry *e)
{
	char reason[REASON_LINE_BYTES];

	if (e->place != PLACE_FAILED)
		return 0;
	reason_line(e, reason);
	return way_add(&t->way, time_of_failure(e), "store: failed for %s: %s", e->queue->name,
		*reason ? reason : "no reason is kept");
}

/* Behind what, and what its destination's forwarder does about it. */
static int
tell_waiting(struct trace *t, const struct entry *e)
{
	char doing[STATE_ERROR_BYTES + FACT_TIME_BYTES + 64] = "no forwarder ever ran";
	char since[FACT_TIME_BYTES];
	bool running = false;
	struct state state;
	size_t n = 0;
	int r;

	if (e->place != PLACE_WAITING)
		return 0;
	r = entry_count_before(e, &n);
	if (r < 0)
		return r;
	if (state_read(e->queue->root, e->queue->name, &state, &running) == 0) {
		facts_format_time(state.since_usec, since);
		(void)snprintf(doing, sizeof(doing), "the forwarder %s %s since %s%s%s",
			running ? "is" : "does not run, and was", state_name(state.kind), since,
			state.kind == STATE_DOWN ? ": " : "",
			state.kind == STATE_DOWN ? state.last_error : "");
	}
	return way_add(&t->way, clock_realtime_usec(),
		"store: waits for %s, %zu in front of it; %s", e->queue->name, n, doing);
}

static int
tell_entry(const struct entry *e, void *userdata)
{
	struct trace *t = userdata;
	char id[ENTRY_ID_BYTES];
	_cleanup_close_ int fd = -1;
	struct facts f;
	int r;

	if (store_stem_compare(&e->name.stem, t->stem) != 0)
		return 0;
	r = queue_look(e->queue, &e->name, e->place == PLACE_FAILED, &fd);
	if (r == 0)
		r = facts_read(fd, &f);
	if (r)
		return r == QUEUE_E_GONE ? 0 : r; /* delivered a moment ago */
	entry_format_id(e, id);
	t->n_entries++;
	t->n_waiting += e->place == PLACE_WAITING;
	note_destination(t, e->queue->name);
	r = way_add(&t->way, e->name.stem.stamp,
		"store: converted for %s, %s: %s, %s %s, %llu bytes", e->queue->name,
		place_name(e->place), id, f.type, f.control_id, (unsigned long long)f.bytes);
	if (r == 0)
		r = tell_failure(t, e);
	return r == 0 ? tell_waiting(t, e) : r;
}

/* What is known by what is not there. */
static void
print_rest(const struct trace *t)
{
	if (t->n_entries > 0)
		return;
	if (t->n_files_of_it == 0)
		(void)puts("  it is no longer in the store: hl7-queue expire removed it, or "
			   "somebody by hand");
	else if (t->rejected || t->delivered || !t->o->no_journal)
		(void)puts("  nothing of it waits or failed");
	else
		(void)puts("  nothing of it waits or failed; what was delivered only the journal "
			   "knows");
}

static void
begin(struct trace *t, const struct store_stem *stem)
{
	t->stem = stem;
	t->n_destinations = 0;
	t->n_files_of_it = t->n_entries = t->n_waiting = 0;
	t->rejected = t->delivered = false;
	t->until_usec = 0;
}

int
trace_tell(struct trace *t, const struct store_stem *stem)
{
	char name[STORE_NAME_BYTES];
	int r;

	begin(t, stem);
	r = tell_message(t, "received");
	if (r == 0)
		r = tell_message(t, "rejected");
	if (r == 0)
		r = tell_refusal(t);
	if (r == 0)
		r = entries_visit(t->o, tell_entry, t);
	if (r == 0)
		r = tell_journal(t);
	if (r == 0)
		r = tell_destinations(t);
	store_name_format(stem, "hl7", name);
	(void)printf("%.*s\n", (int)(strlen(name) - strlen(".hl7")), name);
	way_print(&t->way);
	print_rest(t);
	return r;
}
