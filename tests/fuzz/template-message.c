/* SPDX-License-Identifier: MIT */

/*
 * A template and a message, with a NUL between them: no message can make more segments or fields
 * than the template's text has, nor write a byte that ends a segment or a frame.
 */

#include "template/template.h"

#include "fuzz.h"

#define N_ERRORS 2

/* What can be said of a template by looking at its text alone. */
struct text {
	bool simple; /* its lines are segments that begin with text; no hole writes structure of its
			own */
	bool own;    /* it writes with its own delimiters */
	size_t n_segments; /* at most, each line counted once a round */
	uint8_t field;
	size_t n_fields[64]; /* separators of each segment, where the text is simple */
};

static struct span
trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_from(s, 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

static bool
holds(struct span s, const char *word)
{
	return memmem(s.p, s.n, word, strlen(word)) != NULL;
}

/* Separators outside of holes; false when the line is none that can be counted. */
static bool
count_fields(struct span line, uint8_t separator, size_t *ret)
{
	size_t i = 0, hole;

	*ret = 0;
	while (i < line.n) {
		if (line.p[i] != '{' || (i + 1 < line.n && line.p[i + 1] == '{')) {
			*ret += line.p[i] == separator;
			i += line.p[i] == '{' || line.p[i] == '}' ? 2 : 1;
			continue;
		}
		hole = span_find(span_from(line, i), '}');
		/* a whole segment or message has separators of its own */
		if (span_find(span_from(span_first(line, i + hole), i), '-') == hole)
			return false;
		i += hole + 1;
	}
	return true;
}

static void
note_line(struct text *t, struct span line)
{
	bool header = span_starts(line, SPAN("MSH")) || span_starts(line, SPAN("FHS")) ||
		      span_starts(line, SPAN("BHS"));

	if (line.n == 0)
		return;
	if (line.p[0] == '{' && (line.n < 2 || line.p[1] != '{'))
		t->simple = false;
	if (header && line.n > 3)
		t->field = line.p[3];
	/* braces among the delimiters: what is text and what is a hole cannot be told at a glance
	 */
	if (header &&
		(count_byte(span_first(line, 9), '{') || count_byte(span_first(line, 9), '}')))
		t->simple = false;
	if (count_byte(line, '"') || t->n_segments >= sizeof(t->n_fields) / sizeof(t->n_fields[0]))
		t->simple = false;
	t->n_segments++;
}

static struct text
look_at(struct span source)
{
	struct text t = { .simple = true, .own = !holds(source, "delimiters"), .field = '|' };
	struct span rest = source, line;
	size_t n = 0;

	if (span_starts(rest, SPAN("\xEF\xBB\xBF")))
		rest = span_from(rest, 3);
	source = rest;
	while (span_cut(&rest, '\n', &line))
		if (!span_starts(trim(line), SPAN("#")))
			note_line(&t, trim(line));
	while (t.simple && span_cut(&source, '\n', &line))
		if (!span_starts(trim(line), SPAN("#")) && trim(line).n > 0)
			t.simple = count_fields(trim(line), t.field, &t.n_fields[n++]);
	return t;
}

static void
check_segments(const struct text *t, struct span result)
{
	struct span rest = result, segment;
	size_t n = 0;

	if (result.n == 0)
		return;
	require(result.p[result.n - 1] == '\r');
	rest.n--;
	while (span_cut(&rest, '\r', &segment)) {
		require(segment.n > 0);
		if (t->simple && t->own)
			require(count_byte(segment, t->field) == t->n_fields[n]);
		n++;
	}
	require(!t->simple || n == t->n_segments);
}

static void
check_result(struct span source, const struct message *m, struct span result)
{
	struct text t = look_at(source);
	size_t rounds = N_ERRORS > m->n_segments ? N_ERRORS : m->n_segments;

	if (holds(source, "message")) /* passes it through */
		return;
	require(!count_byte(result, 0x0B) && !count_byte(result, 0x1C) &&
		!count_byte(result, '\n'));
	/* nested rounds multiply: then only the form can be judged */
	if (!holds(source, "each"))
		require(count_byte(result, '\r') <= t.n_segments);
	else
		require(t.n_segments > 0 && rounds > 0);
	check_segments(&t, result);
}

static void
render(const struct template *t, struct span source, struct span bytes)
{
	static const struct template_error errors[N_ERRORS] = {
		{ .code = { (const uint8_t *)"100", 3 },
			.text = { (const uint8_t *)"a|b\r\n", 5 } },
		{ .location = { (const uint8_t *)"PID^1", 5 } },
	};
	struct control_id_source ids = { 0 };
	struct template_failures failures;
	struct buffer out = BUFFER_INIT((size_t)256 * 1024);
	struct message m;
	struct template_input in = {
		.message = &m,
		.errors = errors,
		.n_errors = N_ERRORS,
		.ids = &ids,
	};
	int r;

	(void)message_parse(&m, bytes);
	(void)template_applies(t, &in);
	r = template_render(t, &in, &out, &failures);
	require(r == 0 || r == TEMPLATE_E_REFUSED || r == TEMPLATE_E_TOO_LARGE);
	if (r == 0)
		check_result(source, &m, buffer_span(&out));
	buffer_deinit(&out);
	message_deinit(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	struct span source = span_first(input, span_find(input, 0));
	struct span bytes = span_from(input, source.n + 1);
	struct problems problems = { 0 };
	struct template *t = NULL;

	if (template_compile(source, TEMPLATE_ACKNOWLEDGEMENT, NULL, &t, &problems) == 0)
		render(t, source, bytes);
	template_free(t);
	return 0;
}
