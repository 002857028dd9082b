/* SPDX-License-Identifier: MIT */

/*
 * Any bytes that have a header get an answer that says the code it should, for every outcome and
 * mode, by the shipped template and by templates of a site, truthful or not. First byte: the
 * outcome; second: mode and templates; then the message.
 */

#include "ack/ack.h"

#include "fuzz.h"

/* Templates as a site may have them; the last one echoes what a peer sent into the place of the
 * code. */
static const char *const sources[] = {
	"MSH|^~\\&|OURS|HOME|{0-2}|{0-3}|{now}||ACK|{id}|P|2.4\nMSA|AA|{0-9}\n",
	"{when MSH-3 != \"\"}\nMSH!@#$%!{MSH-5 or "
	"\"OURS\"}!{MSH-4:required}\nMSA!{ack.code}!{MSH-10}!{ack.text}\n",
	"{delimiters source}\nMSH|^~\\&|{MSH-3}{MSH-4}\nMSA|{MSH-10}|{MSH-10}\nMSA|{ack.code}\n",
	"MSH|^~\\&|{MSH-3}\nMSA|{MSH-4}{ack.code}|{MSH-10}\n{each "
	"error}\nERR|{error.code}\n{end}\n",
};

#define N_SOURCES (sizeof(sources) / sizeof(sources[0]))

static struct template *shipped, *ours[N_SOURCES];

static void
compile(struct span source, struct template **ret)
{
	struct problems problems = { 0 };

	require(template_compile(source, TEMPLATE_ACKNOWLEDGEMENT, NULL, ret, &problems) == 0);
}

static void
compile_all(void)
{
	size_t i;

	if (shipped)
		return;
	compile(template_shipped_ack(), &shipped);
	for (i = 0; i < N_SOURCES; i++)
		compile(span_str(sources[i]), &ours[i]);
}

static bool
is_unbroken(struct span s)
{
	return !count_byte(s, '\r') && !count_byte(s, '\n') && !count_byte(s, 0x0B) &&
	       !count_byte(s, 0x1C);
}

static size_t
find_msa(const struct message *m, size_t *ret)
{
	size_t i, n = 0;

	for (i = 0; i < m->n_segments; i++)
		if (span_eq(message_segment_name(m, i), SPAN("MSA"))) {
			*ret = i;
			n++;
		}
	return n;
}

/* What holds for every answer, whoever's template made it. */
static void
check_answer(struct span bytes, const char *code, struct message *answer, size_t *ret_msa)
{
	require(message_parse(answer, bytes) == 0);
	require(answer->header == 0 && answer->preamble_bytes == 0);
	require(!count_byte(bytes, 0x0B) && !count_byte(bytes, 0x1C) && !count_byte(bytes, '\n'));
	require(bytes.p[bytes.n - 1] == '\r');
	require(find_msa(answer, ret_msa) == 1);
	require(span_eq(message_field(answer, *ret_msa, 1), span_str(code)));
}

/* What holds for the shipped one. */
static void
check_shipped(const struct message *m, const struct message *answer, size_t msa, bool refused)
{
	struct span id = message_header_field(m, 10);

	require(answer->n_headers == 1);
	require(answer->n_segments == (refused ? 3U : 2U));
	require(message_header_field(answer, 10).n == CONTROL_ID_CHARS);
	if (!delimiters_usable(&m->delimiters))
		return;
	require(delimiters_equal(&m->delimiters, &answer->delimiters));
	if (is_unbroken(id))
		require(span_eq(message_field(answer, msa, 2), id));
	if (is_unbroken(message_header_field(m, 3)))
		require(span_eq(message_header_field(answer, 5), message_header_field(m, 3)));
}

static void
answer(const struct message *m, enum outcome outcome, enum ack_class class, uint8_t choice)
{
	bool stored = outcome == OUTCOME_STORED || outcome == OUTCOME_DUPLICATE;
	const char *code = ack_code(
		choice & 3, class, message_header_field(m, 15), message_header_field(m, 16));
	struct template_file files[2] = {
		{ .template = ours[(choice >> 2) % N_SOURCES] },
		{ .template = ours[(choice >> 4) % N_SOURCES] },
	};
	struct template_set set = { .files = files, .n = choice >> 6 > 2 ? 2 : choice >> 6 };
	struct control_id_source ids = { 0 };
	struct ack_answer a = {
		.message = m,
		.outcome = outcome,
		.code = code,
		.input = { .ids = &ids,
			.variables = { [TEMPLATE_NOW] = { (const uint8_t *)"20240101", 8 } } },
	};
	struct buffer out = BUFFER_INIT(ACK_BYTES_MAX);
	struct template_failures failures;
	struct message parsed = MESSAGE_NULL;
	size_t msa = 0;
	int r;

	if (!code[0]) {
		require((choice & 3) == ACK_STRICT || class == ACK_NONE);
		return;
	}
	/* never positive for what was not stored */
	require((code[1] == 'A') == stored);
	r = ack_render(&set, shipped, &a, &out, &failures);
	require(r == 0 || (r == ACK_E_REFUSED && set.n > 0 && stored));
	if (r == 0)
		check_answer(buffer_span(&out), code, &parsed, &msa);
	if (r == 0 && set.n == 0)
		check_shipped(m, &parsed, msa, class != ACK_ACCEPT);
	message_deinit(&parsed);
	buffer_deinit(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	enum outcome outcome = take_byte(&input) % OUTCOME_N;
	uint8_t choice = take_byte(&input);
	struct message m;

	compile_all();
	(void)message_parse(&m, input);
	if (m.n_headers > 0) {
		(void)ack_is_acknowledgement(&m);
		answer(&m, outcome, outcome_info(outcome)->class, choice);
	}
	message_deinit(&m);
	return 0;
}
