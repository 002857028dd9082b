/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A destination's queue, from the side of who takes messages out: hl7-forward and hl7-queue.
 *
 *   DIR/queue/NAME/STEM.KKK.hl7    waiting; counts only if DIR/received/STEM.hl7 is there
 *   DIR/failed/NAME/STEM.KKK.hl7   a dead letter
 *   DIR/failed/NAME/STEM.KKK.txt   why; linked before the message moves there
 *   DIR/queue/.NAME                the forwarder's state, and its lock (store/state.h)
 *   DIR/.moves                     locked, shared, while a message moves between the two folders;
 * who has the lock for himself sees every message in one of them
 *
 * A message moves by rename(2), so it is in one place at any time. Who works on an entry has its
 * file open and locked (flock(2)).
 */

#include "base/buffer.h"
#include "store/name.h"

enum {
	QUEUE_E_SUCCESS,
	QUEUE_E_GONE,        /* no such entry: another process took it */
	QUEUE_E_UNCOMMITTED, /* its received message is not there: not yet, or never */
	QUEUE_E_BUSY,        /* another process works on it */
};

struct queue {
	int root, received;
	int waiting, failed; /* -1 where there is none */
	int moves;
	usec_t newest;   /* stamp in a listing so far */
	size_t list_max; /* entries in one listing */
	char name[STORE_DESTINATION_BYTES];
};

#define QUEUE_NULL                                                                                 \
	((struct queue){ .root = -1, .received = -1, .waiting = -1, .failed = -1, .moves = -1 })

/* Opens destination `name` of the store at `path`. With `make` its folders are made where they are
 * missing, else -ENOENT when it has neither a queue nor failed messages. 0 or a negative errno;
 * -EINVAL for a name that none can have. */
int queue_open(struct queue *q, const char *path, const char *name, bool make);
void queue_close(struct queue *q);

/* Entries that one listing holds at most, about 130 MB of them: the first in order. */
#define QUEUE_LIST_MAX ((size_t)4000000)

/* Names of entries, in the order of their commits. */
struct queue_list {
	struct store_entry_name *items; /* owned */
	size_t n, allocated;
	size_t n_foreign; /* other names in the folder, hidden ones not counted */
	size_t n_later;   /* entries left out, for a later listing: none is before one of these */
	size_t max;
	struct store_entry_name last; /* with n_later: none behind it is taken */
};

/* What is in queue/NAME or failed/NAME, whether it counts or not; other names are left out. 0 or a
 * negative errno. */
int queue_list_waiting(const struct queue *q, struct queue_list *ret);
int queue_list_failed(const struct queue *q, struct queue_list *ret);

/* The waiting ones that can be delivered now without overtaking one: a message that was
 * acknowledged before another was received is in no listing that has the other and lacks it. */
int queue_list_ready(struct queue *q, struct queue_list *ret);
void queue_list_deinit(struct queue_list *list);

/* For a list that was filled otherwise; and whether a sorted one has an entry. */
void queue_list_sort(struct queue_list *list);
bool queue_list_has(const struct queue_list *list, const struct store_entry_name *entry);

/* 0 when the received message of a waiting entry is there, QUEUE_E_UNCOMMITTED, or a negative
 * errno. */
int queue_counts(const struct queue *q, const struct store_entry_name *entry);

/* Opens an entry only to look at it, without a lock: it may be taken away meanwhile. 0,
 * QUEUE_E_GONE or a negative errno. */
int queue_look(
	const struct queue *q, const struct store_entry_name *entry, bool failed, int *ret_fd);

/* Opens a waiting entry that counts for reading, locked until *ret_fd is closed. 0, a condition or
 * a negative errno. */
int queue_take(const struct queue *q, const struct store_entry_name *entry, int *ret_fd);

/* The same of a failed one. */
int queue_take_failed(const struct queue *q, const struct store_entry_name *entry, int *ret_fd);

/* What follows is for entries that were taken: nobody else works on them. Each is on disk when it
 * returns. */

/* It was delivered: removes it. 0 or a negative errno. */
int queue_done(struct queue *q, const struct store_entry_name *entry);

/* Moves it to failed/, with a text that says why. */
int queue_fail(struct queue *q, const struct store_entry_name *entry, struct span reason);

/* Moves a failed one back, to the place that it had; QUEUE_E_UNCOMMITTED, and it stays, when its
 * received message is gone: it would not count there. */
int queue_retry(struct queue *q, const struct store_entry_name *entry);

/* Removes a failed one for good. */
int queue_delete_failed(struct queue *q, const struct store_entry_name *entry);

/* Reads the reason of a failed one; -ENOENT when it has none. */
int queue_read_reason(
	const struct queue *q, const struct store_entry_name *entry, struct buffer *ret);

/* Reads a file that was taken. BUFFER_E_FULL beyond the buffer's maximum. */
int queue_read(int fd, struct buffer *ret);

/* Removes waiting entries whose commit was never finished: QUEUE_E_BUSY while a commit to this
 * queue is in the middle, else 0 or a negative errno. `*ret_n` counts them. */
int queue_sweep(const struct queue *q, size_t *ret_n);

/* Removes reasons whose message is not there, as a crash may leave them. 0 or a negative errno;
 * `*ret_n` counts them. */
int queue_sweep_reasons(const struct queue *q, size_t *ret_n);

/* Locks .moves for the caller alone, until *ret_fd is closed: no message moves meanwhile. 0,
 * -ETIMEDOUT or a negative errno. */
int queue_lock_moves(int root, int *ret_fd);

/* Names of destinations: of all that have a folder in queue/ or failed/, in the order of the
 * alphabet. */
struct queue_names {
	char (*items)[STORE_DESTINATION_BYTES]; /* owned */
	size_t n, allocated;
};
int queue_names_read(const char *path, struct queue_names *ret);
void queue_names_deinit(struct queue_names *names);
