/* SPDX-License-Identifier: MIT */

/*
 * Which peers may connect: a list is taken whole or not at all, a peer is in it when one of its
 * items has him, read bit by bit, and what is no address never is. The first line is the peer, the
 * rest the list.
 */

#include "net/allow.h"

#include "fuzz.h"

#include <arpa/inet.h>

struct address {
	bool is_ipv4;
	uint8_t bytes[16];
};

/* As allow.h says it: an IPv4-mapped one is IPv4. */
static bool
read_address(struct span text, struct address *ret)
{
	static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
	char string[64];

	if (text.n >= sizeof(string) || count_byte(text, 0))
		return false;
	if (text.n)
		memcpy(string, text.p, text.n);
	string[text.n] = 0;
	*ret = (struct address){ .is_ipv4 = false };
	if (inet_pton(AF_INET, string, ret->bytes) == 1) {
		ret->is_ipv4 = true;
		return true;
	}
	if (inet_pton(AF_INET6, string, ret->bytes) != 1)
		return false;
	if (memcmp(ret->bytes, mapped, sizeof(mapped)) == 0) {
		memmove(ret->bytes, ret->bytes + sizeof(mapped), 4);
		ret->is_ipv4 = true;
	}
	return true;
}

static bool
bit_of(const uint8_t *bytes, unsigned i)
{
	return bytes[i / 8] >> (7 - i % 8) & 1;
}

/* An item of a list that was taken. */
static bool
holds(struct span item, const struct address *peer)
{
	size_t slash = span_find(item, '/'), k;
	struct address a = { 0 };
	unsigned bits = 0, i;

	require(read_address(span_first(item, slash), &a));
	for (k = slash + 1; k < item.n; k++)
		bits = bits * 10 + (unsigned)(item.p[k] - '0');
	if (slash == item.n)
		bits = a.is_ipv4 ? 32 : 128;
	if (a.is_ipv4 != peer->is_ipv4)
		return false;
	for (i = 0; i < bits; i++)
		if (bit_of(a.bytes, i) != bit_of(peer->bytes, i))
			return false;
	return true;
}

/* Written as IPv6, an IPv4-mapped address has a prefix that counts from the front of all 128 bits:
 * those lists are left to the unit test. */
static bool
is_plain(struct span list)
{
	struct address a;
	struct span item;

	while (span_cut(&list, ',', &item))
		if (count_byte(item, ':') &&
			read_address(span_first(item, span_find(item, '/')), &a) && a.is_ipv4)
			return false;
	return true;
}

static bool
one_holds(struct span list, const struct address *peer)
{
	struct span item;

	while (span_cut(&list, ',', &item))
		if (holds(item, peer))
			return true;
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size), peer = span_first(input, span_find(input, '\n'));
	struct span text = span_from(input, peer.n + 1), wrong = SPAN_NULL;
	struct allow list = { 0 }, before = list;
	struct address address;
	int r = allow_add(&list, text, &wrong);
	bool admitted = allow_admits(&list, peer);

	require(list.n_ranges <= ALLOW_RANGES_MAX);
	if (r) {
		require(r >= ALLOW_E_ADDRESS && r <= ALLOW_E_TOO_MANY);
		require(lies_in(wrong, text) && list.n_ranges == before.n_ranges);
		require(!admitted);
		return 0;
	}
	require(list.n_ranges == count_byte(text, ',') + 1);
	if (!read_address(peer, &address))
		require(!admitted);
	else if (is_plain(text))
		require(admitted == one_holds(text, &address));
	return 0;
}
