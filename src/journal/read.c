/* SPDX-License-Identifier: MIT */
#include "journal/read.h"

#include <errno.h>
#include <systemd/sd-journal.h>

static int
open_journal(const struct journal_query *q, sd_journal **ret)
{
	const char *paths[] = { q->file, NULL };

	return q->file ? sd_journal_open_files(ret, paths, 0)
		       : sd_journal_open(ret, SD_JOURNAL_LOCAL_ONLY);
}

/* Matches of different fields have to hold together, unless it is said between them. */
static int
add_matches(sd_journal *j, const struct journal_query *q)
{
	size_t i;
	int r = 0;

	for (i = 0; r >= 0 && i < q->n_matches; i++) {
		r = sd_journal_add_match(j, q->matches[i], 0);
		if (r >= 0)
			r = sd_journal_add_disjunction(j);
	}
	return r < 0 ? r : 0;
}

static int
read_field(sd_journal *j, const char *name, char ret[JOURNAL_READ_BYTES])
{
	size_t n_name = strlen(name) + 1;
	const void *data;
	struct span value;
	size_t n;
	int r = sd_journal_get_data(j, name, &data, &n);

	ret[0] = 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	value = span_first(span_from(span_of(data, n), n_name), JOURNAL_READ_BYTES - 1);
	if (value.n > 0)
		memcpy(ret, value.p, value.n);
	ret[value.n] = 0;
	return 0;
}

static int
read_entry(sd_journal *j, const struct journal_query *q, struct journal_found *ret)
{
	uint64_t at = 0;
	size_t i;
	int r = sd_journal_get_realtime_usec(j, &at);

	ret->at = at;
	for (i = 0; r >= 0 && i < q->n_fields; i++)
		r = read_field(j, q->fields[i], ret->values[i]);
	return r < 0 ? r : 0;
}

static int
read_all(sd_journal *j, const struct journal_query *q,
	int (*call)(const struct journal_found *found, void *userdata), void *userdata)
{
	struct journal_found found;
	size_t n = 0;
	int r = sd_journal_seek_tail(j);

	while (r >= 0 && n++ < q->max) {
		r = sd_journal_previous(j);
		if (r <= 0)
			return r;
		r = read_entry(j, q, &found);
		if (r == -EBADMSG || r == -EADDRNOTAVAIL) {
			r = 0; /* a damaged entry, or one that was rotated away */
			continue;
		}
		if (r < 0 || found.at < q->since_usec)
			return r < 0 ? r : 0;
		r = call(&found, userdata);
		if (r)
			return r;
	}
	return r < 0 ? r : 0;
}

int
journal_read(const struct journal_query *q,
	int (*call)(const struct journal_found *found, void *userdata), void *userdata)
{
	sd_journal *j = NULL;
	int r = open_journal(q, &j);

	if (r < 0)
		return r;
	/* what may be much larger than what is told of it */
	(void)sd_journal_set_data_threshold(j, JOURNAL_READ_BYTES + 64);
	r = add_matches(j, q);
	if (r == 0)
		r = read_all(j, q, call, userdata);
	sd_journal_close(j);
	return r;
}
