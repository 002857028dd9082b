/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Templates: an HL7 message with holes, compiled once, rendered for each message.
 *
 * Pure but for template_load(), which reads the files it is given. After compiling, rendering fails only on
 * a limit, a `:required` value that is absent, or memory. The language is described in hl7-template(5).
 */

#include "base/buffer.h"
#include "hl7/address.h"
#include "hl7/control_id.h"
#include "hl7/message.h"
#include "template/problem.h"

#define TEMPLATE_SOURCE_BYTES_MAX ((size_t)1024 * 1024) /* of a template file */
#define TEMPLATE_NESTING_MAX      16                    /* {if} and {each} inside each other */
#define TEMPLATE_FAILURES_MAX     8                     /* places reported of one rendering */

enum {
	TEMPLATE_E_SUCCESS,
	TEMPLATE_E_INVALID,   /* does not compile; the problems say why */
	TEMPLATE_E_REQUIRED,  /* a :required value is absent; the failures say where */
	TEMPLATE_E_TOO_LARGE, /* the result passes the output buffer's maximum */
};

/* What a hole can read that is not in the message. */
enum template_variable {
	TEMPLATE_NOW,
	TEMPLATE_ID,
	TEMPLATE_ACK_CODE,
	TEMPLATE_ACK_TYPE,
	TEMPLATE_ACK_TEXT,
	TEMPLATE_ERROR_LOCATION,
	TEMPLATE_ERROR_ELD,
	TEMPLATE_ERROR_CODE,
	TEMPLATE_ERROR_SEVERITY,
	TEMPLATE_ERROR_TEXT,
	TEMPLATE_PEER_ADDRESS,
	TEMPLATE_LOCAL_PORT,
	TEMPLATE_HOST,
	TEMPLATE_N_VARIABLES,
};

/* One round of {each error}. Spans are encoded with the standard's delimiters, but for `text`. */
struct template_error {
	struct span location; /* ERR-2, "PID^1^5" */
	struct span eld;      /* ERR-1 of versions up to 2.4, else empty */
	struct span code;     /* ERR-3, "101^Required field missing^HL70357" */
	struct span severity; /* ERR-4 */
	struct span text;     /* ERR-8, plain text */
};

struct template_input {
	const struct message *message;
	/* by enum template_variable; TEMPLATE_ID and TEMPLATE_ERROR_* are not read from here */
	struct span variables[TEMPLATE_N_VARIABLES];
	const struct template_error *errors;
	size_t n_errors;
	struct control_id_source *ids; /* each {id} takes the next one */
	uint64_t now_usec;
};

/* Where :required values were absent. */
struct template_failures {
	struct address at[TEMPLATE_FAILURES_MAX]; /* segment "" for a hole that is no address */
	size_t n;
};

struct template;

/* Compiles `source` (UTF-8, copied). Problems are appended to `problems`, warnings too. 0,
 * TEMPLATE_E_INVALID or -ENOMEM; on 0 the caller owns `*ret`. */
int template_compile(struct span source, struct template **ret, struct problems *problems);
void template_free(struct template *t);

/* The shipped acknowledgement, templates/ack.hl7t, is part of the program. */
struct span template_shipped_ack(void);

/* Whether the template's {when} holds for this message; true without one. */
bool template_applies(const struct template *t, const struct template_input *in);

/* Appends the rendered message to `out`: 0, a TEMPLATE_E condition or -ENOMEM. `*failures` is written with
 * TEMPLATE_E_REQUIRED. What was appended before a failure is to be thrown away. */
int template_render(const struct template *t, const struct template_input *in, struct buffer *out,
	struct template_failures *failures);

/* The templates of a directory, in the order of their file names. */
struct template_set {
	struct template_file {
		char *name; /* the file's, without its directory */
		struct template *template; /* NULL: it does not compile */
	} *files;
	size_t n;
};

#define TEMPLATE_FILES_MAX ((size_t)1000) /* in one directory */

/* Loads every *.hl7t of directory `path`; one that is not there is an empty set. Files that cannot be read
 * or do not compile are in the set without a template, and `report` is called with their problems. 0 or a
 * negative errno; give the set to template_set_deinit() whatever the outcome. */
typedef void (*template_report)(
	void *userdata, const char *name, struct span source, const struct problems *problems);
int template_load(
	struct template_set *set, const char *path, template_report report, void *userdata);
void template_set_deinit(struct template_set *set);
