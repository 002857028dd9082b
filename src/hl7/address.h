/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Addresses of a message's parts: SEG[occurrence]-FIELD[repetition].COMPONENT.SUBCOMPONENT, as in
 * OBX[2]-5[1].2.1. All numbers count from 1, as in ERR-2, so an address reads the same in both.
 */

#include "hl7/message.h"

#define ADDRESS_NUMBER_MAX 99999

/* Why a text is no address; ret_at tells the byte. */
enum {
	ADDRESS_E_SUCCESS,
	ADDRESS_E_SEGMENT, /* no segment name: a letter and two letters or digits, all capital */
	ADDRESS_E_NUMBER,  /* a number from 1 to ADDRESS_NUMBER_MAX is expected */
	ADDRESS_E_BRACKET, /* a ] is missing */
	ADDRESS_E_PARENTHESES, /* (n): other tools count it from 0 */
	ADDRESS_E_TRAILING,    /* something follows the address */
};

enum {
	ADDRESS_ALL = UINT32_MAX, /* [*] */
};

/* 0 where a number was not written. */
struct address {
	char segment[4];
	uint32_t occurrence;
	uint32_t field;
	uint32_t repetition;
	uint32_t component;
	uint32_t subcomponent;
};

int address_parse(struct span text, struct address *ret, size_t *ret_at);

/* The part of segment `i` that the address names, with all that is inside it; without a repetition
 * the whole field, or the first repetition's component. ADDRESS_ALL and a component: that of the
 * first repetition only; who joins repetitions cuts them himself. */
struct span address_read(const struct address *a, const struct message *m, size_t i);

/* The same, of a field that was cut already; not for fields 1 and 2 of a header, nor for a whole
 * segment. */
struct span address_read_field(
	const struct address *a, const struct delimiters *d, struct span field);

/* "PID^1^3^1^4": the address as ERR-2 writes it, with delimiter `component`; `sequence` is the
 * segment's number among those of its name. Returns the length; at most ADDRESS_ERL_BYTES. */
#define ADDRESS_ERL_BYTES 64
size_t address_format_erl(const struct address *a, char ret[ADDRESS_ERL_BYTES]);
