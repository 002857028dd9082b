/* SPDX-License-Identifier: MIT */

/* Holes and conditions: a tokenizer with one token of look-ahead and a recursive descent. */

#include "template/program.h"
#include "template/suggest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

/* The bytes of the string that `s` starts with, quotes included; "" inside is a quote. 0 without an
 * end. */
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

static int __attribute__((format(printf, 3, 4)))
complain_at(struct parser *p, const uint8_t *at, const char *format, ...)
{
	char text[PROBLEM_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	problem_add(p->problems, p->place->line, place_column(p->place, at), false, "%s", text);
	return TEMPLATE_E_INVALID;
}

static int
complain(struct parser *p, const char *text)
{
	return complain_at(p, p->token.p, "%s", text);
}

static void __attribute__((format(printf, 3, 4)))
warn_at(struct parser *p, const uint8_t *at, const char *format, ...)
{
	char text[PROBLEM_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	problem_add(p->problems, p->place->line, place_column(p->place, at), true, "%s", text);
}

static bool
word_is(const struct parser *p, struct span word)
{
	return p->kind == TOKEN_WORD && span_eq(p->token, word);
}

static const char *const variable_names[TEMPLATE_N_VARIABLES] = {
	[TEMPLATE_NOW] = "now",
	[TEMPLATE_ID] = "id",
	[TEMPLATE_ROUND] = "n",
	[TEMPLATE_ACK_CODE] = "ack.code",
	[TEMPLATE_ACK_TYPE] = "ack.type",
	[TEMPLATE_ACK_TEXT] = "ack.text",
	[TEMPLATE_ERROR_LOCATION] = "error.location",
	[TEMPLATE_ERROR_ELD] = "error.eld",
	[TEMPLATE_ERROR_CODE] = "error.code",
	[TEMPLATE_ERROR_SEVERITY] = "error.severity",
	[TEMPLATE_ERROR_TEXT] = "error.text",
	[TEMPLATE_PEER_ADDRESS] = "peer.address",
	[TEMPLATE_LOCAL_PORT] = "local.port",
	[TEMPLATE_HOST] = "host",
};

static bool
find_variable(struct span word, enum template_variable *ret)
{
	unsigned i;

	if (word.p[0] < 'a') /* addresses and positions, which are most: no name begins so */
		return false;
	for (i = 0; i < TEMPLATE_N_VARIABLES; i++)
		if (span_eq(word, span_str(variable_names[i]))) {
			*ret = i;
			return true;
		}
	return false;
}

static bool
in_loop(const struct parser *p, enum op_kind kind)
{
	size_t i;

	for (i = 0; i < p->place->n_loops; i++)
		if (kind == OP_NEXT || p->place->loops[i].kind == kind)
			return true;
	return false;
}

/* Whether the name means something here. */
static int
check_variable(struct parser *p, enum template_variable variable)
{
	bool error = variable >= TEMPLATE_ERROR_LOCATION && variable <= TEMPLATE_ERROR_TEXT;
	bool ack = variable >= TEMPLATE_ACK_CODE && variable <= TEMPLATE_ACK_TEXT;

	if ((error || ack) && p->t->kind != TEMPLATE_ACKNOWLEDGEMENT)
		return complain(p, "ack.… and error.… are known in acknowledgement templates only");
	if (error && !in_loop(p, OP_EACH_ERROR))
		return complain(p, "error.… stands between {each error} and its {end}");
	if (variable == TEMPLATE_ROUND && !in_loop(p, OP_NEXT))
		return complain(p, "{n} stands between {each …} and its {end}");
	return 0;
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
	default: return "nothing may follow the address here";
	}
}

/* "pid-3.1" */
static bool
is_address_in_small_letters(struct span word)
{
	uint8_t capital[32];
	struct address a;
	size_t i, at;

	if (word.n > sizeof(capital))
		return false;
	for (i = 0; i < word.n; i++)
		capital[i] = (uint8_t)(word.p[i] >= 'a' && word.p[i] <= 'z' ? word.p[i] - 32
									    : word.p[i]);
	return word.n > 3 && address_parse(span_of(capital, word.n), &a, &at) == 0;
}

static int
complain_unknown(struct parser *p, struct span word)
{
	const char *names[TEMPLATE_N_VARIABLES + 1];
	const char *near;
	int n = word.n > 40 ? 40 : (int)word.n;

	memcpy(names, variable_names, sizeof(variable_names));
	names[TEMPLATE_N_VARIABLES] = "message";
	near = suggest_word(word, names, TEMPLATE_N_VARIABLES + 1);
	if (!near && is_address_in_small_letters(word))
		return complain_at(p, word.p, "segments are written in capital letters");
	if (near)
		return complain_at(p, word.p, "unknown name \"%.*s\"; did you mean %s?", n,
			(const char *)word.p, near);
	return complain_at(p, word.p,
		"\"%.*s\" is no address (PID-3.1), position (0-9), text in quotes or known name", n,
		(const char *)word.p);
}

static int
check_segment(struct parser *p, const struct address *a)
{
	struct span name = span_of(a->segment, 3);
	const char *near;

	if (segment_is_known(name))
		return 0;
	near = suggest_segment(name);
	if (near)
		return complain_at(
			p, p->token.p, "unknown segment %s; did you mean %s?", a->segment, near);
	return complain_at(
		p, p->token.p, "unknown segment %s; local ones begin with Z", a->segment);
}

/* In a round of {each OBX} there is one OBX: no second can ever be read. */
static void
warn_of_scope(struct parser *p, const struct address *a)
{
	const struct loop_scope *l;
	size_t i;

	for (i = 0; i < p->place->n_loops; i++) {
		l = &p->place->loops[i];
		if (l->kind == OP_EACH_SEGMENT && strcmp(l->address.segment, a->segment) == 0 &&
			a->occurrence > 1)
			warn_at(p, p->token.p,
				"there is one %s in a round of {each %s}: this is always empty",
				a->segment, a->segment);
		if (l->kind == OP_EACH_REPETITION && strcmp(l->address.segment, a->segment) == 0 &&
			l->address.field == a->field && l->address.occurrence == a->occurrence &&
			a->repetition > 1 && a->repetition != ADDRESS_ALL)
			warn_at(p, p->token.p,
				"a number here leaves the round of {each}: it counts all "
				"repetitions");
	}
}

/* Orders begin with their ORC, or OBR: a round that is smaller than an order ends with the next
 * one's. */
static void
warn_of_next_group(struct parser *p, const struct address *a)
{
	static const char *const inside[][2] = { { "OBR", "ORC" }, { "OBX", "ORC" },
		{ "OBX", "OBR" } };
	const struct loop_scope *l;
	bool around = false, smaller = false;
	size_t i, j;

	for (i = 0; i < p->place->n_loops; i++) {
		l = &p->place->loops[i];
		around |= l->kind == OP_EACH_SEGMENT && strcmp(l->address.segment, a->segment) == 0;
		for (j = 0; j < sizeof(inside) / sizeof(inside[0]); j++)
			smaller |= l->kind == OP_EACH_SEGMENT &&
				   strcmp(l->address.segment, inside[j][0]) == 0 &&
				   strcmp(a->segment, inside[j][1]) == 0;
	}
	if (smaller && !around)
		warn_at(p, p->token.p,
			"without {each %s} around it, this can be the next order's %s", a->segment,
			a->segment);
}

static int
find_slot(struct template *t, const struct address *a, size_t *ret)
{
	struct slot slot = { .occurrence = a->occurrence ? a->occurrence : 1 };
	size_t i;

	memcpy(slot.segment, a->segment, sizeof(slot.segment));
	for (i = 0; i < t->slots.n; i++)
		if (memcmp(&t->slots.items[i], &slot, sizeof(slot)) == 0)
			break;
	*ret = i;
	return i < t->slots.n || VECTOR_APPEND(&t->slots, slot) ? 0 : -ENOMEM;
}

static int
parse_address(struct parser *p, struct source *s)
{
	size_t at = 0;
	int r;

	*s = (struct source){ .kind = SOURCE_ADDRESS };
	r = address_parse(p->token, &s->address, &at);
	if (r == ADDRESS_E_SEGMENT ||
		(r == ADDRESS_E_TRAILING && at == 3 && is_word_byte(p->token.p[at]) &&
			p->token.p[at] != '.'))
		return complain_unknown(p, p->token);
	if (r)
		return complain_at(p, p->token.p + at, "%s", address_problem(r));
	if (p->rest.n && p->rest.p[0] == '(')
		return complain_at(p, p->rest.p, "%s", address_problem(ADDRESS_E_PARENTHESES));
	r = check_segment(p, &s->address);
	if (r)
		return r;
	warn_of_scope(p, &s->address);
	warn_of_next_group(p, &s->address);
	return find_slot(p->t, &s->address, &s->slot);
}

/* The text between quotes; where "" stands for a quote, a copy that the template owns. */
static int
unquote(struct template *t, struct span token, struct span *ret)
{
	struct span inside = span_of(token.p + 1, token.n - 2);
	uint8_t *copy;
	size_t i, n = 0;

	*ret = inside;
	if (!memmem(inside.p, inside.n, "\"\"", 2))
		return 0;
	copy = malloc(inside.n + 1);
	if (!copy)
		return -ENOMEM;
	for (i = 0; i < inside.n; i++) {
		copy[n++] = inside.p[i];
		i += inside.p[i] == '"'; /* two stand for one */
	}
	*ret = span_of(copy, n);
	if (VECTOR_APPEND(&t->texts, copy))
		return 0;
	free(copy);
	return -ENOMEM;
}

static int
parse_string(struct parser *p, struct span *ret)
{
	if (p->kind == TOKEN_BAD && p->token.n == 0)
		return complain_at(p, p->rest.p, "the text has no closing \"");
	if (p->kind != TOKEN_STRING)
		return complain(p, "a text in quotes is expected here");
	return unquote(p->t, p->token, ret);
}

static int
parse_source(struct parser *p, struct source *s)
{
	enum template_variable variable;

	if (p->kind == TOKEN_STRING || (p->kind == TOKEN_BAD && p->token.n == 0)) {
		*s = (struct source){ .kind = SOURCE_TEXT };
		return parse_string(p, &s->text);
	}
	if (p->kind != TOKEN_WORD)
		return complain(
			p, "an address, a position, a text in quotes or a name is expected here");
	if (span_eq(p->token, SPAN("message"))) {
		*s = (struct source){ .kind = SOURCE_MESSAGE };
		return 0;
	}
	if (find_variable(p->token, &variable)) {
		*s = (struct source){ .kind = SOURCE_VARIABLE, .variable = variable };
		return check_variable(p, variable);
	}
	return parse_position(p->token, s) ? 0 : parse_address(p, s);
}

/* --- filters --------------------------------------------------------------------------------- */

/* What a filter takes between its parentheses. */
enum arguments {
	ARGUMENTS_NONE,
	ARGUMENTS_TABLE,       /* (table) or (table, "default") */
	ARGUMENTS_TEXT,        /* ("text") */
	ARGUMENTS_NUMBER,      /* (20) */
	ARGUMENTS_NUMBER_TEXT, /* (6, "0") */
	ARGUMENTS_TEXTS,       /* ("a", "b") */
};

#define FILTER_NUMBER_MAX 100000

static const char *const filter_names[] = { "required", "map", "date", "upper", "lower", "trim",
	"first", "pad", "replace" };

static const enum arguments filter_arguments[] = {
	[FILTER_REQUIRED] = ARGUMENTS_NONE,
	[FILTER_MAP] = ARGUMENTS_TABLE,
	[FILTER_DATE] = ARGUMENTS_TEXT,
	[FILTER_UPPER] = ARGUMENTS_NONE,
	[FILTER_LOWER] = ARGUMENTS_NONE,
	[FILTER_TRIM] = ARGUMENTS_NONE,
	[FILTER_FIRST] = ARGUMENTS_NUMBER,
	[FILTER_PAD] = ARGUMENTS_NUMBER_TEXT,
	[FILTER_REPLACE] = ARGUMENTS_TEXTS,
};

#define N_FILTERS (sizeof(filter_names) / sizeof(filter_names[0]))

static int
expect(struct parser *p, enum token_kind kind, const char *text)
{
	if (p->kind != kind)
		return complain(p, text);
	advance(p);
	return 0;
}

static int
take_string(struct parser *p, struct span *ret)
{
	int r = parse_string(p, ret);

	if (r == 0)
		advance(p);
	return r;
}

static int
take_number(struct parser *p, size_t *ret)
{
	size_t i, n = 0;

	if (p->kind != TOKEN_WORD)
		return complain(p, "a number is expected here");
	for (i = 0; i < p->token.n && n <= FILTER_NUMBER_MAX; i++) {
		if (p->token.p[i] < '0' || p->token.p[i] > '9')
			return complain(p, "a number is expected here");
		n = n * 10 + (size_t)(p->token.p[i] - '0');
	}
	if (n == 0 || n > FILTER_NUMBER_MAX)
		return complain(p, "a number from 1 to 100000 is expected here");
	*ret = n;
	advance(p);
	return 0;
}

static int
complain_of_table(struct parser *p, struct span name)
{
	const char *names[64];
	const char *near;
	size_t i, n = p->place->tables ? p->place->tables->n : 0;

	n = n > 64 ? 64 : n;
	for (i = 0; i < n; i++)
		names[i] = p->place->tables->items[i].name;
	near = suggest_word(name, names, n);
	if (near)
		return complain_at(p, name.p, "there is no table %.*s; did you mean %s?",
			(int)(name.n > 40 ? 40 : name.n), (const char *)name.p, near);
	return complain_at(p, name.p, "there is no table %.*s.tsv",
		(int)(name.n > 40 ? 40 : name.n), (const char *)name.p);
}

static int
take_table(struct parser *p, struct filter *f)
{
	struct span name = p->token;
	int r;

	if (p->kind != TOKEN_WORD)
		return complain(p, "the name of a table is expected here");
	f->table = table_set_find(p->place->tables, name);
	if (!f->table)
		return complain_of_table(p, name);
	if (f->table->broken)
		return complain(p, "this table cannot be used; its own problems are told with it");
	advance(p);
	f->has_default = p->kind == TOKEN_COMMA;
	if (!f->has_default && !f->table->has_default)
		warn_at(p, name.p, "table %s has no * row: a value without a row is an error",
			f->table->name);
	if (f->has_default && f->table->has_default)
		warn_at(p, name.p, "table %s has a * row: the default here is never used",
			f->table->name);
	if (!f->has_default)
		return 0;
	advance(p);
	r = take_string(p, &f->text[0]);
	return r;
}

static int
take_date_format(struct parser *p, struct filter *f)
{
	struct span token = p->token;
	size_t at;
	int r = take_string(p, &f->text[0]);

	if (r == 0 && !filter_date_format_valid(f->text[0], &at))
		return complain_at(p, token.p + 1 + at,
			"unknown conversion; known are %%Y %%y %%m %%d %%H %%M %%S %%f %%z and "
			"%%%%");
	return r;
}

static int
take_two(struct parser *p, struct filter *f, enum arguments arguments)
{
	const uint8_t *at = p->token.p;
	int r = arguments == ARGUMENTS_TEXTS ? take_string(p, &f->text[0])
					     : take_number(p, &f->number);

	if (r == 0 && arguments == ARGUMENTS_TEXTS && f->text[0].n == 0)
		return complain_at(p, at, "an empty text is everywhere and cannot be replaced");
	if (r == 0)
		r = expect(p, TOKEN_COMMA, "a , and a text in quotes are expected here");
	return r ? r : take_string(p, &f->text[arguments == ARGUMENTS_TEXTS]);
}

static int
take_arguments(struct parser *p, struct filter *f)
{
	enum arguments arguments = filter_arguments[f->kind];
	int r;

	if (arguments == ARGUMENTS_NONE)
		return p->kind == TOKEN_OPEN
			       ? complain(p, "this filter takes nothing in parentheses")
			       : 0;
	r = expect(p, TOKEN_OPEN, "this filter takes its arguments in parentheses");
	if (r)
		return r;
	switch (arguments) {
	case ARGUMENTS_TABLE: r = take_table(p, f); break;
	case ARGUMENTS_TEXT: r = take_date_format(p, f); break;
	case ARGUMENTS_NUMBER: r = take_number(p, &f->number); break;
	case ARGUMENTS_NUMBER_TEXT:
	case ARGUMENTS_TEXTS: r = take_two(p, f, arguments); break;
	case ARGUMENTS_NONE: break;
	}
	return r ? r : expect(p, TOKEN_CLOSE, "a ) is expected here");
}

static int
parse_filter(struct parser *p, struct filter *f)
{
	const char *near;
	unsigned i = 0;

	if (p->kind != TOKEN_WORD)
		return complain(p, "the name of a filter is expected behind the colon");
	while (i < N_FILTERS && !span_eq(p->token, span_str(filter_names[i])))
		i++;
	if (i == N_FILTERS) {
		near = suggest_word(p->token, filter_names, N_FILTERS);
		if (near)
			return complain_at(
				p, p->token.p, "unknown filter; did you mean :%s?", near);
		return complain(p,
			"unknown filter; known are :required :map :date :upper :lower :trim "
			":first :pad :replace");
	}
	*f = (struct filter){ .kind = i };
	advance(p);
	return take_arguments(p, f);
}

static int
parse_filters(struct parser *p, struct hole *hole)
{
	struct filter f;
	int r;

	hole->first_filter = p->t->filters.n;
	while (p->kind == TOKEN_COLON) {
		advance(p);
		r = parse_filter(p, &f);
		if (r)
			return r;
		if (!VECTOR_APPEND(&p->t->filters, f))
			return -ENOMEM;
		hole->n_filters++;
	}
	return 0;
}

/* --- holes ----------------------------------------------------------------------------------- */

static struct hole
begin_hole(const struct parser *p)
{
	return (struct hole){
		.first_source = p->t->sources.n,
		.line = p->place->line,
		.column = place_column(p->place, p->token.p),
		.spelling = span_of(p->token.p, 0),
	};
}

/* Takes one source; the token behind it is in hand then. */
static int
add_source(struct parser *p, struct hole *hole)
{
	struct source s;
	struct span token = p->token;
	int r = parse_source(p, &s);

	if (r)
		return r;
	s.spelling = token;
	if (!VECTOR_APPEND(&p->t->sources, s))
		return -ENOMEM;
	hole->n_sources++;
	advance(p);
	return 0;
}

static int
finish_hole(struct parser *p, struct hole *hole, size_t *ret_hole)
{
	int r = parse_filters(p, hole);

	if (r)
		return r;
	hole->spelling.n = (size_t)(p->token.p - hole->spelling.p);
	while (is_blank(hole->spelling.p[hole->spelling.n - 1]))
		hole->spelling.n--;
	*ret_hole = p->t->holes.n;
	return VECTOR_APPEND(&p->t->holes, *hole) ? 0 : -ENOMEM;
}

/* source { "or" source } { ":" filter } */
static int
parse_hole_expression(struct parser *p, size_t *ret_hole)
{
	struct hole hole = begin_hole(p);
	int r = add_source(p, &hole);

	while (r == 0 && word_is(p, SPAN("or"))) {
		advance(p);
		r = add_source(p, &hole);
	}
	return r ? r : finish_hole(p, &hole, ret_hole);
}

/* --- conditions ------------------------------------------------------------------------------ */

/* In a condition `or` joins conditions, so a hole is a single source there, with its filters. */
static int
parse_operand(struct parser *p, size_t *ret_hole)
{
	struct hole hole = begin_hole(p);
	int r = add_source(p, &hole);

	return r ? r : finish_hole(p, &hole, ret_hole);
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
	if (p->kind == TOKEN_BAD && span_eq(p->token, SPAN("=")))
		return complain(p, "a comparison is written ==");
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
parse_hole(struct template *t, const struct place *place, struct span text,
	struct problems *problems, size_t *ret_hole)
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

int
parse_each(struct template *t, const struct place *place, struct span text,
	struct problems *problems, size_t *ret_source)
{
	struct parser p = begin(t, place, text, problems);
	struct source s;
	int r;

	if (p.kind != TOKEN_WORD)
		return complain(&p,
			"a segment (OBX), a field (PID-3) or \"error\" is expected behind {each");
	r = parse_address(&p, &s);
	if (r)
		return r;
	s.spelling = p.token;
	if (s.address.component || s.address.repetition)
		return complain(
			&p, "{each} goes through segments or the repetitions of a whole field");
	if (s.address.field == 0 && s.address.occurrence)
		return complain(&p, "{each OBX} goes through all of them; there is no number");
	advance(&p);
	if (p.kind != TOKEN_END)
		return complain(&p, "} is expected here");
	*ret_source = t->sources.n;
	return VECTOR_APPEND(&t->sources, s) ? 0 : -ENOMEM;
}

int
parse_quoted(struct template *t, const struct place *place, struct span text,
	struct problems *problems, struct span *ret, struct span *ret_rest)
{
	struct parser p = begin(t, place, text, problems);
	int r = take_string(&p, ret);

	*ret_rest = span_of(p.token.p, p.token.n + p.rest.n);
	return r;
}
