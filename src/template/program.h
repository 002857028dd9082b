/* SPDX-License-Identifier: MIT */
#pragma once

/* A compiled template: what compile.c and expression.c write and render.c reads. Only for this folder. */

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
	struct span text;
	struct address address;
	uint32_t line, piece;
	enum template_variable variable;
};

/* {PID-3.1 or PID-2.1 or "UNKNOWN":required} */
struct hole {
	size_t first_source, n_sources; /* the first that is not empty */
	bool required;
};

enum condition_kind {
	CONDITION_NOT_EMPTY, /* a bare hole */
	CONDITION_NULL,      /* null(PID-8) */
	CONDITION_EQUAL,     /* hole == hole */
	CONDITION_NOT,
	CONDITION_AND,
	CONDITION_OR,
};

/* A tree in an array: children come before their parents. `in (…)` is a chain of CONDITION_OR, `!=` a
 * CONDITION_NOT. */
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
	OP_EACH_ERROR,  /* begin a round, or jump to target when there is none left */
};

struct op {
	enum op_kind kind;
	struct span text;
	size_t index;  /* of a hole or a condition */
	size_t target; /* of an op */
};

/* Grows by doubling; elements are never removed. */
#define VECTOR(type)                                                                                         \
	struct {                                                                                             \
		type *items;                                                                                 \
		size_t n, allocated;                                                                         \
	}

struct template {
	uint8_t *source; /* owned; every span of the template points into it */
	size_t source_n;
	VECTOR(struct op) ops;
	VECTOR(struct hole) holes;
	VECTOR(struct source) sources;
	VECTOR(struct condition) conditions;
	struct delimiters delimiters; /* that its text is written with */
	bool source_delimiters;       /* write with the sender's instead */
	bool has_when;
	size_t when; /* a condition */
};

/* Room for one more element: the vector's `items`, maybe moved, or NULL. */
void *vector_grow(void *items, size_t n, size_t *allocated, size_t item_bytes);

/* Appends a copy of `item`; false on lack of memory. */
#define VECTOR_APPEND(vector, item)                                                                          \
	({                                                                                                   \
		void *_grown = vector_grow((vector)->items, (vector)->n, &(vector)->allocated,               \
			sizeof(*(vector)->items));                                                           \
		if (_grown) {                                                                                \
			(vector)->items = _grown;                                                            \
			(vector)->items[(vector)->n++] = (item);                                             \
		}                                                                                            \
		_grown != NULL;                                                                              \
	})

/* Where in the file a text stands, for problems. */
struct place {
	struct span line_text;
	uint32_t line;
};

/* The column, in characters from 1, of a byte of the place's line. */
uint32_t place_column(const struct place *place, const uint8_t *at);

/* expression.c: what is between a hole's or a condition's braces. `text` lies in the place's line. They
 * return 0, TEMPLATE_E_INVALID with the problem added, or -ENOMEM. */
int parse_hole(struct template *t, const struct place *place, struct span text,
	struct problems *problems, size_t *ret_hole);
int parse_condition(struct template *t, const struct place *place, struct span text,
	struct problems *problems, size_t *ret_condition);

/* Where the brace that closes a hole stands, strings skipped; text.n without one. */
size_t hole_end(struct span text);
