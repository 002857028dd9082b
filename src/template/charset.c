/* SPDX-License-Identifier: MIT */
#include "template/charset.h"

#include "hl7/message.h"

#include <errno.h>
#include <iconv.h>
#include <strings.h>

static const struct charset sets[] = {
	{ "UNICODE UTF-8", "UTF-8", false },
	{ "ASCII", "US-ASCII", false },
	{ "8859/1", "ISO-8859-1", false },
	{ "8859/2", "ISO-8859-2", false },
	{ "8859/3", "ISO-8859-3", false },
	{ "8859/4", "ISO-8859-4", false },
	{ "8859/5", "ISO-8859-5", false },
	{ "8859/6", "ISO-8859-6", false },
	{ "8859/7", "ISO-8859-7", false },
	{ "8859/8", "ISO-8859-8", false },
	{ "8859/9", "ISO-8859-9", false },
	{ "8859/15", "ISO-8859-15", false },
	{ "windows-1250", "CP1250", false },
	{ "windows-1251", "CP1251", false },
	{ "windows-1252", "CP1252", false },
	{ "windows-1253", "CP1253", false },
	{ "windows-1254", "CP1254", false },
	{ "GB 18030-2000", "GB18030", false },
	{ "BIG-5", "BIG5", false },
	{ "KS X 1001", "EUC-KR", false },
	{ "CNS 11643-1992", "EUC-TW", false },
	/* the C library has no JIS X 0201 of its own; its bytes are those of Shift_JIS that stand
	   alone */
	{ "ISO IR14", "CP932", false },
	{ "Shift_JIS", "CP932", false },
	/* ISO-2022-JP-3 has the half-width kana, ISO-2022-JP-2 the supplementary kanji */
	{ "ISO IR87", "ISO-2022-JP-3", true },
	{ "ISO IR159", "ISO-2022-JP-2", true },
};

/* Other spellings, as charset_find() folds them: letters and digits only, capital. */
static const struct {
	const char *folded, *name;
} spellings[] = {
	{ "UNICODEUTF8", "UNICODE UTF-8" },
	{ "UTF8", "UNICODE UTF-8" },
	{ "UNICODE", "UNICODE UTF-8" },
	{ "ASCII", "ASCII" },
	{ "USASCII", "ASCII" },
	{ "ISOIR6", "ASCII" },
	{ "88591", "8859/1" },
	{ "ISOIR100", "8859/1" },
	{ "LATIN1", "8859/1" },
	{ "88592", "8859/2" },
	{ "ISOIR101", "8859/2" },
	{ "LATIN2", "8859/2" },
	{ "88593", "8859/3" },
	{ "ISOIR109", "8859/3" },
	{ "88594", "8859/4" },
	{ "ISOIR110", "8859/4" },
	{ "88595", "8859/5" },
	{ "ISOIR144", "8859/5" },
	{ "88596", "8859/6" },
	{ "ISOIR127", "8859/6" },
	{ "88597", "8859/7" },
	{ "ISOIR126", "8859/7" },
	{ "88598", "8859/8" },
	{ "ISOIR138", "8859/8" },
	{ "88599", "8859/9" },
	{ "ISOIR148", "8859/9" },
	{ "885915", "8859/15" },
	{ "LATIN9", "8859/15" },
	{ "WINDOWS1250", "windows-1250" },
	{ "CP1250", "windows-1250" },
	{ "WINDOWS1251", "windows-1251" },
	{ "CP1251", "windows-1251" },
	{ "WINDOWS1252", "windows-1252" },
	{ "CP1252", "windows-1252" },
	{ "WINDOWS1253", "windows-1253" },
	{ "CP1253", "windows-1253" },
	{ "WINDOWS1254", "windows-1254" },
	{ "CP1254", "windows-1254" },
	{ "GB180302000", "GB 18030-2000" },
	{ "GB18030", "GB 18030-2000" },
	{ "GBK", "GB 18030-2000" },
	{ "GB2312", "GB 18030-2000" },
	{ "BIG5", "BIG-5" },
	{ "KSX1001", "KS X 1001" },
	{ "EUCKR", "KS X 1001" },
	{ "CNS116431992", "CNS 11643-1992" },
	{ "ISOIR14", "ISO IR14" },
	{ "JISX0201", "ISO IR14" },
	{ "ISOIR13", "ISO IR14" },
	{ "SHIFTJIS", "Shift_JIS" },
	{ "SJIS", "Shift_JIS" },
	{ "MS932", "Shift_JIS" },
	{ "CP932", "Shift_JIS" },
	{ "WINDOWS31J", "Shift_JIS" },
	{ "ISOIR87", "ISO IR87" },
	{ "JISX0208", "ISO IR87" },
	{ "JISX0202", "ISO IR87" },
	{ "JAS2020", "ISO IR87" },
	{ "ISO2022JP", "ISO IR87" },
	{ "ISOIR159", "ISO IR159" },
	{ "JISX0212", "ISO IR159" },
};

#define FOLDED_MAX 32

/* Letters and digits, capital; "ISO" before an 8859 dropped. */
static struct span
fold(struct span name, uint8_t folded[FOLDED_MAX])
{
	struct span s;
	size_t i, n = 0;
	uint8_t c;

	for (i = 0; i < name.n && n < FOLDED_MAX; i++) {
		c = name.p[i] >= 'a' && name.p[i] <= 'z' ? (uint8_t)(name.p[i] - 32) : name.p[i];
		if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			folded[n++] = c;
	}
	s = span_of(folded, n);
	return span_starts(s, SPAN("ISO8859")) ? span_from(s, 3) : s;
}

static const struct charset *
set_named(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		if (strcmp(sets[i].name, name) == 0)
			return &sets[i];
	return NULL;
}

const struct charset *
charset_find(struct span name)
{
	uint8_t bytes[FOLDED_MAX];
	struct span folded = fold(name, bytes);
	size_t i;

	for (i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
		if (span_eq(folded, span_str(spellings[i].folded)))
			return set_named(spellings[i].name);
	return NULL;
}

int
charset_of_message(struct span msh_18, const struct delimiters *d, const struct charset **ret)
{
	const struct charset *first, *other;
	struct span name = field_repetition(msh_18, d, 1);
	size_t i;

	first = charset_find(name.n ? name : SPAN("ASCII"));
	for (i = 1; field_repetition(msh_18, d, i).p; i++) {
		other = charset_find(field_repetition(msh_18, d, i));
		if (other && other->iso_2022)
			first = other;
	}
	if (first && strcmp(first->iconv, "US-ASCII") == 0)
		first = set_named("UNICODE UTF-8");
	*ret = first;
	return first ? 0 : CHARSET_E_UNKNOWN;
}

struct conversion {
	iconv_t iconv;
	const struct span *substitute; /* as the target writes it */
	bool from_utf8;
	struct buffer *out;
};

/* Converts what can be: 0 with all of it, CHARSET_E_CHARACTER where it stopped, -ENOMEM, -EFBIG. */
static int
convert_some(struct conversion *c, struct span *rest)
{
	char *in = (char *)(uintptr_t)rest->p, *out;
	size_t in_n = rest->n, out_n, result;
	int r, error = 0;

	do {
		/* at least this much: an escape sequence and a character fit in */
		r = buffer_reserve(c->out, 64);
		if (r)
			return r < 0 ? r : -EFBIG;
		out = (char *)c->out->p + c->out->n;
		out_n = c->out->allocated - c->out->n;
		result = iconv(c->iconv, &in, &in_n, &out, &out_n);
		error = result == (size_t)-1 ? errno : 0;
		c->out->n = (size_t)((uint8_t *)out - c->out->p);
	} while (error == E2BIG);
	*rest = span_from(*rest, rest->n - in_n);
	return error ? CHARSET_E_CHARACTER : 0;
}

/* The bytes of the source's character that could not be converted. */
static size_t
bad_bytes(const struct conversion *c, struct span rest)
{
	size_t n = 1;

	while (c->from_utf8 && n < rest.n && n < 4 && (rest.p[n] & 0xC0) == 0x80)
		n++;
	return n;
}

/* Returns to the initial state of a set with shifts. */
static int
finish(struct conversion *c)
{
	char *out;
	size_t out_n;
	int r = buffer_reserve(c->out, 64);

	if (r)
		return r < 0 ? r : -EFBIG;
	out = (char *)c->out->p + c->out->n;
	out_n = c->out->allocated - c->out->n;
	(void)iconv(c->iconv, NULL, NULL, &out, &out_n);
	c->out->n = (size_t)((uint8_t *)out - c->out->p);
	return 0;
}

static int
convert_all(struct conversion *c, struct span bytes, size_t *ret_at)
{
	struct span rest = bytes;
	int r;

	while ((r = convert_some(c, &rest)) == CHARSET_E_CHARACTER) {
		*ret_at = bytes.n - rest.n;
		if (!c->substitute)
			return r;
		r = finish(c);
		if (r == 0)
			r = buffer_append(c->out, *c->substitute);
		if (r)
			return r < 0 ? r : -EFBIG;
		rest = span_from(rest, bad_bytes(c, rest));
	}
	return r ? r : finish(c);
}

static int
convert(const char *to, const char *from, struct span bytes, const struct span *substitute,
	struct buffer *out, size_t *ret_at)
{
	struct conversion c = {
		.iconv = iconv_open(to, from),
		.substitute = substitute,
		.from_utf8 = strcmp(from, "UTF-8") == 0,
		.out = out,
	};
	int r;

	if (c.iconv == (iconv_t)-1)
		return errno == EINVAL ? CHARSET_E_UNAVAILABLE : -errno;
	r = convert_all(&c, bytes, ret_at);
	(void)iconv_close(c.iconv);
	return r;
}

static int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The designations of ISO 2022 that the sets here know, as HL7 spells them. Nothing else is made
 * into bytes: an escape must not bring a delimiter, a CR or a frame byte into a message. */
static const char *const designations[] = {
	"C2842",
	"C284A",
	"C2849", /* ASCII, JIS X 0201 Roman and kana */
	"M2440",
	"M2442",
	"M242844", /* JIS X 0208, JIS X 0212 */
	"M242841",
	"M242843",
	"M24284F", /* GB 2312, KS X 1001, JIS X 0213 */
	"M242850",
	"M242851",
};

/* The length of such an escape that `s` begins with, both escape characters included; 0 for none.
 */
static size_t
switch_bytes(struct span s, const struct delimiters *d)
{
	struct span body;
	size_t i;

	if (s.n < 7 || s.p[0] != d->escape)
		return 0;
	s = span_from(s, 1);
	body = span_first(s, span_find(s, d->escape));
	for (i = 0; body.n < s.n && i < sizeof(designations) / sizeof(designations[0]); i++)
		if (body.n == strlen(designations[i]) &&
			strncasecmp((const char *)body.p, designations[i], body.n) == 0)
			return body.n + 2;
	return 0;
}

/* Writes the switches that HL7 spells in hexadecimal as the escape sequences they stand for: ESC
 * and the bytes. */
static int
spell_switches(struct span bytes, const struct delimiters *d, struct buffer *out)
{
	size_t i, n;
	int r = 0;

	while (r == 0 && bytes.n > 0) {
		n = switch_bytes(bytes, d);
		r = buffer_append_byte(out, n ? 0x1B : bytes.p[0]);
		for (i = 2; r == 0 && i + 1 < n; i += 2)
			r = buffer_append_byte(out,
				(uint8_t)(16 * hex_value(bytes.p[i]) + hex_value(bytes.p[i + 1])));
		bytes = span_from(bytes, n ? n : 1);
	}
	return r == BUFFER_E_FULL ? -EFBIG : r;
}

int
charset_decode(const struct charset *c, struct span bytes, const struct delimiters *d,
	const struct span *substitute, struct buffer *out, size_t *ret_at)
{
	struct buffer spelled = BUFFER_INIT(out->max);
	int r;

	if (!c->iso_2022)
		return convert("UTF-8", c->iconv, bytes, substitute, out, ret_at);
	/* behind a bad byte of a two-byte set nobody knows where a character begins: no substitute
	 * there */
	r = spell_switches(bytes, d, &spelled);
	if (r == 0)
		r = convert("UTF-8", c->iconv, buffer_span(&spelled), NULL, out, ret_at);
	buffer_deinit(&spelled);
	return r;
}

int
charset_encode(const struct charset *c, struct span text, const struct span *substitute,
	struct buffer *out, size_t *ret_at)
{
	return convert(c->iconv, "UTF-8", text, substitute, out, ret_at);
}

_Static_assert(sizeof(sets) / sizeof(sets[0]) <= CHARSETS_MAX, "a place for each set");

/* A module has both directions, and stays as long as one conversion of it is open. */
void
charset_load(struct charset_modules *ret)
{
	iconv_t opened;
	size_t i;

	ret->n = 0;
	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		opened = iconv_open("UTF-8", sets[i].iconv);
		if (opened != (iconv_t)-1)
			ret->open[ret->n++] = opened;
	}
}

void
charset_unload(struct charset_modules *modules)
{
	while (modules->n > 0)
		(void)iconv_close(modules->open[--modules->n]);
}
