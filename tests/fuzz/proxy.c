/* SPDX-License-Identifier: MIT */

/*
 * What a proxy may say: a header is taken as soon as its last byte is there and no byte earlier,
 * whatever comes behind it changes nothing, a fault shows at its byte, all that is handed on lies
 * in the header, and a line that was taken says the same when it is written again.
 */

#include "net/proxy.h"

#include "fuzz.h"

struct result {
	int r;
	size_t fault_offset;
	struct proxy_header h;
};

/* In memory of exactly that size. */
static struct result
parse(struct span bytes)
{
	uint8_t *exact = malloc(bytes.n ? bytes.n : 1);
	struct result result = { 0 };

	require(exact);
	if (bytes.n)
		memcpy(exact, bytes.p, bytes.n);
	result.r = proxy_parse(span_of(exact, bytes.n), &result.h, &result.fault_offset);
	free(exact);
	return result;
}

static void
check_same(const struct result *got, const struct result *wanted)
{
	require(got->r == wanted->r);
	require(got->fault_offset == wanted->fault_offset);
	require(got->h.n_bytes == wanted->h.n_bytes);
	require(got->h.command == wanted->h.command);
	require(got->h.family == wanted->h.family);
	require(!memcmp(got->h.source.address, wanted->h.source.address, 16));
	require(got->h.source.port == wanted->h.source.port);
	require(got->h.tls.client.n == wanted->h.tls.client.n);
}

static void
check_spans(const struct proxy_header *h, struct span bytes)
{
	struct span header = span_first(bytes, h->n_bytes);

	require(header.n == h->n_bytes);
	require(lies_in(h->source.path, header) && lies_in(h->destination.path, header));
	require(lies_in(h->tls.version, header) && lies_in(h->tls.client, header));
	require(lies_in(h->authority, header) && lies_in(h->unique_id, header));
	require(h->unique_id.n <= PROXY_UNIQUE_ID_BYTES_MAX);
	require(h->version == 1 ? h->n_bytes <= PROXY_LINE_BYTES_MAX
				: h->n_bytes <= PROXY_BYTES_MAX);
	if (h->command == PROXY_LOCAL)
		require(h->family == PROXY_UNKNOWN && !h->tls.client.p && !h->unique_id.p);
}

static int
format_address(const struct proxy_header *h, const uint8_t *a, char *text)
{
	if (h->family == PROXY_INET)
		return sprintf(text, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
	return sprintf(text, "%x:%x:%x:%x:%x:%x:%x:%x", a[0] << 8 | a[1], a[2] << 8 | a[3],
		a[4] << 8 | a[5], a[6] << 8 | a[7], a[8] << 8 | a[9], a[10] << 8 | a[11],
		a[12] << 8 | a[13], a[14] << 8 | a[15]);
}

static void
write_again(const struct result *first)
{
	const struct proxy_header *h = &first->h;
	char line[192], source[64], destination[64];
	struct result again;

	if (h->family != PROXY_INET && h->family != PROXY_INET6)
		return;
	(void)format_address(h, h->source.address, source);
	(void)format_address(h, h->destination.address, destination);
	(void)snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n",
		h->family == PROXY_INET ? '4' : '6', source, destination, h->source.port,
		h->destination.port);
	again = parse(span_str(line));
	require(again.r == 0 && again.h.n_bytes == strlen(line));
	require(!memcmp(h->source.address, again.h.source.address, 16));
	require(!memcmp(h->destination.address, again.h.destination.address, 16));
	require(h->source.port == again.h.source.port);
	require(h->destination.port == again.h.destination.port);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	struct result whole = { .r = 0 }, part;
	size_t n;

	whole.r = proxy_parse(input, &whole.h, &whole.fault_offset);
	require(whole.r != PROXY_E_PARTIAL || size < PROXY_BYTES_MAX);
	if (whole.r == 0)
		check_spans(&whole.h, input);
	if (whole.r == 0)
		write_again(&whole);
	if (whole.r > PROXY_E_PARTIAL)
		require(whole.fault_offset < size);
	for (n = 0; n <= size && n <= 300; n++) {
		part = parse(span_first(input, n));
		if (whole.r == 0)
			require((part.r == 0) == (n >= whole.h.n_bytes));
		if (whole.r > PROXY_E_PARTIAL && n <= whole.fault_offset)
			require(part.r == PROXY_E_PARTIAL);
		if (part.r != PROXY_E_PARTIAL)
			check_same(&part, &whole);
	}
	if (whole.r > 0)
		(void)proxy_fault_text(whole.r);
	return 0;
}
