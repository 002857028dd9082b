/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An index over a message: where its segments begin. Nothing is copied or decoded; fields,
 * repetitions and components are cut out as spans when they are asked for. All numbers count from
 * 1, as in the standard; what is absent is an empty span.
 *
 * Segments end with CR. Only where no CR stands between two of them, LF ends them; an LF right
 * behind a CR (CRLF) is dropped from the segment that follows. A header ends at an LF that another
 * segment follows in any case. Blank lines are no segments. A UTF-8 byte order mark, line ends,
 * blanks and NULs before the first segment are skipped, and told by `preamble_bytes`.
 */

#include "hl7/delimiters.h"

/* A segment costs 8 bytes of index. A message of the default size limit filled with the shortest
 * useful OBX has fewer. */
#define MESSAGE_SEGMENTS_MAX ((size_t)1000000)

enum {
	MESSAGE_E_SUCCESS,
	MESSAGE_E_NO_HEADER,         /* no MSH whose field separator can be read */
	MESSAGE_E_TOO_MANY_SEGMENTS, /* more than MESSAGE_SEGMENTS_MAX */
};

struct segment {
	uint32_t offset; /* in message.bytes */
	uint32_t n;      /* bytes, without its end */
};

struct message {
	struct span bytes;            /* the whole payload, as received */
	struct delimiters delimiters; /* of the first MSH */
	struct segment *segments;     /* owned */
	size_t n_segments;
	size_t n_allocated;
	size_t header;         /* index of the first MSH */
	size_t n_headers;      /* MSH segments */
	size_t preamble_bytes; /* before the first segment */
};

#define MESSAGE_NULL ((struct message){ 0 })

/* Indexes `bytes` (below 4 GiB; they must outlive the message): 0, a MESSAGE_E condition, -ENOMEM
 * or -EFBIG. Give it to message_deinit() whatever the outcome. */
int message_parse(struct message *m, struct span bytes);
void message_deinit(struct message *m);

/* The bytes of segment `i` (from 0), and its name: what is before its first field separator. */
struct span message_segment(const struct message *m, size_t i);
struct span message_segment_name(const struct message *m, size_t i);

/* Field `field` of segment `i`. Of a header segment (MSH, FHS, BHS) field 1 is the field separator
 * itself and field 2 the encoding characters. */
struct span message_field(const struct message *m, size_t i, size_t field);

/* The first fields of one segment, cut at once: for who reads many of them. */
#define MESSAGE_FIELDS_CUT 64
struct segment_fields {
	size_t n; /* fields cut, from field 1 on */
	struct span fields[MESSAGE_FIELDS_CUT];
};
void message_cut_fields(const struct message *m, size_t i, struct segment_fields *ret);

/* A field of the first MSH. */
struct span message_header_field(const struct message *m, size_t field);

/* Parts of a field, a repetition, a component; `n` counts from 1. A part that goes deeper than the
 * data (its separator is not declared, or not there) is the whole for 1, else empty. */
struct span field_repetition(struct span field, const struct delimiters *d, size_t n);
struct span repetition_component(struct span repetition, const struct delimiters *d, size_t n);
struct span component_subcomponent(struct span component, const struct delimiters *d, size_t n);

/* The pieces that splitting at runs of CR or LF, and a line at the field separator, gives: both
 * count from 0, as split() of most languages does, so "\r\nMSH" begins with an empty line. */
struct span message_line(const struct message *m, size_t line);
struct span message_position(const struct message *m, size_t line, size_t piece);

/* Whether the segment is a header, whose field 1 is its separator. */
bool segment_is_header(struct span segment);
