/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Structured log entries: to the journal's native protocol, or as one line to standard error.
 *
 * What a peer sent reaches an entry only through journal_bytes(), escaped and cut. Content of a
 * message's fields other than those that name it (MSH-3, 9, 10) is never given to it.
 */

#include "base/span.h"

#define JOURNAL_FIELDS_MAX     32
#define JOURNAL_ENTRY_BYTES    8192
#define JOURNAL_PEER_BYTES_MAX 128 /* of what a peer sent, before escaping */

enum journal_way {
	JOURNAL_NATIVE, /* the journal's own protocol */
	JOURNAL_STDERR, /* one line an entry */
	JOURNAL_SYSLOG, /* syslog(3), where standard error is the peer and there is no journal */
};

/* Where entries go, for as long as the process lives; a forked one may share it. */
struct journal_target {
	enum journal_way way;
	int fd;    /* of JOURNAL_NATIVE: an unconnected socket, -1 if there was none to be had */
	int least; /* priority of an entry that is sent, of syslog(3): LOG_DEBUG is all */
};

/* What --log asks for, in every program that has a log. */
enum log_target {
	LOG_TARGET_AUTO, /* the journal where standard error is connected to it (JOURNAL_STREAM,
			    sd_journal_stream_fd(3)) or is not usable, else standard error */
	LOG_TARGET_JOURNAL,
	LOG_TARGET_STDERR, /* where it is usable */
};

/* "err", "warning", "notice", "info" or "debug"; false for another word. */
bool log_level_parse(const char *text, int *ret);

/* "auto", "journal" or "stderr"; false for another word. */
bool log_target_parse(const char *text, enum log_target *ret);

struct journal_target journal_choose(enum log_target wanted, bool stderr_usable);

/* An entry in the making. What does not fit is left out, never cut in the middle of a field's
 * escaping. */
struct journal_entry {
	size_t n_fields;
	size_t n_bytes;
	size_t starts[JOURNAL_FIELDS_MAX]; /* in bytes[]: "NAME=value", a line feed behind each */
	char bytes[JOURNAL_ENTRY_BYTES];
};

/* `message` is the human line, `message_id` 32 hexadecimal digits; priorities are those of
 * syslog(3). A line feed in a value becomes a blank: it would end the field. */
void journal_begin(
	struct journal_entry *e, int priority, const char *message_id, const char *message);
void journal_text(struct journal_entry *e, const char *name, const char *value);
void journal_number(struct journal_entry *e, const char *name, uint64_t value);

/* Bytes of a peer: other than printable ASCII as \xHH, backslash and quote too, cut with "..."
 * behind. */
void journal_bytes(struct journal_entry *e, const char *name, struct span bytes);

/* The value that journal_bytes() makes of them. */
#define JOURNAL_ESCAPED_BYTES (4 * JOURNAL_PEER_BYTES_MAX + 4)
void journal_escape(struct span bytes, char ret[JOURNAL_ESCAPED_BYTES]);

/* Sends it; failing to log is no reason to fail. */
void journal_send(struct journal_target target, const struct journal_entry *e);
