/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "base/vector.h"
#include "store/check-parts.h"
#include "store/disk.h"
#include "store/folder.h"
#include "store/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

/* How long a commit in the middle is waited for. */
#define COMMIT_WAIT_USEC (3 * USEC_PER_SEC)

/* One destination. The three lists are of one moment: no message moves while they are read. */
struct destination {
	struct check *c;
	struct queue q;
	struct queue_list waiting, failed, reasons;
	char queue_path[80], failed_path[80];
	bool paused;
};

/* --- the lists ------------------------------------------------------------------------------- */

static int
take_failed_name(const struct dirent *d, void *userdata)
{
	struct destination *t = userdata;
	struct store_entry_name entry;

	if (store_entry_parse(d->d_name, "txt", &entry))
		return VECTOR_APPEND(&t->reasons, entry) ? 0 : -ENOMEM;
	if (!store_entry_parse(d->d_name, "hl7", &entry))
		check_tell(
			t->c, CHECK_WARNING, t->failed_path, d->d_name, "is no file of the store");
	return 0;
}

static int
take_waiting_name(const struct dirent *d, void *userdata)
{
	struct destination *t = userdata;
	struct store_entry_name entry;

	if (!store_entry_parse(d->d_name, "hl7", &entry))
		check_tell(
			t->c, CHECK_WARNING, t->queue_path, d->d_name, "is no file of the store");
	return 0;
}

/* Opened for reading: who may only read the store can check it. None is there where nothing ever
 * moved. */
static int
hold_moves(const struct check *c, int *ret)
{
	_cleanup_close_ int fd = openat(c->root, ".moves", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = disk_lock(fd, LOCK_EX, deadline_in(DISK_LOCK_WAIT_USEC));
	if (r == 0)
		*ret = steal_fd(&fd);
	return r;
}

static int
read_lists(struct destination *t)
{
	_cleanup_close_ int lock = -1;
	int r = hold_moves(t->c, &lock);

	if (r == 0)
		r = queue_list_waiting(&t->q, &t->waiting);
	if (r == 0)
		r = queue_list_failed(&t->q, &t->failed);
	if (r == 0 && t->q.failed >= 0)
		r = folder_read(t->q.failed, take_failed_name, t);
	queue_list_sort(&t->reasons);
	return r;
}

/* --- failed ones ----------------------------------------------------------------------------- */

/* The received message goes last: a failed one that is still there after it was looked for has
 * none. */
static void
judge_failed(struct destination *t, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES], reason[STORE_NAME_BYTES];

	store_entry_format(entry, "hl7", name);
	store_entry_format(entry, "txt", reason);
	if (queue_list_has(&t->waiting, entry))
		check_tell(t->c, CHECK_ERROR, t->failed_path, name, "waits in the queue as well");
	if (!queue_list_has(&t->reasons, entry) && folder_has(t->q.failed, name) == 1 &&
		folder_has(t->q.failed, reason) == 0 && folder_has(t->q.failed, name) == 1)
		check_tell(t->c, CHECK_ERROR, t->failed_path, name, "its reason is not there");
	if (queue_counts(&t->q, entry) == QUEUE_E_UNCOMMITTED && folder_has(t->q.failed, name) == 1)
		check_tell(t->c, CHECK_ERROR, t->failed_path, name,
			"its received message is not there: it cannot be put back");
}

static void
judge_reason(struct destination *t, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES], reason[STORE_NAME_BYTES];

	if (queue_list_has(&t->failed, entry))
		return;
	if (!t->paused)
		check_pause(); /* who deletes a message removes its reason next */
	t->paused = true;
	store_entry_format(entry, "hl7", name);
	store_entry_format(entry, "txt", reason);
	if (folder_has(t->q.failed, name) == 0 && folder_has(t->q.failed, reason) == 1)
		check_tell(t->c, CHECK_LEFTOVER, t->failed_path, reason,
			"a reason without its message");
}

/* --- waiting ones ---------------------------------------------------------------------------- */

static void
judge_uncommitted(struct destination *t, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES];

	store_entry_format(entry, "hl7", name);
	if (queue_counts(&t->q, entry) != QUEUE_E_UNCOMMITTED ||
		folder_has(t->q.waiting, name) != 1)
		return;
	/* the note of a control id is made behind the commit */
	if (stems_have(&t->c->notes, &entry->stem))
		check_tell(t->c, CHECK_ERROR, t->queue_path, name,
			"its received message was removed: it will never be delivered");
	else
		check_tell(t->c, CHECK_LEFTOVER, t->queue_path, name,
			"its received message is not there: a commit that was not finished");
}

/* Those that did not count a moment ago, once no commit is in the middle. Under steady traffic that
 * may never be; by then each of those commits is over. */
static int
judge_all_uncommitted(struct destination *t, const struct queue_list *suspects)
{
	_cleanup_close_ int lock = openat(t->q.waiting, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t i;
	int r;

	if (lock < 0)
		return -errno;
	r = disk_lock(lock, LOCK_EX, deadline_in(COMMIT_WAIT_USEC));
	if (r < 0 && r != -ETIMEDOUT)
		return r;
	for (i = 0; i < suspects->n; i++)
		judge_uncommitted(t, &suspects->items[i]);
	return 0;
}

static int
judge_waiting(struct destination *t)
{
	struct queue_list suspects = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < t->waiting.n; i++) {
		r = queue_counts(&t->q, &t->waiting.items[i]);
		t->c->counts->n_waiting += r == 0;
		if (r == QUEUE_E_UNCOMMITTED)
			r = VECTOR_APPEND(&suspects, t->waiting.items[i]) ? 0 : -ENOMEM;
	}
	if (r == 0 && suspects.n > 0)
		r = judge_all_uncommitted(t, &suspects);
	queue_list_deinit(&suspects);
	return r;
}

/* --- a destination --------------------------------------------------------------------------- */

static int
check_files(struct check *c, int folder, const char *path, const struct queue_list *list)
{
	char name[STORE_NAME_BYTES];
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < list->n; i++) {
		store_entry_format(&list->items[i], "hl7", name);
		r = check_file(c, folder, path, name);
		if (r == -ENOENT)
			r = 0; /* delivered or moved meanwhile */
	}
	return r;
}

static int
check_folders(struct destination *t)
{
	int r = 0;

	if (t->q.waiting >= 0)
		r = check_folder(t->c, t->q.waiting, t->queue_path);
	if (r == 0 && t->q.failed >= 0)
		r = check_folder(t->c, t->q.failed, t->failed_path);
	if (r == 0 && t->q.waiting >= 0)
		r = folder_read(t->q.waiting, take_waiting_name, t);
	return r;
}

static int
check_entries(struct destination *t)
{
	size_t i;
	int r = read_lists(t);

	if (r < 0)
		return r;
	for (i = 0; i < t->failed.n; i++)
		judge_failed(t, &t->failed.items[i]);
	for (i = 0; i < t->reasons.n; i++)
		judge_reason(t, &t->reasons.items[i]);
	r = judge_waiting(t);
	if (r == 0)
		r = check_files(t->c, t->q.waiting, t->queue_path, &t->waiting);
	if (r == 0)
		r = check_files(t->c, t->q.failed, t->failed_path, &t->failed);
	t->c->counts->n_failed += t->failed.n;
	return r;
}

static int
check_destination(struct check *c, const char *name)
{
	struct destination t = { .c = c, .q = QUEUE_NULL };
	int r = queue_open(&t.q, c->path, name, false);

	(void)snprintf(t.queue_path, sizeof(t.queue_path), "queue/%s", name);
	(void)snprintf(t.failed_path, sizeof(t.failed_path), "failed/%s", name);
	if (r == 0)
		r = check_folders(&t);
	if (r == 0)
		r = check_entries(&t);
	queue_list_deinit(&t.waiting);
	queue_list_deinit(&t.failed);
	queue_list_deinit(&t.reasons);
	queue_close(&t.q);
	return r == -ENOENT ? 0 : r; /* its folder is gone */
}

/* --- all of them ----------------------------------------------------------------------------- */

/* queue/NAME, and queue/.NAME of its forwarder; failed/NAME. */
static int
take_queue_name(const struct dirent *d, void *userdata)
{
	const char *name = d->d_name + (d->d_name[0] == '.');

	if (!store_destination_is_valid(span_str(name)))
		check_tell(userdata, CHECK_WARNING, "queue", d->d_name, "is no file of the store");
	return 0;
}

static int
take_failed_folder(const struct dirent *d, void *userdata)
{
	if (!store_destination_is_valid(span_str(d->d_name)))
		check_tell(userdata, CHECK_WARNING, "failed", d->d_name, "is no file of the store");
	return 0;
}

static int
check_parent(struct check *c, const char *name, int (*call)(const struct dirent *d, void *userdata))
{
	_cleanup_close_ int fd = -1;
	int r = disk_open_existing_dir(c->root, name, &fd);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = check_folder(c, fd, name);
	return r < 0 ? r : folder_read(fd, call, c);
}

int
check_queues(struct check *c)
{
	struct queue_names names = { 0 };
	size_t i;
	int r = check_parent(c, "queue", take_queue_name);

	if (r == 0)
		r = check_parent(c, "failed", take_failed_folder);
	if (r == 0)
		r = queue_names_read(c->path, &names);
	for (i = 0; r == 0 && i < names.n; i++)
		r = check_destination(c, names.items[i]);
	queue_names_deinit(&names);
	return r;
}
