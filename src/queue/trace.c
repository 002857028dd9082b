/* SPDX-License-Identifier: MIT */

/*
 * hl7-queue trace: a message's whole way.
 *
 * First its names are looked for: the journal knows the control ids of all that came, and the files
 * of the store have theirs in their first segment. Then all is told that store and journal have
 * under these names, and when its destinations went down and came back meanwhile. What was never
 * stored, as the disk was full, has no name: of it the journal's entries are all there is.
 */

#include "queue/trace.h"
#include "base/cleanup.h"
#include "cli/options.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/facts.h"
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

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

	if (found->values[FIELD_STORE_NAME][0] == 0)
		return trace_add_found(&t->unstored, found);
	return store_name_parse(found->values[FIELD_STORE_NAME], "hl7", &stem) ? add_stem(t, &stem)
									       : 0;
}

static int
search_journal(struct trace *t)
{
	char escaped[JOURNAL_ESCAPED_BYTES], match[JOURNAL_ESCAPED_BYTES + 32];
	const char *const matches[] = { match };
	const struct journal_query q = {
		.file = t->o->journal_file,
		.matches = matches,
		.n_matches = 1,
		.fields = trace_fields,
		.n_fields = TRACE_FIELDS_N,
		.since_usec = t->since_usec,
		.max = ENTRIES_MAX,
	};
	int r;

	if (t->o->no_journal)
		return 0;
	journal_escape(t->control_id, escaped);
	(void)snprintf(match, sizeof(match), "HL7_CONTROL_ID=%s", escaped);
	r = journal_read(&q, take_name_of_journal, t);
	return r < 0 ? trace_complain_of_journal(t, r) : 0;
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

static int
tell_all(struct trace *t)
{
	size_t i;
	int r = 0;

	stems_sort(&t->stems);
	for (i = 0; r == 0 && i < t->stems.n; i++) {
		if (i > 0)
			(void)putchar('\n');
		r = trace_tell(t, &t->stems.items[i]);
	}
	if (t->unstored.n == 0)
		return r;
	(void)printf("%snot in the store\n", i > 0 ? "\n" : "");
	way_print(&t->unstored);
	return r;
}

/* Where else to look: what has no readable header has no control id in the journal. */
static void
complain_of_unknown(const struct trace *t)
{
	const char *what = t->o->arguments[0];

	(void)fprintf(stderr, "hl7-queue: %s: no message is known by it, %s\n", what,
		t->o->no_journal ? "by the store"
				 : "by the store or by the journal as far as you may read it");
	(void)fprintf(stderr,
		"What came at the time, and was not taken: journalctl -t hl7-receive -p "
		"warning --since=-1h\n");
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
	bool known;

	t.root = root;
	if (r == 0)
		r = search(&t);
	progress_end(&t.progress);
	known = t.stems.n > 0 || t.unstored.n > 0;
	if (r == 0)
		r = tell_all(&t);
	if (r < 0) {
		status = entries_complain(o->store, r);
	} else if (!known) {
		complain_of_unknown(&t);
		status = EXIT_NOT_ALL;
	}
	stems_deinit(&t.stems);
	return status;
}
