/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Writing values so that no value can leave its place: neither a delimiter nor a segment or frame
 * byte of its own gets out (HL7 v2.9.1, 2.7 "Use of escape sequences in text fields").
 *
 * Escapes in formatted text (\.br\ and its like), highlighting, character set switches and local
 * ones are carried over as they are. A lone or unterminated escape character is data.
 */

#include "base/buffer.h"
#include "hl7/delimiters.h"

/* Writes plain text as data of a message with delimiters `to`: its delimiters become
 * \F\ \S\ \R\ \E\ \T\ \P\, and CR, LF, VT, FS become \Xdd\. Returns 0, BUFFER_E_FULL or -ENOMEM. */
int escape_text(struct buffer *out, struct span text, const struct delimiters *to);

/* Writes a part of a message (a field or less) that has delimiters `from` with delimiters `to`:
 * structure stays structure, data stays data. With equal delimiters the bytes are copied as they
 * are, but for raw CR, LF, VT and FS. A delimiter that `to` lacks is written as `from` has it, as
 * data. */
int escape_translate(struct buffer *out, struct span part, const struct delimiters *from,
	const struct delimiters *to);

/* The same for a whole segment: field separators are structure too. */
int escape_translate_segment(struct buffer *out, struct span segment, const struct delimiters *from,
	const struct delimiters *to);

/* Cuts a run off a part: a sequence that stands for no data (formatted text, highlighting, a
 * character set's switch, a local one), which is *ret_opaque, or the data before the next one.
 * False when nothing is left. */
bool escape_cut_run(
	struct span *rest, const struct delimiters *d, struct span *ret_run, bool *ret_opaque);

/* The data that a part (a subcomponent) stands for: \F\ \S\ \R\ \E\ \T\ \P\ and \Xdd..\ are
 * decoded, all other sequences stay as they are. For comparing and computing; what is written again
 * goes through escape_text(), so a decoded CR cannot get out. */
int escape_decode(struct buffer *out, struct span part, const struct delimiters *from);
