/* SPDX-License-Identifier: MIT */
#pragma once

/* Templates and tables from their folders: the one part of this module that touches files. */

#include "base/hash.h"
#include "template/template.h"

#define TEMPLATE_FILES_MAX ((size_t)1000) /* in one directory */

/* The templates of a directory, in the order of their file names. */
struct template_set {
	struct template_file {
		char *name;                /* the file's, without its directory */
		struct template *template; /* NULL: it does not compile */
	} * files;
	size_t n;
};

/* Hears what is wrong with a file, or worth a warning. */
struct template_reporter {
	void (*report)(void *userdata, const char *directory, const char *name, struct span source,
		const struct problems *problems);
	void *userdata;
};

/* Reads a whole file of at most `out->max` - 1 bytes: 0 or a negative errno (-EFBIG). `at` as of
 * openat(2). */
int load_source(int at, const char *path, struct buffer *out);

/* Loads every *.hl7t of directory `path`; one that is not there is an empty set. A file that cannot
 * be read or does not compile is in the set without a template. 0 or a negative errno; give the set
 * to template_set_deinit() whatever the outcome. */
int template_load(struct template_set *set, const char *path, enum template_kind kind,
	const struct table_set *tables, const struct template_reporter *reporter);
void template_set_deinit(struct template_set *set);

/* Loads every *.tsv of directory `path` in the same way; a table that cannot be read is in the set
 * as broken, so that the templates which use it do not compile. */
int table_load(struct table_set *set, const char *path, const struct template_reporter *reporter);

/* Adds what tells a changed directory from one that is as it was: its files' names, inodes, sizes
 * and times. `*newest` becomes the time of the last change, where that is later; in nanoseconds of
 * CLOCK_REALTIME. A directory that is not there adds nothing but that. 0 or a negative errno. */
int load_stamp(const char *path, struct hash *h, uint64_t *newest);
