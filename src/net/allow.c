/* SPDX-License-Identifier: MIT */
#include "net/allow.h"

#include <arpa/inet.h>

enum {
	MAPPED_BITS = 96, /* of ::ffff:0:0/96, in front of an IPv4 address */
	ALL_BITS = 128,
};

static const uint8_t mapped[MAPPED_BITS / 8] = { [10] = 0xFF, [11] = 0xFF };

static bool
is_mapped(const uint8_t address[16])
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

static void
map(const void *ipv4, uint8_t ret_address[16])
{
	memcpy(ret_address, mapped, sizeof(mapped));
	memcpy(ret_address + sizeof(mapped), ipv4, 4);
}

/* *ret_first_bits: where the written length begins to count, in the address as it is kept */
static bool
parse_address(struct span text, uint8_t ret_address[16], unsigned *ret_first_bits)
{
	char string[INET6_ADDRSTRLEN];
	uint8_t ipv4[4];

	if (text.n >= sizeof(string) || span_find(text, '\0') < text.n)
		return false;
	if (text.n)
		memcpy(string, text.p, text.n);
	string[text.n] = '\0';
	if (inet_pton(AF_INET, string, ipv4) == 1) {
		map(ipv4, ret_address);
		*ret_first_bits = MAPPED_BITS;
		return true;
	}
	*ret_first_bits = 0;
	return inet_pton(AF_INET6, string, ret_address) == 1;
}

/* Digits without a zero in front, at most `max`. */
static bool
parse_bits(struct span text, unsigned max, unsigned *ret)
{
	unsigned value = 0;
	size_t i;

	if (text.n == 0 || text.n > 3 || (text.n > 1 && text.p[0] == '0'))
		return false;
	for (i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.p[i] - '0');
	}
	*ret = value;
	return value <= max;
}

static bool
same_prefix(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || ((unsigned)(a[bytes] ^ b[bytes]) & (0xFF00U >> rest) & 0xFFU) == 0;
}

/* Whether all bits behind the prefix are zero. */
static bool
is_network(const struct allow_range *range)
{
	uint8_t rest[16] = { 0 };
	unsigned bytes = range->prefix_bits / 8;

	memcpy(rest, range->address, sizeof(rest));
	if (bytes < sizeof(rest))
		rest[bytes] &= (uint8_t)(0xFFU >> range->prefix_bits % 8);
	memset(rest, 0, bytes);
	return memcmp(rest, (const uint8_t[16]){ 0 }, sizeof(rest)) == 0;
}

static int
parse_range(struct span item, struct allow_range *ret)
{
	size_t slash = span_find(item, '/');
	unsigned first, bits;

	if (!parse_address(span_first(item, slash), ret->address, &first))
		return ALLOW_E_ADDRESS;
	bits = ALL_BITS - first;
	if (slash < item.n && !parse_bits(span_from(item, slash + 1), bits, &bits))
		return ALLOW_E_PREFIX;
	ret->prefix_bits = (uint8_t)(first + bits);
	return is_network(ret) ? 0 : ALLOW_E_HOST_BITS;
}

int
allow_add(struct allow *list, struct span text, struct span *ret_wrong)
{
	size_t n = list->n_ranges;
	struct span item;
	int r;

	if (!text.p)
		text = SPAN("");
	while (span_cut(&text, ',', &item)) {
		r = n < ALLOW_RANGES_MAX ? parse_range(item, &list->ranges[n]) : ALLOW_E_TOO_MANY;
		if (r) {
			*ret_wrong = item;
			return r;
		}
		n++;
	}
	list->n_ranges = n;
	return 0;
}

bool
allow_admits(const struct allow *list, struct span peer)
{
	uint8_t address[16];
	unsigned unused;
	size_t i;

	if (!parse_address(peer, address, &unused))
		return false;
	for (i = 0; i < list->n_ranges; i++) {
		const struct allow_range *range = &list->ranges[i];

		/* a wide range of IPv6 has the mapped addresses in it, but does not mean them */
		if (is_mapped(address) && range->prefix_bits < MAPPED_BITS)
			continue;
		if (same_prefix(address, range->address, range->prefix_bits))
			return true;
	}
	return false;
}
