/* SPDX-License-Identifier: MIT */
#pragma once

/* A compiled template: what compile.c and expression.c write and render.c reads. Only for this
 * folder. */

#include "base/vector.h"
#include "template/charset.h"
#include "template/template.h"

enum source_kind {
	SOURCE_TEXT,     /* "text": as it stands, in the template's delimiters */
	SOURCE_ADDRESS,  /* PID-3.1 */
	SOURCE_POSITION, /* 0-9 */
	SOURCE_VARIABLE, /* now, ack.code */
	SOURCE_MESSAGE,  /* message */
};

struct source {
	enum source_kind kind;
	struct span spelling; /* in the template's text */
	struct span text;     /* of SOURCE_TEXT, quotes removed */
	struct address address;
	size_t slot; /* of the address's segment and occurrence, see renderer */
	uint32_t line, piece;
	enum template_variable variable;
};

enum filter_kind {
	FILTER_REQUIRED,
	FILTER_MAP,
	FILTER_DATE,
	FILTER_UPPER,
	FILTER_LOWER,
	FILTER_TRIM,
	FILTER_FIRST,
	FILTER_PAD,
	FILTER_REPLACE,
};

struct filter {
	enum filter_kind kind;
	const struct table *table; /* of :map */
	bool has_default;          /* :map(table, "default") */
	struct span text[2];       /* texts, in the order they are written */
	size_t number;
};

/* {PID-3.1 or PID-2.1 or "UNKNOWN":map(x):required} */
struct hole {
	size_t first_source, n_sources; /* the first that is not empty */
	size_t first_filter, n_filters;
	uint32_t line, column;
	struct span spelling;
};

enum condition_kind {
	CONDITION_NOT_EMPTY, /* a bare hole */
	CONDITION_NULL,      /* null(PID-8) */
	CONDITION_EQUAL,     /* hole == hole */
	CONDITION_NOT,
	CONDITION_AND,
	CONDITION_OR,
};

/* A tree in an array: children come before their parents. `in (…)` is a chain of CONDITION_OR, `!=`
 * a CONDITION_NOT. */
struct condition {
	enum condition_kind kind;
	size_t left, right; /* conditions, or holes for the first three kinds */
};

enum op_kind {
	OP_HEADER,      /* MSH and the target's delimiters */
	OP_LITERAL,     /* text */
	OP_HOLE,        /* hole */
	OP_END_SEGMENT, /* CR, if the line is not empty */
	OP_MESSAGE,     /* the whole message, byte for byte */
	OP_JUMP,        /* to target */
	OP_JUMP_UNLESS, /* to target, unless the condition holds */
	OP_EACH_ERROR,  /* begins a loop, or jumps to target when there is nothing to go through */
	OP_EACH_SEGMENT,
	OP_EACH_REPETITION,
	OP_NEXT, /* begins the loop's next round at target, or ends the loop */
};

struct op {
	enum op_kind kind;
	struct span text;
	size_t index;  /* of a hole, a condition, or the source that a loop goes through */
	size_t target; /* of an op */
};

/* A segment and its occurrence, as addresses name them: what is found once is found for all. */
struct slot {
	char segment[4];
	uint32_t occurrence;
};

struct template
{
	enum template_kind kind;
	uint8_t *source; /* owned; every span of the template points into it, or into `texts` */
	size_t source_n;
	VECTOR(struct op) ops;
	VECTOR(struct hole) holes;
	VECTOR(struct source) sources;
	VECTOR(struct filter) filters;
	VECTOR(struct condition) conditions;
	VECTOR(struct slot) slots;
	VECTOR(uint8_t *) texts;      /* owned: quoted texts that had "" in them */
	struct delimiters delimiters; /* that its text is written with */
	bool source_delimiters;       /* write with the sender's instead */
	bool has_when;
	size_t when; /* a condition */
	struct span when_text;
	struct span destinations[TEMPLATE_DESTINATIONS_MAX];
	size_t n_destinations;
	const struct charset *charset; /* of {charset}, or NULL */
	bool has_substitute;
	struct span substitute; /* for what the charset lacks */
};

/* A loop whose body the line in hand is part of: what is in scope, for warnings. */
struct loop_scope {
	enum op_kind kind;
	struct address address; /* what it goes through; not for {each error} */
};

/* Where in the file a text stands, and what is known there. */
struct place {
	struct span line_text;
	uint32_t line;
	const struct table_set *tables;
	struct loop_scope loops[TEMPLATE_NESTING_MAX];
	size_t n_loops;
};

/* The column, in characters from 1, of a byte of the place's line. */
uint32_t place_column(const struct place *place, const uint8_t *at);

/* expression.c: what is between a hole's or a condition's braces. `text` lies in the place's line.
 * They return 0, TEMPLATE_E_INVALID with the problem added, or -ENOMEM. */
int parse_hole(struct template *t, const struct place *place, struct span text,
	struct problems *problems, size_t *ret_hole);
int parse_condition(struct template *t, const struct place *place, struct span text,
	struct problems *problems, size_t *ret_condition);

/* The address behind {each}: a source is added. Without a field it is a segment's. */
int parse_each(struct template *t, const struct place *place, struct span text,
	struct problems *problems, size_t *ret_source);

/* A quoted text at the beginning of `text`, quotes removed and "" made one; *ret_rest is what
 * follows. */
int parse_quoted(struct template *t, const struct place *place, struct span text,
	struct problems *problems, struct span *ret, struct span *ret_rest);

/* Where the brace that closes a hole stands, strings skipped; text.n without one. */
size_t hole_end(struct span text);

/* filter.c: applies filters to a value that is encoded with the template's delimiters. Writes the
 * result to `out`, which is cleared. 0, a refusal + FILTER_E_REFUSED_BASE, BUFFER_E_FULL or
 * -ENOMEM. */
#define FILTER_E_REFUSED_BASE 100
int filter_apply(const struct filter *f, struct span value, const struct delimiters *d,
	struct buffer *out, struct buffer scratch[2]);

/* Whether a :date format is understood; else the place of the byte that is not. */
bool filter_date_format_valid(struct span format, size_t *ret_at);
