/* SPDX-License-Identifier: MIT */
#include "cli/build_id.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>

#define OWNER SPAN("GNU\0")

static size_t
padded(size_t n, size_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* Takes a part of `n` bytes and its padding, which the last part of all may lack. False when there
 * are fewer. */
static bool
take(struct span *rest, size_t n, size_t align, struct span *ret)
{
	if (n > rest->n)
		return false;
	*ret = span_first(*rest, n);
	*rest = span_from(*rest, padded(n, align));
	return true;
}

struct span
build_id_find(struct span notes, size_t align)
{
	ElfW(Nhdr) header;
	struct span part, owner, id;

	while (take(&notes, sizeof(header), 4, &part)) {
		memcpy(&header, part.p, sizeof(header));
		if (!take(&notes, header.n_namesz, 4, &owner) ||
			!take(&notes, header.n_descsz, align, &id))
			break;
		if (header.n_type == NT_GNU_BUILD_ID && span_eq(owner, OWNER))
			return id;
	}
	return SPAN_NULL;
}

/* dl_iterate_phdr(3): the first object is the program; no other is looked at. */
static int
look(struct dl_phdr_info *info, size_t size, void *userdata)
{
	struct span *id = userdata;
	size_t i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum && id->n == 0; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];

		if (h->p_type == PT_NOTE)
			*id = build_id_find(
				span_of((const void *)(info->dlpi_addr + h->p_vaddr), h->p_memsz),
				h->p_align == 8 ? 8 : 4);
	}
	return 1;
}

void
build_id_own(char ret[BUILD_ID_BYTES])
{
	struct span id = SPAN_NULL;
	size_t i;

	(void)dl_iterate_phdr(look, &id);
	ret[0] = '\0';
	for (i = 0; i < id.n && 2 * i + 2 < BUILD_ID_BYTES; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", id.p[i]);
}
