/* SPDX-License-Identifier: MIT */
#include "store/store.h"
#include "base/cleanup.h"
#include "store/disk.h"
#include "store/known.h"
#include "store/order.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define REJECTED "rejected"

/* --- opening --------------------------------------------------------------------------------- */

int
store_open(struct store *s, const char *path, struct store_reserve reserve)
{
	int r;

	*s = STORE_NULL;
	s->reserve = reserve;
	r = disk_open_dir(AT_FDCWD, path, &s->root);
	if (r == 0)
		r = disk_open_dir(s->root, "received", &s->received);
	return r;
}

static struct store_queue *
find_queue(const struct store *s, struct span destination)
{
	size_t i;

	for (i = 0; i < s->n_queues; i++)
		if (span_eq(span_str(s->queues[i].name), destination))
			return &s->queues[i];
	return NULL;
}

static int
add_queue(struct store *s, const struct store_queue *queue)
{
	struct store_queue *grown;

	if (s->n_queues == STORE_DESTINATIONS_MAX)
		return -E2BIG;
	grown = reallocarray(s->queues, s->n_queues + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->queues = grown;
	s->queues[s->n_queues++] = *queue;
	return 0;
}

static int
open_queue(struct store *s, const char *name, int *ret)
{
	_cleanup_close_ int all = -1;
	int r = disk_open_dir(s->root, "queue", &all);

	return r < 0 ? r : disk_open_dir(all, name, ret);
}

int
store_open_queue(struct store *s, struct span destination)
{
	struct store_queue queue = { .fd = -1 };
	int r;

	if (!store_destination_is_valid(destination))
		return -EINVAL;
	if (find_queue(s, destination))
		return 0;
	memcpy(queue.name, destination.p, destination.n);
	r = open_queue(s, queue.name, &queue.fd);
	if (r == 0)
		r = add_queue(s, &queue);
	if (r < 0)
		cleanup_close(&queue.fd);
	return r;
}

int
store_prepare(struct store *s, int *ret_rejected)
{
	int r = s->order < 0 ? order_open(s->root, &s->order) : 0;

	if (r == 0)
		*ret_rejected = openat(s->root, REJECTED, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r;
}

void
store_close(struct store *s)
{
	size_t i;

	for (i = 0; i < s->n_queues; i++)
		(void)close(s->queues[i].fd);
	free(s->queues);
	cleanup_close(&s->order);
	cleanup_close(&s->received);
	cleanup_close(&s->root);
	*s = STORE_NULL;
}

/* --- limits ---------------------------------------------------------------------------------- */

/* Whether `bytes` in `files` can be stored with the reserve left free. A file system that does not
 * count inodes reports none at all. */
static int
check_room(const struct store *s, uint64_t bytes, uint64_t files)
{
	struct statvfs v;

	if (fstatvfs(s->root, &v) < 0)
		return -errno;
	if (s->reserve.bytes && v.f_bavail * v.f_frsize < s->reserve.bytes + bytes)
		return STORE_E_FULL;
	if (s->reserve.inodes && v.f_files && v.f_favail < s->reserve.inodes + files)
		return STORE_E_FULL;
	return 0;
}

static int
check_room_for(const struct store *s, const struct store_message *m)
{
	uint64_t bytes = m->bytes.n;
	size_t i;

	for (i = 0; i < m->n_entries; i++)
		bytes += m->entries[i].message.n;
	return check_room(s, bytes, m->n_entries + 1);
}

/* --- a commit -------------------------------------------------------------------------------- */

/* From its stamp to the commit point a message has so long. Who removes what is old goes by stamps,
 * and leaves alone what is younger than an hour, as its queue entries may not be there yet. */
#define COMMIT_USEC_MAX (600 * USEC_PER_SEC)

/* A message on its way into the store. */
struct commit {
	struct store *s;
	const struct store_message *m;
	struct known_key key;
	int fd;                       /* of its file, locked until the commit is over */
	char claim[KNOWN_NAME_BYTES]; /* .k…, "" while it has none */
	char twin[KNOWN_NAME_BYTES];  /* .k… of the same bytes */
	bool receipt_file;            /* it does not fit into the message's attributes */
	struct store_stem stem;
	char name[STORE_NAME_BYTES];
};

static int
get_stem(struct store *s, int fd, struct store_stem *ret)
{
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (s->order < 0)
		r = order_open(s->root, &s->order);
	if (r == 0)
		r = order_next(s->order, &ret->stamp);
	ret->inode = st.st_ino;
	ret->pid = (uint32_t)getpid();
	return r;
}

/* The message on disk, in a file without a name, with its answer and the name that it will get. */
static int
write_message(struct commit *c)
{
	int r = disk_write(c->s->received, c->m->bytes, &c->fd);

	if (r == 0)
		r = get_stem(c->s, c->fd, &c->stem);
	if (r < 0)
		return r;
	store_name_format(&c->stem, "hl7", c->name);
	r = known_keep_receipt(c->fd, c->name, c->m->answer);
	c->receipt_file = r == KNOWN_E_NO_ATTRIBUTES;
	return r < 0 ? r : disk_sync(c->fd);
}

/* Writes and links one entry; its directory is synced by the caller. */
static int
put_entry(struct commit *c, size_t i)
{
	const struct store_entry *e = &c->m->entries[i];
	const struct store_queue *queue = find_queue(c->s, e->destination);
	const struct store_entry_name entry = { c->stem, (uint32_t)i };
	_cleanup_close_ int fd = -1;
	char name[STORE_NAME_BYTES];
	int r;

	if (!queue)
		return -ENOENT;
	r = disk_write_synced(queue->fd, e->message, &fd);
	if (r < 0)
		return r;
	store_entry_format(&entry, "hl7", name);
	return disk_link(fd, queue->fd, name);
}

static bool
has_entry_before(const struct store_message *m, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (span_eq(m->entries[i].destination, m->entries[k].destination))
			return true;
	return false;
}

/* For each destination once. 0 or the first failure. */
static int
for_queues(struct commit *c, int (*call)(struct store_queue *queue))
{
	struct store_queue *queue;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < c->m->n_entries; i++) {
		queue = find_queue(c->s, c->m->entries[i].destination);
		if (!queue)
			return -ENOENT;
		if (!has_entry_before(c->m, i))
			r = call(queue);
	}
	return r;
}

static int
lock_queue(struct store_queue *queue)
{
	return disk_lock(queue->fd, LOCK_SH, deadline_in(DISK_LOCK_WAIT_USEC));
}

static int
sync_queue(struct store_queue *queue)
{
	return disk_sync_dir(&queue->fd);
}

static int
unlock_queue(struct store_queue *queue)
{
	(void)flock(queue->fd, LOCK_UN); /* what was not locked stays so */
	return 0;
}

static int
put_entries(struct commit *c)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < c->m->n_entries; i++)
		r = put_entry(c, i);
	return r == 0 ? for_queues(c, sync_queue) : r;
}

/* Without their received file the entries do not count; removing them only keeps the place tidy. */
static void
remove_entries(struct commit *c)
{
	const struct store_queue *queue;
	struct store_entry_name entry = { .stem = c->stem };
	char name[STORE_NAME_BYTES];

	for (entry.number = 0; entry.number < c->m->n_entries; entry.number++) {
		queue = find_queue(c->s, c->m->entries[entry.number].destination);
		store_entry_format(&entry, "hl7", name);
		if (queue)
			(void)unlinkat(queue->fd, name, 0);
	}
}

/* Takes back what was linked: the received file before its entries, as without it they do not
 * count. Where that stays, they count and stay as well, and so does the name by which a resend
 * finds it. Its note goes first: one that is left without its message tells that this was there for
 * good.
 */
static void
undo(struct commit *c)
{
	bool noted = known_take_first_back(c->s->received, c->fd, &c->key);

	if (unlinkat(c->s->received, c->name, 0) == 0 || errno == ENOENT) {
		remove_entries(c);
		return;
	}
	c->claim[0] = 0;
	if (noted)
		(void)known_note_first(c->s->received, c->fd, &c->key);
}

/* From here on others see that these bytes are being stored. */
static int
claim(struct commit *c, int *ret_twin)
{
	int r = disk_lock(c->fd, LOCK_EX, 0);

	if (r == 0)
		r = known_claim(c->s->received, c->fd, &c->key, c->m->bytes,
			deadline_in(DISK_LOCK_WAIT_USEC), c->claim, ret_twin);
	if (r) {
		memcpy(c->twin, c->claim, sizeof(c->twin));
		c->claim[0] = 0;
		return r == KNOWN_E_DUPLICATE ? STORE_E_DUPLICATE : r;
	}
	if (!c->receipt_file || !c->claim[0])
		return 0;
	return known_keep_receipt_file(c->s->received, c->claim, c->name, c->m->answer);
}

static int
check_age(const struct store_stem *stem)
{
	usec_t now = clock_realtime_usec(); /* also while the machine slept */

	return now > stem->stamp && now - stem->stamp > COMMIT_USEC_MAX ? -ETIMEDOUT : 0;
}

/* The commit itself: its last link is the point. */
static int
link_all(struct commit *c)
{
	int r = for_queues(c, lock_queue);

	if (r < 0)
		return r;
	r = put_entries(c);
	if (r == 0)
		r = check_age(&c->stem);
	if (r == 0)
		r = disk_link(c->fd, c->s->received, c->name);
	if (r == 0) {
		(void)known_note_first(c->s->received, c->fd, &c->key);
		r = disk_sync_dir(&c->s->received);
	}
	if (r < 0)
		undo(c);
	return r;
}

/* What is known of the file of a message that was committed before; and that it is on disk, as the
 * process that committed it may have died a moment before it was. */
static int
read_receipt(struct store *s, const char *name, int twin, struct store_receipt *ret)
{
	int r = known_read_receipt(s->received, twin, name, ret->name, &ret->answer);

	ret->answered = r == 0;
	r = disk_sync_dir(&s->received);
	return r < 0 ? r : STORE_E_DUPLICATE;
}

int
store_find(struct store *s, const struct store_message *m, struct store_receipt *ret)
{
	_cleanup_close_ int twin = -1;
	char name[KNOWN_NAME_BYTES];
	struct known_key key;
	int r;

	if (s->received < 0)
		return -EBADF;
	known_key(&key, m->bytes, m->application, m->facility, m->control_id);
	r = known_find(s->received, &key, m->bytes, name, &twin);
	return r == KNOWN_E_DUPLICATE ? read_receipt(s, name, twin, ret) : r;
}

static int
commit_claimed(struct commit *c, struct store_receipt *ret)
{
	int r;

	ret->reused = known_has_first(c->s->received, &c->key) == 1;
	if (ret->reused && c->m->refuse_reused)
		return STORE_E_REUSED;
	r = link_all(c);
	(void)for_queues(c, unlock_queue);
	if (r == 0)
		memcpy(ret->name, c->name, sizeof(ret->name));
	return r;
}

int
store_commit(struct store *s, const struct store_message *m, struct store_receipt *ret)
{
	_cleanup_close_ int twin = -1;
	struct commit c = { .s = s, .m = m, .fd = -1 };
	int r;

	ret->name[0] = 0;
	if (s->received < 0)
		return -EBADF;
	known_key(&c.key, m->bytes, m->application, m->facility, m->control_id);
	r = check_room_for(s, m);
	if (r == 0)
		r = write_message(&c);
	if (r == 0)
		r = claim(&c, &twin);
	if (r == 0)
		r = commit_claimed(&c, ret);
	if (r == STORE_E_DUPLICATE)
		r = read_receipt(s, c.twin, twin, ret);
	else if (r && c.claim[0])
		(void)unlinkat(s->received, c.claim, 0);
	cleanup_close(&c.fd); /* and with it its lock */
	return r;
}

int
store_reject(
	struct store *s, struct span message, struct span reason, char ret_name[STORE_NAME_BYTES])
{
	_cleanup_close_ int dir = -1, fd = -1, reason_fd = -1;
	char reason_name[STORE_NAME_BYTES];
	struct store_stem stem = { 0 };
	int r;

	if (s->root < 0)
		return -EBADF;
	r = check_room(s, message.n + reason.n, 2);
	if (r == 0)
		r = disk_open_dir(s->root, REJECTED, &dir);
	if (r == 0)
		r = disk_write_synced(dir, message, &fd);
	if (r == 0)
		r = disk_write_synced(dir, reason, &reason_fd);
	if (r == 0)
		r = get_stem(s, fd, &stem);
	if (r)
		return r;
	store_name_format(&stem, "hl7", ret_name);
	store_name_format(&stem, "txt", reason_name);
	/* the reason first: a message is never there without it */
	r = disk_link(reason_fd, dir, reason_name);
	if (r == 0)
		r = disk_link(fd, dir, ret_name);
	if (r < 0)
		(void)unlinkat(dir, reason_name, 0);
	return r < 0 ? r : disk_sync(dir);
}
