/* SPDX-License-Identifier: MIT */
#include "store/queue.h"
#include "base/cleanup.h"
#include "base/vector.h"
#include "store/disk.h"
#include "store/folder.h"
#include "store/order.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read at a time. */
#define READ_BYTES ((size_t)16 * 1024)

/* --- opening --------------------------------------------------------------------------------- */

/* queue/NAME or failed/NAME. */
static int
open_folder(int root, const char *kind, const char *name, bool make, int *ret)
{
	int (*open_dir)(int, const char *, int *) = make ? disk_open_dir : disk_open_existing_dir;
	_cleanup_close_ int all = -1;
	int r = open_dir(root, kind, &all);

	return r < 0 ? r : open_dir(all, name, ret);
}

static int
open_moves(int root, int *ret)
{
	int fd = openat(root, ".moves", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

/* A store that was never used has no folders: nothing waits there. */
static int
open_all(struct queue *q, const char *path, const char *name, bool make)
{
	int r = disk_open_existing_dir(AT_FDCWD, path, &q->root);

	if (r == 0 && make)
		r = disk_open_dir(q->root, "received", &q->received);
	else if (r == 0)
		r = disk_open_existing_dir(q->root, "received", &q->received);
	if (r == 0)
		r = open_folder(q->root, "queue", name, make, &q->waiting);
	if (r == -ENOENT && !make && q->received >= 0)
		r = 0;
	if (r == 0)
		r = open_folder(q->root, "failed", name, false, &q->failed);
	return r == -ENOENT && q->waiting >= 0 ? 0 : r;
}

int
queue_open(struct queue *q, const char *path, const char *name, bool make)
{
	int r;

	*q = QUEUE_NULL;
	q->list_max = QUEUE_LIST_MAX;
	if (!store_destination_is_valid(span_str(name)))
		return -EINVAL;
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	r = open_all(q, path, name, make);
	if (r < 0)
		queue_close(q);
	return r;
}

void
queue_close(struct queue *q)
{
	cleanup_close(&q->root);
	cleanup_close(&q->received);
	cleanup_close(&q->waiting);
	cleanup_close(&q->failed);
	cleanup_close(&q->moves);
	*q = QUEUE_NULL;
}

/* --- listing --------------------------------------------------------------------------------- */

static int
compare_entries(const void *a, const void *b)
{
	return store_entry_compare(a, b);
}

void
queue_list_sort(struct queue_list *list)
{
	if (list->n > 0)
		qsort(list->items, list->n, sizeof(*list->items), compare_entries);
}

bool
queue_list_has(const struct queue_list *list, const struct store_entry_name *entry)
{
	return list->n > 0 &&
	       bsearch(entry, list->items, list->n, sizeof(*list->items), compare_entries);
}

/* Makes room in a list that is full, of those that come last. */
static void
drop_last(struct queue_list *list)
{
	queue_list_sort(list);
	list->n_later += list->n - list->n / 2;
	list->n /= 2;
	list->last = list->items[list->n - 1];
}

static int
take_name(const struct dirent *d, void *userdata)
{
	struct queue_list *list = userdata;
	struct store_entry_name entry;

	if (!store_entry_parse(d->d_name, "hl7", &entry)) {
		list->n_foreign += d->d_name[0] != '.';
		return 0;
	}
	if (list->n == list->max)
		drop_last(list);
	if (list->n_later > 0 && store_entry_compare(&entry, &list->last) > 0) {
		list->n_later++;
		return 0;
	}
	return VECTOR_APPEND(list, entry) ? 0 : -ENOMEM;
}

static int
list_folder(const struct queue *q, int folder, struct queue_list *ret)
{
	int r;

	*ret = (struct queue_list){ .max = q->list_max };
	if (folder < 0)
		return 0;
	r = folder_read(folder, take_name, ret);
	if (r < 0)
		queue_list_deinit(ret);
	else
		queue_list_sort(ret);
	return r;
}

int
queue_list_waiting(const struct queue *q, struct queue_list *ret)
{
	return list_folder(q, q->waiting, ret);
}

/* The last time that a commit got. */
static usec_t
last_stamp(const struct queue *q)
{
	struct stat st;

	if (fstatat(q->root, ORDER_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_mtim.tv_sec < 0)
		return 0;
	return (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC + (usec_t)st.st_mtim.tv_nsec / 1000;
}

static usec_t
later(usec_t a, usec_t b)
{
	return a > b ? a : b;
}

/* readdir(3) is no snapshot: of two names that are made while it goes on it may give the second and
 * not the first. What got its stamp before the listing began is safe: all that was committed before
 * it had its name by then. So is what an earlier listing had, should stamps be ahead of the clock
 * and of .order, as after a power cut. */
int
queue_list_ready(struct queue *q, struct queue_list *ret)
{
	usec_t horizon = later(later(clock_realtime_usec(), last_stamp(q)), q->newest);
	int r = list_folder(q, q->waiting, ret);

	if (r < 0 || ret->n == 0)
		return r;
	q->newest = later(q->newest, ret->items[ret->n - 1].stem.stamp);
	while (ret->n > 0 && ret->items[ret->n - 1].stem.stamp > horizon) {
		ret->n--;
		ret->n_later++;
	}
	return 0;
}

int
queue_list_failed(const struct queue *q, struct queue_list *ret)
{
	return list_folder(q, q->failed, ret);
}

void
queue_list_deinit(struct queue_list *list)
{
	free(list->items);
	*list = (struct queue_list){ 0 };
}

/* --- one entry ------------------------------------------------------------------------------- */

int
queue_counts(const struct queue *q, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES];

	store_name_format(&entry->stem, "hl7", name);
	if (faccessat(q->received, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return errno == ENOENT ? QUEUE_E_UNCOMMITTED : -errno;
}

static int
open_entry(int folder, const struct store_entry_name *entry, int *ret_fd)
{
	char name[STORE_NAME_BYTES];
	int fd;

	if (folder < 0)
		return QUEUE_E_GONE;
	store_entry_format(entry, "hl7", name);
	fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? QUEUE_E_GONE : -errno;
	*ret_fd = fd;
	return 0;
}

int
queue_look(const struct queue *q, const struct store_entry_name *entry, bool failed, int *ret_fd)
{
	return open_entry(failed ? q->failed : q->waiting, entry, ret_fd);
}

static int
take(int folder, const struct store_entry_name *entry, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	char name[STORE_NAME_BYTES];
	struct stat st;
	int r = open_entry(folder, entry, &fd);

	if (r)
		return r;
	r = disk_lock(fd, LOCK_EX, 0);
	if (r < 0)
		return r == -ETIMEDOUT ? QUEUE_E_BUSY : r;
	store_entry_format(entry, "hl7", name);
	/* who had the lock before may have moved it away */
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? QUEUE_E_GONE : -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int
queue_take(const struct queue *q, const struct store_entry_name *entry, int *ret_fd)
{
	int r = queue_counts(q, entry);

	return r ? r : take(q->waiting, entry, ret_fd);
}

int
queue_take_failed(const struct queue *q, const struct store_entry_name *entry, int *ret_fd)
{
	return take(q->failed, entry, ret_fd);
}

int
queue_done(struct queue *q, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES];

	store_entry_format(entry, "hl7", name);
	if (unlinkat(q->waiting, name, 0) < 0)
		return -errno;
	return disk_sync_dir(&q->waiting);
}

/* The place of the reason: one of an earlier failure makes way. */
static int
link_reason(int folder, const struct store_entry_name *entry, struct span reason)
{
	_cleanup_close_ int fd = -1;
	char name[STORE_NAME_BYTES];
	int r = disk_write_synced(folder, reason, &fd);

	if (r < 0)
		return r;
	store_entry_format(entry, "txt", name);
	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return disk_link(fd, folder, name);
}

static int
move_entry(int *from, int *to, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES];
	int r;

	store_entry_format(entry, "hl7", name);
	if (renameat2(*from, name, *to, name, RENAME_NOREPLACE) < 0)
		return -errno;
	r = disk_sync_dir(to);
	return r < 0 ? r : disk_sync_dir(from);
}

static int
lock_moves(int root, int operation, int *ret_lock)
{
	_cleanup_close_ int fd = -1;
	int r = open_moves(root, &fd);

	if (r == 0)
		r = disk_lock(fd, operation, deadline_in(DISK_LOCK_WAIT_USEC));
	if (r == 0)
		*ret_lock = steal_fd(&fd);
	return r;
}

static int
begin_move(const struct queue *q, int *ret_lock)
{
	return lock_moves(q->root, LOCK_SH, ret_lock);
}

int
queue_lock_moves(int root, int *ret_fd)
{
	return lock_moves(root, LOCK_EX, ret_fd);
}

int
queue_fail(struct queue *q, const struct store_entry_name *entry, struct span reason)
{
	_cleanup_close_ int lock = -1;
	int r = begin_move(q, &lock);

	if (r == 0 && q->failed < 0)
		r = open_folder(q->root, "failed", q->name, true, &q->failed);
	if (r == 0)
		r = link_reason(q->failed, entry, reason);
	return r < 0 ? r : move_entry(&q->waiting, &q->failed, entry);
}

static int
remove_reason(const struct queue *q, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES];

	store_entry_format(entry, "txt", name);
	return unlinkat(q->failed, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int
queue_retry(struct queue *q, const struct store_entry_name *entry)
{
	_cleanup_close_ int lock = -1;
	int r = queue_counts(q, entry);

	if (r == 0 && q->waiting < 0)
		r = open_folder(q->root, "queue", q->name, true, &q->waiting);
	if (r == 0)
		r = begin_move(q, &lock);
	if (r == 0)
		r = move_entry(&q->failed, &q->waiting, entry);
	return r ? r : remove_reason(q, entry);
}

int
queue_delete_failed(struct queue *q, const struct store_entry_name *entry)
{
	char name[STORE_NAME_BYTES];
	int r;

	store_entry_format(entry, "hl7", name);
	if (unlinkat(q->failed, name, 0) < 0)
		return -errno;
	r = remove_reason(q, entry);
	return r < 0 ? r : disk_sync_dir(&q->failed);
}

int
queue_read(int fd, struct buffer *ret)
{
	uint8_t beyond; /* the byte that shows that there is more */
	size_t room;
	ssize_t n;
	int r;

	do {
		room = ret->max - ret->n;
		r = buffer_reserve(ret, room < READ_BYTES ? room : READ_BYTES);
		if (r)
			return r;
		n = room ? read(fd, ret->p + ret->n, ret->allocated - ret->n)
			 : read(fd, &beyond, 1);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && room == 0)
			return BUFFER_E_FULL;
		ret->n += n > 0 ? (size_t)n : 0;
	} while (n != 0);
	return 0;
}

int
queue_read_reason(const struct queue *q, const struct store_entry_name *entry, struct buffer *ret)
{
	_cleanup_close_ int fd = -1;
	char name[STORE_NAME_BYTES];

	store_entry_format(entry, "txt", name);
	fd = q->failed < 0 ? -1 : openat(q->failed, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return q->failed < 0 ? -ENOENT : -errno;
	return queue_read(fd, ret);
}

/* --- leftovers ------------------------------------------------------------------------------- */

static int
sweep(const struct queue *q, const struct queue_list *list, size_t *ret_n)
{
	char name[STORE_NAME_BYTES];
	size_t i;
	int r = 0;

	for (i = 0; i < list->n && r >= 0; i++) {
		r = queue_counts(q, &list->items[i]);
		if (r != QUEUE_E_UNCOMMITTED)
			continue;
		store_entry_format(&list->items[i], "hl7", name);
		r = unlinkat(q->waiting, name, 0) < 0 && errno != ENOENT ? -errno : 0;
		*ret_n += r == 0;
	}
	return r < 0 ? r : 0;
}

int
queue_sweep(const struct queue *q, size_t *ret_n)
{
	_cleanup_close_ int lock = -1;
	struct queue_list list;
	int r;

	*ret_n = 0;
	if (q->waiting < 0)
		return 0;
	lock = openat(q->waiting, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return -errno;
	r = disk_lock(lock, LOCK_EX, 0);
	if (r < 0)
		return r == -ETIMEDOUT ? QUEUE_E_BUSY : r;
	r = list_folder(q, q->waiting, &list);
	if (r == 0)
		r = sweep(q, &list, ret_n);
	queue_list_deinit(&list);
	return r;
}

struct reasons {
	const struct queue *q;
	size_t n;
};

/* A message whose reason is there first is on its way to it under the lock of .moves, which is ours
 * here; one that is being deleted loses its reason next anyway. */
static int
sweep_reason(const struct dirent *d, void *userdata)
{
	struct reasons *reasons = userdata;
	struct store_entry_name entry;
	char name[STORE_NAME_BYTES];
	int r;

	if (!store_entry_parse(d->d_name, "txt", &entry))
		return 0;
	store_entry_format(&entry, "hl7", name);
	r = folder_has(reasons->q->failed, name);
	if (r)
		return r < 0 ? r : 0;
	if (unlinkat(reasons->q->failed, d->d_name, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	reasons->n++;
	return 0;
}

int
queue_sweep_reasons(const struct queue *q, size_t *ret_n)
{
	_cleanup_close_ int lock = -1;
	struct reasons reasons = { .q = q };
	int r = queue_lock_moves(q->root, &lock);

	if (r == 0)
		r = folder_read(q->failed, sweep_reason, &reasons);
	*ret_n = reasons.n;
	return r;
}

/* --- destinations ---------------------------------------------------------------------------- */

static bool
has_name(const struct queue_names *names, const char *name)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

static int
add_destination(struct queue_names *names, const char *name)
{
	void *grown;

	if (!store_destination_is_valid(span_str(name)) || has_name(names, name))
		return 0;
	grown = vector_grow(names->items, names->n, &names->allocated, sizeof(*names->items));
	if (!grown)
		return -ENOMEM;
	names->items = grown;
	(void)snprintf(names->items[names->n++], sizeof(*names->items), "%s", name);
	return 0;
}

static int
take_folder(const struct dirent *d, void *userdata)
{
	return d->d_type == DT_DIR || d->d_type == DT_UNKNOWN ? add_destination(userdata, d->d_name)
							      : 0;
}

static int
add_folders(int root, const char *kind, struct queue_names *names)
{
	_cleanup_close_ int fd = -1;
	int r = disk_open_existing_dir(root, kind, &fd);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return folder_read(fd, take_folder, names);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

int
queue_names_read(const char *path, struct queue_names *ret)
{
	_cleanup_close_ int root = -1;
	int r = disk_open_existing_dir(AT_FDCWD, path, &root);

	*ret = (struct queue_names){ 0 };
	if (r == 0)
		r = add_folders(root, "queue", ret);
	if (r == 0)
		r = add_folders(root, "failed", ret);
	if (ret->n > 0)
		qsort(ret->items, ret->n, sizeof(*ret->items), compare_names);
	return r;
}

void
queue_names_deinit(struct queue_names *names)
{
	free(names->items);
	*names = (struct queue_names){ 0 };
}
