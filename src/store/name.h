/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The names of the store's files: made of time, inode and process, never of content.
 *
 *   20261123T181147.123456Z-INODE-PID              a stem: one received or refused message
 *   20261123T181147.123456Z-INODE-PID.hl7          the message
 *   20261123T181147.123456Z-INODE-PID.KKK.hl7      what was rendered of it, from 000 on
 *
 * The time is UTC, so names sort in the order of the commits, and a change of the clock in autumn
 * does not mix them.
 */

#include "base/clock.h"
#include "base/span.h"

/* The longest name, with its NUL. */
#define STORE_NAME_BYTES 96

/* Entries of one message. */
#define STORE_ENTRIES_MAX 1000

struct store_stem {
	usec_t stamp; /* CLOCK_REALTIME, but never the same or less than that of a commit before */
	uint64_t inode;
	uint32_t pid;
};

/* An entry of a queue: the stem of its received message, and its number among those of it. */
struct store_entry_name {
	struct store_stem stem;
	uint32_t number;
};

/* "STEM.SUFFIX"; `suffix` has no dot. */
void store_name_format(
	const struct store_stem *stem, const char *suffix, char ret[STORE_NAME_BYTES]);

/* "STEM.KKK.SUFFIX" */
void store_entry_format(
	const struct store_entry_name *entry, const char *suffix, char ret[STORE_NAME_BYTES]);

/* False when the name is not one that the functions above write. */
bool store_name_parse(const char *name, const char *suffix, struct store_stem *ret);
bool store_entry_parse(const char *name, const char *suffix, struct store_entry_name *ret);

/* By time, then inode, process, number. */
int store_stem_compare(const struct store_stem *a, const struct store_stem *b);
int store_entry_compare(const struct store_entry_name *a, const struct store_entry_name *b);

/* The longest name of a destination, with its NUL. */
#define STORE_DESTINATION_BYTES (64 + 1)

/* Whether a destination may be called so: letters, digits, - and _; at most 64 of them. The
 * template language has the same rule. */
bool store_destination_is_valid(struct span name);
