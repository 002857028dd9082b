/* SPDX-License-Identifier: MIT */
#include "template/load.h"
#include "template/template.h"

#include "guard.h"
#include "unit.h"

#include <errno.h>
#include <unistd.h>

#define ID1                                                                                        \
	"0000000010"                                                                               \
	"0000A"                                                                                    \
	"0000B"
#define ID2                                                                                        \
	"0000000011"                                                                               \
	"0000A"                                                                                    \
	"0000B"
#define NOW "20260102030405+0100"

#define HEAD "MSH|^~\\&|OUT|"

/* Written for these tests; nobody's. */
#define ORU                                                                                        \
	"MSH|^~\\&|LAB^1.2.3^ISO|NORTH|RIS|SOUTH|20240101||ORU^R01^ORU_R01|MSG00001|P|2.5|||AL|NE" \
	"||8859/1\r"                                                                               \
	"PID|1||77^^^HOSP&1.2.3&ISO^MR~88^^^CITY||TEST^PATIENT||\"\"|F\r"                          \
	"OBR|1||A1|SCAN^A scan\r"                                                                  \
	"OBX|1|NM|SCORE||1.5|%|||||F\r"                                                            \
	"OBX|2|TX|NOTE||\\F\\ and \\T\\~second||||||\r"

/* The same facts with other delimiters: ! @ # $ % in place of | ^ ~ \ & */
#define FOREIGN                                                                                    \
	"MSH!@#$%!LAB@1.2.3@ISO!NORTH!RIS!SOUTH!20240101!!ORU@R01!MSG|01!P!2.5\r"                  \
	"PID!1!!77@@@HOSP%1.2.3%ISO@MR#88!!TEST@A|B^C\\D!!$F$$S$$R$$E$$T$\r"

static const struct template_error errors[] = {
	{ BYTES("PID^1^5"), BYTES("PID^1^5^101&Required"), BYTES("101^Required^HL70357"),
		BYTES("E"), BYTES("a|b^c & d") },
	{ BYTES("MSH^1^10"), BYTES(""), BYTES("102"), BYTES("W"), BYTES("second") },
};

struct rendering {
	struct message message;
	struct problems problems;
	struct template_failures failures;
	struct template *template;
	struct control_id_source ids;
	struct template_input in;
	struct buffer out;
	struct guard source, bytes;
};

/* Compiles and renders; both texts lie flush against a guard page. */
static int
render(struct rendering *r, struct span source, struct span bytes, size_t n_errors, size_t max)
{
	int result;

	*r = (struct rendering){
		.ids = { .last_usec = 35, .pid = 10, .random = 11 },
		.out = BUFFER_INIT(max),
		.source = guard_map(source.n, 1),
		.bytes = guard_map(bytes.n, 1),
	};
	(void)message_parse(&r->message, guard_copy(&r->bytes, bytes));
	r->in = (struct template_input){
		.message = &r->message,
		.errors = errors,
		.n_errors = n_errors,
		.ids = &r->ids,
		.now_usec = 36,
		.variables = {
			[TEMPLATE_NOW] = BYTES(NOW),
			[TEMPLATE_ACK_CODE] = BYTES("AE"),
			[TEMPLATE_ACK_TYPE] = BYTES("ACK^R01^ACK"),
			[TEMPLATE_ACK_TEXT] = BYTES("not | so"),
			[TEMPLATE_PEER_ADDRESS] = BYTES("192.0.2.1"),
			[TEMPLATE_LOCAL_PORT] = BYTES("5123"),
			[TEMPLATE_HOST] = BYTES("host"),
		},
	};
	result = template_compile(guard_copy(&r->source, source), TEMPLATE_ACKNOWLEDGEMENT, NULL,
		&r->template, &r->problems);
	if (result)
		return result;
	/* it keeps nothing of the source it was given */
	memset(r->source.map, 0, (size_t)(r->source.edge - r->source.map));
	return template_render(r->template, &r->in, &r->out, &r->failures);
}

static void
done(struct rendering *r)
{
	template_free(r->template);
	message_deinit(&r->message);
	buffer_deinit(&r->out);
	guard_unmap(&r->source);
	guard_unmap(&r->bytes);
}

static void
print_problems(const struct rendering *r)
{
	size_t i;

	for (i = 0; i < r->problems.n; i++)
		(void)fprintf(stderr, "  %u:%u: %s\n", r->problems.items[i].line,
			r->problems.items[i].column, r->problems.items[i].text);
}

/* --- what comes out
 * ---------------------------------------------------------------------------------- */

struct render_case {
	const char *name;
	struct span source, bytes, result;
	size_t n_errors;
};

#define LINE(text) BYTES("ZZZ|" text "\n"), BYTES(ORU)

static const struct render_case renders[] = {
	/* the two examples of the language's description, filled by hand */
	{ "the minimal acknowledgement",
		BYTES("MSH|^~\\&|SENDING_APP|SENDING_FACILITY|{0-2}|{0-3}|{now}||ACK|{id}|P|2.4"
		      "||||||UNICODE UTF-8\n"
		      "MSA|AA|{0-9}\n"),
		BYTES(ORU),
		BYTES("MSH|^~\\&|SENDING_APP|SENDING_FACILITY|LAB^1.2.3^ISO|NORTH|" NOW "||ACK|" ID1
		      "|P|2.4||||||UNICODE UTF-8\r"
		      "MSA|AA|MSG00001\r") },
	{ "the minimal acknowledgement that counts wrongly",
		BYTES("MSH|^~\\&|SENDING_APP|SENDING_FACILITY|{0-2}|{0-3}|||20230403111111||ACK"
		      "|{0-9}|P|2.4||||||UNICODE UTF-8\n"
		      "MSA|AA|{0-9}\n"),
		BYTES(ORU),
		BYTES("MSH|^~\\&|SENDING_APP|SENDING_FACILITY|LAB^1.2.3^ISO|NORTH|||20230403111111"
		      "||ACK|MSG00001|P|2.4||||||UNICODE UTF-8\r"
		      "MSA|AA|MSG00001\r") },
	/* lines */
	{ "comments and blank lines are dropped", BYTES("# a comment\n\n  \nZZZ|1\n\t\n# {\n"),
		BYTES(ORU), BYTES("ZZZ|1\r") },
	{ "CRLF ends lines too", BYTES("ZZZ|1\r\nZZZ|2\r\n"), BYTES(ORU), BYTES("ZZZ|1\rZZZ|2\r") },
	{ "the last line may lack its end", BYTES("ZZZ|1\nZZZ|2"), BYTES(ORU),
		BYTES("ZZZ|1\rZZZ|2\r") },
	{ "an editor's byte order mark is skipped", BYTES("\xEF\xBB\xBFZZZ|1\n"), BYTES(ORU),
		BYTES("ZZZ|1\r") },
	{ "lines may be indented", BYTES("  ZZZ|1\n\tZZZ|2\n"), BYTES(ORU),
		BYTES("ZZZ|1\rZZZ|2\r") },
	{ "a line whose holes are all empty writes nothing", BYTES("{PID-99}{ZZZ-1}\nZZZ|1\n"),
		BYTES(ORU), BYTES("ZZZ|1\r") },
	/* positions */
	{ "positions count from 0", LINE("{0-0},{0-9},{1-1},{3-5}"),
		BYTES("ZZZ|MSH,MSG00001,1,1.5\r") },
	{ "a position keeps components and repetitions", LINE("{1-3}"),
		BYTES("ZZZ|77^^^HOSP&1.2.3&ISO^MR~88^^^CITY\r") },
	{ "positions that are not there are empty", LINE("{9-9},{1-99},{99999-99999}"),
		BYTES("ZZZ|,,\r") },
	{ "{0-1} is the sender's MSH-2, as structure", LINE("{0-1}"), BYTES("ZZZ|^~\\&\r") },
	/* names */
	{ "names", LINE("{MSH-10}|{PID-5.1}|{PID-3[2].4}|{OBX[2]-3}|{PID-3.4.2}"),
		BYTES("ZZZ|MSG00001|TEST|CITY|NOTE|1.2.3\r") },
	{ "a field whole, and its first repetition's component", LINE("{PID-3}|{PID-3.1}"),
		BYTES("ZZZ|77^^^HOSP&1.2.3&ISO^MR~88^^^CITY|77\r") },
	{ "all repetitions", LINE("{PID-3[*]}"), BYTES("ZZZ|77^^^HOSP&1.2.3&ISO^MR~88^^^CITY\r") },
	{ "MSH-1 and MSH-2 are data", LINE("{MSH-1}|{MSH-2}"),
		BYTES("ZZZ|\\F\\|\\S\\\\R\\\\E\\\\T\\\r") },
	{ "what is not there is empty", LINE("{ZZ1-1}|{OBX[3]-1}|{PID-3[3]}|{PID-3.9}"),
		BYTES("ZZZ||||\r") },
	{ "delete-this passes through", LINE("{PID-7}"), BYTES("ZZZ|\"\"\r") },
	{ "escapes are carried over", LINE("{OBX[2]-5}"), BYTES("ZZZ|\\F\\ and \\T\\~second\r") },
	{ "a whole segment, alone on its line", BYTES("{OBR}\n{ OBX[2] }\n"), BYTES(ORU),
		BYTES("OBR|1||A1|SCAN^A scan\rOBX|2|TX|NOTE||\\F\\ and \\T\\~second||||||\r") },
	{ "a whole header declares what it is written with", BYTES("{MSH}\nZZZ|{MSH-10}\n"),
		BYTES("MSH|^~\\&#|A|B|C|D|||X^Y|ID\\P\\1|#\r"),
		BYTES("MSH|^~\\&|A|B|C|D|||X^Y|ID#1|#\rZZZ|ID#1\r") },
	{ "a whole header of the same delimiters is copied", BYTES("{MSH}\n"),
		BYTES("MSH|^~\\&|A\\F\\\r"), BYTES("MSH|^~\\&|A\\F\\\r") },
	{ "a whole segment that is not there writes nothing", BYTES("{ZZ1}\nZZZ|1\n"), BYTES(ORU),
		BYTES("ZZZ|1\r") },
	{ "the whole message, byte for byte", BYTES("# only this\n{message}\n"),
		BYTES("MSH|^~\\&|A\nZZZ|\x01\xFF"), BYTES("MSH|^~\\&|A\nZZZ|\x01\xFF") },
	/* variables, texts, or */
	{ "variables", LINE("{now}|{host}|{peer.address}|{local.port}|{ack.code}"),
		BYTES("ZZZ|" NOW "|host|192.0.2.1|5123|AE\r") },
	{ "each {id} is a new one", LINE("{id}|{id}"), BYTES("ZZZ|" ID1 "|" ID2 "\r") },
	{ "variables that are text are escaped, those with structure are not",
		LINE("{ack.text}|{ack.type}"), BYTES("ZZZ|not \\F\\ so|ACK^R01^ACK\r") },
	{ "a text is itself", LINE("{\"text\"}|{\"\"}|{ \"a } b { c\" }"),
		BYTES("ZZZ|text||a } b { c\r") },
	{ "or takes the first that is not empty",
		LINE("{PID-2 or PID-3.1}|{PID-99 or \"none\"}|{PID-3.1 or PID-5}|{PID-2 or 9-9 or "
		     "now}"),
		BYTES("ZZZ|77|none|77|" NOW "\r") },
	{ "or passes a delete-this on", LINE("{PID-7 or \"x\"}"), BYTES("ZZZ|\"\"\r") },
	{ "or with nothing at all", LINE("{PID-2 or PID-99}"), BYTES("ZZZ|\r") },
	{ "a required value that is there", LINE("{PID-3.1:required}|{PID-2 or PID-3.1:required}"),
		BYTES("ZZZ|77|77\r") },
	{ "a delete-this is there", LINE("{PID-7:required}"), BYTES("ZZZ|\"\"\r") },
	{ "literal braces", LINE("{{{PID-1}}}|}}{{|{{0-9}}"), BYTES("ZZZ|{1}|}{|{0-9}\r") },
	{ "UTF-8 in the template", LINE("\xC3\xA4 {PID-1} \xE2\x82\xAC"),
		BYTES("ZZZ|\xC3\xA4 1 \xE2\x82\xAC\r") },
	{ "a tab is a character like others", LINE("a\tb"), BYTES("ZZZ|a\tb\r") },
	/* if */
	{ "if", BYTES("{if PID-8 == \"F\"}\nZZZ|f\n{end}\nZZZ|x\n"), BYTES(ORU),
		BYTES("ZZZ|f\rZZZ|x\r") },
	{ "if not", BYTES("{if PID-8 == \"M\"}\nZZZ|m\n{end}\nZZZ|x\n"), BYTES(ORU),
		BYTES("ZZZ|x\r") },
	{ "if and else", BYTES("{if PID-8 == \"M\"}\nZZZ|m\n{else}\nZZZ|f\n{end}\n"), BYTES(ORU),
		BYTES("ZZZ|f\r") },
	{ "elif",
		BYTES("{if PID-8 == \"M\"}\nZZZ|m\n{elif PID-8 == "
		      "\"F\"}\nZZZ|f\n{else}\nZZZ|o\n{end}\n"),
		BYTES(ORU), BYTES("ZZZ|f\r") },
	{ "the first elif that holds is the only one",
		BYTES("{if PID-99}\nZZZ|1\n{elif PID-1}\nZZZ|2\n{elif "
		      "PID-8}\nZZZ|3\n{else}\nZZZ|4\n"
		      "{end}\nZZZ|5\n"),
		BYTES(ORU), BYTES("ZZZ|2\rZZZ|5\r") },
	{ "no elif holds", BYTES("{if PID-99}\nZZZ|1\n{elif PID-98}\nZZZ|2\n{end}\nZZZ|3\n"),
		BYTES(ORU), BYTES("ZZZ|3\r") },
	{ "if in if",
		BYTES("{if PID-1}\n  {if PID-99}\n  ZZZ|1\n  {else}\n  ZZZ|2\n  {end}\n  ZZZ|3\n"
		      "{else}\n  ZZZ|4\n{end}\n"),
		BYTES(ORU), BYTES("ZZZ|2\rZZZ|3\r") },
	{ "an if around nothing", BYTES("{if PID-1}\n{end}\nZZZ|1\n"), BYTES(ORU),
		BYTES("ZZZ|1\r") },
	/* each error */
	{ "each error",
		BYTES("{each error}\nERR|{error.eld}|{error.location}|{error.code}"
		      "|{error.severity}||||{error.text}\n{end}\nZZZ|1\n"),
		BYTES(ORU),
		BYTES("ERR|PID^1^5^101&Required|PID^1^5|101^Required^HL70357|E||||a\\F\\b\\S\\c "
		      "\\T\\ d\r"
		      "ERR||MSH^1^10|102|W||||second\rZZZ|1\r"),
		.n_errors = 2 },
	{ "each error without one", BYTES("{each error}\nERR|{error.code}\n{end}\nZZZ|1\n"),
		BYTES(ORU), BYTES("ZZZ|1\r") },
	{ "a condition in each error",
		BYTES("{each error}\n{if error.severity == \"W\"}\nERR|{error.code}\n{end}\n{end}\n"
		      "ZZZ|1\n"),
		BYTES(ORU), BYTES("ERR|102\rZZZ|1\r"), .n_errors = 2 },
	{ "each error twice",
		BYTES("{each error}\nZZZ|{error.code}\n{end}\n{each "
		      "error}\nZZY|{error.code}\n{end}\n"),
		BYTES(ORU),
		BYTES("ZZZ|101^Required^HL70357\rZZZ|102\rZZY|101^Required^HL70357\rZZY|102\r"),
		.n_errors = 2 },
	/* delimiters */
	{ "values are written with the template's delimiters",
		BYTES(HEAD "{MSH-3}|{MSH-10}\n"
			   "ZZZ|{PID-3}|{PID-5}|{PID-7}\n"),
		BYTES(FOREIGN),
		BYTES(HEAD "LAB^1.2.3^ISO|MSG\\F\\01\r"
			   "ZZZ|77^^^HOSP&1.2.3&ISO^MR~88|TEST^A\\F\\B\\S\\C\\E\\D|!@#$%\r") },
	{ "or with the sender's",
		BYTES("{delimiters source}\n" HEAD "{MSH-3}|a^b~c&d|{MSH-10}\n"
		      "ZZZ|{PID-5}|!@#\n"),
		BYTES(FOREIGN),
		BYTES("MSH!@#$%!OUT!LAB@1.2.3@ISO!a@b#c%d!MSG|01\r"
		      "ZZZ!TEST@A|B^C\\D!$F$$S$$R$\r") },
	{ "a template with delimiters of its own", BYTES("MSH*:;?,*OUT*{MSH-3}\nZZZ*{PID-3}*a:b\n"),
		BYTES(ORU),
		BYTES("MSH*:;?,*OUT*LAB:1.2.3:ISO\rZZZ*77:::HOSP,1.2.3,ISO:MR;88:::CITY*a:b\r") },
	{ "three encoding characters", BYTES("MSH|^~\\|OUT|{PID-3.4}\n"), BYTES(ORU),
		BYTES("MSH|^~\\|OUT|HOSP&1.2.3&ISO\r") },
	{ "five encoding characters", BYTES("MSH|^~\\&#|OUT|{\"a#b\"}|{MSH-10}\n"),
		BYTES("MSH|^~\\&|A|B|C|D|||X|ID#1\r"), BYTES("MSH|^~\\&#|OUT|a#b|ID\\P\\1\r") },
	{ "the sender's five", BYTES("{delimiters source}\n" HEAD "{MSH-10}\n"),
		BYTES("MSH|^~\\&#|A|B|C|D|||X|ID\\P\\1\r"), BYTES("MSH|^~\\&#|OUT|ID\\P\\1\r") },
	{ "the sender's are not usable: the template's are taken",
		BYTES("{delimiters source}\n" HEAD "{MSH-4}\n"), BYTES("MSH^XY^A^B\r"),
		BYTES(HEAD "B\r") },
	/* no value can leave its place */
	{ "raw line ends and frame bytes in a value are escaped", BYTES(HEAD "{MSH-3}|{ZZ1-1}\n"),
		BYTES("MSH|^~\\&|a\nb\x0B"
		      "c\x1C"
		      "d|\rZZ1|\nMSA|AA|1\r"),
		BYTES(HEAD "a\\X0A\\b\\X0B\\c\\X1C\\d|\\X0A\\MSA\r") },
	{ "an encoded line end stays encoded", BYTES("ZZZ|{MSH-3}\n"),
		BYTES("MSH|^~\\&|a\\X0D\\MSA\\F\\AA\r"), BYTES("ZZZ|a\\X0D\\MSA\\F\\AA\r") },
	{ "braces in a value are no holes", BYTES("ZZZ|{MSH-3}\n"),
		BYTES("MSH|^~\\&|{MSH-4}}}|x\r"), BYTES("ZZZ|{MSH-4}}}\r") },
	{ "percent signs in a value are no format", BYTES("ZZZ|{MSH-3}\n"),
		BYTES("MSH|^~\\&|%s%n%x|x\r"), BYTES("ZZZ|%s%n%x\r") },
	{ "a control character in a value stays", BYTES("ZZZ|{MSH-3}\n"),
		BYTES("MSH|^~\\&|\0\x01\x7F|x\r"), BYTES("ZZZ|\0\x01\x7F\r") },
	{ "a message without a header has no parts", BYTES("ZZZ|{MSH-3}|{PID-1}\n"),
		BYTES("nonsense\r"), BYTES("ZZZ||\r") },
	{ "what only looks like a header is not the header", BYTES("ZZZ|{MSH-10}\n"),
		BYTES("MSHA|||||||||WRONG\rMSH\r" ORU), BYTES("ZZZ|MSG00001\r") },
};

static void
rendered(void **state)
{
	const struct render_case *c = *state;
	struct rendering r;
	int result = render(&r, c->source, c->bytes, c->n_errors, 10000);

	if (result)
		print_problems(&r);
	assert_int_equal(result, 0);
	assert_span_equal(buffer_span(&r.out), c->result);
	assert_int_equal(r.problems.n_errors, 0);
	done(&r);
}

/* --- conditions
 * -------------------------------------------------------------------------------------- */

struct condition_case {
	const char *name; /* the condition itself */
	bool holds;
};

static const struct condition_case conditions[] = {
	{ "PID-1", true },
	{ "PID-2", false },
	{ "PID-7", true },
	{ "\"x\"", true },
	{ "\"\"", false },
	{ "0-9", true },
	{ "now", true },
	{ "MSH-9.1 == \"ORU\"", true },
	{ "MSH-9.1==\"ORU\"", true },
	{ "MSH-9.1 == \"oru\"", false },
	{ "MSH-9 == \"ORU^R01^ORU_R01\"", true },
	{ "\"ORU\" == MSH-9.1", true },
	{ "MSH-9.1 == MSH-9.1", true },
	{ "PID-1 == OBR-1", true },
	{ "PID-2 == PID-4", true },
	{ "PID-2 == \"\"", true },
	{ "PID-1 != \"1\"", false },
	{ "PID-1 != \"2\"", true },
	{ "PID-99 != PID-1", true },
	{ "OBX[2]-5[1] == \"\\F\\ and \\T\\\"", true },
	{ "MSH-9.1 in (\"ADT\", \"ORU\")", true },
	{ "MSH-9.1 in (\"ORU\")", true },
	{ "MSH-9.1 in (\"ADT\",\"ORM\",\"MDM\")", false },
	{ "MSH-9.1 in (\"ADT\", MSH-9.1)", true },
	{ "null(PID-7)", true },
	{ "null(PID-8)", false },
	{ "null(PID-2)", false },
	{ "not PID-2", true },
	{ "not PID-1", false },
	{ "not not PID-1", true },
	{ "not PID-1 == \"2\"", true },
	{ "PID-1 and PID-8", true },
	{ "PID-1 and PID-2", false },
	{ "PID-2 or PID-1", true },
	{ "PID-2 or PID-4", false },
	{ "PID-2 and PID-2 or PID-1", true },
	{ "PID-1 or PID-2 and PID-2", true },
	{ "(PID-1 or PID-2) and PID-2", false },
	{ "not (PID-1 and PID-2)", true },
	{ "not PID-2 and PID-1", true },
	{ "((((PID-1))))", true },
	{ "MSH-9.1 == \"ORU\" and MSH-3.1 in (\"LAB\", \"RAD\") and not null(PID-8)", true },
	{ "MSH-3 in (\"LAB\", \"RAD\")", false },
	{ "MSH-1 == MSH-1", true },
};

static void
in_if(void **state)
{
	const struct condition_case *c = *state;
	struct buffer source = BUFFER_INIT(10000);
	struct rendering r;
	int result;

	assert_int_equal(buffer_append(&source, SPAN("{if ")), 0);
	assert_int_equal(buffer_append(&source, span_str(c->name)), 0);
	assert_int_equal(buffer_append(&source, SPAN("}\nZZZ|yes\n{else}\nZZZ|no\n{end}\n")), 0);
	result = render(&r, buffer_span(&source), SPAN(ORU), 0, 10000);
	if (result)
		print_problems(&r);
	assert_int_equal(result, 0);
	assert_span_equal(buffer_span(&r.out), c->holds ? SPAN("ZZZ|yes\r") : SPAN("ZZZ|no\r"));
	done(&r);
	buffer_deinit(&source);
}

static void
in_when(void **state)
{
	const struct condition_case *c = *state;
	struct buffer source = BUFFER_INIT(10000);
	struct rendering r;

	assert_int_equal(buffer_append(&source, SPAN("{when ")), 0);
	assert_int_equal(buffer_append(&source, span_str(c->name)), 0);
	assert_int_equal(buffer_append(&source, SPAN("}\nZZZ|1\n")), 0);
	assert_int_equal(render(&r, buffer_span(&source), SPAN(ORU), 0, 10000), 0);
	assert_int_equal(template_applies(r.template, &r.in), c->holds);
	assert_span_equal(buffer_span(&r.out), SPAN("ZZZ|1\r")); /* who renders has asked before */
	done(&r);
	buffer_deinit(&source);
}

static void
without_when(void **state)
{
	struct rendering r;

	(void)state;
	assert_int_equal(render(&r, SPAN("ZZZ|1\n"), SPAN(ORU), 0, 100), 0);
	assert_true(template_applies(r.template, &r.in));
	done(&r);
}

/* A value of another sender's delimiters equals the same value in the template's. */
static void
when_of_other_delimiters(void **state)
{
	struct rendering r;

	(void)state;
	assert_int_equal(
		render(&r,
			SPAN("{when MSH-9 == \"ORU^R01\" and MSH-10 == \"MSG\\F\\01\"}\n" HEAD
			     "\n"),
			SPAN(FOREIGN), 0, 100),
		0);
	assert_true(template_applies(r.template, &r.in));
	done(&r);
}

/* --- what is wrong with a template
 * ------------------------------------------------------------------- */

struct problem_case {
	const char *name; /* "LINE:COLUMN: the beginning of the text" of the first problem */
	struct span source;
	size_t n_errors;
};

/* What is said of a word in quotes that nothing knows. */
#define NO_NAME(word)                                                                              \
	"\"" word "\" is no address (PID-3.1), position (0-9), text in quotes or known name"

static const struct problem_case wrongs[] = {
	{ "1:1: the template writes no segment", BYTES(""), 1 },
	{ "3:1: the template writes no segment", BYTES("# nothing\n\n"), 1 },
	{ "1:5: this hole has no closing }", BYTES("ZZZ|{PID-3"), 1 },
	{ "1:1: this hole has no closing }", BYTES("{"), 1 },
	{ "1:5: the text has no closing \"", BYTES("ZZZ|{\"a}\nZZZ|1\n"), 1 },
	{ "1:6: error.… stands between {each error} and its {end}", BYTES("ZZZ|{error.code}\n"),
		1 },
	{ "1:5: error.… stands between {each error} and its {end}",
		BYTES("{if error.code}\nZZZ|1\n{end}\n"), 1 },
	{ "1:5: a } without its {; a literal one is written }}", BYTES("ZZZ|}|x"), 1 },
	{ "2:7: a } without its {", BYTES("ZZZ|1\nZZZ|{{}|x"), 1 },
	{ "1:6: an address, a position, a text in quotes or a name is expected here",
		BYTES("ZZZ|{}"), 1 },
	{ "1:6: " NO_NAME("nonsense"), BYTES("ZZZ|{nonsense}"), 1 },
	{ "1:6: segments are written in capital letters", BYTES("ZZZ|{pid-3}"), 1 },
	{ "1:6: " NO_NAME("0-"), BYTES("ZZZ|{0-}"), 1 },
	{ "1:6: " NO_NAME("-9"), BYTES("ZZZ|{-9}"), 1 },
	{ "1:6: " NO_NAME("0-9-1"), BYTES("ZZZ|{0-9-1}"), 1 },
	{ "1:6: " NO_NAME("0-123456"), BYTES("ZZZ|{0-123456}"), 1 },
	{ "1:6: " NO_NAME("ack.nothing"), BYTES("ZZZ|{ack.nothing}"), 1 },
	{ "1:7: " NO_NAME("nonsense"),
		BYTES("\xC3\xA4"
		      "ZZ|x{nonsense}"),
		1 },
	{ "2:6: " NO_NAME("nonsense"), BYTES("ZZZ|1\r\nZZZ|{nonsense}\r\n"), 1 },
	{ "1:10: a number from 1 to 99999 is expected here", BYTES("ZZZ|{PID-}"), 1 },
	{ "1:11: a number from 1 to 99999 is expected here", BYTES("ZZZ|{PID-0}"), 1 },
	{ "1:10: a number from 1 to 99999 is expected here", BYTES("ZZZ|{PID-x}"), 1 },
	{ "1:11: a ] is missing", BYTES("ZZZ|{OBX[2-5}"), 1 },
	{ "1:9: (n) is counted from 0 by other tools; write [n], counted from 1",
		BYTES("ZZZ|{OBX(2)-5}"), 1 },
	{ "1:11: (n) is counted from 0 by other tools", BYTES("ZZZ|{PID-3(0)}"), 1 },
	{ "1:15: nothing may follow the address here", BYTES("ZZZ|{PID-3.1.2.3}"), 1 },
	{ "1:12: unknown filter; known are :required", BYTES("ZZZ|{PID-1:nonsense}"), 1 },
	{ "1:12: the name of a filter is expected", BYTES("ZZZ|{PID-1:}"), 1 },
	{ "1:21: unknown filter; known are :required", BYTES("ZZZ|{PID-1:required:nonsense}"), 1 },
	{ "1:12: \"or\", a filter or } is expected here", BYTES("ZZZ|{PID-1 PID-2}"), 1 },
	{ "1:14: an address, a position, a text in quotes or a name is expected here",
		BYTES("ZZZ|{PID-1 or}"), 1 },
	{ "1:6: an address, a position, a text in quotes or a name is expected here",
		BYTES("ZZZ|{(PID-1)}"), 1 },
	{ "1:6: an address, a position, a text in quotes or a name is expected here",
		BYTES("ZZZ|{\xC3\xA4}"), 1 },
	{ "1:5: a whole segment or message stands alone on its line", BYTES("ZZZ|{PID}"), 1 },
	{ "1:1: a whole segment or message stands alone on its line", BYTES("{PID}|x"), 1 },
	{ "1:5: a whole segment or message stands alone on its line", BYTES("ZZZ|{message}"), 1 },
	{ "1:5: a whole segment or message stands alone on its line", BYTES("ZZZ|{PID-2 or PID}"),
		1 },
	{ "3:1: {message} stands alone in a template", BYTES("{message}\nZZZ|1\n"), 1 },
	{ "1:6: a control character cannot be part of a segment",
		BYTES("ZZZ|a\x0B"
		      "b"),
		1 },
	{ "1:6: a control character cannot be part of a segment", BYTES("ZZZ|a\rZZZ|b\n"), 1 },
	{ "1:5: a control character cannot be part of a segment", BYTES("ZZZ|\0"), 1 },
	{ "1:6: a control character cannot be part of a segment", BYTES("ZZZ|a\x1C\n"), 1 },
	/* delimiters */
	{ "1:1: the delimiters behind the segment name cannot be used", BYTES("MSH"), 1 },
	{ "1:1: the delimiters behind the segment name cannot be used", BYTES("MSH{0-9}"), 1 },
	{ "1:1: the delimiters behind the segment name cannot be used", BYTES("MSH|{0-1}|A"), 1 },
	{ "1:1: the delimiters behind the segment name cannot be used", BYTES("MSH|^~{x}|A"), 2 },
	{ "1:1: the delimiters behind the segment name cannot be used", BYTES("MSH|^^^^|A"), 1 },
	{ "1:1: the delimiters behind the segment name cannot be used", BYTES("MSH||A"), 1 },
	{ "1:1: the delimiters behind the segment name cannot be used", BYTES("MSH|abcd|A"), 1 },
	{ "2:1: the delimiters differ from those of the first header line",
		BYTES("MSH|^~\\&|A\nBHS|^~\\&#|A\n"), 1 },
	{ "1:13: \"source\" is expected: {delimiters source}", BYTES("{delimiters target}\nZZZ|1"),
		1 },
	/* lines that steer */
	{ "1:4: something is expected behind this word", BYTES("{if}\nZZZ|1\n{end}\n"), 2 },
	{ "1:6: something is expected behind this word", BYTES("{when}\nZZZ|1\n"), 1 },
	{ "3:6: nothing may follow this word", BYTES("{if PID-1}\nZZZ|1\n{end PID-1}\n"), 2 },
	{ "1:1: this {if} or {each} has no {end}", BYTES("{if PID-1}\nZZZ|1\n"), 1 },
	{ "1:1: this {if} or {each} has no {end}", BYTES("{if PID-1}\n{each error}\nZZZ|1\n{end}"),
		1 },
	{ "2:5: {end} without an {if} or {each} before it", BYTES("ZZZ|1\n{end}\n"), 1 },
	{ "2:6: {else} without an {if} before it", BYTES("ZZZ|1\n{else}\n"), 1 },
	{ "2:7: {elif} without an {if} before it", BYTES("ZZZ|1\n{elif PID-1}\n"), 1 },
	{ "3:6: {else} without an {if} before it",
		BYTES("{if PID-1}\n{else}\n{else}\nZZZ|1\n{end}\n"), 1 },
	{ "3:7: {elif} without an {if} before it",
		BYTES("{if PID-1}\n{else}\n{elif PID-2}\nZZZ|1\n{end}\n"), 1 },
	{ "2:6: {else} without an {if} before it", BYTES("{each error}\n{else}\nZZZ|1\n{end}\n"),
		1 },
	{ "1:7: " NO_NAME("nonsense"), BYTES("{each nonsense}\nZZZ|1\n{end}\n"), 1 },
	{ "3:7: a template has one {when}; join conditions with \"and\"",
		BYTES("{when PID-1}\nZZZ|1\n{when PID-2}\n"), 1 },
	{ "2:2: {when}, {to}, {delimiters} and {charset} stand outside of {if} and {each}",
		BYTES("{if PID-1}\n{when PID-2}\nZZZ|1\n{end}\n"), 1 },
	{ "1:2: " NO_NAME("nonsense"), BYTES("{nonsense}\n"), 1 },
	/* conditions */
	{ "1:5: " NO_NAME("nonsense"), BYTES("{if nonsense}\nZZZ|1\n{end}\n"), 1 },
	{ "1:10: a comparison is written ==", BYTES("{if PID-1=}\nZZZ|1\n{end}\n"), 1 },
	{ "1:10: a comparison is written ==", BYTES("{if PID-1=\"1\"}\nZZZ|1\n{end}\n"), 1 },
	{ "1:11: \"and\", \"or\" or } is expected here", BYTES("{if PID-1 \"1\"}\nZZZ|1\n{end}\n"),
		1 },
	{ "1:13: an address, a position, a text in quotes or a name is expected here",
		BYTES("{if PID-1 ==}\nZZZ|1\n{end}\n"), 1 },
	{ "1:14: a ( is expected behind \"in\"", BYTES("{if PID-1 in \"1\"}\nZZZ|1\n{end}\n"), 1 },
	{ "1:19: a , or ) is expected in the list",
		BYTES("{if PID-1 in (\"1\" \"2\")}\nZZZ|1\n{end}\n"), 1 },
	{ "1:15: an address, a position, a text in quotes or a name is expected here",
		BYTES("{if PID-1 in ()}\nZZZ|1\n{end}\n"), 1 },
	{ "1:10: a ( is expected behind \"null\"", BYTES("{if null PID-1}\nZZZ|1\n{end}\n"), 1 },
	{ "1:15: a ) is expected", BYTES("{if null(PID-1}\nZZZ|1\n{end}\n"), 1 },
	{ "1:11: a ) is expected", BYTES("{if (PID-1}\nZZZ|1\n{end}\n"), 1 },
	{ "1:10: \"and\", \"or\" or } is expected here", BYTES("{if PID-1)}\nZZZ|1\n{end}\n"), 1 },
	{ "1:14: an address, a position, a text in quotes or a name is expected here",
		BYTES("{if PID-1 and}\nZZZ|1\n{end}\n"), 1 },
	{ "1:21: the condition is nested too deeply",
		BYTES("{if ((((((((((((((((PID-1))))))))))))))))}\nZZZ|1\n{end}\n"), 1 },
};

static void
wrong(void **state)
{
	const struct problem_case *c = *state;
	char first[PROBLEM_TEXT_BYTES + 32];
	struct rendering r;
	const struct problem *p = r.problems.items;

	assert_int_equal(render(&r, c->source, SPAN(ORU), 0, 10000), TEMPLATE_E_INVALID);
	assert_null(r.template);
	assert_in_range(r.problems.n, 1, PROBLEMS_MAX);
	while (p->warning) /* a header without its fields looks shifted: not what is tested here */
		p++;
	(void)snprintf(first, sizeof(first), "%u:%u: %s", p->line, p->column, p->text);
	if (!span_starts(span_str(first), span_str(c->name)))
		assert_string_equal(first, c->name);
	assert_int_equal(r.problems.n_errors, c->n_errors);
	done(&r);
}

static void
all_problems_at_once(void **state)
{
	static const uint32_t wanted[][2] = { { 1, 6 }, { 1, 15 }, { 3, 7 }, { 4, 5 } };
	struct rendering r;
	size_t i;

	(void)state;
	assert_int_equal(render(&r, SPAN("ZZZ|{one}|2|x{two}\nZZZ|fine\nZZZ|a{three}\nZZZ|}\n"),
				 SPAN(ORU), 0, 100),
		TEMPLATE_E_INVALID);
	assert_int_equal(r.problems.n_errors, 4);
	for (i = 0; i < N_OF(wanted); i++) {
		assert_int_equal(r.problems.items[i].line, wanted[i][0]);
		assert_int_equal(r.problems.items[i].column, wanted[i][1]);
	}
	done(&r);
}

static void
more_problems_than_kept(void **state)
{
	struct buffer source = BUFFER_INIT(100000);
	struct rendering r;
	int i;

	(void)state;
	for (i = 0; i < 500; i++)
		assert_int_equal(buffer_append(&source, SPAN("ZZZ|{nonsense}\n")), 0);
	assert_int_equal(render(&r, buffer_span(&source), SPAN(ORU), 0, 100), TEMPLATE_E_INVALID);
	assert_int_equal(r.problems.n, PROBLEMS_MAX);
	assert_int_equal(r.problems.n_errors, 500);
	done(&r);
	buffer_deinit(&source);
}

static void
nested(size_t depth, struct buffer *source)
{
	size_t i;

	for (i = 0; i < depth; i++)
		assert_int_equal(buffer_append(source, SPAN("{if PID-1}\n")), 0);
	assert_int_equal(buffer_append(source, SPAN("ZZZ|deep\n")), 0);
	for (i = 0; i < depth; i++)
		assert_int_equal(buffer_append(source, SPAN("{else}\nZZZ|no\n{end}\n")), 0);
}

static void
nested_as_deep_as_can_be(void **state)
{
	struct buffer source = BUFFER_INIT(100000);
	struct rendering r;

	(void)state;
	nested(TEMPLATE_NESTING_MAX, &source);
	assert_int_equal(render(&r, buffer_span(&source), SPAN(ORU), 0, 1000), 0);
	assert_span_equal(buffer_span(&r.out), SPAN("ZZZ|deep\r"));
	done(&r);
	buffer_clear(&source);
	nested(TEMPLATE_NESTING_MAX + 1, &source);
	assert_int_equal(render(&r, buffer_span(&source), SPAN(ORU), 0, 1000), TEMPLATE_E_INVALID);
	assert_int_equal(r.problems.items[0].line, TEMPLATE_NESTING_MAX + 1);
	assert_string_equal(r.problems.items[0].text, "{if} and {each} are nested too deeply");
	done(&r);
	buffer_deinit(&source);
}

/* One error round inside another: whatever it means, it must end. */
static void
each_error_in_each_error(void **state)
{
	struct rendering r;
	int result;

	(void)state;
	result = render(&r, SPAN("{each error}\n{each error}\nZZZ|1\n{end}\n{end}\nZZZ|2\n"),
		SPAN(ORU), 2, 1000);
	assert_int_equal(result, TEMPLATE_E_INVALID);
	assert_int_equal(r.problems.items[0].line, 2);
	done(&r);
}

static void
long_condition(void **state)
{
	struct buffer source = BUFFER_INIT(100000);
	struct rendering r;
	int i;

	(void)state;
	assert_int_equal(buffer_append(&source, SPAN("{if PID-99")), 0);
	for (i = 0; i < 200; i++)
		assert_int_equal(buffer_append(&source, SPAN(" or PID-99")), 0);
	assert_int_equal(buffer_append(&source, SPAN("}\nZZZ|1\n{else}\nZZZ|2\n{end}\n")), 0);
	assert_int_equal(render(&r, buffer_span(&source), SPAN(ORU), 0, 1000), 0);
	assert_span_equal(buffer_span(&r.out), SPAN("ZZZ|2\r"));
	done(&r);
	buffer_clear(&source);
	assert_int_equal(buffer_append(&source, SPAN("{if PID-99")), 0);
	for (i = 0; i < 5000; i++)
		assert_int_equal(buffer_append(&source, SPAN(" or PID-99")), 0);
	assert_int_equal(buffer_append(&source, SPAN("}\nZZZ|1\n{end}\n")), 0);
	assert_int_equal(render(&r, buffer_span(&source), SPAN(ORU), 0, 1000), TEMPLATE_E_INVALID);
	assert_string_equal(r.problems.items[0].text, "the condition is too long");
	done(&r);
	buffer_deinit(&source);
}

static void
source_limit(void **state)
{
	struct buffer source = BUFFER_INIT(TEMPLATE_SOURCE_BYTES_MAX + 1);
	struct problems problems = { 0 };
	struct template *t = NULL;

	(void)state;
	assert_int_equal(buffer_append(&source, SPAN("ZZZ|1")), 0);
	while (source.n < TEMPLATE_SOURCE_BYTES_MAX)
		assert_int_equal(buffer_append_byte(&source, '\n'), 0);
	assert_int_equal(template_compile(buffer_span(&source), TEMPLATE_ACKNOWLEDGEMENT, NULL, &t,
				 &problems),
		0);
	template_free(t);
	assert_int_equal(buffer_append_byte(&source, '\n'), 0);
	assert_int_equal(template_compile(buffer_span(&source), TEMPLATE_ACKNOWLEDGEMENT, NULL, &t,
				 &problems),
		TEMPLATE_E_INVALID);
	assert_int_equal(problems.n_errors, 1);
	buffer_deinit(&source);
	template_free(NULL);
}

/* --- rendering that fails
 * ---------------------------------------------------------------------------- */

static void
required_values(void **state)
{
	struct rendering r;

	(void)state;
	assert_int_equal(render(&r,
				 SPAN("ZZZ|{PID-2:required}|{PID-3.1:required}|{9-9:required}\n"
				      "ZZZ|{OBX[2]-7[1].2 or PID-99:required}\n"),
				 SPAN(ORU), 0, 1000),
		TEMPLATE_E_REFUSED);
	assert_int_equal(r.failures.n, 3);
	assert_string_equal(r.failures.items[0].at.segment, "PID");
	assert_int_equal(r.failures.items[0].at.field, 2);
	assert_string_equal(r.failures.items[1].at.segment, "");
	assert_string_equal(r.failures.items[2].at.segment, "OBX");
	assert_int_equal(r.failures.items[2].at.occurrence, 2);
	assert_int_equal(r.failures.items[2].at.field, 7);
	assert_int_equal(r.failures.items[2].at.repetition, 1);
	assert_int_equal(r.failures.items[2].at.component, 2);
	done(&r);
}

static void
required_in_a_branch_not_taken(void **state)
{
	struct rendering r;

	(void)state;
	assert_int_equal(render(&r, SPAN("{if PID-99}\nZZZ|{PID-2:required}\n{end}\nZZZ|1\n"),
				 SPAN(ORU), 0, 1000),
		0);
	assert_int_equal(r.failures.n, 0);
	done(&r);
}

static void
more_required_than_told(void **state)
{
	struct buffer source = BUFFER_INIT(1000);
	struct rendering r;
	int i;

	(void)state;
	for (i = 0; i < TEMPLATE_FAILURES_MAX + 5; i++)
		assert_int_equal(buffer_append(&source, SPAN("ZZZ|{PID-2:required}\n")), 0);
	assert_int_equal(render(&r, buffer_span(&source), SPAN(ORU), 0, 1000), TEMPLATE_E_REFUSED);
	assert_int_equal(r.failures.n, TEMPLATE_FAILURES_MAX + 5);
	done(&r);
	buffer_deinit(&source);
}

/* Every limit from nothing up: too large, until it is exactly enough. */
static void
result_limit(void **state)
{
	struct rendering r;
	size_t max, enough = sizeof("ZZZ|77^^^HOSP&1.2.3&ISO^MR~88^^^CITY|\\F\\\r") - 1;

	(void)state;
	for (max = 0; max < enough; max++) {
		assert_int_equal(render(&r, SPAN("ZZZ|{PID-3}|{MSH-1}\n"), SPAN(ORU), 0, max),
			TEMPLATE_E_TOO_LARGE);
		done(&r);
	}
	assert_int_equal(render(&r, SPAN("ZZZ|{PID-3}|{MSH-1}\n"), SPAN(ORU), 0, enough), 0);
	assert_int_equal(r.out.n, enough);
	done(&r);
}

/* --- problems for a reader
 * --------------------------------------------------------------------------- */

struct format_case {
	const char *name;
	struct span source;
	struct problem problem;
	struct span text;
};

static const struct format_case formats[] = {
	{ "an error, its line and a caret", BYTES("ZZZ|1\nZZZ|{x}\n"), { 2, 6, false, "no" },
		BYTES("a.hl7t:2:6: error: no\nZZZ|{x}\n     ^\n") },
	{ "a warning", BYTES("ZZZ|1"), { 1, 1, true, "hm" },
		BYTES("a.hl7t:1:1: warning: hm\nZZZ|1\n^\n") },
	{ "a tab stays one under its line", BYTES("\tZZZ|{x}\r\n"), { 1, 6, false, "no" },
		BYTES("a.hl7t:1:6: error: no\n\tZZZ|{x}\n\t    ^\n") },
	{ "columns are characters", BYTES("\xC3\xA4\xE2\x82\xAC{x}\n"), { 1, 3, false, "no" },
		BYTES("a.hl7t:1:3: error: no\n\xC3\xA4\xE2\x82\xAC{x}\n  ^\n") },
	{ "a column behind the line", BYTES("ZZ\n"), { 1, 9, false, "no" },
		BYTES("a.hl7t:1:9: error: no\nZZ\n  ^\n") },
	{ "a line that is not there", BYTES("ZZ\n"), { 9, 1, false, "no" },
		BYTES("a.hl7t:9:1: error: no\n\n^\n") },
	{ "no line: a file that cannot be read", BYTES(""), { 0, 0, false, "no" },
		BYTES("a.hl7t: error: no\n") },
};

static void
format(void **state)
{
	const struct format_case *c = *state;
	struct buffer out = BUFFER_INIT(1000);
	struct guard g = guard_map(c->source.n, 1);

	assert_int_equal(problem_format(&out, "a.hl7t", guard_copy(&g, c->source), &c->problem), 0);
	assert_span_equal(buffer_span(&out), c->text);
	buffer_deinit(&out);
	guard_unmap(&g);
}

static void
long_problem(void **state)
{
	static struct problems p;
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	problem_add(&p, 1, 2, true, "%s", text);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.n_errors, 0);
	assert_int_equal(strlen(p.items[0].text), PROBLEM_TEXT_BYTES - 1);
}

/* --- files
 * ------------------------------------------------------------------------------------------- */

struct loading {
	char path[64];
	size_t n_reports;
	char last[64];
	uint32_t line;
};

static void
write_file(const struct loading *l, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", l->path, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
note_report(void *userdata, const char *directory, const char *name, struct span source,
	const struct problems *problems)
{
	struct loading *l = userdata;

	(void)source;
	(void)directory;
	l->n_reports++;
	(void)snprintf(l->last, sizeof(l->last), "%s", name);
	l->line = problems->items[0].line;
}

static int
load(struct template_set *set, const char *path, enum template_kind kind, struct loading *l)
{
	const struct template_reporter reporter = { note_report, l };

	return template_load(set, path, kind, NULL, &reporter);
}

static void
a_folder_of_templates(void **state)
{
	static const char *const others[] = { "note.txt", ".hidden.hl7t", ".hl7t", "c.hl7t~" };
	struct loading l = { .path = "/tmp/test-template-XXXXXX" };
	struct template_set set;
	char path[200];
	size_t i;

	(void)state;
	assert_non_null(mkdtemp(l.path));
	write_file(&l, "20-second.hl7t", "ZZZ|2\n");
	write_file(&l, "10-first.hl7t", "ZZZ|1\n");
	write_file(&l, "15-broken.hl7t", "# broken\nZZZ|{nonsense}\n");
	for (i = 0; i < N_OF(others); i++)
		write_file(&l, others[i], "ZZZ|{nonsense}\n");
	assert_int_equal(load(&set, l.path, TEMPLATE_ACKNOWLEDGEMENT, &l), 0);
	assert_int_equal(set.n, 3);
	assert_string_equal(set.files[0].name, "10-first.hl7t");
	assert_string_equal(set.files[1].name, "15-broken.hl7t");
	assert_string_equal(set.files[2].name, "20-second.hl7t");
	assert_non_null(set.files[0].template);
	assert_null(set.files[1].template);
	assert_non_null(set.files[2].template);
	assert_int_equal(l.n_reports, 1);
	assert_string_equal(l.last, "15-broken.hl7t");
	assert_int_equal(l.line, 2);
	for (i = 0; i < set.n; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", l.path, set.files[i].name);
		assert_int_equal(unlink(path), 0);
	}
	for (i = 0; i < N_OF(others); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", l.path, others[i]);
		assert_int_equal(unlink(path), 0);
	}
	template_set_deinit(&set);
	assert_int_equal(load(&set, l.path, TEMPLATE_ACKNOWLEDGEMENT, &l), 0);
	assert_int_equal(set.n, 0);
	assert_int_equal(rmdir(l.path), 0);
	assert_int_equal(
		load(&set, l.path, TEMPLATE_ACKNOWLEDGEMENT, &l), 0); /* no folder: no template */
	assert_int_equal(set.n, 0);
	template_set_deinit(&set);
}

static void
files_that_are_none(void **state)
{
	struct loading l = { .path = "/tmp/test-template-XXXXXX" };
	struct template_set set;
	char folder[200], nowhere[200];

	(void)state;
	assert_non_null(mkdtemp(l.path));
	(void)snprintf(folder, sizeof(folder), "%s/a.hl7t", l.path);
	(void)snprintf(nowhere, sizeof(nowhere), "%s/b.hl7t", l.path);
	assert_int_equal(symlink("/", folder), 0);
	assert_int_equal(symlink("nowhere", nowhere), 0);
	assert_int_equal(load(&set, l.path, TEMPLATE_ACKNOWLEDGEMENT, &l), 0);
	assert_int_equal(set.n, 2);
	assert_null(set.files[0].template);
	assert_null(set.files[1].template);
	assert_int_equal(l.n_reports, 2);
	template_set_deinit(&set);
	assert_int_equal(unlink(folder), 0);
	assert_int_equal(unlink(nowhere), 0);
	assert_int_equal(rmdir(l.path), 0);
	assert_int_equal(load(&set, "/dev/null", TEMPLATE_ACKNOWLEDGEMENT, &l), -ENOTDIR);
	template_set_deinit(&set);
}

/* The templates that ship compile without a word. */
static void
shipped(void **state)
{
	struct problems problems = { 0 };
	struct template *t = NULL;
	struct loading l = { .path = "" };
	struct template_set set;
	const char *folder = getenv("HL7_TEMPLATES");
	size_t i;

	(void)state;
	assert_int_equal(template_compile(template_shipped_ack(), TEMPLATE_ACKNOWLEDGEMENT, NULL,
				 &t, &problems),
		0);
	assert_int_equal(problems.n, 0);
	template_free(t);
	assert_non_null(folder);
	assert_int_equal(load(&set, folder, TEMPLATE_ACKNOWLEDGEMENT, &l), 0);
	assert_true(set.n >= 2);
	for (i = 0; i < set.n; i++) /* the others are conversions: tests/convert has them */
		assert_true(set.files[i].template ||
			    !span_starts(span_str(set.files[i].name), SPAN("ack")));
	template_set_deinit(&set);
}

int
main(void)
{
	static struct suite ifs, whens, s;

	add_cases(&ifs, in_if, conditions);
	add_cases(&whens, in_when, conditions);
	add_cases(&s, rendered, renders);
	add_test(&s, "without a {when} a template always applies", without_when);
	add_test(&s, "{when} with another sender's delimiters", when_of_other_delimiters);
	add_cases(&s, wrong, wrongs);
	add_test(&s, "all problems are told at once", all_problems_at_once);
	add_test(&s, "more problems than are kept are counted", more_problems_than_kept);
	add_test(&s, "{if} as deep as can be, and one deeper", nested_as_deep_as_can_be);
	add_test(&s, "{each error} in {each error} is refused", each_error_in_each_error);
	add_test(&s, "a long condition, and one too long", long_condition);
	add_test(&s, "the longest template, and one byte more", source_limit);
	add_test(&s, "required values that are absent", required_values);
	add_test(&s, "a required value in a branch not taken", required_in_a_branch_not_taken);
	add_test(&s, "more absent values than are told", more_required_than_told);
	add_test(&s, "the limit of the result", result_limit);
	add_cases(&s, format, formats);
	add_test(&s, "a long problem is cut", long_problem);
	add_test(&s, "a folder of templates", a_folder_of_templates);
	add_test(&s, "files that are none", files_that_are_none);
	add_test(&s, "the templates that ship compile", shipped);
	return run_suite("conditions of {if}", &ifs) | run_suite("conditions of {when}", &whens) |
	       run_suite("template", &s);
}
