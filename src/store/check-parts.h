/* SPDX-License-Identifier: MIT */
#pragma once

/* The parts of store/check.h. Not for others. */

#include "store/check.h"
#include "store/stems.h"

#include <sys/types.h>

/* "queue/NAME/STEM.KKK.hl7" and the like, with its NUL. */
#define CHECK_PATH_BYTES 512

struct check {
	const struct check_options *o;
	struct check_counts *counts;
	const char *path;
	int root;
	uid_t owner;        /* of the store */
	uint64_t n_files;   /* looked at */
	struct stems notes; /* stems that .i… name, whose messages are gone */
};

void check_tell(struct check *c, enum check_severity severity, const char *folder, const char *name,
	const char *text);

/* One more file was looked at. */
void check_count(struct check *c);

/* A file or folder has the owner and the mode that it should: 0, or a negative errno (-ENOENT: it
 * is gone, which is for the caller to judge). */
int check_file(struct check *c, int at, const char *folder, const char *name);
int check_folder(struct check *c, int fd, const char *folder);

/* Gives the one who may be changing something a moment to finish. */
void check_pause(void);

int check_received(struct check *c);
int check_rejected(struct check *c);
int check_queues(struct check *c);
