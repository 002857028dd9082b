/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Look-up tables of :map: lines of key, tab, value; UTF-8. Lines that start with # are comments.
 * The row with key * is for everything else. Keys are looked up exactly, by binary search.
 */

#include "base/span.h"
#include "template/problem.h"

#define TABLE_SOURCE_BYTES_MAX ((size_t)16 * 1024 * 1024) /* of a table file */
#define TABLE_ROWS_MAX         ((size_t)1000000)

enum {
	TABLE_E_SUCCESS,
	TABLE_E_INVALID, /* the problems say why */
};

struct table {
	char *name;      /* owned */
	uint8_t *source; /* owned; rows point into it */
	struct table_row {
		struct span key, value;
	} * rows; /* owned, sorted by key */
	size_t n_rows;
	bool broken; /* could not be read or parsed */
	bool has_default;
	struct span default_value;
};

struct table_set {
	struct table *items;
	size_t n;
};

/* Reads `source`, which is copied. Two rows with the same key are a problem. 0, TABLE_E_INVALID or
 * -ENOMEM; give the table to table_deinit() whatever the outcome. */
int table_parse(struct table *t, const char *name, struct span source, struct problems *problems);
void table_deinit(struct table *t);
void table_set_deinit(struct table_set *set);

/* The value of a key, the default row's, or false. */
bool table_find(const struct table *t, struct span key, struct span *ret);

const struct table *table_set_find(const struct table_set *set, struct span name);
