/* SPDX-License-Identifier: MIT */

/* Holes and conditions: a tokenizer with one token of look-ahead and a recursive descent. */

#include "template/program.h"

#include <errno.h>

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,   /* PID-3[2].1, 0-9, ack.code, or, and */
	TOKEN_STRING, /* "text", quotes included */
	TOKEN_EQUAL,
	TOKEN_NOT_EQUAL,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_COLON,
	TOKEN_BAD, /* a character that belongs to nothing, or a string without its end */
};

struct parser {
	struct template *t;
	const struct place *place;
	struct problems *problems;
	struct span rest;
	enum token_kind kind; /* of the token in hand */
	struct span token;
	int depth;
	size_t n_conditions; /* of this expression: rendering walks them recursively */
};

/* Deeper than any hand writes, shallow enough for the stack. */
#define CONDITIONS_MAX 500

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool
is_word_byte(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c && strchr("-._[]*", c) != NULL);
}

/* The bytes of the string that `s` starts with, quotes included; "" inside is a quote. 0 without an end. */
static size_t
string_bytes(struct span s)
{
	size_t i = 1;

	while (i < s.n) {
		if (s.p[i] != '"')
			i++;
		else if (i + 1 < s.n && s.p[i + 1] == '"')
			i += 2;
		else
			return i + 1;
	}
	return 0;
}

size_t
hole_end(struct span text)
{
	size_t i = 0, n;

	while (i < text.n && text.p[i] != '}') {
		n = text.p[i] == '"' ? string_bytes(span_from(text, i)) : 1;
		if (n == 0)
			return text.n;
		i += n;
	}
	return i;
}

static enum token_kind
kind_of_symbol(struct span s, size_t *ret_n)
{
	*ret_n = 1;
	switch (s.p[0]) {
	case '(': return TOKEN_OPEN;
	case ')': return TOKEN_CLOSE;
	case ',': return TOKEN_COMMA;
	case ':': return TOKEN_COLON;
	default: break;
	}
	*ret_n = s.n < 2 ? 1 : 2;
	if (span_starts(s, SPAN("==")))
		return TOKEN_EQUAL;
	if (span_starts(s, SPAN("!=")))
		return TOKEN_NOT_EQUAL;
	*ret_n = 1;
	return TOKEN_BAD;
}

static void
advance(struct parser *p)
{
	size_t n = 0;

	while (p->rest.n && is_blank(p->rest.p[0]))
		p->rest = span_from(p->rest, 1);
	if (p->rest.n == 0) {
		p->kind = TOKEN_END;
	} else if (p->rest.p[0] == '"') {
		n = string_bytes(p->rest);
		p->kind = n ? TOKEN_STRING : TOKEN_BAD;
	} else if (is_word_byte(p->rest.p[0])) {
		while (n < p->rest.n && is_word_byte(p->rest.p[n]))
			n++;
		p->kind = TOKEN_WORD;
	} else {
		p->kind = kind_of_symbol(p->rest, &n);
	}
	p->token = span_first(p->rest, n);
	p->rest = span_from(p->rest, n);
}

static int
complain_at(struct parser *p, const uint8_t *at, const char *text)
{
	problem_add(p->problems, p->place->line, place_column(p->place, at), false, "%s", text);
	return TEMPLATE_E_INVALID;
}

static int
complain(struct parser *p, const char *text)
{
	return complain_at(p, p->token.p, text);
}

static bool
word_is(const struct parser *p, struct span word)
{
	return p->kind == TOKEN_WORD && span_eq(p->token, word);
}

static const struct {
	const char *name;
	enum template_variable variable;
} variables[] = {
	{ "now", TEMPLATE_NOW },
	{ "id", TEMPLATE_ID },
	{ "host", TEMPLATE_HOST },
	{ "peer.address", TEMPLATE_PEER_ADDRESS },
	{ "local.port", TEMPLATE_LOCAL_PORT },
	{ "ack.code", TEMPLATE_ACK_CODE },
	{ "ack.type", TEMPLATE_ACK_TYPE },
	{ "ack.text", TEMPLATE_ACK_TEXT },
	{ "error.location", TEMPLATE_ERROR_LOCATION },
	{ "error.eld", TEMPLATE_ERROR_ELD },
	{ "error.code", TEMPLATE_ERROR_CODE },
	{ "error.severity", TEMPLATE_ERROR_SEVERITY },
	{ "error.text", TEMPLATE_ERROR_TEXT },
};

static bool
find_variable(struct span word, enum template_variable *ret)
{
	size_t i;

	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		if (span_eq(word, span_str(variables[i].name))) {
			*ret = variables[i].variable;
			return true;
		}
	return false;
}

/* "0-9": two numbers, both below ADDRESS_NUMBER_MAX. */
static bool
parse_position(struct span word, struct source *s)
{
	uint32_t numbers[2] = { 0, 0 };
	size_t i, which = 0, digits = 0;

	for (i = 0; i < word.n; i++) {
		if (word.p[i] == '-' && which == 0 && digits > 0) {
			which = 1;
			digits = 0;
			continue;
		}
		if (word.p[i] < '0' || word.p[i] > '9' || ++digits > 5)
			return false;
		numbers[which] = numbers[which] * 10 + (uint32_t)(word.p[i] - '0');
	}
	*s = (struct source){ .kind = SOURCE_POSITION, .line = numbers[0], .piece = numbers[1] };
	return which == 1 && digits > 0;
}

static const char *
address_problem(int condition)
{
	switch (condition) {
	case ADDRESS_E_NUMBER:
		return "a number from 1 to 99999 is expected here (PID-3.1, OBX[2]-5)";
	case ADDRESS_E_BRACKET: return "a ] is missing";
	case ADDRESS_E_PARENTHESES:
		return "(n) is counted from 0 by other tools; write [n], counted from 1";
	case ADDRESS_E_TRAILING: return "nothing may follow the address here";
	default:
		return "neither an address (PID-3.1), a position (0-9), a text in quotes nor a known name";
	}
}

static int
parse_address(struct parser *p, struct source *s)
{
	size_t at = 0;
	int r;

	*s = (struct source){ .kind = SOURCE_ADDRESS };
	r = address_parse(p->token, &s->address, &at);
	if (r)
		return complain_at(p, p->token.p + at, address_problem(r));
	if (p->rest.n && p->rest.p[0] == '(')
		return complain_at(p, p->rest.p, address_problem(ADDRESS_E_PARENTHESES));
	return 0;
}

static int
parse_source(struct parser *p, struct source *s)
{
	enum template_variable variable;

	if (p->kind == TOKEN_STRING) {
		*s = (struct source){ .kind = SOURCE_TEXT,
			.text = span_of(p->token.p + 1, p->token.n - 2) };
		return 0;
	}
	if (p->kind == TOKEN_BAD && p->token.n == 0)
		return complain_at(p, p->rest.p, "the text has no closing \"");
	if (p->kind != TOKEN_WORD)
		return complain(p, "an address, a position, a text in quotes or a name is expected here");
	if (span_eq(p->token, SPAN("message"))) {
		*s = (struct source){ .kind = SOURCE_MESSAGE };
		return 0;
	}
	if (find_variable(p->token, &variable)) {
		*s = (struct source){ .kind = SOURCE_VARIABLE, .variable = variable };
		return 0;
	}
	return parse_position(p->token, s) ? 0 : parse_address(p, s);
}

static int
parse_filters(struct parser *p, struct hole *hole)
{
	while (p->kind == TOKEN_COLON) {
		advance(p);
		if (!word_is(p, SPAN("required")))
			return complain(p, "an unknown filter; known is :required");
		hole->required = true;
		advance(p);
	}
	return 0;
}

/* source { "or" source } { ":" filter } */
static int
parse_hole_expression(struct parser *p, size_t *ret_hole)
{
	struct hole hole = { .first_source = p->t->sources.n };
	struct source s;
	bool more = true;
	int r;

	while (more) {
		r = parse_source(p, &s);
		if (r)
			return r;
		if (!VECTOR_APPEND(&p->t->sources, s))
			return -ENOMEM;
		hole.n_sources++;
		advance(p);
		more = word_is(p, SPAN("or"));
		if (more)
			advance(p);
	}
	r = parse_filters(p, &hole);
	if (r)
		return r;
	*ret_hole = p->t->holes.n;
	return VECTOR_APPEND(&p->t->holes, hole) ? 0 : -ENOMEM;
}

/* In a condition `or` joins conditions, so a hole is a single source there. */
static int
parse_operand(struct parser *p, size_t *ret_hole)
{
	struct hole hole = { .first_source = p->t->sources.n, .n_sources = 1 };
	struct source s;
	int r = parse_source(p, &s);

	if (r)
		return r;
	advance(p);
	*ret_hole = p->t->holes.n;
	return VECTOR_APPEND(&p->t->sources, s) && VECTOR_APPEND(&p->t->holes, hole) ? 0 : -ENOMEM;
}

static int
add_condition(struct parser *p, enum condition_kind kind, size_t left, size_t right, size_t *ret)
{
	const struct condition c = { .kind = kind, .left = left, .right = right };

	if (++p->n_conditions > CONDITIONS_MAX)
		return complain(p, "the condition is too long");
	*ret = p->t->conditions.n;
	return VECTOR_APPEND(&p->t->conditions, c) ? 0 : -ENOMEM;
}

static int
expect(struct parser *p, enum token_kind kind, const char *text)
{
	if (p->kind != kind)
		return complain(p, text);
	advance(p);
	return 0;
}

/* hole "in" "(" text { "," text } ")" */
static int
parse_list(struct parser *p, size_t hole, size_t *ret)
{
	size_t other = 0, one = 0, all = 0;
	bool first = true;
	int r = expect(p, TOKEN_OPEN, "a ( is expected behind \"in\"");

	while (r == 0) {
		r = parse_operand(p, &other);
		if (r == 0)
			r = add_condition(p, CONDITION_EQUAL, hole, other, &one);
		if (r == 0 && !first)
			r = add_condition(p, CONDITION_OR, all, one, &one);
		all = one;
		first = false;
		if (r || p->kind != TOKEN_COMMA)
			break;
		advance(p);
	}
	*ret = all;
	return r ? r : expect(p, TOKEN_CLOSE, "a , or ) is expected in the list");
}

static int
parse_null(struct parser *p, size_t *ret)
{
	size_t hole = 0;
	int r;

	advance(p);
	r = expect(p, TOKEN_OPEN, "a ( is expected behind \"null\"");
	if (r == 0)
		r = parse_operand(p, &hole);
	if (r == 0)
		r = expect(p, TOKEN_CLOSE, "a ) is expected");
	return r ? r : add_condition(p, CONDITION_NULL, hole, 0, ret);
}

static int
parse_comparison(struct parser *p, size_t *ret)
{
	size_t hole = 0, other = 0;
	bool negate;
	int r;

	if (word_is(p, SPAN("null")))
		return parse_null(p, ret);
	r = parse_operand(p, &hole);
	if (r)
		return r;
	if (word_is(p, SPAN("in"))) {
		advance(p);
		return parse_list(p, hole, ret);
	}
	if (p->kind != TOKEN_EQUAL && p->kind != TOKEN_NOT_EQUAL)
		return add_condition(p, CONDITION_NOT_EMPTY, hole, 0, ret);
	negate = p->kind == TOKEN_NOT_EQUAL;
	advance(p);
	r = parse_operand(p, &other);
	if (r == 0)
		r = add_condition(p, CONDITION_EQUAL, hole, other, ret);
	return r || !negate ? r : add_condition(p, CONDITION_NOT, *ret, 0, ret);
}

static int parse_disjunction(struct parser *p, size_t *ret);

/* "not" unary | "(" disjunction ")" | comparison */
static int
parse_unary(struct parser *p, size_t *ret)
{
	int r;

	if (p->depth >= TEMPLATE_NESTING_MAX)
		return complain(p, "the condition is nested too deeply");
	p->depth++;
	if (word_is(p, SPAN("not"))) {
		advance(p);
		r = parse_unary(p, ret);
		if (r == 0)
			r = add_condition(p, CONDITION_NOT, *ret, 0, ret);
	} else if (p->kind == TOKEN_OPEN) {
		advance(p);
		r = parse_disjunction(p, ret);
		if (r == 0)
			r = expect(p, TOKEN_CLOSE, "a ) is expected");
	} else {
		r = parse_comparison(p, ret);
	}
	p->depth--;
	return r;
}

static int
parse_conjunction(struct parser *p, size_t *ret)
{
	size_t right = 0;
	int r = parse_unary(p, ret);

	while (r == 0 && word_is(p, SPAN("and"))) {
		advance(p);
		r = parse_unary(p, &right);
		if (r == 0)
			r = add_condition(p, CONDITION_AND, *ret, right, ret);
	}
	return r;
}

static int
parse_disjunction(struct parser *p, size_t *ret)
{
	size_t right = 0;
	int r = parse_conjunction(p, ret);

	while (r == 0 && word_is(p, SPAN("or"))) {
		advance(p);
		r = parse_conjunction(p, &right);
		if (r == 0)
			r = add_condition(p, CONDITION_OR, *ret, right, ret);
	}
	return r;
}

static struct parser
begin(struct template *t, const struct place *place, struct span text, struct problems *problems)
{
	struct parser p = { .t = t, .place = place, .problems = problems, .rest = text };

	advance(&p);
	return p;
}

int
parse_hole(struct template *t, const struct place *place, struct span text, struct problems *problems,
	size_t *ret_hole)
{
	struct parser p = begin(t, place, text, problems);
	int r = parse_hole_expression(&p, ret_hole);

	if (r)
		return r;
	return p.kind == TOKEN_END ? 0 : complain(&p, "\"or\", a filter or } is expected here");
}

int
parse_condition(struct template *t, const struct place *place, struct span text,
	struct problems *problems, size_t *ret_condition)
{
	struct parser p = begin(t, place, text, problems);
	int r = parse_disjunction(&p, ret_condition);

	if (r)
		return r;
	return p.kind == TOKEN_END ? 0 : complain(&p, "\"and\", \"or\" or } is expected here");
}
