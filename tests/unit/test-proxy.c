/* SPDX-License-Identifier: MIT */

/*
 * The PROXY header. Every case is given in each of its lengths, flush against a PROT_NONE page: up
 * to the byte that completes it, or shows its fault, more is wanted, and from there on the result
 * is the same, whatever is behind it.
 */

#include "net/proxy.h"

#include "guard.h"
#include "unit.h"

#define MORE  PROXY_E_PARTIAL
#define MSH   "\x0BMSH|^~\\&|"
#define SIG   "\r\n\r\n\0\r\nQUIT\n"
#define LOCAL SIG "\x20"
#define PROXY SIG "\x21"

/* 10.20.0.1:50000 to 10.20.0.2:5123 */
#define INET4 "\x0A\x14\0\x01\x0A\x14\0\x02\xC3\x50\x14\x03"

/* 2001:db8::1 port 50000 to 2001:db8::2 port 5123 */
#define INET6                                                                                      \
	"\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01"                                               \
	"\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x02\xC3\x50\x14\x03"

#define TEN     "xxxxxxxxxx"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

struct proxy_case {
	const char *name;
	struct span input;
	int result;
	size_t fault_offset; /* with a fault */
	size_t behind;       /* bytes of input that belong to the peer */
	enum proxy_command command;
	enum proxy_family family;
	struct span source, destination;
	uint16_t source_port, destination_port;
	struct span tls_version, tls_client, authority, unique_id;
	bool tls, certificate;
	uint32_t verify_result;
};

static const struct proxy_case cases[] = {
	/* version 1 */
	{
		"what stunnel sends, and the message in the same segment",
		BYTES("PROXY TCP4 127.0.0.1 127.0.0.1 41040 2575\r\n" MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x7F\0\0\x01"),
		.destination = BYTES("\x7F\0\0\x01"),
		.source_port = 41040,
		.destination_port = 2575,
	},
	{
		"the least and the largest numbers",
		BYTES("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\0\0\0\0"),
		.destination = BYTES("\xFF\xFF\xFF\xFF"),
		.destination_port = 65535,
	},
	{
		"the longest line with IPv6 addresses",
		BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		      "FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFE 65535 65535\r\n" MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
		.family = PROXY_INET6,
		.source = BYTES("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
		.destination =
			BYTES("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE"),
		.source_port = 65535,
		.destination_port = 65535,
	},
	{
		"a double colon in the middle, and one at the end",
		BYTES("PROXY TCP6 2001:db8::1 fe80:: 1 2\r\n"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET6,
		.source = BYTES("\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01"),
		.destination = BYTES("\xFE\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		.source_port = 1,
		.destination_port = 2,
	},
	{
		"a double colon alone, and one at the beginning",
		BYTES("PROXY TCP6 :: ::1 1 2\r\n"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET6,
		.source = BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		.destination = BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
		.source_port = 1,
		.destination_port = 2,
	},
	{
		"a double colon for one group, at either end",
		BYTES("PROXY TCP6 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1 2\r\n"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET6,
		.source = BYTES("\0\x01\0\x02\0\x03\0\x04\0\x05\0\x06\0\x07\0\0"),
		.destination = BYTES("\0\0\0\x02\0\x03\0\x04\0\x05\0\x06\0\x07\0\x08"),
		.source_port = 1,
		.destination_port = 2,
	},
	{
		"an IPv4 address that is mapped, dotted as many write it",
		BYTES("PROXY TCP6 ::ffff:10.20.0.1 0:0:0:0:0:FFFF:1.2.3.4 1 2\r\n"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET6,
		.source = BYTES("\0\0\0\0\0\0\0\0\0\0\xFF\xFF\x0A\x14\0\x01"),
		.destination = BYTES("\0\0\0\0\0\0\0\0\0\0\xFF\xFF\x01\x02\x03\x04"),
		.source_port = 1,
		.destination_port = 2,
	},
	{
		"UNKNOWN, short",
		BYTES("PROXY UNKNOWN\r\n" MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
	},
	{
		"UNKNOWN, and the rest of the line is ignored",
		BYTES("PROXY UNKNOWN ffff::1 \0what ever\t 1 2\r\n"),
		.command = PROXY_FORWARDED,
	},
	{
		"UNKNOWN, as long as a line may be",
		BYTES("PROXY UNKNOWN " HUNDRED "\r\n"),
		PROXY_E_LINE,
		.fault_offset = 106,
	},
	{
		"107 bytes",
		BYTES("PROXY UNKNOWN " TEN TEN TEN TEN TEN TEN TEN TEN TEN "x\r\n"),
		.command = PROXY_FORWARDED,
	},
	{
		"108 bytes: the LF is one too many",
		BYTES("PROXY UNKNOWN " TEN TEN TEN TEN TEN TEN TEN TEN TEN "xx\r\n"),
		PROXY_E_LINE,
		.fault_offset = 106,
	},
	{ "nothing", BYTES(""), MORE },
	{ "half a line", BYTES("PROXY TCP4 127.0.0.1 127.0."), MORE },
	{ "a line without its LF", BYTES("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r"), MORE },
	{ "a message without a header", BYTES(MSH), PROXY_E_NO_HEADER, .fault_offset = 0 },
	{ "a web browser", BYTES("GET / HTTP/1.1\r\n"), PROXY_E_NO_HEADER, .fault_offset = 0 },
	{ "another word with a P", BYTES("POST / HTTP/1.1\r\n"), PROXY_E_NO_HEADER,
		.fault_offset = 1 },
	{ "a TLS hello", BYTES("\x16\x03\x01\x02\0\x01"), PROXY_E_NO_HEADER, .fault_offset = 0 },
	{ "small letters", BYTES("proxy tcp4"), PROXY_E_NO_HEADER, .fault_offset = 0 },
	{ "a tab for the blank", BYTES("PROXY\tTCP4"), PROXY_E_NO_HEADER, .fault_offset = 5 },
	{ "two blanks", BYTES("PROXY  TCP4"), PROXY_E_LINE, .fault_offset = 6 },
	{ "another protocol", BYTES("PROXY UDP4 "), PROXY_E_LINE, .fault_offset = 7 },
	{ "TCP5", BYTES("PROXY TCP5 "), PROXY_E_LINE, .fault_offset = 9 },
	{ "TCP without a number", BYTES("PROXY TCP 1.2.3.4"), PROXY_E_LINE, .fault_offset = 9 },
	{ "TCP46", BYTES("PROXY TCP46 "), PROXY_E_LINE, .fault_offset = 10 },
	{ "two blanks before an address", BYTES("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"),
		PROXY_E_LINE, .fault_offset = 11 },
	{ "256", BYTES("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n"), PROXY_E_LINE, .fault_offset = 19 },
	{ "a leading zero", BYTES("PROXY TCP4 1.02.3.4 1.2.3.4 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 14 },
	{ "00", BYTES("PROXY TCP4 1.00.3.4 1.2.3.4 1 2\r\n"), PROXY_E_LINE, .fault_offset = 14 },
	{ "three numbers", BYTES("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 16 },
	{ "five numbers", BYTES("PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 18 },
	{ "an empty number", BYTES("PROXY TCP4 1..3.4 1.2.3.4 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 13 },
	{ "a negative number", BYTES("PROXY TCP4 -1.2.3.4 1.2.3.4 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 11 },
	{ "an IPv6 address in TCP4", BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 11 },
	{ "an IPv4 address in TCP6", BYTES("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 12 },
	{ "a port too high", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"), PROXY_E_LINE,
		.fault_offset = 31 },
	{ "a port with a leading zero", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"), PROXY_E_LINE,
		.fault_offset = 28 },
	{ "a port with many zeros", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 00000000000"), PROXY_E_LINE,
		.fault_offset = 30 },
	{ "no port", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 \r\n"), PROXY_E_LINE, .fault_offset = 27 },
	{ "one port", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), PROXY_E_LINE, .fault_offset = 28 },
	{ "a name for a port", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 http 2\r\n"), PROXY_E_LINE,
		.fault_offset = 27 },
	{ "a blank behind the ports", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"), PROXY_E_LINE,
		.fault_offset = 30 },
	{ "LF alone", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), PROXY_E_LINE, .fault_offset = 30 },
	{ "CR alone", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r" MSH), PROXY_E_LINE,
		.fault_offset = 31 },
	{ "a NUL in the line", BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 18 },
	{ "UNKNOWN and a letter", BYTES("PROXY UNKNOWNS\r\n"), PROXY_E_LINE, .fault_offset = 13 },
	{ "UNKNOWN and LF alone", BYTES("PROXY UNKNOWN\n"), PROXY_E_LINE, .fault_offset = 13 },
	{ "UNKNOWN with an LF in the rest", BYTES("PROXY UNKNOWN a\nb\r\n"), PROXY_E_LINE,
		.fault_offset = 15 },
	{ "UNKNOWN with a CR in the rest", BYTES("PROXY UNKNOWN a\rb\r\n"), PROXY_E_LINE,
		.fault_offset = 16 },
	{ "five digits", BYTES("PROXY TCP6 12345::1 ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 15 },
	{ "three colons", BYTES("PROXY TCP6 1:::2 ::1 1 2\r\n"), PROXY_E_LINE, .fault_offset = 14 },
	{ "two double colons", BYTES("PROXY TCP6 1::2::3 ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 16 },
	{ "one colon in front", BYTES("PROXY TCP6 :1:2:3:4:5:6:7:8 ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 12 },
	{ "one colon at the end", BYTES("PROXY TCP6 1:2:3:4:5:6:7: ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 25 },
	{ "seven groups", BYTES("PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 24 },
	{ "nine groups", BYTES("PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 26 },
	{ "eight groups and a double colon", BYTES("PROXY TCP6 1:2:3:4::5:6:7:8 ::1 1 2\r\n"),
		PROXY_E_LINE, .fault_offset = 25 },
	{ "a letter that is no digit", BYTES("PROXY TCP6 ::g ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 13 },
	{ "a zone", BYTES("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"), PROXY_E_LINE,
		.fault_offset = 18 },
	{ "a dotted address that is not the end", BYTES("PROXY TCP6 ::1.2.3.4:5 ::1 1 2\r\n"),
		PROXY_E_LINE, .fault_offset = 20 },
	{ "a dotted address too far behind", BYTES("PROXY TCP6 1:2:3:4:5:6:7:1.2.3.4 ::1 1 2\r\n"),
		PROXY_E_LINE, .fault_offset = 26 },
	{ "a dotted address with no room", BYTES("PROXY TCP6 ::2:3:4:5:6:7:1.2.3.4 ::1 1 2\r\n"),
		PROXY_E_LINE, .fault_offset = 26 },
	{ "brackets", BYTES("PROXY TCP6 [::1] ::1 1 2\r\n"), PROXY_E_LINE, .fault_offset = 11 },

	/* version 2 */
	{
		"what HAProxy 2.6 sends with send-proxy-v2-ssl-cn, and a message behind it",
		BYTES(PROXY "\x11\x00\x2B\x7F\0\0\x01\x7F\0\0\x01\xDD\xA2\x0A\x0F"
			    "\x20\0\x1C\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x0A"
			    "analyzer01" MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x7F\0\0\x01"),
		.destination = BYTES("\x7F\0\0\x01"),
		.source_port = 56738,
		.destination_port = 2575,
		.tls = true,
		.certificate = true,
		.tls_version = BYTES("TLSv1.3"),
		.tls_client = BYTES("analyzer01"),
	},
	{
		"a health check of HAProxy",
		BYTES(LOCAL "\0\0\0"),
		.command = PROXY_LOCAL,
	},
	{
		"a health check with things to skip, whatever they are",
		BYTES(LOCAL "\xFF\0\x05\x20\xFF\xFF\0\0" MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_LOCAL,
	},
	{
		"no address is known",
		BYTES(PROXY "\0\0\0" MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
	},
	{
		"no address is known, but TLS is",
		BYTES(PROXY "\0\0\x10\x20\0\x0D\x01\0\0\0\0\x21\0\x05TLSv1"),
		.command = PROXY_FORWARDED,
		.tls = true,
		.tls_version = BYTES("TLSv1"),
	},
	{
		"IPv6",
		BYTES(PROXY "\x21\0\x24" INET6 MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
		.family = PROXY_INET6,
		.source = BYTES("\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01"),
		.destination = BYTES("\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x02"),
		.source_port = 50000,
		.destination_port = 5123,
	},
	{
		"UNIX",
		BYTES(PROXY "\x31\0\xD8" HUNDRED "xxxxxxxx"
			    "/run/a\0b" HUNDRED MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
		.family = PROXY_UNIX,
		.source = BYTES(HUNDRED "xxxxxxxx"),
		.destination = BYTES("/run/a"),
	},
	{
		"a datagram, an unspecified transport: as good as any",
		BYTES(PROXY "\x12\0\x0C" INET4),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x0A\x14\0\x01"),
		.destination = BYTES("\x0A\x14\0\x02"),
		.source_port = 50000,
		.destination_port = 5123,
	},
	{
		"a certificate that was not verified",
		BYTES(PROXY "\x11\0\x18" INET4 "\x20\0\x09\x03\0\0\0\x12\x22\0\x01y"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x0A\x14\0\x01"),
		.destination = BYTES("\x0A\x14\0\x02"),
		.source_port = 50000,
		.destination_port = 5123,
		.tls = true,
		.certificate = true,
		.verify_result = 0x12,
		.tls_client = BYTES("y"),
	},
	{
		"a certificate of the session that was resumed",
		BYTES(PROXY "\x11\0\x18" INET4 "\x20\0\x09\x05\0\0\0\0\x22\0\x01y"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x0A\x14\0\x01"),
		.destination = BYTES("\x0A\x14\0\x02"),
		.source_port = 50000,
		.destination_port = 5123,
		.tls = true,
		.certificate = true,
		.tls_client = BYTES("y"),
	},
	{
		"no TLS",
		BYTES(PROXY "\x11\0\x14" INET4 "\x20\0\x05\0\0\0\0\x01"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x0A\x14\0\x01"),
		.destination = BYTES("\x0A\x14\0\x02"),
		.source_port = 50000,
		.destination_port = 5123,
		.verify_result = 1,
	},
	{
		"authority, a field of somebody's own twice, padding, unique id",
		BYTES(PROXY "\x11\0\x26" INET4 "\x02\0\x04host\xE0\0\x01"
			    "a\xE0\0\x01"
			    "b\x04\0\x02"
			    "\0\0\x05\0\x03"
			    "abc" MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x0A\x14\0\x01"),
		.destination = BYTES("\x0A\x14\0\x02"),
		.source_port = 50000,
		.destination_port = 5123,
		.authority = BYTES("host"),
		.unique_id = BYTES("abc"),
	},
	{
		"a right checksum",
		BYTES(PROXY "\x11\0\x19" INET4 "\x03\0\x04\x41\x84\x7D\xF0\x05\0\x03"
			    "abc" MSH),
		.behind = sizeof(MSH) - 1,
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x0A\x14\0\x01"),
		.destination = BYTES("\x0A\x14\0\x02"),
		.source_port = 50000,
		.destination_port = 5123,
		.unique_id = BYTES("abc"),
	},
	{
		"a wrong checksum",
		BYTES(PROXY "\x11\0\x19" INET4 "\x03\0\x04\x41\x84\x7D\xF1\x05\0\x03"
			    "abc"),
		PROXY_E_CHECKSUM,
		.fault_offset = 31,
	},
	{
		"a byte changed under the checksum",
		BYTES(PROXY "\x11\0\x19" INET4 "\x03\0\x04\x41\x84\x7D\xF0\x05\0\x03"
			    "abd"),
		PROXY_E_CHECKSUM,
		.fault_offset = 31,
	},
	{
		"a checksum of three bytes",
		BYTES(PROXY "\x11\0\x12" INET4 "\x03\0\x03\x41\x84\x7D"),
		PROXY_E_FIELD,
		.fault_offset = 29,
	},
	{
		"two checksums",
		BYTES(PROXY "\x11\0\x1A" INET4 "\x03\0\x04\0\0\0\0\x03\0\x04\0\0\0\0"),
		PROXY_E_FIELD,
		.fault_offset = 35,
	},
	{ "half a signature", BYTES("\r\n\r\n\0\r\nQU"), MORE },
	{ "a signature", BYTES(SIG), MORE },
	{ "half the addresses", BYTES(PROXY "\x11\0\x0C\x0A\x14\0\x01"), MORE },
	{ "line ends of a keep-alive", BYTES("\r\n\r\n\r\n"), PROXY_E_NO_HEADER,
		.fault_offset = 4 },
	{ "the last byte of the signature", BYTES("\r\n\r\n\0\r\nQUIT\r"), PROXY_E_NO_HEADER,
		.fault_offset = 11 },
	{ "version 1 in binary", BYTES(SIG "\x11\x11"), PROXY_E_COMMAND, .fault_offset = 12 },
	{ "version 3", BYTES(SIG "\x31\x11"), PROXY_E_COMMAND, .fault_offset = 12 },
	{ "command 2", BYTES(SIG "\x22\x11"), PROXY_E_COMMAND, .fault_offset = 12 },
	{ "family 4", BYTES(PROXY "\x41\0"), PROXY_E_FAMILY, .fault_offset = 13 },
	{ "transport 3", BYTES(PROXY "\x13\0"), PROXY_E_FAMILY, .fault_offset = 13 },
	{ "too short for IPv4", BYTES(PROXY "\x11\0\x0B"), PROXY_E_TOO_SHORT, .fault_offset = 14 },
	{ "too short for IPv6", BYTES(PROXY "\x21\0\x23"), PROXY_E_TOO_SHORT, .fault_offset = 14 },
	{ "too short for UNIX", BYTES(PROXY "\x31\0\xD7"), PROXY_E_TOO_SHORT, .fault_offset = 14 },
	{ "too large by one byte", BYTES(PROXY "\x11\x0F\xF1"), PROXY_E_TOO_LARGE,
		.fault_offset = 14 },
	{ "as large as can be written", BYTES(PROXY "\x11\xFF\xFF"), PROXY_E_TOO_LARGE,
		.fault_offset = 14 },
	{ "a health check too large", BYTES(LOCAL "\0\xFF\xFF"), PROXY_E_TOO_LARGE,
		.fault_offset = 14 },
	{ "half a field's head", BYTES(PROXY "\x11\0\x0E" INET4 "\x04\0" MSH), PROXY_E_FIELD,
		.fault_offset = 28 },
	{ "a field that ends behind its header",
		BYTES(PROXY "\x11\0\x10" INET4 "\x04\0\x02"
			    "a" MSH),
		PROXY_E_FIELD, .fault_offset = 29 },
	{ "TLS without its result", BYTES(PROXY "\x11\0\x13" INET4 "\x20\0\x04\x01\0\0\0"),
		PROXY_E_FIELD, .fault_offset = 29 },
	{ "TLS twice", BYTES(PROXY "\x11\0\x1C" INET4 "\x20\0\x05\x01\0\0\0\0\x20\0\x05\0\0\0\0\0"),
		PROXY_E_FIELD, .fault_offset = 36 },
	{ "a part that leaves its TLS field",
		BYTES(PROXY "\x11\0\x1A" INET4 "\x20\0\x08\x01\0\0\0\0\x22\0\x01\x04\0\0"),
		PROXY_E_FIELD, .fault_offset = 37 },
	{ "half the head of a part of TLS",
		BYTES(PROXY "\x11\0\x16" INET4 "\x20\0\x07\x01\0\0\0\0\x22\0"), PROXY_E_FIELD,
		.fault_offset = 36 },
	{ "two names",
		BYTES(PROXY "\x11\0\x1C" INET4 "\x20\0\x0D\x01\0\0\0\0\x22\0\x01"
			    "a\x22\0\x01"
			    "b"),
		PROXY_E_FIELD, .fault_offset = 40 },
	{ "two authorities",
		BYTES(PROXY "\x11\0\x14" INET4 "\x02\0\x01"
			    "a\x02\0\x01"
			    "b"),
		PROXY_E_FIELD, .fault_offset = 32 },
	{ "a unique id of 129 bytes",
		BYTES(PROXY "\x11\0\x90" INET4 "\x05\0\x81" HUNDRED TEN TEN "xxxxxxxxx"),
		PROXY_E_FIELD, .fault_offset = 29 },
	{
		"a unique id of 128 bytes",
		BYTES(PROXY "\x11\0\x8F" INET4 "\x05\0\x80" HUNDRED TEN TEN "xxxxxxxx"),
		.command = PROXY_FORWARDED,
		.family = PROXY_INET,
		.source = BYTES("\x0A\x14\0\x01"),
		.destination = BYTES("\x0A\x14\0\x02"),
		.source_port = 50000,
		.destination_port = 5123,
		.unique_id = BYTES(HUNDRED TEN TEN "xxxxxxxx"),
	},
};

static void
assert_endpoint(const struct proxy_header *h, const struct proxy_endpoint *e, struct span address,
	uint16_t port)
{
	if (h->family == PROXY_UNIX)
		assert_span_equal(e->path, address);
	else
		assert_span_equal(span_of(e->address, address.n), address);
	assert_int_equal(e->port, port);
}

static void
assert_header(const struct proxy_header *h, const struct proxy_case *c)
{
	assert_int_equal(h->n_bytes, c->input.n - c->behind);
	assert_int_equal(h->version, c->input.p[0] == 'P' ? 1 : 2);
	assert_int_equal(h->command, c->command);
	assert_int_equal(h->family, c->family);
	assert_endpoint(h, &h->source, c->source, c->source_port);
	assert_endpoint(h, &h->destination, c->destination, c->destination_port);
	assert_int_equal(h->tls.used, c->tls);
	assert_int_equal(h->tls.certificate, c->certificate);
	assert_int_equal(h->tls.verify_result, c->verify_result);
	assert_span_equal(h->tls.version, c->tls_version);
	assert_span_equal(h->tls.client, c->tls_client);
	assert_span_equal(h->authority, c->authority);
	assert_span_equal(h->unique_id, c->unique_id);
}

static void
in_each_length(void **state)
{
	const struct proxy_case *c = *state;
	struct guard g = guard_map(c->input.n, 1);
	struct proxy_header h;
	size_t n, at;
	int r;

	guard_shut(&g);
	for (n = 0; n <= c->input.n; n++) {
		at = SIZE_MAX;
		r = proxy_parse(guard_copy(&g, span_first(c->input, n)), &h, &at);
		if (r == PROXY_E_PARTIAL) {
			assert_int_equal(at, SIZE_MAX);
			/* what is complete, or wrong already, is not waited for */
			assert_true(c->result == PROXY_E_PARTIAL || n < c->input.n);
			assert_true(c->result != 0 || n < c->input.n - c->behind);
			continue;
		}
		assert_int_equal(r, c->result);
		if (r == 0)
			assert_header(&h, c);
		else
			assert_int_equal(at, c->fault_offset);
		assert_true(r == 0 || n > c->fault_offset);
	}
	guard_unmap(&g);
}

/* The first wrong byte of a line is told at once, not at its end. */
static void
refused_at_the_first_wrong_byte(void **state)
{
	struct proxy_header h;
	size_t i, at;

	(void)state;
	for (i = 0; i < N_OF(cases); i++) {
		if (cases[i].result != PROXY_E_LINE && cases[i].result != PROXY_E_NO_HEADER)
			continue;
		at = SIZE_MAX;
		assert_int_equal(
			proxy_parse(span_first(cases[i].input, cases[i].fault_offset + 1), &h, &at),
			cases[i].result);
		assert_int_equal(at, cases[i].fault_offset);
	}
}

/* As large as it may be: never partial with that many bytes. */
static void
the_largest(void **state)
{
	static uint8_t bytes[PROXY_BYTES_MAX] = SIG "\x21\x11\x0F\xF0" INET4 "\xE1\x0F\xE1";
	struct guard g = guard_map(PROXY_BYTES_MAX, 1);
	struct proxy_header h;
	size_t at = 0;

	(void)state;
	guard_shut(&g);
	assert_int_equal(proxy_parse(guard_copy(&g, span_of(bytes, sizeof(bytes) - 1)), &h, &at),
		PROXY_E_PARTIAL);
	assert_int_equal(proxy_parse(guard_copy(&g, span_of(bytes, sizeof(bytes))), &h, &at), 0);
	assert_int_equal(h.n_bytes, PROXY_BYTES_MAX);
	guard_unmap(&g);
}

static void
each_fault_has_a_text(void **state)
{
	int i;

	(void)state;
	for (i = PROXY_E_PARTIAL; i <= PROXY_E_CHECKSUM; i++)
		assert_true(strlen(proxy_fault_text(i)) > 10);
}

int
main(void)
{
	static struct suite lengths, s;

	add_cases(&lengths, in_each_length, cases);
	add_test(&s, "a line is refused at its first wrong byte", refused_at_the_first_wrong_byte);
	add_test(&s, "the largest header", the_largest);
	add_test(&s, "each fault has a text", each_fault_has_a_text);
	return run_suite("in each length", &lengths) | run_suite("proxy", &s);
}
