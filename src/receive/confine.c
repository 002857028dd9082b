/* SPDX-License-Identifier: MIT */
#include "receive/confine.h"
#include "base/cleanup.h"

/* Beside the memory that holds messages. */
#define MEMORY_BYTES ((uint64_t)64 * 1024 * 1024)

/* The most that a message is held in at the same time: as it came, its answer as it is rendered and
 * as it is kept, in other character sets, and what growing these takes. */
#define COPIES_OF_MESSAGE 8
#define COPIES_OF_RESULT  4

/* What is written beside a message: who sent it and its answer's own text. */
#define FILE_BYTES ((uint64_t)4 * 1024 * 1024)

/* Files on their way into the store, the log. */
#define DESCRIPTORS 16

/* Of a listener: its children's folders. */
#define LISTENER_DESCRIPTORS (STORE_DESTINATIONS_MAX + 256)

/* The store, received/ and rejected/, and the destinations. */
#define FOLDERS_MAX (3 + STORE_DESTINATIONS_MAX)

static bool
enter(const struct options *o, const struct reporter *r, const struct sandbox_needs *needs,
	bool quiet)
{
	bool required = o->listen.sandbox == SANDBOX_REQUIRE;
	struct sandbox_walls walls;

	sandbox_enter(needs, &walls);
	if (!quiet || !sandbox_holds(&walls))
		report_sandbox(r, &walls, required);
	return !required || sandbox_holds(&walls);
}

/* Where the store is used, and what for: results and refused messages are written, and never read
 * here. What was received is read to find what was sent again. While there is no rejected/, what
 * may be done there is allowed for the whole store. */
static size_t
list_folders(const struct store *s, int rejected, struct sandbox_folder *ret)
{
	const unsigned adds = SANDBOX_LIST | SANDBOX_ADD;
	size_t i, n = 0;

	ret[n++] = (struct sandbox_folder){ s->root,
		SANDBOX_LIST | SANDBOX_FOLDER | (rejected < 0 ? SANDBOX_ADD : 0U) };
	ret[n++] = (struct sandbox_folder){ s->received, adds | SANDBOX_READ };
	ret[n++] = (struct sandbox_folder){ rejected, adds };
	for (i = 0; i < s->n_queues; i++)
		ret[n++] = (struct sandbox_folder){ s->queues[i].fd, adds };
	return n;
}

/* All that a connection can need, whatever its peer sends. */
static uint64_t
memory_of(const struct options *o)
{
	return MEMORY_BYTES + COPIES_OF_MESSAGE * (uint64_t)o->listen.max_message_bytes +
	       COPIES_OF_RESULT * (uint64_t)o->max_result_bytes;
}

static uint64_t
largest_file(const struct options *o)
{
	size_t n = o->listen.max_message_bytes > o->max_result_bytes ? o->listen.max_message_bytes
								     : o->max_result_bytes;

	return FILE_BYTES + n;
}

bool
confine_connection(struct session *s, bool forked)
{
	const struct options *o = s->options;
	struct sandbox_folder folders[FOLDERS_MAX];
	struct sandbox_needs needs = {
		.form = SANDBOX_CONNECTION,
		.folders = folders,
		.syslog = s->reporter.target.way == JOURNAL_SYSLOG,
		.n_descriptors = DESCRIPTORS,
		.file_bytes = largest_file(o),
		.memory_bytes = memory_of(o),
	};
	_cleanup_close_ int rejected = -1;
	int r;

	if (o->listen.sandbox == SANDBOX_OFF)
		return true;
	if (s->store.root >= 0) {
		r = store_prepare(&s->store, &rejected);
		if (r < 0)
			report_error(&s->reporter, "the store cannot be opened", r);
		s->store_error = s->store_error ? s->store_error : r;
		needs.n_folders = list_folders(&s->store, rejected, folders);
	}
	return enter(o, &s->reporter, &needs, forked);
}

bool
confine_listener(const struct options *o, const struct reporter *r)
{
	const struct sandbox_needs needs = {
		.form = SANDBOX_LISTENER,
		.n_descriptors = LISTENER_DESCRIPTORS,
	};

	return o->listen.sandbox == SANDBOX_OFF || enter(o, r, &needs, false);
}
