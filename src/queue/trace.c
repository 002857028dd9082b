/* SPDX-License-Identifier: MIT */

/*
 * hl7-queue trace: a message's whole way.
 *
 * First its names are looked for: the journal knows the control ids of all that came, and the files
 * of the store have theirs in their first segment. Then all is told that store and journal have
 * under these names.
 */

#include "base/cleanup.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "journal/journal.h"
#include "journal/read.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/facts.h"
#include "queue/reason.h"
#include "queue/way.h"
#include "store/folder.h"
#include "store/stems.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* Messages under one control id, and entries of the journal about each, that are told. */
#define MESSAGES_MAX 1000
#define ENTRIES_MAX  1000

struct trace {
	const struct options *o;
	struct span control_id;
	usec_t since_usec; /* CLOCK_REALTIME */
	struct stems stems;
	struct progress progress;
	uint64_t n_files;
	int root, folder;
	/* of the message in hand */
	const struct store_stem *stem;
	struct way way;
	size_t n_entries; /* that wait or failed */
};

/* --- its names ------------------------------------------------------------------------------- */

static int
add_stem(struct trace *t, const struct store_stem *stem)
{
	size_t i;

	for (i = 0; i < t->stems.n; i++)
		if (store_stem_compare(&t->stems.items[i], stem) == 0)
			return 0;
	return t->stems.n < MESSAGES_MAX ? stems_add(&t->stems, stem) : 0;
}

static int
take_name_of_journal(const struct journal_found *found, void *userdata)
{
	struct trace *t = userdata;
	struct store_stem stem;

	return store_name_parse(found->values[0], "hl7", &stem) ? add_stem(t, &stem) : 0;
}

/* The journal may be that of another machine, or not for this user: the store has the rest. */
static int
complain_of_journal(const struct trace *t, int r)
{
	(void)fprintf(stderr, "hl7-queue: %s: %s\n",
		t->o->journal_file ? t->o->journal_file : "the journal", strerrordesc_np(-r));
	return t->o->journal_file ? r : 0;
}

static int
search_journal(struct trace *t)
{
	static const char *const fields[] = { "HL7_STORE_NAME" };
	char escaped[JOURNAL_ESCAPED_BYTES], match[JOURNAL_ESCAPED_BYTES + 32];
	const char *const matches[] = { match };
	const struct journal_query q = {
		.file = t->o->journal_file,
		.matches = matches,
		.n_matches = 1,
		.fields = fields,
		.n_fields = 1,
		.since_usec = t->since_usec,
		.max = ENTRIES_MAX,
	};
	int r;

	if (t->o->no_journal)
		return 0;
	journal_escape(t->control_id, escaped);
	(void)snprintf(match, sizeof(match), "HL7_CONTROL_ID=%s", escaped);
	r = journal_read(&q, take_name_of_journal, t);
	return r < 0 ? complain_of_journal(t, r) : 0;
}

static void
count_file(struct trace *t)
{
	char text[64];

	if (++t->n_files % 256)
		return;
	(void)snprintf(text, sizeof(text), "%llu files", (unsigned long long)t->n_files);
	progress_show(&t->progress, text);
}

static int
take_file(const struct dirent *d, void *userdata)
{
	struct trace *t = userdata;
	_cleanup_close_ int fd = -1;
	struct store_stem stem;
	int r;

	if (!store_name_parse(d->d_name, "hl7", &stem) || stem.stamp < t->since_usec)
		return 0;
	count_file(t);
	fd = openat(t->folder, d->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = facts_has_control_id(fd, t->control_id);
	return r == 1 ? add_stem(t, &stem) : r;
}

static int
search_folder(struct trace *t, const char *name)
{
	_cleanup_close_ int folder = openat(t->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		return errno == ENOENT ? 0 : -errno;
	t->folder = folder;
	return folder_read(folder, take_file, t);
}

/* What was made of a message may have a control id of its own. */
static int
take_entry(const struct entry *e, void *userdata)
{
	struct trace *t = userdata;
	_cleanup_close_ int fd = -1;
	int r;

	if (e->name.stem.stamp < t->since_usec)
		return 0;
	count_file(t);
	r = queue_look(e->queue, &e->name, e->place == PLACE_FAILED, &fd);
	if (r == 0)
		r = facts_has_control_id(fd, t->control_id);
	else if (r == QUEUE_E_GONE)
		r = 0;
	return r == 1 ? add_stem(t, &e->name.stem) : r;
}

static int
search(struct trace *t)
{
	struct target target;
	int r;

	if (target_parse(t->o->arguments[0], &target))
		return add_stem(t, &target.entry.stem);
	r = search_journal(t);
	if (r == 0)
		r = search_folder(t, "received");
	if (r == 0)
		r = search_folder(t, "rejected");
	return r == 0 ? entries_visit(t->o, take_entry, t) : r;
}

/* --- what is told of each -------------------------------------------------------------------- */

enum {
	FIELD_IDENTIFIER,
	FIELD_MESSAGE,
	FIELD_FACTS, /* the first of those that are told by their names */
};

static const char *const fields[] = { "SYSLOG_IDENTIFIER", "MESSAGE", "HL7_DESTINATION",
	"HL7_CONTROL_ID", "HL7_ACK", "HL7_QUEUED", "HL7_TRIES", "HL7_TEMPLATE", "HL7_ERROR",
	"HL7_DURATION_USEC", "HL7_PEER" };

#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

static int
take_journal_entry(const struct journal_found *found, void *userdata)
{
	struct trace *t = userdata;
	char text[EVENT_BYTES];
	size_t i;
	int n = snprintf(text, sizeof(text), "%s: %s", found->values[FIELD_IDENTIFIER],
		found->values[FIELD_MESSAGE]);

	for (i = FIELD_FACTS; i < N_FIELDS && n >= 0 && (size_t)n < sizeof(text); i++)
		if (found->values[i][0])
			n += snprintf(text + n, sizeof(text) - (size_t)n, " %s=%s", fields[i],
				found->values[i]);
	return way_add(&t->way, found->at, "%s", text);
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
		.fields = fields,
		.n_fields = N_FIELDS,
		.max = ENTRIES_MAX,
	};
	int r;

	if (t->o->no_journal)
		return 0;
	store_name_format(t->stem, "hl7", name);
	(void)snprintf(match, sizeof(match), "HL7_STORE_NAME=%s", name);
	r = journal_read(&q, take_journal_entry, t);
	return r < 0 ? complain_of_journal(t, r) : 0;
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
	r = way_add(&t->way, e->name.stem.stamp,
		"store: converted for %s, %s: %s, %s %s, %llu bytes", e->queue->name,
		place_name(e->place), id, f.type, f.control_id, (unsigned long long)f.bytes);
	return r == 0 ? tell_failure(t, e) : r;
}

static int
tell(struct trace *t, const struct store_stem *stem)
{
	char name[STORE_NAME_BYTES];
	int r;

	t->stem = stem;
	t->n_entries = 0;
	r = tell_message(t, "received");
	if (r == 0)
		r = tell_message(t, "rejected");
	if (r == 0)
		r = entries_visit(t->o, tell_entry, t);
	if (r == 0)
		r = tell_journal(t);
	store_name_format(stem, "hl7", name);
	(void)printf("%.*s\n", (int)(strlen(name) - strlen(".hl7")), name);
	way_print(&t->way);
	if (t->n_entries == 0)
		(void)puts("  nothing of it waits or failed");
	return r;
}

static int
tell_all(struct trace *t)
{
	size_t i;
	int r = 0;

	stems_sort(&t->stems);
	for (i = 0; r == 0 && i < t->stems.n; i++) {
		if (i > 0)
			(void)putchar('\n');
		r = tell(t, &t->stems.items[i]);
	}
	return r;
}

int
command_trace(const struct options *o)
{
	_cleanup_close_ int root = open(o->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	usec_t now = clock_realtime_usec();
	struct trace t = {
		.o = o,
		.control_id = span_str(o->arguments[0]),
		.since_usec = o->since_usec && o->since_usec < now ? now - o->since_usec : 0,
		.progress = progress_begin(false),
	};
	int status = EXIT_OK, r = root < 0 ? -errno : 0;

	t.root = root;
	if (r == 0)
		r = search(&t);
	progress_end(&t.progress);
	if (r == 0)
		r = tell_all(&t);
	if (r < 0) {
		status = entries_complain(o->store, r);
	} else if (t.stems.n == 0) {
		(void)fprintf(
			stderr, "hl7-queue: %s: no message is known by it\n", o->arguments[0]);
		status = EXIT_NOT_ALL;
	}
	stems_deinit(&t.stems);
	return status;
}
