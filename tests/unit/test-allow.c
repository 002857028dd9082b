/* SPDX-License-Identifier: MIT */
#include "net/allow.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct parse_case {
	const char *name; /* the text */
	int result;
	size_t n_ranges;
	const char *wrong;
};

static const struct parse_case texts[] = {
	{ "10.20.0.0/16", 0, 1, NULL },
	{ "10.20.30.40", 0, 1, NULL },
	{ "10.20.30.40/32", 0, 1, NULL },
	{ "0.0.0.0/0", 0, 1, NULL },
	{ "10.20.0.0/16,192.0.2.7,2001:db8::/32,::1", 0, 4, NULL },
	{ "10.0.0.0/9,10.128.0.0/9", 0, 2, NULL },
	{ "::/0", 0, 1, NULL },
	{ "::1/128", 0, 1, NULL },
	{ "2001:DB8::/32", 0, 1, NULL },
	{ "fe80::/10", 0, 1, NULL },
	{ "::ffff:10.20.0.0/112", 0, 1, NULL },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 0, 1, NULL },
	{ "", ALLOW_E_ADDRESS, 0, "" },
	{ ",", ALLOW_E_ADDRESS, 0, "" },
	{ "10.0.0.0/8,", ALLOW_E_ADDRESS, 0, "" },
	{ ",10.0.0.0/8", ALLOW_E_ADDRESS, 0, "" },
	{ "10.0.0.0/8, 10.1.0.0/16", ALLOW_E_ADDRESS, 0, " 10.1.0.0/16" },
	{ "10.0.0.0/8 ", ALLOW_E_PREFIX, 0, "10.0.0.0/8 " },
	{ "10.0.0/8", ALLOW_E_ADDRESS, 0, "10.0.0/8" },
	{ "10/8", ALLOW_E_ADDRESS, 0, "10/8" },
	{ "10.0.0.256", ALLOW_E_ADDRESS, 0, "10.0.0.256" },
	{ "10.0.0.010", ALLOW_E_ADDRESS, 0, "10.0.0.010" },
	{ "0x0a.0.0.1", ALLOW_E_ADDRESS, 0, "0x0a.0.0.1" },
	{ "ris.example", ALLOW_E_ADDRESS, 0, "ris.example" },
	{ "any", ALLOW_E_ADDRESS, 0, "any" },
	{ "[::1]", ALLOW_E_ADDRESS, 0, "[::1]" },
	{ "fe80::1%eth0", ALLOW_E_ADDRESS, 0, "fe80::1%eth0" },
	{ "1:2:3:4:5:6:7:8:9", ALLOW_E_ADDRESS, 0, "1:2:3:4:5:6:7:8:9" },
	{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", ALLOW_E_ADDRESS, 0,
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000" },
	{ "/8", ALLOW_E_ADDRESS, 0, "/8" },
	{ "10.0.0.0/", ALLOW_E_PREFIX, 0, "10.0.0.0/" },
	{ "10.0.0.0/33", ALLOW_E_PREFIX, 0, "10.0.0.0/33" },
	{ "10.0.0.0/08", ALLOW_E_PREFIX, 0, "10.0.0.0/08" },
	{ "10.0.0.0/-8", ALLOW_E_PREFIX, 0, "10.0.0.0/-8" },
	{ "10.0.0.0/+8", ALLOW_E_PREFIX, 0, "10.0.0.0/+8" },
	{ "10.0.0.0/8/8", ALLOW_E_PREFIX, 0, "10.0.0.0/8/8" },
	{ "10.0.0.0/255.0.0.0", ALLOW_E_PREFIX, 0, "10.0.0.0/255.0.0.0" },
	{ "10.0.0.0/4294967304", ALLOW_E_PREFIX, 0, "10.0.0.0/4294967304" },
	{ "::/129", ALLOW_E_PREFIX, 0, "::/129" },
	{ "192.0.2.1,10.1.2.3/8", ALLOW_E_HOST_BITS, 0, "10.1.2.3/8" },
	{ "10.64.0.0/9", ALLOW_E_HOST_BITS, 0, "10.64.0.0/9" },
	{ "0.0.0.1/0", ALLOW_E_HOST_BITS, 0, "0.0.0.1/0" },
	{ "::1/127", ALLOW_E_HOST_BITS, 0, "::1/127" },
	{ "2001:db8::1/32", ALLOW_E_HOST_BITS, 0, "2001:db8::1/32" },
};

/* The text is in memory of its exact size: a byte behind it would be noticed. */
static void
parse(void **state)
{
	const struct parse_case *c = *state;
	size_t n = strlen(c->name);
	uint8_t *exact = malloc(n ? n : 1);
	struct span wrong = SPAN("untouched");
	struct allow list = { 0 };

	assert_non_null(exact);
	memcpy(exact, c->name, n);
	assert_int_equal(allow_add(&list, span_of(exact, n), &wrong), c->result);
	assert_int_equal(list.n_ranges, c->n_ranges);
	assert_span_equal(wrong, span_str(c->wrong ? c->wrong : "untouched"));
	free(exact);
}

static void
a_nul_is_no_end(void **state)
{
	struct allow list = { 0 };
	struct span wrong = SPAN_NULL;

	(void)state;
	assert_int_equal(allow_add(&list, SPAN("10.0.0.1\0.example"), &wrong), ALLOW_E_ADDRESS);
	assert_int_equal(allow_add(&list, SPAN_NULL, &wrong), ALLOW_E_ADDRESS);
	assert_int_equal(list.n_ranges, 0);
}

static void
lists_add_up(void **state)
{
	struct allow list = { 0 };
	struct span wrong = SPAN_NULL;
	int i;

	(void)state;
	for (i = 0; i < ALLOW_RANGES_MAX / 2; i++)
		assert_int_equal(allow_add(&list, SPAN("10.0.0.0/8,::1"), &wrong), 0);
	assert_int_equal(list.n_ranges, ALLOW_RANGES_MAX);
	assert_int_equal(allow_add(&list, SPAN("192.0.2.1"), &wrong), ALLOW_E_TOO_MANY);
	assert_span_equal(wrong, SPAN("192.0.2.1"));
	assert_int_equal(list.n_ranges, ALLOW_RANGES_MAX);
}

struct peer_case {
	const char *name; /* what is meant */
	const char *list; /* nothing: the empty list */
	const char *peer;
	bool admitted;
};

static const struct peer_case peers[] = {
	{ "nobody is in the empty list", NULL, "10.20.0.1", false },
	{ "the first of a range", "10.20.0.0/16", "10.20.0.0", true },
	{ "the last of a range", "10.20.0.0/16", "10.20.255.255", true },
	{ "behind the last", "10.20.0.0/16", "10.21.0.0", false },
	{ "before the first", "10.20.0.0/16", "10.19.255.255", false },
	{ "the last of a range within a byte", "10.16.0.0/12", "10.31.255.255", true },
	{ "behind a range within a byte", "10.16.0.0/12", "10.32.0.0", false },
	{ "a single address", "192.0.2.7", "192.0.2.7", true },
	{ "beside a single address", "192.0.2.7", "192.0.2.6", false },
	{ "the second of a list", "192.0.2.7,10.0.0.0/8", "10.1.2.3", true },
	{ "a mapped address is IPv4", "10.20.0.0/16", "::ffff:10.20.3.4", true },
	{ "a mapped address outside", "10.20.0.0/16", "::ffff:10.21.3.4", false },
	{ "a range written as mapped", "::ffff:10.20.0.0/112", "10.20.3.4", true },
	{ "all of IPv4", "0.0.0.0/0", "255.255.255.255", true },
	{ "all of IPv4, mapped", "0.0.0.0/0", "::ffff:1.2.3.4", true },
	{ "all of IPv4 has no IPv6", "0.0.0.0/0", "2001:db8::1", false },
	{ "all of IPv6", "::/0", "2001:db8::1", true },
	{ "all of IPv6 has no IPv4", "::/0", "10.20.0.1", false },
	{ "all of IPv6 has no mapped address", "::/0", "::ffff:10.20.0.1", false },
	{ "a range of IPv6", "2001:db8::/32", "2001:db8:ffff::1", true },
	{ "outside a range of IPv6", "2001:db8::/32", "2001:db9::1", false },
	{ "within a byte of IPv6", "fe80::/10", "febf::1", true },
	{ "outside within a byte of IPv6", "fe80::/10", "fec0::1", false },
	{ "an IPv4-compatible address is IPv6", "10.20.0.0/16", "::10.20.0.1", false },
	{ "NAT64 is IPv6", "10.20.0.0/16", "64:ff9b::10.20.0.1", false },
	{ "a peer without an address", "0.0.0.0/0,::/0", "", false },
	{ "a range is no peer", "10.20.0.0/16", "10.20.0.0/16", false },
};

static void
admits(void **state)
{
	const struct peer_case *c = *state;
	struct allow list = { 0 };
	struct span wrong;

	if (c->list)
		assert_int_equal(allow_add(&list, span_str(c->list), &wrong), 0);
	assert_int_equal(allow_admits(&list, span_str(c->peer)), c->admitted);
}

int
main(void)
{
	struct suite suite = { 0 };

	add_cases(&suite, parse, texts);
	add_test(&suite, "a NUL is no end", a_nul_is_no_end);
	add_test(&suite, "lists add up", lists_add_up);
	add_cases(&suite, admits, peers);
	return run_suite("allow", &suite);
}
