/* SPDX-License-Identifier: MIT */

/* A template: any text compiles or says where it does not, and what compiles renders or says why it
 * does not. */

#include "template/template.h"

#include "fuzz.h"

#define MESSAGE                                                                                    \
	"MSH|^~\\&|APP^1^ISO|FAC|RIS|HOSP|20240101||ORU^R01|ID1|P|2.5\r"                           \
	"PID|1||77^^^HOSP&1.2&ISO~88||TEST^PATIENT||\"\"|F\r"                                      \
	"OBR|1||A1|SCAN\r"                                                                         \
	"OBX|1|NM|SCORE||1.5\r"                                                                    \
	"OBX|2|TX|NOTE||\\F\\ and \\T\\\r"

#define RESULT_MAX ((size_t)64 * 1024)

static void
check_problems(struct span source, const struct problems *p)
{
	struct buffer out = BUFFER_INIT(source.n * 2 + 1000);
	size_t lines = count_byte(source, '\n') + 1, i;

	require(p->n <= PROBLEMS_MAX);
	for (i = 0; i < p->n; i++) {
		require(p->items[i].line >= 1 && p->items[i].line <= lines);
		require(p->items[i].column >= 1 && p->items[i].column <= source.n + 1);
		require(p->items[i].text[0]);
		buffer_clear(&out);
		require(problem_format(&out, "t", source, &p->items[i]) == 0);
	}
	buffer_deinit(&out);
}

static void
render(const struct template *t, size_t max)
{
	static const struct template_error error = { .code = { (const uint8_t *)"100", 3 } };
	struct control_id_source ids = { 0 };
	struct message m;
	struct template_input in = { .message = &m, .errors = &error, .n_errors = 1, .ids = &ids };
	struct template_failures failures;
	struct buffer out = BUFFER_INIT(max);
	int r;

	require(message_parse(&m, SPAN(MESSAGE)) == 0);
	(void)template_applies(t, &in);
	r = template_render(t, &in, &out, &failures);
	require(r == 0 || r == TEMPLATE_E_REFUSED || r == TEMPLATE_E_TOO_LARGE);
	require((r == TEMPLATE_E_REFUSED) == (r != TEMPLATE_E_TOO_LARGE && failures.n > 0));
	require(!count_byte(buffer_span(&out), 0x0B) && !count_byte(buffer_span(&out), 0x1C));
	require(!count_byte(buffer_span(&out), '\n'));
	buffer_deinit(&out);
	message_deinit(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problems problems = { 0 };
	struct template *t = NULL;
	int r = template_compile(
		span_of(data, size), TEMPLATE_ACKNOWLEDGEMENT, NULL, &t, &problems);

	require(r == 0 || r == TEMPLATE_E_INVALID);
	require((r == 0) == (t != NULL) && (r != 0) == (problems.n_errors > 0));
	check_problems(span_of(data, size), &problems);
	if (t) {
		render(t, RESULT_MAX);
		render(t, 10);
	}
	template_free(t);
	return 0;
}
