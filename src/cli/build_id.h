/* SPDX-License-Identifier: MIT */
#pragma once

/* The id that the linker gave to this very program: the hash of what it linked. It is read from the
 * program in memory (the ELF note NT_GNU_BUILD_ID of elf(5)), not compiled in, so it cannot be
 * that of another build. */

#include "base/span.h"

/* The longest id there is (--build-id=sha1 makes 20 bytes) in hexadecimal, and a NUL. */
#define BUILD_ID_BYTES 65

/* Finds the id among ELF notes, whose parts are padded to `align` bytes, 4 or 8. SPAN_NULL when
 * there is none, or when the notes are not well-formed up to it. */
struct span build_id_find(struct span notes, size_t align);

/* This program's id in hexadecimal; empty when it was linked without one. */
void build_id_own(char ret[BUILD_ID_BYTES]);
