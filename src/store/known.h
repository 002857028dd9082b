/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which messages were received before: hidden names in received/, beside the messages themselves.
 *
 *   .kHASH    hard link to the message whose bytes have this hash
 *   .kHASH.N  the same where others have this hash too
 *   .aHASH    the receipt of .kHASH, where the file system has no room for it in the message's
 *             extended attribute user.hl7.receipt (and .aHASH.N)
 *   .iHASH    hard link to the first message of this sender and control id
 *
 * A receipt is the message's own name, a line feed, and the answer that it got.
 *
 * .k is linked before the message's own name, under a lock of the message's file that is held until
 * all is on disk; .i behind it. So a message is committed if its file has in received/ the name
 * that its receipt tells; without a receipt, as in a backup that left attributes out, none is
 * known. If it is not committed and nobody holds the lock, who held it died, and .k is free.
 */

#include "base/buffer.h"
#include "base/clock.h"
#include "store/name.h"

enum {
	KNOWN_E_SUCCESS,
	KNOWN_E_DUPLICATE,     /* the same bytes are stored */
	KNOWN_E_NO_ATTRIBUTES, /* the receipt has to be a file of its own */
};

/* The highest N: with 128 bits there is none, unless somebody made other messages with this hash.
 */
#define KNOWN_NUMBER_MAX 3

/* ".kHASH" and ".kHASH.N", with their NUL. */
#define KNOWN_KEY_BYTES  (2 + 32 + 1)
#define KNOWN_NAME_BYTES (KNOWN_KEY_BYTES + 11)

/* Of the whole message, and of who sent it under which id. */
struct known_key {
	char content[KNOWN_KEY_BYTES];  /* .k… */
	char identity[KNOWN_KEY_BYTES]; /* .i… */
};

void known_key(struct known_key *ret, struct span bytes, struct span application,
	struct span facility, struct span control_id);

/* What a hidden name says. */
struct known_name {
	enum known_kind {
		KNOWN_CONTENT,  /* .k… */
		KNOWN_ANSWER,   /* .a… */
		KNOWN_IDENTITY, /* .i… */
	} kind;
	uint8_t hash[16];
	uint32_t number; /* of .kHASH.N and .aHASH.N, else 0 */
};

/* False when it is no hidden name. */
bool known_name_parse(const char *name, struct known_name *ret);

void known_name_format(const struct known_name *name, char ret[KNOWN_NAME_BYTES]);

/* The hash of an open file's bytes, as .k has it. 0 or a negative errno. */
int known_hash_file(int fd, uint8_t ret[16]);

/* Looks for a committed message of these bytes: KNOWN_E_DUPLICATE with its .k name and its file,
 * which the caller closes, 0 when there is none (or its commit is not over), or a negative errno.
 */
int known_find(int received, const struct known_key *key, struct span bytes,
	char ret_name[KNOWN_NAME_BYTES], int *ret_fd);

/* Links the message's file as .k; `ret_name` is the name that it got, "" when too many other
 * messages have its hash. Waits until the deadline for another process that commits the same bytes.
 * 0, KNOWN_E_DUPLICATE with the other's name and its file in *ret_twin, -ETIMEDOUT or a negative
 * errno. */
int known_claim(int received, int fd, const struct known_key *key, struct span bytes,
	usec_t deadline, char ret_name[KNOWN_NAME_BYTES], int *ret_twin);

/* Keeps the receipt with the message's file, before that is synced and named; `answer` is empty for
 * none. 0, KNOWN_E_NO_ATTRIBUTES or a negative errno. */
int known_keep_receipt(int fd, const char *name, struct span answer);

/* The same in a file of its own, on disk but for its name, for the message that has the .k name
 * `key_name`; after known_claim(), so that nobody else does. 0 or a negative errno. */
int known_keep_receipt_file(
	int received, const char *key_name, const char *name, struct span answer);

/* The receipt of the file behind a .k name, or, with a null `key_name`, of any file of a message,
 * in its attributes. Each half is written where it is there: `ret_name` is "" otherwise. 0,
 * -ENODATA when there is no receipt, or another negative errno. */
int known_read_receipt(int received, int fd, const char *key_name, char ret_name[STORE_NAME_BYTES],
	struct buffer *ret_answer);

/* Whether a message of this sender and id is there: 1, 0 or a negative errno. A note of one that is
 * gone is removed. */
int known_has_first(int received, const struct known_key *key);

/* The name of the message that a note .iHASH is of: 0, -ENOENT, -ENODATA where it cannot be told,
 * or another negative errno. */
int known_read_note(int received, const char *identity, char ret_name[STORE_NAME_BYTES]);

/* Removes the note .iHASH if its message is gone; *ret_gone says whether it was. `dry_run` only
 * asks. Another process may be writing a new note in its place, so this is done under a lock of the
 * folder. 0, -ETIMEDOUT or a negative errno. */
int known_forget_first(int received, const char *identity, bool dry_run, bool *ret_gone);

/* Removes .kHASH[.N] if it is of a commit that was never finished: its message is not committed,
 * and nobody holds its lock. 0 with whether it was, or a negative errno. */
int known_forget_claim(int received, const char *name, bool dry_run, bool *ret_gone);

/* Notes the message's file as the first. -EEXIST when there is one already. */
int known_note_first(int received, int fd, const struct known_key *key);

/* Removes that note if it is this file's, while the message still has its own name, so that nobody
 * else does. Whether it was. */
bool known_take_first_back(int received, int fd, const struct known_key *key);
