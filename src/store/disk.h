/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the store does to the file system, step by step: each step's failure is final for the
 * message. An fsync that failed is never tried again, as Linux marks the pages clean all the same.
 *
 * Not for others than the store's own files.
 */

#include "base/clock.h"
#include "base/span.h"

#include <stdbool.h>
#include <sys/types.h>

/* Opens a directory, made first where it is missing (mode 0750), and durable in its parent. 0 or a
 * negative errno. */
int disk_open_dir(int at, const char *path, int *ret);

/* The same without making it. */
int disk_open_existing_dir(int at, const char *path, int *ret);

/* An unnamed file in `dir` with these bytes (O_TMPFILE, mode 0640), not on disk yet. */
int disk_write(int dir, struct span bytes, int *ret_fd);

/* More bytes behind them. 0 or a negative errno. */
int disk_write_more(int fd, struct span bytes);

/* The bytes of a file are on disk. The file is given up where they are not. */
int disk_sync(int fd);

/* The names in a directory are on disk. Where that fails, *fd is another descriptor of it from then
 * on, or -1: it may be synced again for what comes later, but not through the one that failed. A
 * lock of it is gone with that. */
int disk_sync_dir(int *fd);

/* disk_write() and disk_sync(), for a file that is not read through this descriptor: the folder may
 * be one beneath which this process cannot read. */
int disk_write_synced(int dir, struct span bytes, int *ret_fd);

/* Gives an open file a name; -EEXIST where it is taken. */
int disk_link(int fd, int dir, const char *name);

/* Takes a lock (flock(2), LOCK_SH or LOCK_EX) of the open file, waiting until the deadline; 0 only
 * tries. 0, -ETIMEDOUT or a negative errno. */
int disk_lock(int fd, int operation, usec_t deadline);

/* How long a lock is waited for that others hold for a few system calls. */
#define DISK_LOCK_WAIT_USEC (10 * USEC_PER_SEC)

/* Whether the file has just these bytes: 1, 0 or a negative errno. */
int disk_compare(int fd, struct span bytes);

/* Whether two open files have the same bytes: 1, 0 or a negative errno. */
int disk_compare_files(int a, int b);
