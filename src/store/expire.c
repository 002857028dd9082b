/* SPDX-License-Identifier: MIT */
#include "store/expire.h"
#include "base/cleanup.h"
#include "base/vector.h"
#include "store/disk.h"
#include "store/folder.h"
#include "store/known.h"
#include "store/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct expire {
	const struct expire_options *o;
	struct expire_result *result;
	const char *path;
	int root;
	usec_t now;
	uint64_t n_files; /* looked at */
};

/* A folder of messages. Those that go are in front. */
struct shelf {
	struct expire *x;
	int folder;
	const char *name;
	const struct retention_rules *rules;
	struct retention_file *items; /* owned */
	size_t n, allocated, n_going;
};

/* Those that stay. */
static struct retention_file *
staying(const struct shelf *s)
{
	return s->n > s->n_going ? s->items + s->n_going : NULL;
}

/* --- what is there --------------------------------------------------------------------------- */

static void
count_file(struct expire *x)
{
	if (++x->n_files % 1024 == 0 && x->o->progress)
		x->o->progress(x->n_files, x->o->userdata);
}

/* What a file takes of the disk, or a negative errno. */
static int
read_bytes(int folder, const char *name, uint64_t *ret)
{
	struct stat st;
	uint64_t blocks;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	blocks = (uint64_t)st.st_blocks * 512;
	*ret = blocks > (uint64_t)st.st_size ? blocks : (uint64_t)st.st_size;
	return 0;
}

static int
take_message(const struct dirent *d, void *userdata)
{
	struct shelf *s = userdata;
	struct retention_file file = { .inode = d->d_ino };
	int r = 0;

	count_file(s->x);
	if (!store_name_parse(d->d_name, "hl7", &file.stem))
		return 0;
	if (s->rules->max_bytes) /* a million files need not be asked otherwise */
		r = read_bytes(s->folder, d->d_name, &file.bytes);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return VECTOR_APPEND(s, file) ? 0 : -ENOMEM;
}

static void
shelf_deinit(struct shelf *s)
{
	free(s->items);
	cleanup_close(&s->folder);
}

/* Removes a name: 0, or a negative errno; what is gone already is gone. */
static int
remove_name(int folder, const char *name)
{
	return unlinkat(folder, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* The message goes, and is counted. */
static int
remove_message(struct shelf *s, const struct retention_file *file, uint64_t *n)
{
	char name[STORE_NAME_BYTES];
	uint64_t bytes = file->bytes;

	store_name_format(&file->stem, "hl7", name);
	if (bytes == 0 && read_bytes(s->folder, name, &bytes) < 0)
		return 0; /* it is gone */
	(*n)++;
	s->x->result->bytes += bytes;
	return s->x->o->dry_run ? 0 : remove_name(s->folder, name);
}

/* --- received -------------------------------------------------------------------------------- */

static int
add_stems(struct stems *held, struct queue_list *list, int r)
{
	size_t i;

	if (r == 0 && list->n_later > 0)
		r = -E2BIG; /* there are more, which would hold messages unseen */
	for (i = 0; r == 0 && i < list->n; i++)
		r = stems_add(held, &list->items[i].stem);
	queue_list_deinit(list);
	return r;
}

static int
hold_of(struct expire *x, const char *name, struct stems *held)
{
	struct queue_list list = { 0 };
	struct queue q;
	int r = queue_open(&q, x->path, name, false);

	if (r == 0) {
		r = queue_list_failed(&q, &list);
		r = add_stems(held, &list, r);
	}
	if (r == 0) {
		r = queue_list_waiting(&q, &list);
		r = add_stems(held, &list, r);
	}
	queue_close(&q);
	return r == -ENOENT ? 0 : r;
}

/*
 * The stems of all that waits or failed.
 *
 * Called behind the listing of received/: a message that was listed there had all its entries
 * before (they are linked first), so each of them is still there, or was taken out for good. While
 * .moves is locked none can be on its way from one folder to the other and be missed in both; one
 * that moves later has been seen. Nobody adds entries to a message that is there already.
 */
static int
hold_waiting(struct expire *x, struct stems *held)
{
	_cleanup_close_ int lock = -1;
	struct queue_names names = { 0 };
	size_t i;
	int r = queue_lock_moves(x->root, &lock);

	if (r == 0)
		r = queue_names_read(x->path, &names);
	for (i = 0; r == 0 && i < names.n; i++)
		r = hold_of(x, names.items[i], held);
	queue_names_deinit(&names);
	stems_sort(held);
	return r;
}

/* The name of this file, if it still is that. Only this program removes a .k that has a message,
 * and only one of it runs, so nobody can have put another file in its place meanwhile. */
static int
remove_same(int folder, const char *name, uint64_t inode)
{
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return st.st_ino == inode ? remove_name(folder, name) : 0;
}

/*
 * A message that goes, found by its .k: first this, so that no resend can be told from here on that
 * it is stored, then the answer, then the message itself. A receiver that found the .k a moment
 * before answers that the message was received, which it was; one that comes later stores it anew.
 * A crash between two of these leaves a message that is not known, or an answer of none: the next
 * run removes them.
 */
static int
remove_known(
	struct shelf *s, const char *name, struct known_name *known, struct retention_file *file)
{
	char answer[KNOWN_NAME_BYTES];
	int r = 0;

	known->kind = KNOWN_ANSWER;
	if (!s->x->o->dry_run)
		r = remove_same(s->folder, name, file->inode);
	if (r == 0 && !s->x->o->dry_run) {
		known_name_format(known, answer);
		r = remove_name(s->folder, answer);
	}
	if (r == 0)
		r = remove_message(s, file, &s->x->result->n_received);
	file->stem.stamp = 0; /* done */
	return r;
}

static int
take_known(const struct dirent *d, void *userdata)
{
	struct shelf *s = userdata;
	struct retention_file *file;
	struct known_name known;

	count_file(s->x);
	if (!known_name_parse(d->d_name, &known))
		return 0;
	file = retention_find(s->items, s->n_going, d->d_ino);
	if (file && known.kind == KNOWN_IDENTITY) /* its message goes in this pass */
		return s->x->o->dry_run ? 0 : remove_same(s->folder, d->d_name, d->d_ino);
	if (!file || !file->stem.stamp || known.kind != KNOWN_CONTENT)
		return 0;
	return remove_known(s, d->d_name, &known, file);
}

static int
remove_received(struct shelf *s)
{
	size_t i;
	int r;

	if (s->n_going == 0)
		return 0;
	retention_sort_by_inode(s->items, s->n_going);
	r = folder_read(s->folder, take_known, s);
	for (i = 0; r == 0 && i < s->n_going; i++)
		if (s->items[i].stem.stamp) /* it had no .k */
			r = remove_message(s, &s->items[i], &s->x->result->n_received);
	return r;
}

/* --- leftovers of received/ ------------------------------------------------------------------ */

/* A receiver writes an answer behind its .k, and both within seconds. */
static int
forget_answer(struct shelf *s, const char *name, struct known_name *known)
{
	char content[KNOWN_NAME_BYTES];
	struct stat st;

	known->kind = KNOWN_CONTENT;
	known_name_format(known, content);
	if (fstatat(s->folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if ((usec_t)st.st_mtim.tv_sec * USEC_PER_SEC + RETENTION_LEAST_USEC > s->x->now ||
		folder_has(s->folder, content) != 0)
		return 0;
	s->x->result->n_leftovers++;
	return s->x->o->dry_run ? 0 : remove_name(s->folder, name);
}

/* Whether a hidden name is that of a message that stays; without a look at its file. */
static bool
is_of_message(struct shelf *s, const struct dirent *d)
{
	return retention_find(staying(s), s->n - s->n_going, d->d_ino) ||
	       (s->x->o->dry_run && retention_find(s->items, s->n_going, d->d_ino));
}

static int
forget_note(struct shelf *s, const struct dirent *d)
{
	bool gone = false;
	int r;

	if (is_of_message(s, d))
		return 0;
	r = known_forget_first(s->folder, d->d_name, s->x->o->dry_run, &gone);
	s->x->result->n_leftovers += gone;
	return r == -ETIMEDOUT ? 0 : r;
}

static int
forget_claim(struct shelf *s, const struct dirent *d)
{
	bool gone;
	int r;

	if (is_of_message(s, d))
		return 0;
	r = known_forget_claim(s->folder, d->d_name, s->x->o->dry_run, &gone);
	s->x->result->n_leftovers += gone;
	return r;
}

static int
take_leftover(const struct dirent *d, void *userdata)
{
	struct shelf *s = userdata;
	struct known_name known;

	count_file(s->x);
	if (!known_name_parse(d->d_name, &known))
		return 0;
	switch (known.kind) {
	case KNOWN_CONTENT: return forget_claim(s, d);
	case KNOWN_ANSWER: return forget_answer(s, d->d_name, &known);
	case KNOWN_IDENTITY: return forget_note(s, d);
	}
	return 0;
}

static int
expire_received(struct expire *x)
{
	struct shelf s = { .x = x, .folder = -1, .rules = &x->o->received };
	struct stems held = { 0 };
	int r = disk_open_existing_dir(x->root, "received", &s.folder);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = folder_read(s.folder, take_message, &s);
	if (r == 0)
		r = hold_waiting(x, &held);
	if (r == 0) {
		s.n_going = retention_choose(s.items, s.n, s.rules, &held, x->now);
		r = remove_received(&s);
	}
	stems_deinit(&held);
	if (r == 0) {
		retention_sort_by_inode(staying(&s), s.n - s.n_going);
		r = folder_read(s.folder, take_leftover, &s);
	}
	shelf_deinit(&s);
	return r;
}

/* --- rejected -------------------------------------------------------------------------------- */

/* A message is never there without its reason, so that goes last. */
static int
remove_rejected(struct shelf *s, const struct retention_file *file)
{
	char reason[STORE_NAME_BYTES];
	int r = remove_message(s, file, &s->x->result->n_rejected);

	store_name_format(&file->stem, "txt", reason);
	return r == 0 && !s->x->o->dry_run ? remove_name(s->folder, reason) : r;
}

/* A reason is linked a moment before its message. */
static int
take_lone_reason(const struct dirent *d, void *userdata)
{
	struct shelf *s = userdata;
	char message[STORE_NAME_BYTES];
	struct store_stem stem;

	if (!store_name_parse(d->d_name, "txt", &stem) ||
		stem.stamp + RETENTION_LEAST_USEC > s->x->now)
		return 0;
	store_name_format(&stem, "hl7", message);
	if (folder_has(s->folder, message) != 0)
		return 0;
	s->x->result->n_leftovers++;
	return s->x->o->dry_run ? 0 : remove_name(s->folder, d->d_name);
}

static int
expire_rejected(struct expire *x)
{
	struct shelf s = { .x = x, .folder = -1, .rules = &x->o->rejected };
	const struct stems none = { 0 };
	size_t i;
	int r = disk_open_existing_dir(x->root, "rejected", &s.folder);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = folder_read(s.folder, take_message, &s);
	if (r == 0)
		s.n_going = retention_choose(s.items, s.n, s.rules, &none, x->now);
	for (i = 0; r == 0 && i < s.n_going; i++)
		r = remove_rejected(&s, &s.items[i]);
	if (r == 0)
		r = folder_read(s.folder, take_lone_reason, &s);
	shelf_deinit(&s);
	return r;
}

/* --- failed ---------------------------------------------------------------------------------- */

/* Since when it is there: its reason was written then. */
static bool
failed_before(const struct queue *q, const struct store_entry_name *entry, usec_t at)
{
	char name[STORE_NAME_BYTES];
	struct stat st;

	store_entry_format(entry, "txt", name);
	return fstatat(q->failed, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC < at;
}

static int
remove_failed(struct expire *x, struct queue *q, const struct store_entry_name *entry)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r = queue_take_failed(q, entry, &fd);

	if (r) /* an operator has it, or had it */
		return r < 0 ? r : 0;
	x->result->n_failed++;
	if (fstat(fd, &st) == 0)
		x->result->bytes += (uint64_t)st.st_size;
	return x->o->dry_run ? 0 : queue_delete_failed(q, entry);
}

static int
expire_failed(struct expire *x, struct queue *q)
{
	struct queue_list list;
	size_t i;
	int r;

	if (x->o->keep_failed_usec == 0 || x->o->keep_failed_usec > x->now)
		return 0;
	r = queue_list_failed(q, &list);
	for (i = 0; r == 0 && i < list.n; i++)
		if (failed_before(q, &list.items[i], x->now - x->o->keep_failed_usec))
			r = remove_failed(x, q, &list.items[i]);
	queue_list_deinit(&list);
	return r;
}

static int
expire_queue(struct expire *x, const char *name)
{
	struct queue q;
	size_t n = 0;
	int r = queue_open(&q, x->path, name, false);

	if (r == 0)
		r = expire_failed(x, &q);
	if (r == 0 && q.waiting >= 0 && !x->o->dry_run)
		r = queue_sweep(&q, &n);
	if (r == QUEUE_E_BUSY)
		r = 0; /* next time */
	x->result->n_leftovers += n;
	n = 0;
	if (r == 0 && q.failed >= 0 && !x->o->dry_run)
		r = queue_sweep_reasons(&q, &n);
	x->result->n_leftovers += n;
	queue_close(&q);
	return r == -ENOENT ? 0 : r;
}

static int
expire_queues(struct expire *x)
{
	struct queue_names names = { 0 };
	size_t i;
	int r = queue_names_read(x->path, &names);

	for (i = 0; r == 0 && i < names.n; i++)
		r = expire_queue(x, names.items[i]);
	queue_names_deinit(&names);
	return r;
}

/* --- the whole ------------------------------------------------------------------------------- */

int
expire_run(const char *path, const struct expire_options *o, usec_t now, struct expire_result *ret)
{
	_cleanup_close_ int root = -1;
	struct expire x = { .o = o, .result = ret, .path = path, .now = now };
	int r = disk_open_existing_dir(AT_FDCWD, path, &root);

	*ret = (struct expire_result){ 0 };
	if (r == 0)
		r = disk_lock(root, LOCK_EX, 0);
	if (r < 0)
		return r == -ETIMEDOUT ? EXPIRE_E_BUSY : r;
	x.root = root;
	r = expire_queues(&x); /* first: what failed holds its received message */
	if (r == 0)
		r = expire_received(&x);
	if (r == 0)
		r = expire_rejected(&x);
	return r;
}
