/* SPDX-License-Identifier: MIT */
#include "ack/ack.h"

#include "guard.h"
#include "unit.h"

#include <string.h>

#define ID                                                                                         \
	"0000000010"                                                                               \
	"0000A"                                                                                    \
	"0000B"
#define NOW "20260102030405+0100"

/* --- which code
 * -------------------------------------------------------------------------------------- */

struct code_case {
	const char *name;
	enum ack_mode mode;
	const char *accept, *application; /* MSH-15, MSH-16 */
	const char *codes[3];             /* accepted, error, reject */
};

#define ORIGINAL                                                                                   \
	{                                                                                          \
		"AA", "AE", "AR"                                                                   \
	}
#define ENHANCED                                                                                   \
	{                                                                                          \
		"CA", "CE", "CR"                                                                   \
	}

static const struct code_case codes[] = {
	{ "auto: both empty", ACK_AUTO, "", "", ORIGINAL },
	{ "auto: NE", ACK_AUTO, "NE", "", ORIGINAL },
	{ "auto: NE, AL", ACK_AUTO, "NE", "AL", ORIGINAL },
	{ "auto: NE, NE is answered all the same", ACK_AUTO, "NE", "NE", ORIGINAL },
	{ "auto: empty, AL", ACK_AUTO, "", "AL", ORIGINAL },
	{ "auto: AL", ACK_AUTO, "AL", "", ENHANCED },
	{ "auto: AL, NE", ACK_AUTO, "AL", "NE", ENHANCED },
	{ "auto: AL, AL", ACK_AUTO, "AL", "AL", ENHANCED },
	{ "auto: ER", ACK_AUTO, "ER", "", { "AA", "CE", "CR" } },
	{ "auto: ER, AL", ACK_AUTO, "ER", "AL", { "AA", "CE", "CR" } },
	{ "auto: SU", ACK_AUTO, "SU", "", { "CA", "AE", "AR" } },
	{ "auto: SU, NE", ACK_AUTO, "SU", "NE", { "CA", "AE", "AR" } },
	{ "auto: an unknown value is as none", ACK_AUTO, "xx", "", ORIGINAL },
	{ "auto: a small al is unknown", ACK_AUTO, "al", "", ORIGINAL },
	{ "auto: blanks around it", ACK_AUTO, " AL ", "", ENHANCED },
	{ "auto: two values", ACK_AUTO, "AL~NE", "", ORIGINAL },
	{ "auto: delete-this", ACK_AUTO, "\"\"", "", ORIGINAL },
	{ "original: whatever is asked for", ACK_ORIGINAL, "AL", "NE", ORIGINAL },
	{ "original: nothing asked for", ACK_ORIGINAL, "", "", ORIGINAL },
	{ "original: SU", ACK_ORIGINAL, "SU", "", ORIGINAL },
	{ "enhanced: nothing asked for", ACK_ENHANCED, "", "", ENHANCED },
	{ "enhanced: NE", ACK_ENHANCED, "NE", "NE", ENHANCED },
	{ "enhanced: ER", ACK_ENHANCED, "ER", "AL", ENHANCED },
	{ "strict: both empty", ACK_STRICT, "", "", ORIGINAL },
	{ "strict: blanks are empty", ACK_STRICT, " ", "  ", ORIGINAL },
	{ "strict: NE, AL", ACK_STRICT, "NE", "AL", ORIGINAL },
	{ "strict: empty counts as NE beside AL", ACK_STRICT, "", "AL", ORIGINAL },
	{ "strict: NE, NE is silence", ACK_STRICT, "NE", "NE", { "", "", "" } },
	{ "strict: NE alone is silence", ACK_STRICT, "NE", "", { "", "", "" } },
	{ "strict: NE, ER", ACK_STRICT, "NE", "ER", { "", "AE", "AR" } },
	{ "strict: NE, SU", ACK_STRICT, "NE", "SU", { "AA", "", "" } },
	{ "strict: AL, NE", ACK_STRICT, "AL", "NE", ENHANCED },
	{ "strict: AL, AL", ACK_STRICT, "AL", "AL", ENHANCED },
	{ "strict: ER, NE", ACK_STRICT, "ER", "NE", { "", "CE", "CR" } },
	{ "strict: ER, AL", ACK_STRICT, "ER", "AL", { "AA", "CE", "CR" } },
	{ "strict: SU, NE", ACK_STRICT, "SU", "NE", { "CA", "", "" } },
	{ "strict: SU, AL", ACK_STRICT, "SU", "AL", { "CA", "AE", "AR" } },
	{ "strict: SU, ER", ACK_STRICT, "SU", "ER", { "CA", "AE", "AR" } },
	{ "strict: an unknown value asks for nothing", ACK_STRICT, "xx", "", { "", "", "" } },
};

static void
code(void **state)
{
	static const enum ack_class classes[] = { ACK_ACCEPT, ACK_ERROR, ACK_REJECT };
	const struct code_case *c = *state;
	size_t i;

	for (i = 0; i < 3; i++)
		assert_string_equal(ack_code(c->mode, classes[i], span_str(c->accept),
					    span_str(c->application)),
			c->codes[i]);
	assert_string_equal(
		ack_code(c->mode, ACK_NONE, span_str(c->accept), span_str(c->application)), "");
}

struct acknowledgement_case {
	const char *name;
	struct span type; /* MSH-9 */
	bool is;
};

static const struct acknowledgement_case acknowledgements[] = {
	{ "ACK", BYTES("ACK"), true },
	{ "ACK with an event", BYTES("ACK^A01"), true },
	{ "ACK with a structure", BYTES("ACK^R01^ACK"), true },
	{ "ACK with a blank", BYTES("ACK "), true },
	{ "ORU", BYTES("ORU^R01"), false },
	{ "ACK as an event", BYTES("ORU^ACK"), false },
	{ "a longer name", BYTES("ACKX"), false },
	{ "nothing", BYTES(""), false },
};

static void
acknowledgement(void **state)
{
	const struct acknowledgement_case *c = *state;
	struct buffer b = BUFFER_INIT(1000);
	struct message m;

	assert_int_equal(buffer_append(&b, SPAN("MSH|^~\\&|A|B|C|D|||")), 0);
	assert_int_equal(buffer_append(&b, c->type), 0);
	assert_int_equal(buffer_append(&b, SPAN("|1|P|2.5\rMSA|AA|1\r")), 0);
	assert_int_equal(message_parse(&m, buffer_span(&b)), 0);
	assert_int_equal(ack_is_acknowledgement(&m), c->is);
	message_deinit(&m);
	buffer_deinit(&b);
}

/* --- the answer
 * -------------------------------------------------------------------------------------- */

struct answering {
	struct guard guard;
	struct message message;
	struct template *shipped;
	struct template_file files[2];
	struct template_set set;
	struct control_id_source ids;
	struct buffer out;
	struct template_failures failures;
};

static struct template *
compile(const char *source)
{
	struct problems problems = { 0 };
	struct template *t = NULL;

	assert_int_equal(
		template_compile(span_str(source), TEMPLATE_ACKNOWLEDGEMENT, NULL, &t, &problems),
		0);
	return t;
}

/* Answers `bytes`; `first` and `second` are the sources of overriding templates, or NULL. */
static int
answer(struct answering *a, struct span bytes, enum outcome outcome, const char *wanted,
	const char *first, const char *second)
{
	struct problems problems = { 0 };
	struct ack_answer answer = {
		.outcome = outcome,
		.code = wanted,
		.input = {
			.now_usec = 36,
			.variables = { [TEMPLATE_NOW] = BYTES(NOW) },
		},
	};

	*a = (struct answering){
		.guard = guard_map(bytes.n, 1),
		.ids = { .last_usec = 35, .pid = 10, .random = 11 },
		.out = BUFFER_INIT(ACK_BYTES_MAX),
	};
	assert_int_equal(template_compile(template_shipped_ack(), TEMPLATE_ACKNOWLEDGEMENT, NULL,
				 &a->shipped, &problems),
		0);
	if (first)
		a->files[a->set.n++].template = compile(first);
	if (second)
		a->files[a->set.n++].template = compile(second);
	a->set.files = a->files;
	assert_int_equal(message_parse(&a->message, guard_copy(&a->guard, bytes)), 0);
	answer.message = &a->message;
	answer.input.ids = &a->ids;
	return ack_render(&a->set, a->shipped, &answer, &a->out, &a->failures);
}

static void
done(struct answering *a)
{
	size_t i;

	for (i = 0; i < a->set.n; i++)
		template_free(a->files[i].template);
	template_free(a->shipped);
	message_deinit(&a->message);
	buffer_deinit(&a->out);
	guard_unmap(&a->guard);
}

struct answer_case {
	const char *name;
	struct span bytes;
	enum outcome outcome;
	const char *code;
	struct span answer;
};

#define SENDER(type, id, version)                                                                  \
	"MSH|^~\\&|APP^1^ISO|FAC|RIS|HOSP|20240101||" type "|" id "|P^T|" version

#define ANSWER(type, version)                                                                      \
	"MSH|^~\\&|RIS|HOSP|APP^1^ISO|FAC|" NOW "||" type "|" ID "|P^T|" version "||||||\r"

static const struct answer_case answers[] = {
	/* the plain way, and every version's MSH-9 */
	{ "version 2.1", BYTES(SENDER("ORU^R01", "M1", "2.1") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK", "2.1") "MSA|AA|M1|\r") },
	{ "version 2.2", BYTES(SENDER("ORU^R01", "M1", "2.2") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK", "2.2") "MSA|AA|M1|\r") },
	{ "version 2.3", BYTES(SENDER("ORU^R01", "M1", "2.3") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK^R01", "2.3") "MSA|AA|M1|\r") },
	{ "version 2.3.1", BYTES(SENDER("ORU^R01", "M1", "2.3.1") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK^R01", "2.3.1") "MSA|AA|M1|\r") },
	{ "version 2.4", BYTES(SENDER("ORU^R01", "M1", "2.4") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK^R01^ACK", "2.4") "MSA|AA|M1|\r") },
	{ "version 2.5.1 with its components",
		BYTES(SENDER("ORU^R01^ORU_R01", "M1", "2.5.1^DEU") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK^R01^ACK", "2.5.1^DEU") "MSA|AA|M1|\r") },
	{ "version 2.9", BYTES(SENDER("ORU^R01^ORU_R01", "M1", "2.9") "\r"), OUTCOME_STORED, "CA",
		BYTES(ANSWER("ACK^R01^ACK", "2.9") "MSA|CA|M1|\r") },
	{ "no version", BYTES(SENDER("ORU^R01", "M1", "") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK", "") "MSA|AA|M1|\r") },
	{ "a version that is none", BYTES(SENDER("ORU^R01", "M1", "V2") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK", "V2") "MSA|AA|M1|\r") },
	{ "no event", BYTES(SENDER("ORU", "M1", "2.5") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK", "2.5") "MSA|AA|M1|\r") },
	{ "the longest event is cut", BYTES(SENDER("ORU^&&&&&&&&&&&&&&&&&&&&&&", "M1", "2.5") "\r"),
		OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK^&&&&&&&&&&&&&&&&^ACK", "2.5") "MSA|AA|M1|\r") },
	{ "a short header", BYTES("MSH|^~\\&|A\r"), OUTCOME_STORED, "AA",
		BYTES("MSH|^~\\&|||A||" NOW "||ACK|" ID "||||||||\rMSA|AA||\r") },
	{ "the character set is copied",
		BYTES(SENDER("ADT^A01", "M1", "2.5") "||||||UNICODE UTF-8~X\r"), OUTCOME_STORED,
		"AA",
		BYTES("MSH|^~\\&|RIS|HOSP|APP^1^ISO|FAC|" NOW "||ACK^A01^ACK|" ID
		      "|P^T|2.5||||||UNICODE UTF-8~X\rMSA|AA|M1|\r") },
	/* refused: ERR-1 up to 2.4 */
	{ "refused, version 2.3", BYTES(SENDER("ORU^R01", "", "2.3") "\r"), OUTCOME_NO_CONTROL_ID,
		"AE",
		BYTES(ANSWER("ACK^R01", "2.3") "MSA|AE||MSH-10 (message control id) is empty\r"
					       "ERR|MSH^1^10^101&Required field missing|MSH^1^10"
					       "|101^Required field missing^HL70357|E||||MSH-10 "
					       "(message control id) is empty\r") },
	{ "refused, version 2.4", BYTES(SENDER("ORU^R01", "M1", "2.4") "\r"),
		OUTCOME_STORAGE_FAILED, "AR",
		BYTES(ANSWER("ACK^R01^ACK", "2.4") "MSA|AR|M1|the message could not be stored\r"
						   "ERR|^^^207&Application internal "
						   "error||207^Application internal error^HL70357"
						   "|E||||the message could not be stored\r") },
	{ "refused, version 2.5", BYTES(SENDER("ORU^R01", "", "2.5") "\r"), OUTCOME_NO_CONTROL_ID,
		"CE",
		BYTES(ANSWER(
			"ACK^R01^ACK", "2.5") "MSA|CE||MSH-10 (message control id) is empty\r"
					      "ERR||MSH^1^10|101^Required field "
					      "missing^HL70357|E||||MSH-10 (message control id)"
					      " is empty\r") },
	{ "refused, no version", BYTES(SENDER("ORU^R01", "M1", "") "\r"), OUTCOME_TOO_LARGE, "AR",
		BYTES(ANSWER("ACK", "") "MSA|AR|M1|the message is larger than this receiver takes\r"
					"ERR|||207^Application internal error^HL70357|E||||the "
					"message is larger than this"
					" receiver takes\r") },
	/* MSA-2 byte for byte */
	{ "an id with escapes and structure",
		BYTES(SENDER("ORU^R01", "a^b&c~d\\F\\\\e", "2.1") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK", "2.1") "MSA|AA|a^b&c~d\\F\\\\e|\r") },
	{ "an id with blanks, NUL and bytes above ASCII",
		BYTES(SENDER("ORU^R01", " \0\xFF ", "2.1") "\r"), OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK", "2.1") "MSA|AA| \0\xFF |\r") },
	{ "an id of 300 characters",
		BYTES(SENDER("ORU^R01",
			"123456789 123456789 123456789 123456789 123456789 123456789 123456789 "
			"123456789 123456789 "
			"123456789 123456789 123456789 123456789 123456789 123456789 123456789 "
			"123456789 123456789 "
			"123456789 123456789 123456789 123456789 123456789 123456789 123456789 "
			"123456789 123456789 "
			"123456789 123456789 123456789 ",
			"2.1") "\r"),
		OUTCOME_STORED, "AA",
		BYTES(ANSWER("ACK", "2.1") "MSA|AA|"
					   "123456789 123456789 123456789 123456789 123456789 "
					   "123456789 123456789 123456789 123456789 "
					   "123456789 123456789 123456789 123456789 123456789 "
					   "123456789 123456789 123456789 123456789 "
					   "123456789 123456789 123456789 123456789 123456789 "
					   "123456789 123456789 123456789 123456789 "
					   "123456789 123456789 123456789 |\r") },
	{ "a line feed in an id cannot get out",
		BYTES(SENDER("ORU^R01", "a\nFORGED", "2.1") "\rPID|1\r"), OUTCOME_STORED, "AA",
		BYTES("MSH|^~\\&|RIS|HOSP|APP^1^ISO|FAC|" NOW "||ACK|" ID "|P^T|2.1||||||\r"
		      "MSA|AA|a\\X0A\\FORGED|\r") },
	/* the sender's delimiters */
	{ "other delimiters", BYTES("MSH!@#$%!APP@1!FAC!RIS!HOSP!!!ORU@R01!M|1!P!2.5\r"),
		OUTCOME_NO_CONTROL_ID, "AE",
		BYTES("MSH!@#$%!RIS!HOSP!APP@1!FAC!" NOW "!!ACK@R01@ACK!" ID "!P!2.5!!!!!!\r"
		      "MSA!AE!M|1!MSH-10 (message control id) is empty\r"
		      "ERR!!MSH@1@10!101@Required field missing@HL70357!E!!!!MSH-10 (message "
		      "control id)"
		      " is empty\r") },
	{ "three encoding characters", BYTES("MSH|^~\\|APP^1|FAC|RIS|HOSP|||ORU^R01|M&1|P|2.5\r"),
		OUTCOME_STORED, "AA",
		BYTES("MSH|^~\\|RIS|HOSP|APP^1|FAC|" NOW "||ACK^R01^ACK|" ID "|P|2.5||||||\r"
		      "MSA|AA|M&1|\r") },
	{ "five encoding characters", BYTES("MSH|^~\\&#|APP|FAC|RIS|HOSP|||ORU^R01|M#1|P|2.8\r"),
		OUTCOME_STORED, "AA",
		BYTES("MSH|^~\\&#|RIS|HOSP|APP|FAC|" NOW "||ACK^R01^ACK|" ID "|P|2.8||||||\r"
		      "MSA|AA|M#1|\r") },
	{ "encoding characters that are none",
		BYTES("MSH|^^^^|APP^1|FAC|RIS|HOSP|||ORU^R01|M1|P|2.5\r"), OUTCOME_STORED, "AA",
		BYTES("MSH|^~\\&|RIS|HOSP|APP^1|FAC|" NOW "||ACK^R01^ACK|" ID "|P|2.5||||||\r"
		      "MSA|AA|M1|\r") },
	{ "no encoding characters", BYTES("MSH||APP|FAC|RIS|HOSP|||ORU^R01|M1|P|2.5\r"),
		OUTCOME_STORED, "AA",
		BYTES("MSH|^~\\&|RIS|HOSP|APP|FAC|" NOW "||ACK^R01^ACK|" ID "|P|2.5||||||\r"
		      "MSA|AA|M1|\r") },
	{ "a separator that clashes: the standard's delimiters",
		BYTES("MSH^X^APP^FAC^RIS^HOSP^^^ORU^M|1^P^2.5\r"), OUTCOME_STORED, "AA",
		BYTES("MSH|^~\\&|RIS|HOSP|APP|FAC|" NOW "||ACK|" ID "|P|2.5||||||\r"
		      "MSA|AA|M\\F\\1|\r") },
	{ "a plus sign as a separator does not cut the time",
		BYTES("MSH+^~\\&+APP+FAC+RIS+HOSP+++ORU^R01+M1+P+2.5\r"), OUTCOME_STORED, "AA",
		BYTES("MSH+^~\\&+RIS+HOSP+APP+FAC+20260102030405\\F\\0100++ACK^R01^ACK+" ID
		      "+P+2.5++++++\rMSA+AA+M1+\r") },
	/* odd frames */
	{ "two headers: the first is answered",
		BYTES(SENDER("ORU^R01", "M1", "2.1") "\r" SENDER("ORU^R01", "M2", "2.5") "\r"),
		OUTCOME_SEVERAL_MESSAGES, "AE",
		BYTES(ANSWER("ACK", "2.1") "MSA|AE|M1|more than one MSH in a frame: send each "
					   "message in a frame of its own\r"
					   "ERR|MSH^2^^100&Segment sequence "
					   "error|MSH^2|100^Segment sequence error^HL70357|E||||"
					   "more than one MSH in a frame: send each message in a "
					   "frame of its own\r") },
	{ "something before the header", BYTES("MSHX\rZZZ|1\r" SENDER("ORU^R01", "M1", "2.5") "\r"),
		OUTCOME_HEADER_NOT_FIRST, "AE",
		BYTES(ANSWER("ACK^R01^ACK",
			"2.5") "MSA|AE|M1|a segment stands before the MSH\r"
			       "ERR||MSH^1|100^Segment sequence error^HL70357|E||||a segment "
			       "stands before the MSH\r") },
};

static void
answered(void **state)
{
	const struct answer_case *c = *state;
	struct answering a;

	assert_int_equal(answer(&a, c->bytes, c->outcome, c->code, NULL, NULL), 0);
	assert_span_equal(buffer_span(&a.out), c->answer);
	done(&a);
}

/* --- templates of the site
 * --------------------------------------------------------------------------- */

#define MINIMAL        "MSH|^~\\&|OURS|HOME|{0-2}|{0-3}|{now}||ACK|{id}|P|2.4\nMSA|AA|{0-9}\n"
#define MINIMAL_ANSWER "MSH|^~\\&|OURS|HOME|APP^1^ISO|FAC|" NOW "||ACK|" ID "|P|2.4\rMSA|AA|M1\r"
#define LIAR           "MSH|^~\\&|LIAR\nMSA|AA|{MSH-10}\n"

struct override_case {
	const char *name;
	enum outcome outcome;
	const char *code, *first, *second;
	int result;
	const char *begins; /* what the answer begins with */
	const char *msa;    /* and what is in it */
};

#define SHIPPED "MSH|^~\\&|RIS|HOSP|APP^1^ISO|FAC|"

static const struct override_case overrides[] = {
	{ "the minimal one, when it is so", OUTCOME_STORED, "AA", MINIMAL, NULL, 0, MINIMAL_ANSWER,
		"" },
	{ "a literal AA for a refusal: the shipped one", OUTCOME_STORAGE_FAILED, "AR", MINIMAL,
		NULL, 0, SHIPPED, "\rMSA|AR|M1|" },
	{ "a literal AA for CA: the shipped one", OUTCOME_STORED, "CA", MINIMAL, NULL, 0, SHIPPED,
		"\rMSA|CA|M1|" },
	{ "a literal AA for AE: the shipped one", OUTCOME_NO_CONTROL_ID, "AE", LIAR, NULL, 0,
		SHIPPED, "\rMSA|AE|M1|" },
	{ "one that says the code", OUTCOME_STORAGE_FAILED, "AR",
		"MSH|^~\\&|OURS\nMSA|{ack.code}|{MSH-10}\n", NULL, 0, "MSH|^~\\&|OURS\rMSA|AR|M1\r",
		"" },
	{ "the first that applies", OUTCOME_STORED, "AA",
		"{when MSH-3.1 == \"OTHER\"}\nMSH|^~\\&|ONE\nMSA|AA|{MSH-10}\n",
		"{when MSH-3.1 == \"APP\"}\nMSH|^~\\&|TWO\nMSA|AA|{MSH-10}\n", 0,
		"MSH|^~\\&|TWO\rMSA|AA|M1\r", "" },
	{ "the first of two that apply", OUTCOME_STORED, "AA", "MSH|^~\\&|ONE\nMSA|AA|{MSH-10}\n",
		"MSH|^~\\&|TWO\nMSA|AA|{MSH-10}\n", 0, "MSH|^~\\&|ONE\rMSA|AA|M1\r", "" },
	{ "none applies: the shipped one", OUTCOME_STORED, "AA",
		"{when MSH-3.1 == \"OTHER\"}\nMSH|^~\\&|ONE\nMSA|AA|{MSH-10}\n", NULL, 0, SHIPPED,
		"\rMSA|AA|M1|" },
	{ "{when} for refusals only", OUTCOME_STORAGE_FAILED, "AR",
		"{when ack.code != \"AA\"}\nMSH|^~\\&|SORRY\nMSA|{ack.code}|{MSH-10}|{ack.text}\n",
		NULL, 0, "MSH|^~\\&|SORRY\rMSA|AR|M1|the message could not be stored\r", "" },
	{ "one without an MSA: the shipped one", OUTCOME_STORED, "AA", "MSH|^~\\&|OURS\n", NULL, 0,
		SHIPPED, "\rMSA|AA|M1|" },
	{ "one with two MSA: the shipped one", OUTCOME_STORED, "AA",
		"MSH|^~\\&|OURS\nMSA|AA|{MSH-10}\nMSA|AA|{MSH-10}\n", NULL, 0, SHIPPED,
		"\rMSA|AA|M1|" },
	{ "one without a header: the shipped one", OUTCOME_STORED, "AA", "MSA|AA|{MSH-10}\n", NULL,
		0, SHIPPED, "\rMSA|AA|M1|" },
	{ "one that begins with another segment: the shipped one", OUTCOME_STORED, "AA",
		"ZZZ|1\nMSH|^~\\&|OURS\nMSA|AA|{MSH-10}\n", NULL, 0, SHIPPED, "\rMSA|AA|M1|" },
	{ "one that echoes the message: the shipped one", OUTCOME_STORED, "AA", "{message}\n", NULL,
		0, SHIPPED, "\rMSA|AA|M1|" },
	{ "a required value that is there", OUTCOME_STORED, "AA",
		"MSH|^~\\&|{MSH-4:required}\nMSA|AA|{MSH-10}\n", NULL, 0,
		"MSH|^~\\&|FAC\rMSA|AA|M1\r", "" },
	{ "a required value that is absent", OUTCOME_STORED, "AA",
		"MSH|^~\\&|{PID-5:required}\nMSA|AA|{MSH-10}\n", NULL, ACK_E_REFUSED, "", "" },
	{ "a required value that is absent does not keep a refusal back", OUTCOME_VALUE_REFUSED,
		"AE", "MSH|^~\\&|{PID-5:required}\nMSA|{ack.code}|{MSH-10}\n", NULL, 0, SHIPPED,
		"\rMSA|AE|M1|" },
};

static bool
holds(struct span whole, struct span part)
{
	return part.n == 0 || memmem(whole.p, whole.n, part.p, part.n) != NULL;
}

static void
overridden(void **state)
{
	const struct override_case *c = *state;
	struct answering a;
	int r;

	r = answer(&a, SPAN(SENDER("ORU^R01", "M1", "2.1") "\r"), c->outcome, c->code, c->first,
		c->second);
	assert_int_equal(r, c->result);
	if (r == 0 && !c->msa[0])
		assert_span_equal(buffer_span(&a.out), span_str(c->begins));
	if (r == 0 && !span_starts(buffer_span(&a.out), span_str(c->begins)))
		assert_span_equal(buffer_span(&a.out), span_str(c->begins));
	assert_true(r || holds(buffer_span(&a.out), span_str(c->msa)));
	if (r == ACK_E_REFUSED) {
		assert_int_equal(a.failures.n, 1);
		assert_string_equal(a.failures.items[0].at.segment, "PID");
		assert_int_equal(a.failures.items[0].at.field, 5);
	}
	done(&a);
}

/* A file of the folder that does not compile is no template. */
static void
broken_file_in_the_folder(void **state)
{
	struct answering a;
	struct ack_answer again;

	(void)state;
	assert_int_equal(answer(&a, SPAN(SENDER("ORU^R01", "M1", "2.1") "\r"), OUTCOME_STORED, "AA",
				 MINIMAL, NULL),
		0);
	a.files[1] = a.files[0];
	a.files[0].template = NULL;
	a.set.n = 2;
	again = (struct ack_answer){
		.message = &a.message,
		.outcome = OUTCOME_STORED,
		.code = "AA",
		.input = { .ids = &a.ids, .now_usec = 1 },
	};
	assert_int_equal(ack_render(&a.set, a.shipped, &again, &a.out, &a.failures), 0);
	assert_true(span_starts(buffer_span(&a.out), SPAN("MSH|^~\\&|OURS|")));
	done(&a);
}

/* One ERR for each value that a template refused, with its place and table 0357's code. */
static void
an_error_for_each_refused_value(void **state)
{
	const struct template_failures refused = {
		.items = {
			{ .refusal = TEMPLATE_REFUSAL_ABSENT,
				.at = { "OBX", .occurrence = 2, .field = 5, .repetition = 1,
					.component = 1 } },
			{ .refusal = TEMPLATE_REFUSAL_NO_ROW,
				.at = { "PID", .occurrence = 1, .field = 8 } },
			{ .refusal = TEMPLATE_REFUSAL_NO_TIME },
		},
		.n = 3,
	};
	struct answering a;
	struct ack_answer own;

	(void)state;
	assert_int_equal(answer(&a, SPAN(SENDER("ORU^R01", "M1", "2.4") "\r"),
				 OUTCOME_VALUE_REFUSED, "AE", NULL, NULL),
		0);
	own = (struct ack_answer){
		.message = &a.message,
		.outcome = OUTCOME_VALUE_REFUSED,
		.code = "AE",
		.failures = &refused,
		.input = { .ids = &a.ids, .now_usec = 1 },
	};
	buffer_clear(&a.out);
	assert_int_equal(ack_render(&a.set, a.shipped, &own, &a.out, &a.failures), 0);
	assert_true(holds(buffer_span(&a.out),
		SPAN("\rMSA|AE|M1|a value that is required here is absent\r"
		     "ERR|OBX^2^5^101&Required field missing|OBX^2^5^1^1"
		     "|101^Required field missing^HL70357|E||||a value that is required here is "
		     "absent\r"
		     "ERR|PID^1^8^103&Table value not found|PID^1^8|103^Table value not "
		     "found^HL70357"
		     "|E||||a value is not in the table that translates it\r"
		     "ERR|^^^102&Data type error||102^Data type error^HL70357|E||||a value that "
		     "must "
		     "be a time is none\r")));
	done(&a);
}

/* An answer that would pass its limit is none; what is too large to answer is not half answered. */
static void
answer_too_large(void **state)
{
	struct buffer b = BUFFER_INIT(2 * ACK_BYTES_MAX);
	struct answering a;
	size_t i;

	(void)state;
	assert_int_equal(buffer_append(&b, SPAN("MSH|^~\\&|")), 0);
	for (i = 0; i < ACK_BYTES_MAX; i++)
		assert_int_equal(buffer_append_byte(&b, 'x'), 0);
	assert_int_equal(buffer_append(&b, SPAN("|FAC|RIS|HOSP|||ORU^R01|M1|P|2.5\r")), 0);
	assert_int_equal(
		answer(&a, buffer_span(&b), OUTCOME_STORED, "AA", NULL, NULL), ACK_E_TEMPLATE);
	done(&a);
	assert_int_equal(
		answer(&a, buffer_span(&b), OUTCOME_STORED, "AA", MINIMAL, NULL), ACK_E_TEMPLATE);
	done(&a);
	buffer_deinit(&b);
}

/* --- the table of outcomes
 * --------------------------------------------------------------------------- */

/* Table 0357: 1xx are errors of content, 2xx rejects. But for 205, "duplicate key identifier",
 * which is the only one that says what is wrong with a reused control id: that sent again unchanged
 * it is wrong again. */
static bool
class_fits_code(enum outcome outcome)
{
	const struct outcome_info *o = outcome_info(outcome);

	if (outcome == OUTCOME_REUSED_ID)
		return o->class == ACK_ERROR && strncmp(o->code, "205^", 4) == 0;
	return o->code[0] == (o->class == ACK_ERROR ? '1' : '2');
}

static void
table_of_outcomes(void **state)
{
	const struct outcome_info *o, *other;
	int i, j;

	(void)state;
	for (i = 0; i < OUTCOME_N; i++) {
		o = outcome_info((enum outcome)i);
		assert_non_null(o->name);
		assert_int_equal(strspn(o->name, "abcdefghijklmnopqrstuvwxyz-"), strlen(o->name));
		for (j = 0; j < i; j++) {
			other = outcome_info((enum outcome)j);
			assert_string_not_equal(o->name, other->name);
		}
		assert_int_equal(strlen(o->message_id), 32);
		assert_int_equal(strspn(o->message_id, "0123456789abcdef"), 32);
		assert_int_equal(o->class == ACK_ERROR || o->class == ACK_REJECT, o->code != NULL);
		if (!o->code)
			continue;
		assert_true(class_fits_code((enum outcome)i));
		assert_non_null(strstr(o->code, "^HL70357"));
		assert_in_range(strlen(o->text), 1, 80);
		assert_non_null(o->location);
		assert_true(o->priority <= PRIORITY_WARNING);
	}
}

/* Only what is on disk is answered positively, now or since long. */
static void
only_stored_is_positive(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < OUTCOME_N; i++)
		assert_int_equal(outcome_info((enum outcome)i)->class == ACK_ACCEPT,
			i == OUTCOME_STORED || i == OUTCOME_DUPLICATE);
}

/* What a peer does wrong leaves no failed unit behind. */
static void
peers_do_not_fail_the_unit(void **state)
{
	static const enum outcome ours[] = { OUTCOME_TEMPLATE_BROKEN, OUTCOME_STORAGE_FAILED,
		OUTCOME_STORE_FULL, OUTCOME_NO_MEMORY };
	bool is_ours;
	size_t k;
	int i;

	(void)state;
	for (i = 0; i < OUTCOME_N; i++) {
		is_ours = false;
		for (k = 0; k < N_OF(ours); k++)
			is_ours = is_ours || (int)ours[k] == i;
		assert_int_equal(outcome_info((enum outcome)i)->exit_status != 0, is_ours);
	}
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, code, codes);
	add_cases(&s, acknowledgement, acknowledgements);
	add_cases(&s, answered, answers);
	add_cases(&s, overridden, overrides);
	add_test(&s, "a file that does not compile is passed over", broken_file_in_the_folder);
	add_test(&s, "place and text of the caller", an_error_for_each_refused_value);
	add_test(&s, "an answer that would be too large", answer_too_large);
	add_test(&s, "the table of outcomes is whole", table_of_outcomes);
	add_test(&s, "only what is stored is positive", only_stored_is_positive);
	add_test(&s, "what a peer does wrong ends with exit status 0", peers_do_not_fail_the_unit);
	return run_suite("ack", &s);
}
