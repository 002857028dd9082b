/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The characters that give a message its structure, as its header declares them.
 *
 * MSH-1 is the byte behind "MSH"; MSH-2 follows it: component, repetition, escape, subcomponent
 * and, from version 2.7 on, truncation (HL7 v2.9.1, 2.5.4). Three to five characters are read by
 * position.
 */

#include "base/span.h"

enum {
	DELIMITERS_E_SUCCESS,
	DELIMITERS_E_NO_HEADER, /* no segment name, or no byte behind it that could separate fields
				 */
};

/* 0 where a character was not declared. */
struct delimiters {
	uint8_t field;
	uint8_t component;
	uint8_t repetition;
	uint8_t escape;
	uint8_t subcomponent;
	uint8_t truncation;
};

extern const struct delimiters delimiters_standard; /* |^~\& */

/* Whether a byte can separate: printable ASCII, no letter, no digit. */
bool is_delimiter(uint8_t c);

/* Reads MSH-1 and MSH-2 (or those of FHS and BHS, which are alike) of a header segment. Where MSH-2
 * is not usable (shorter than 3 or longer than 5 characters, doubled, alphanumeric or control
 * characters),
 * `*ret` has the declared field separator with the standard's other characters, less any that
 * clash. */
int delimiters_parse(struct span header, struct delimiters *ret);

/* Whether a message can be written with them: all distinct, the first four there. */
bool delimiters_usable(const struct delimiters *d);

bool delimiters_equal(const struct delimiters *a, const struct delimiters *b);

/* MSH-2 as these delimiters spell it: 3 to 5 bytes into `ret`, their number is returned. */
size_t delimiters_encoding_characters(const struct delimiters *d, uint8_t ret[5]);
