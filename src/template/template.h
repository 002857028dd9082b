/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Templates: an HL7 message with holes, compiled once, rendered for each message.
 *
 * Pure but for load.c, which reads the files it is given. After compiling, rendering fails only on
 * a limit, on a value that a filter refuses (a :required one that is absent, a :date that is none,
 * a :map without a row), on a character set, or on memory. The language is described in
 * hl7-template(5).
 */

#include "base/buffer.h"
#include "hl7/address.h"
#include "hl7/control_id.h"
#include "hl7/message.h"
#include "template/problem.h"
#include "template/table.h"

#define TEMPLATE_SOURCE_BYTES_MAX  ((size_t)1024 * 1024) /* of a template file */
#define TEMPLATE_NESTING_MAX       16                    /* {if} and {each} inside each other */
#define TEMPLATE_FAILURES_MAX      8                     /* places reported of one rendering */
#define TEMPLATE_STEPS_MAX         ((uint64_t)50000000)  /* operations of one rendering */
#define TEMPLATE_DESTINATIONS_MAX  32                    /* of one template */
#define TEMPLATE_DESTINATION_CHARS 64                    /* of a destination's name */

enum {
	TEMPLATE_E_SUCCESS,
	TEMPLATE_E_INVALID,   /* does not compile; the problems say why */
	TEMPLATE_E_REFUSED,   /* values that were refused; the failures say where */
	TEMPLATE_E_TOO_LARGE, /* the result passes the output buffer's maximum, or takes too many
				 steps */
};

enum template_kind {
	TEMPLATE_CONVERSION,
	TEMPLATE_ACKNOWLEDGEMENT, /* may use {ack.*} and {error.*}; has no {to} */
};

/* What a hole can read that is not in the message. */
enum template_variable {
	TEMPLATE_NOW,
	TEMPLATE_ID,
	TEMPLATE_ROUND,
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

/* What one hole read, for who wants to know (hl7-convert --explain). */
struct template_trace {
	uint32_t line, column; /* of the hole in the template */
	struct span hole;      /* its text */
	struct span source;    /* the alternative that gave the value; empty when none did */
	bool from_segment;     /* it is an address: `segment` is where the value was found */
	size_t segment;        /* index in the message */
	struct span value;     /* as written, in the target's delimiters */
};

struct template_input {
	const struct message *message;
	/* by enum template_variable; TEMPLATE_ID, TEMPLATE_ROUND and TEMPLATE_ERROR_* are not read
	 * from here */
	struct span variables[TEMPLATE_N_VARIABLES];
	const struct template_error *errors;
	size_t n_errors;
	struct control_id_source *ids; /* each {id} takes the next one */
	uint64_t now_usec;
	void (*trace)(void *userdata,
		const struct template_trace *trace); /* NULL: nobody wants to know */
	void *trace_userdata;
};

/* Why a value was refused. */
enum template_refusal {
	TEMPLATE_REFUSAL_ABSENT,    /* :required, table 0357 code 101 */
	TEMPLATE_REFUSAL_NO_TIME,   /* :date, 102 */
	TEMPLATE_REFUSAL_NO_ROW,    /* :map, 103 */
	TEMPLATE_REFUSAL_CHARACTER, /* {charset}: not in the source's or the target's set, 102 */
};

struct template_failure {
	enum template_refusal refusal;
	struct address
		at;    /* the input's field, occurrence filled in; segment "" where there is none */
	uint32_t line; /* of the template, 0 where no line is to blame */
};

struct template_failures {
	struct template_failure items[TEMPLATE_FAILURES_MAX];
	size_t n; /* also counts those that are not in items[] */
};

/* The number and words of table 0357 for a refusal, "101^Required field missing^HL70357". */
const char *template_refusal_code(enum template_refusal refusal);

/* The same for a reader; at most 80 characters. */
const char *template_refusal_text(enum template_refusal refusal);

struct template;

/* Compiles `source` (UTF-8, copied). `tables` are those that :map can use; they must outlive the
 * template. Problems are appended to `problems`, warnings too. 0, TEMPLATE_E_INVALID or -ENOMEM; on
 * 0 the caller owns
 * `*ret`. */
int template_compile(struct span source, enum template_kind kind, const struct table_set *tables,
	struct template **ret, struct problems *problems);
void template_free(struct template *t);

/* The shipped acknowledgement, templates/ack.hl7t, is part of the program. */
struct span template_shipped_ack(void);

/* The names behind {to}, valid as long as the template. */
size_t template_destinations(const struct template *t, const struct span **ret);

/* Whether it has a {charset}: rendering then converts character sets. */
bool template_has_charset(const struct template *t);

/* Whether the template has a {when}, and its text. */
bool template_when(const struct template *t, struct span *ret_text);

/* Whether the template's {when} holds for this message; true without one. A value that a filter
 * refuses makes it not hold. 0, TEMPLATE_E_TOO_LARGE or -ENOMEM. */
int template_decide(const struct template *t, const struct template_input *in, bool *ret);

/* The same where an error may count as not holding. */
bool template_applies(const struct template *t, const struct template_input *in);

/* Appends the rendered message to `out`: 0, a TEMPLATE_E condition or -ENOMEM. `*failures` is
 * written with TEMPLATE_E_REFUSED. What was appended before a failure is to be thrown away. */
int template_render(const struct template *t, const struct template_input *in, struct buffer *out,
	struct template_failures *failures);

/* Cuts the first message off a result; false when nothing is left. A template whose MSH line stands
 * inside of {each} writes several, and each is one of its own: a listener takes one MSH in a frame.
 */
bool template_cut_message(struct span *rest, struct span *ret_message);
