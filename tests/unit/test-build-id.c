/* SPDX-License-Identifier: MIT */
#include "cli/build_id.h"

#include "unit.h"

#include <elf.h>
#include <link.h>

/* A note's parts: sizes, type, then what is behind them, padding and all. */
struct note {
	uint32_t owner_bytes, bytes, type;
	struct span rest;
};

struct notes_case {
	const char *name;
	size_t align;
	struct note notes[2];
	size_t cut; /* bytes taken off the end */
	struct span expected;
};

static const struct notes_case cases[] = {
	{ "alone", 4, { { 4, 3, NT_GNU_BUILD_ID, BYTES("GNU\0abc\0") } }, 0, BYTES("abc") },
	{ "last one without padding", 4, { { 4, 3, NT_GNU_BUILD_ID, BYTES("GNU\0abc") } }, 0,
		BYTES("abc") },
	{ "behind another", 4,
		{ { 4, 5, NT_GNU_ABI_TAG, BYTES("GNU\0xxxxx\0\0\0") },
			{ 4, 2, NT_GNU_BUILD_ID, BYTES("GNU\0ab\0\0") } },
		0, BYTES("ab") },
	{ "behind one that is padded to 8", 8,
		{ { 4, 4, NT_GNU_PROPERTY_TYPE_0, BYTES("GNU\0xxxx\0\0\0\0") },
			{ 4, 2, NT_GNU_BUILD_ID, BYTES("GNU\0ab") } },
		0, BYTES("ab") },
	{ "another owner's note of that number", 4,
		{ { 5, 3, NT_GNU_BUILD_ID, BYTES("OTHE\0\0\0\0abc\0") } }, 0, { NULL, 0 } },
	{ "cut in the id", 4, { { 4, 3, NT_GNU_BUILD_ID, BYTES("GNU\0abc") } }, 1, { NULL, 0 } },
	{ "cut in the owner", 4, { { 4, 3, NT_GNU_BUILD_ID, BYTES("GNU\0abc") } }, 5, { NULL, 0 } },
	{ "cut in the header", 4, { { 4, 3, NT_GNU_BUILD_ID, BYTES("GNU\0abc") } }, 8,
		{ NULL, 0 } },
	{ "sizes that are too large", 4,
		{ { UINT32_MAX, UINT32_MAX, NT_GNU_BUILD_ID, BYTES("GNU\0abc\0") } }, 0,
		{ NULL, 0 } },
	{ "an id that is too large", 4, { { 4, UINT32_MAX, NT_GNU_BUILD_ID, BYTES("GNU\0abc\0") } },
		0, { NULL, 0 } },
	{ "none", 4, { { 0 } }, 12, { NULL, 0 } },
};

static size_t
put(uint8_t *at, const struct note *n)
{
	const ElfW(Nhdr) header = { n->owner_bytes, n->bytes, n->type };

	memcpy(at, &header, sizeof(header));
	if (n->rest.n)
		memcpy(at + sizeof(header), n->rest.p, n->rest.n);
	return sizeof(header) + n->rest.n;
}

static void
find(void **state)
{
	const struct notes_case *c = *state;
	uint8_t bytes[128];
	size_t n = put(bytes, &c->notes[0]);
	struct span id;

	if (c->notes[1].type)
		n += put(bytes + n, &c->notes[1]);
	id = build_id_find(span_of(bytes, n - c->cut), c->align);
	assert_true(span_eq(id, c->expected));
}

/* 20 bytes, as the linker is told to; which they must be, the programs are asked elsewhere. */
static void
own(void **state)
{
	char id[BUILD_ID_BYTES];

	(void)state;
	build_id_own(id);
	assert_int_equal(strlen(id), 40);
	assert_int_equal(strspn(id, "0123456789abcdef"), 40);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, find, cases);
	add_test(&s, "own", own);
	return run_suite("build-id", &s);
}
