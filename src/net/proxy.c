/* SPDX-License-Identifier: MIT */
#include "net/proxy.h"

#include <assert.h>

/* --- version 1 ------------------------------------------------------------------------------- */

struct line {
	struct span bytes;
	size_t at;
};

/* The next byte, which stays: 0, PROXY_E_PARTIAL, or PROXY_E_LINE where the line would be longer
 * than it may. */
static int
peek(const struct line *l, uint8_t *ret)
{
	if (l->at >= l->bytes.n)
		return PROXY_E_PARTIAL;
	*ret = l->bytes.p[l->at];
	return l->at == PROXY_LINE_BYTES_MAX - 1 && *ret != '\n' ? PROXY_E_LINE : 0;
}

static int
take(struct line *l, const char *wanted)
{
	uint8_t c;
	int r = 0;

	for (; r == 0 && *wanted; wanted++) {
		r = peek(l, &c);
		if (r == 0 && c != (uint8_t)*wanted)
			r = PROXY_E_LINE;
		if (r == 0)
			l->at++;
	}
	return r;
}

/* Decimal, without leading zeros. */
static int
take_number(struct line *l, unsigned max, unsigned *ret)
{
	unsigned value = 0, digit;
	size_t begin = l->at;
	uint8_t c = 0;
	int r;

	while ((r = peek(l, &c)) == 0 && c >= '0' && c <= '9') {
		digit = (unsigned)c - '0';
		if ((l->at > begin && value == 0) || value * 10 + digit > max)
			return PROXY_E_LINE;
		value = value * 10 + digit;
		l->at++;
	}
	if (r)
		return r;
	*ret = value;
	return l->at > begin ? 0 : PROXY_E_LINE;
}

static int
take_inet(struct line *l, uint8_t address[4])
{
	unsigned value = 0, i;
	int r = 0;

	for (i = 0; r == 0 && i < 4; i++) {
		r = i ? take(l, ".") : 0;
		if (r == 0)
			r = take_number(l, 255, &value);
		if (r == 0)
			address[i] = (uint8_t)value;
	}
	return r;
}

static int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* An IPv6 address in the making: what is before the "::" and behind it. */
struct inet6 {
	uint8_t bytes[16];
	unsigned n;   /* bytes so far */
	unsigned gap; /* where the "::" stands, or NO_GAP */
	bool dotted;  /* its end was written like an IPv4 address */
};

#define NO_GAP 17

/* Bytes that may still come; a "::" stands for one group at least. */
static unsigned
inet6_room(const struct inet6 *a)
{
	return a->dotted ? 0 : (a->gap == NO_GAP ? 16 : 14) - a->n;
}

static bool
may_be_dotted(const struct inet6 *a)
{
	return a->gap == NO_GAP ? a->n == 12 : inet6_room(a) >= 4;
}

/* One group, or a dotted address in the place of the last two, as many write those of IPv4 that are
 * mapped. */
static int
take_group(struct line *l, struct inet6 *a)
{
	size_t begin = l->at;
	unsigned value = 0;
	uint8_t c = 0;
	int r;

	while ((r = peek(l, &c)) == 0 && hex_value(c) >= 0) {
		if (l->at - begin == 4)
			return PROXY_E_LINE;
		value = value << 4 | (unsigned)hex_value(c);
		l->at++;
	}
	if (r)
		return r;
	if (l->at == begin)
		return PROXY_E_LINE;
	if (c == '.' && may_be_dotted(a)) {
		l->at = begin;
		r = take_inet(l, a->bytes + a->n);
		a->n += 4;
		a->dotted = true;
		return r;
	}
	a->bytes[a->n++] = (uint8_t)(value >> 8);
	a->bytes[a->n++] = (uint8_t)value;
	return 0;
}

/* The ":" or "::" in front of a group; the address may end with a "::". `*ret_more` tells. */
static int
take_colons(struct line *l, struct inet6 *a, bool *ret_more)
{
	uint8_t c = 0;
	int r = peek(l, &c);

	*ret_more = r == 0 && c == ':' && inet6_room(a) > 0;
	if (!*ret_more)
		return r;
	l->at++;
	r = peek(l, &c);
	if (r || c != ':' || a->gap != NO_GAP)
		return r;
	a->gap = a->n;
	l->at++;
	r = peek(l, &c);
	*ret_more = r == 0 && hex_value(c) >= 0 && inet6_room(a) > 0;
	return r;
}

static int
take_inet6(struct line *l, uint8_t address[16])
{
	struct inet6 a = { .gap = NO_GAP };
	unsigned behind;
	bool more = true;
	uint8_t c = 0;
	int r = peek(l, &c);

	if (r == 0 && c == ':') {
		r = take(l, "::");
		a.gap = 0;
		if (r == 0)
			r = peek(l, &c);
		more = r == 0 && hex_value(c) >= 0;
	}
	while (r == 0 && more) {
		r = take_group(l, &a);
		if (r == 0)
			r = take_colons(l, &a, &more);
	}
	if (r)
		return r;
	if (a.gap == NO_GAP && a.n < 16)
		return PROXY_E_LINE;
	behind = a.gap == NO_GAP ? 0 : a.n - a.gap;
	memset(address, 0, 16);
	memcpy(address, a.bytes, a.n - behind);
	memcpy(address + 16 - behind, a.bytes + a.n - behind, behind);
	return 0;
}

static int
take_address(struct line *l, enum proxy_family family, struct proxy_endpoint *ret)
{
	int r = family == PROXY_INET ? take_inet(l, ret->address) : take_inet6(l, ret->address);

	return r ? r : take(l, " ");
}

static int
take_port(struct line *l, struct proxy_endpoint *ret)
{
	unsigned value = 0;
	int r = take_number(l, UINT16_MAX, &value);

	ret->port = (uint16_t)value;
	return r;
}

/* "TCP4 SOURCE DESTINATION PORT PORT" */
static int
take_addresses(struct line *l, struct proxy_header *h)
{
	uint8_t c = 0;
	int r = take(l, "TCP");

	if (r == 0)
		r = peek(l, &c);
	h->family = c == '4' ? PROXY_INET : PROXY_INET6;
	if (r == 0)
		r = take(l, h->family == PROXY_INET ? "4 " : "6 ");
	if (r == 0)
		r = take_address(l, h->family, &h->source);
	if (r == 0)
		r = take_address(l, h->family, &h->destination);
	if (r == 0)
		r = take_port(l, &h->source);
	if (r == 0)
		r = take(l, " ");
	return r ? r : take_port(l, &h->destination);
}

/* "UNKNOWN", and whatever else the proxy has put into the line. */
static int
take_unknown(struct line *l, struct proxy_header *h)
{
	uint8_t c = 0;
	int r = take(l, "UNKNOWN");

	h->family = PROXY_UNKNOWN;
	if (r == 0)
		r = peek(l, &c);
	if (r || c != ' ')
		return r;
	while ((r = peek(l, &c)) == 0 && c != '\r' && c != '\n')
		l->at++;
	return r;
}

static int
parse_line(struct span bytes, struct proxy_header *h, size_t *ret_fault_offset)
{
	struct line l = { .bytes = bytes };
	uint8_t c = 0;
	int r = take(&l, "PROXY ");

	*h = (struct proxy_header){ .version = 1, .command = PROXY_FORWARDED };
	if (r == PROXY_E_LINE)
		r = PROXY_E_NO_HEADER; /* "POST / HTTP/1.1" */
	if (r == 0)
		r = peek(&l, &c);
	if (r == 0)
		r = c == 'U' ? take_unknown(&l, h) : take_addresses(&l, h);
	if (r == 0)
		r = take(&l, "\r\n");
	h->n_bytes = l.at;
	*ret_fault_offset = l.at;
	return r;
}

/* --- version 2 ------------------------------------------------------------------------------- */

/* The fixed part: signature, version and command, family and transport, length of the rest. */
#define SIGNATURE        "\r\n\r\n\0\r\nQUIT\n"
#define AT_COMMAND       12
#define AT_FAMILY        13
#define AT_LENGTH        14
#define FIXED_BYTES      16
#define UNIX_PATH_BYTES  108
#define TLS_FIXED_BYTES  5 /* of a PP2_TYPE_SSL: flags, and the result of the verification */
#define FIELD_HEAD_BYTES 3 /* type, length */

enum {
	FIELD_AUTHORITY = 0x02,
	FIELD_CRC32C = 0x03,
	FIELD_UNIQUE_ID = 0x05,
	FIELD_TLS = 0x20,
	FIELD_TLS_VERSION = 0x21, /* inside FIELD_TLS */
	FIELD_TLS_CLIENT = 0x22,
};

enum {
	CLIENT_TLS = 1 << 0,
	CLIENT_CERTIFICATE_NOW = 1 << 1,
	CLIENT_CERTIFICATE_SESSION = 1 << 2,
};

struct binary {
	struct span bytes; /* the header alone */
	struct proxy_header *h;
	struct span checksum;
	size_t fault_offset;
};

static uint16_t
read_16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
read_32(const uint8_t *p)
{
	return (uint32_t)read_16(p) << 16 | read_16(p + 2);
}

static int
fault(struct binary *b, int condition, size_t offset)
{
	b->fault_offset = offset;
	return condition;
}

/* What is known before the header is complete, each byte as soon as it is there. */
static int
check_fixed(struct binary *b, struct span bytes)
{
	const struct span signature = SPAN(SIGNATURE);
	size_t i;

	for (i = 0; i < signature.n && i < bytes.n; i++)
		if (bytes.p[i] != signature.p[i])
			return fault(b, PROXY_E_NO_HEADER, i);
	if (bytes.n > AT_COMMAND &&
		(bytes.p[AT_COMMAND] >> 4 != 2 || (bytes.p[AT_COMMAND] & 0xF) > 1))
		return fault(b, PROXY_E_COMMAND, AT_COMMAND);
	/* of a connection of the proxy's own, the family is ignored as all that is behind it */
	if (bytes.n > AT_FAMILY && (bytes.p[AT_COMMAND] & 0xF) &&
		(bytes.p[AT_FAMILY] >> 4 > 3 || (bytes.p[AT_FAMILY] & 0xF) > 2))
		return fault(b, PROXY_E_FAMILY, AT_FAMILY);
	if (bytes.n < FIXED_BYTES)
		return PROXY_E_PARTIAL;
	if (read_16(bytes.p + AT_LENGTH) > PROXY_BYTES_MAX - FIXED_BYTES)
		return fault(b, PROXY_E_TOO_LARGE, AT_LENGTH);
	return 0;
}

static size_t
addresses_bytes(enum proxy_family family)
{
	switch (family) {
	case PROXY_UNKNOWN: return 0;
	case PROXY_INET: return (size_t)2 * (4 + 2);
	case PROXY_INET6: return (size_t)2 * (16 + 2);
	case PROXY_UNIX: return (size_t)2 * UNIX_PATH_BYTES;
	}
	return 0;
}

static void
read_addresses(struct proxy_header *h, const uint8_t *p)
{
	size_t n = h->family == PROXY_INET ? 4 : 16;

	if (h->family == PROXY_UNKNOWN)
		return;
	if (h->family == PROXY_UNIX) {
		h->source.path = span_of(p, UNIX_PATH_BYTES);
		h->destination.path = span_of(p + UNIX_PATH_BYTES, UNIX_PATH_BYTES);
		h->source.path.n = span_find(h->source.path, 0);
		h->destination.path.n = span_find(h->destination.path, 0);
		return;
	}
	memcpy(h->source.address, p, n);
	memcpy(h->destination.address, p + n, n);
	h->source.port = read_16(p + 2 * n);
	h->destination.port = read_16(p + 2 * n + 2);
}

/* Cuts the next field off the rest, which is not empty. */
static int
take_field(struct binary *b, struct span *rest, uint8_t *ret_type, struct span *ret_value)
{
	size_t at = (size_t)(rest->p - b->bytes.p), n;

	if (rest->n < FIELD_HEAD_BYTES)
		return fault(b, PROXY_E_FIELD, at);
	n = read_16(rest->p + 1);
	if (n > rest->n - FIELD_HEAD_BYTES)
		return fault(b, PROXY_E_FIELD, at + 1);
	*ret_type = rest->p[0];
	*ret_value = span_of(rest->p + FIELD_HEAD_BYTES, n);
	*rest = span_from(*rest, FIELD_HEAD_BYTES + n);
	return 0;
}

/* Of what says who somebody is there must not be two: whoever reads only the first, or only the
 * last, would know another than we do. */
static int
set_once(struct binary *b, struct span *field, struct span value)
{
	if (field->p)
		return fault(b, PROXY_E_FIELD, (size_t)(value.p - b->bytes.p) - FIELD_HEAD_BYTES);
	*field = value;
	return 0;
}

static int
read_tls(struct binary *b, struct span value)
{
	struct proxy_tls *tls = &b->h->tls;
	struct span rest = span_from(value, TLS_FIXED_BYTES), part;
	uint8_t type;
	int r = 0;

	if (value.n < TLS_FIXED_BYTES)
		return fault(b, PROXY_E_FIELD, (size_t)(value.p - b->bytes.p) - 2);
	tls->used = value.p[0] & CLIENT_TLS;
	tls->certificate = value.p[0] & (CLIENT_CERTIFICATE_NOW | CLIENT_CERTIFICATE_SESSION);
	tls->verify_result = read_32(value.p + 1);
	while (r == 0 && rest.n > 0) {
		r = take_field(b, &rest, &type, &part);
		if (r == 0 && type == FIELD_TLS_VERSION)
			r = set_once(b, &tls->version, part);
		else if (r == 0 && type == FIELD_TLS_CLIENT)
			r = set_once(b, &tls->client, part);
	}
	return r;
}

/* Fields of other types are the business of those who agreed on them. */
static int
read_field(struct binary *b, uint8_t type, struct span value, struct span *tls)
{
	size_t at_length = (size_t)(value.p - b->bytes.p) - 2;

	switch (type) {
	case FIELD_AUTHORITY: return set_once(b, &b->h->authority, value);
	case FIELD_UNIQUE_ID:
		if (value.n > PROXY_UNIQUE_ID_BYTES_MAX)
			return fault(b, PROXY_E_FIELD, at_length);
		return set_once(b, &b->h->unique_id, value);
	case FIELD_CRC32C:
		if (value.n != sizeof(uint32_t))
			return fault(b, PROXY_E_FIELD, at_length);
		return set_once(b, &b->checksum, value);
	case FIELD_TLS: return set_once(b, tls, value);
	default: return 0;
	}
}

static int
read_fields(struct binary *b, struct span rest)
{
	struct span value, tls = SPAN_NULL;
	uint8_t type;
	int r = 0;

	while (r == 0 && rest.n > 0) {
		r = take_field(b, &rest, &type, &value);
		if (r == 0)
			r = read_field(b, type, value, &tls);
	}
	return r == 0 && tls.p ? read_tls(b, tls) : r;
}

/* CRC-32C (Castagnoli), reflected. A header is short and comes once: no table. */
static uint32_t
crc32c(uint32_t crc, uint8_t byte)
{
	int i;

	crc ^= byte;
	for (i = 0; i < 8; i++)
		crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
	return crc;
}

/* Over the header, in which the checksum itself is zero. */
static int
check_checksum(struct binary *b)
{
	uint32_t crc = UINT32_MAX;
	size_t i, at;

	if (!b->checksum.p)
		return 0;
	at = (size_t)(b->checksum.p - b->bytes.p);
	for (i = 0; i < b->bytes.n; i++)
		crc = crc32c(crc, i >= at && i < at + 4 ? 0 : b->bytes.p[i]);
	return ~crc == read_32(b->checksum.p) ? 0 : fault(b, PROXY_E_CHECKSUM, at);
}

static int
read_forwarded(struct binary *b)
{
	struct proxy_header *h = b->h;
	size_t n = addresses_bytes(h->family);
	int r;

	read_addresses(h, b->bytes.p + FIXED_BYTES);
	r = read_fields(b, span_from(b->bytes, FIXED_BYTES + n));
	return r ? r : check_checksum(b);
}

static int
parse_binary(struct span bytes, struct proxy_header *h, size_t *ret_fault_offset)
{
	struct binary b = { .h = h };
	int r = check_fixed(&b, bytes);

	*ret_fault_offset = b.fault_offset;
	if (r)
		return r;
	*h = (struct proxy_header){
		.version = 2,
		.command = bytes.p[AT_COMMAND] & 0xF ? PROXY_FORWARDED : PROXY_LOCAL,
		.n_bytes = (size_t)FIXED_BYTES + read_16(bytes.p + AT_LENGTH),
	};
	if (h->command == PROXY_FORWARDED)
		h->family = (enum proxy_family)(bytes.p[AT_FAMILY] >> 4);
	*ret_fault_offset = AT_LENGTH;
	if (h->n_bytes - FIXED_BYTES < addresses_bytes(h->family))
		return PROXY_E_TOO_SHORT;
	if (bytes.n < h->n_bytes)
		return PROXY_E_PARTIAL;
	b.bytes = span_first(bytes, h->n_bytes);
	r = h->command == PROXY_FORWARDED ? read_forwarded(&b) : 0;
	*ret_fault_offset = b.fault_offset;
	return r;
}

/* --- both ------------------------------------------------------------------------------------ */

int
proxy_parse(struct span bytes, struct proxy_header *ret, size_t *ret_fault_offset)
{
	struct proxy_header h = { 0 };
	size_t at = 0;
	int r;

	if (bytes.n == 0)
		return PROXY_E_PARTIAL;
	if (bytes.p[0] == 'P')
		r = parse_line(bytes, &h, &at);
	else
		r = parse_binary(bytes, &h, &at);
	assert(r != PROXY_E_PARTIAL || bytes.n < PROXY_BYTES_MAX);
	if (r == 0)
		*ret = h;
	else if (r != PROXY_E_PARTIAL)
		*ret_fault_offset = at;
	return r;
}

const char *
proxy_fault_text(int condition)
{
	static const char *const texts[] = {
		[PROXY_E_PARTIAL] = "the PROXY header is not complete",
		[PROXY_E_NO_HEADER] = "no PROXY header",
		[PROXY_E_LINE] = "the PROXY header's line is malformed",
		[PROXY_E_COMMAND] = "the PROXY header has an unknown version or command",
		[PROXY_E_FAMILY] = "the PROXY header has an unknown family or transport",
		[PROXY_E_TOO_LARGE] = "the PROXY header is too large",
		[PROXY_E_TOO_SHORT] = "the PROXY header is too short for its addresses",
		[PROXY_E_FIELD] = "a field of the PROXY header is malformed",
		[PROXY_E_CHECKSUM] = "the PROXY header's checksum is wrong",
	};

	assert(condition > 0 && (size_t)condition < sizeof(texts) / sizeof(texts[0]));
	return texts[condition];
}
