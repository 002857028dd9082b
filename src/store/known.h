/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which messages were received before: hidden names in received/, beside the messages themselves.
 *
 *   .kHASH    hard link to the message whose bytes have this hash
 *   .kHASH.N  the same where others have this hash too
 *   .aHASH    the answer that .kHASH got, where the file system keeps no extended attributes (and
 *             .aHASH.N); else it is the message's attribute user.hl7.ack
 *   .iHASH    symbolic link to the first message of this sender and control id
 *
 * .k is linked before the message's own name, under a lock of the message's file that is held until
 * all is on disk. So a message is committed if its file has its own name in received/, which the
 * attribute user.hl7.name tells; where the file system keeps none, if it has a second name. If it
 * is not committed and nobody holds the lock, who held it died, and .k is free.
 */

#include "base/buffer.h"
#include "base/clock.h"
#include "store/name.h"

enum {
	KNOWN_E_SUCCESS,
	KNOWN_E_DUPLICATE,     /* the same bytes are stored */
	KNOWN_E_NO_ATTRIBUTES, /* the answer has to be a file of its own */
};

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

/* Notes with the message's file, before that is synced and named, which name it will get. 0, also
 * where the file system keeps no attributes, or a negative errno. */
int known_keep_name(int fd, const char *name);

/* That name: 0, -ENODATA when none was noted, or another negative errno. */
int known_read_name(int fd, char ret[STORE_NAME_BYTES]);

/* Keeps the answer with the message's file, before that is synced and named; empty for none. 0,
 * KNOWN_E_NO_ATTRIBUTES or a negative errno. */
int known_keep_answer(int fd, struct span answer);

/* The same in a file of its own, on disk but for its name, for the message that has the .k name;
 * after known_claim(), so that nobody else does. 0 or a negative errno. */
int known_keep_answer_file(int received, const char *name, struct span answer);

/* 0 with the answer, -ENODATA when none was kept, or a negative errno. */
int known_read_answer(int received, int fd, const char *name, struct buffer *ret);

/* The name of the first message of this sender and id: 0, -ENOENT or a negative errno. */
int known_first(int received, const struct known_key *key, char ret_name[STORE_NAME_BYTES]);

/* Removes the note .iHASH if its message is gone; *ret_gone says whether it was. `dry_run` only
 * asks. Another process may be writing a new note in its place, so this is done under a lock of the
 * folder. 0, -ETIMEDOUT or a negative errno. */
int known_forget_first(int received, const char *identity, bool dry_run, bool *ret_gone);

/* Removes .kHASH[.N] if it is of a commit that was never finished: its file has no other name, and
 * nobody holds its lock. 0 with whether it was, or a negative errno. */
int known_forget_claim(int received, const char *name, bool dry_run, bool *ret_gone);

/* Notes that it is `name`. -EEXIST when there is one already. */
int known_note_first(int received, const struct known_key *key, const char *name);

/* Removes that note while `name` is still there, so that nobody else does. -ENOENT when none says
 * so, or another negative errno. */
int known_take_first_back(int received, const struct known_key *key, const char *name);
