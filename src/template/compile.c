/* SPDX-License-Identifier: MIT */

/* From a template's text to its operations: line by line, all problems reported in one pass. */

#include "template/program.h"
#include "template/suggest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* An {if} or {each} whose {end} has not come yet. */
struct block {
	bool each;
	bool has_else;
	size_t begin;     /* the op that a round of {each} comes back to */
	size_t open_jump; /* the op whose target is the next {elif}, {else} or {end} */
	size_t exits;     /* chain of jumps to behind the {end}, through op.index; NO_OP ends it */
	uint32_t line;
};

#define NO_OP SIZE_MAX

struct compiler {
	struct template *t;
	struct problems *problems;
	struct place place; /* the line in hand */
	struct block blocks[TEMPLATE_NESTING_MAX];
	size_t n_blocks;
	size_t n_segments; /* lines that write */
	bool has_header;   /* an MSH line has set the delimiters */
	bool has_message;  /* {message} alone on a line */
};

uint32_t
place_column(const struct place *place, const uint8_t *at)
{
	const uint8_t *p;
	uint32_t column = 1;

	for (p = place->line_text.p; p < at; p++)
		column += (*p & 0xC0) != 0x80; /* bytes that begin a UTF-8 character */
	return column;
}

static int
complain(struct compiler *c, const uint8_t *at, const char *text)
{
	problem_add(c->problems, c->place.line, place_column(&c->place, at), false, "%s", text);
	return TEMPLATE_E_INVALID;
}

static void
warn(struct compiler *c, const uint8_t *at, const char *text)
{
	problem_add(c->problems, c->place.line, place_column(&c->place, at), true, "%s", text);
}

/* Two steps' outcomes: the fatal one, else the later problem. */
static int
keep_first(int first, int second)
{
	return first < 0 || second == 0 ? first : second;
}

static int
add_op(struct compiler *c, struct op op)
{
	return VECTOR_APPEND(&c->t->ops, op) ? 0 : -ENOMEM;
}

/* --- text with holes ------------------------------------------------------------------------- */

static int
add_literal(struct compiler *c, struct span text)
{
	size_t i;

	for (i = 0; i < text.n; i++)
		if (text.p[i] < ' ' && text.p[i] != '\t')
			return complain(
				c, text.p + i, "a control character cannot be part of a segment");
	return text.n == 0 ? 0 : add_op(c, (struct op){ .kind = OP_LITERAL, .text = text });
}

static bool
source_is_structure(const struct template *t, const struct hole *hole)
{
	const struct source *s;
	size_t i;

	for (i = 0; i < hole->n_sources; i++) {
		s = &t->sources.items[hole->first_source + i];
		if (s->kind == SOURCE_MESSAGE ||
			(s->kind == SOURCE_ADDRESS && s->address.field == 0))
			return true;
	}
	return false;
}

static bool
has_open_text(struct span text)
{
	size_t i, n = 0;

	for (i = 0; i < text.n; i++)
		n += text.p[i] == '"';
	return n % 2 == 1;
}

/* Whether a hole of whole segments leaves them whole. */
static bool
keeps_structure(const struct template *t, const struct hole *hole)
{
	const struct source *s = &t->sources.items[hole->first_source];
	size_t i;

	if (!source_is_structure(t, hole))
		return true;
	for (i = 0; i < hole->n_sources; i++)
		if (s[i].kind == SOURCE_MESSAGE)
			return false;
	for (i = 0; i < hole->n_filters; i++)
		if (t->filters.items[hole->first_filter + i].kind != FILTER_REQUIRED)
			return false;
	return true;
}

/* A hole of a segment; `text` starts behind its brace. Returns the bytes taken, brace included, in
 * *ret_n. `alone` when nothing else is on the line. */
static int
add_hole(struct compiler *c, struct span text, bool alone, size_t *ret_n)
{
	size_t end = hole_end(text), hole = 0;
	int r;

	*ret_n = text.n;
	if (end == text.n)
		return complain(c, text.p - 1,
			has_open_text(text) ? "the text has no closing \""
					    : "this hole has no closing }");
	*ret_n = end + 1;
	r = parse_hole(c->t, &c->place, span_first(text, end), c->problems, &hole);
	if (r)
		return r;
	if (!alone && source_is_structure(c->t, &c->t->holes.items[hole]))
		return complain(
			c, text.p - 1, "a whole segment or message stands alone on its line");
	if (!keeps_structure(c->t, &c->t->holes.items[hole]))
		return complain(c, text.p - 1,
			"a whole segment takes no filter but :required, and {message} no \"or\"");
	return add_op(c, (struct op){ .kind = OP_HOLE, .index = hole });
}

static bool
doubled(struct span s)
{
	return s.n > 1 && s.p[0] == s.p[1];
}

/* The bytes before the next brace. */
static size_t
literal_bytes(struct span s)
{
	size_t i = 0;

	while (i < s.n && s.p[i] != '{' && s.p[i] != '}')
		i++;
	return i;
}

/* One literal, brace or hole off the front of `rest`. */
static int
add_piece(struct compiler *c, struct span line, struct span *rest)
{
	struct span s = *rest;
	size_t n = literal_bytes(s);
	bool alone;
	int r;

	if (n > 0) {
		*rest = span_from(s, n);
		return add_literal(c, span_first(s, n));
	}
	if (doubled(s)) {
		*rest = span_from(s, 2);
		return add_literal(c, span_first(s, 1));
	}
	if (s.p[0] == '}') {
		*rest = span_from(s, 1);
		return complain(c, s.p, "a } without its {; a literal one is written }}");
	}
	alone = s.p == line.p && hole_end(span_from(s, 1)) + 2 == s.n;
	r = add_hole(c, span_from(s, 1), alone, &n);
	*rest = span_from(s, n + 1);
	return r;
}

/* Whether MSH-2 stands there as it was read: what cannot be used is replaced when a message is
 * read, but here it is a typing error. */
static bool
spells(struct span line, const struct delimiters *d)
{
	struct span rest = span_from(line, 4);
	uint8_t chars[5];
	size_t n = delimiters_encoding_characters(d, chars);

	return span_eq(span_first(rest, span_find(rest, d->field)), span_of(chars, n));
}

/* A line that must be a header, whether it is a good one or not: names have three letters. */
static bool
begins_as_header(struct span line)
{
	return span_starts(line, SPAN("MSH")) || span_starts(line, SPAN("FHS")) ||
	       span_starts(line, SPAN("BHS"));
}

/* A header line sets the delimiters; what is before its third field is written as the target has
 * it. */
static int
add_header(struct compiler *c, struct span line, struct span *ret_rest)
{
	struct delimiters d;
	size_t n;

	*ret_rest = line;
	if (!begins_as_header(line))
		return 0;
	if (delimiters_parse(line, &d) || !delimiters_usable(&d) || !spells(line, &d) ||
		span_find(span_first(line, 4 + 5), '{') < 4 + 3)
		return complain(c, line.p,
			"the delimiters behind the segment name cannot be used; usual are |^~\\&");
	if (c->has_header && !delimiters_equal(&d, &c->t->delimiters))
		return complain(
			c, line.p, "the delimiters differ from those of the first header line");
	c->has_header = true;
	c->t->delimiters = d;
	n = span_find(span_from(line, 4), d.field);
	*ret_rest = span_from(line, 4 + n);
	return add_op(c, (struct op){ .kind = OP_HEADER, .text = span_first(line, 3) });
}

/* The bytes before the next field separator outside of holes. */
static size_t
field_bytes(struct span s, uint8_t separator)
{
	size_t i = 0;

	while (i < s.n && s.p[i] != separator) {
		if (s.p[i] == '{' && doubled(span_from(s, i)))
			i++;
		else if (s.p[i] == '{')
			i += hole_end(span_from(s, i + 1));
		i++;
	}
	return i < s.n ? i : s.n;
}

/* Piece `n` of a line, from 0; a null span when there are fewer. */
static struct span
field_text(struct span line, uint8_t separator, size_t n)
{
	size_t bytes = field_bytes(line, separator);

	for (; n > 0 && bytes < line.n; n--) {
		line = span_from(line, bytes + 1);
		bytes = field_bytes(line, separator);
	}
	return n > 0 ? SPAN_NULL : span_first(line, bytes);
}

static bool
mentions(struct span text, const char *what)
{
	return text.n && memmem(text.p, text.n, what, strlen(what)) != NULL;
}

static bool
is_type(struct span s, uint8_t component)
{
	size_t i;

	for (i = 0; i < 3; i++)
		if (i >= s.n || s.p[i] < '0' || s.p[i] > 'Z' || (s.p[i] > '9' && s.p[i] < 'A'))
			return false;
	return s.p[0] > '9' && (s.n == 3 || s.p[3] == component || s.p[3] == '{');
}

/* A header with a separator too many or too few still compiles, and then says nonsense. */
static void
warn_of_shift(struct compiler *c, struct span line)
{
	const struct delimiters *d = &c->t->delimiters;
	struct span type = field_text(line, d->field, 8), id = field_text(line, d->field, 9),
		    version = field_text(line, d->field, 11);
	const uint8_t *begin = line.p;

	if (!is_type(type, d->component) && !mentions(type, "MSH-9") && !mentions(type, "0-8") &&
		!mentions(type, "ack.type"))
		warn(c, type.p ? type.p : begin,
			"MSH-9 is no message type here: are the fields shifted?");
	if (id.n == 0)
		warn(c, id.p ? id.p : begin,
			"MSH-10, the control id, is empty here: are the fields shifted?");
	if (!span_starts(version, SPAN("2.")) && !mentions(version, "MSH-12") &&
		!mentions(version, "0-11"))
		warn(c, version.p ? version.p : begin,
			"MSH-12 is no version here: are the fields shifted?");
}

/* A slip in the name that a line begins with would travel as text. */
static void
warn_of_name(struct compiler *c, struct span line)
{
	struct span name = span_first(line, span_find(line, c->t->delimiters.field));

	if (line.p[0] != '{' && !segment_is_header(line) &&
		!(name.n == 3 && segment_is_known(name)))
		warn(c, line.p,
			"this line does not begin with a segment's name; local ones begin with Z");
}

static int
compile_segment(struct compiler *c, struct span line)
{
	struct span rest;
	int r = add_header(c, line, &rest);

	c->n_segments++;
	warn_of_name(c, line);
	if (r == 0 && span_starts(line, SPAN("MSH")))
		warn_of_shift(c, line);
	while (r >= 0 && rest.n > 0)
		r = keep_first(r, add_piece(c, line, &rest));
	if (r >= 0)
		r = keep_first(r, add_op(c, (struct op){ .kind = OP_END_SEGMENT }));
	return r;
}

static int
compile_message(struct compiler *c)
{
	c->has_message = true;
	c->n_segments++;
	return add_op(c, (struct op){ .kind = OP_MESSAGE });
}

/* --- lines that steer ------------------------------------------------------------------------ */

static int
begin_block(struct compiler *c, bool each, struct op op, const uint8_t *at)
{
	if (c->n_blocks == TEMPLATE_NESTING_MAX)
		return complain(c, at, "{if} and {each} are nested too deeply");
	c->blocks[c->n_blocks++] = (struct block){
		.each = each,
		.begin = c->t->ops.n,
		.open_jump = c->t->ops.n,
		.exits = NO_OP,
		.line = c->place.line,
	};
	return add_op(c, op);
}

static int
steer_if(struct compiler *c, struct span argument)
{
	size_t condition = 0;
	int parsed = parse_condition(c->t, &c->place, argument, c->problems, &condition);
	int r;

	if (parsed < 0)
		return parsed;
	/* the block is opened even with a broken condition: its {end} is not an error of its own */
	r = begin_block(
		c, false, (struct op){ .kind = OP_JUMP_UNLESS, .index = condition }, argument.p);
	return keep_first(parsed, r);
}

static int
begin_each(struct compiler *c, struct loop_scope loop, struct op op, const uint8_t *at)
{
	int r = begin_block(c, true, op, at);

	if (r == 0)
		c->place.loops[c->place.n_loops++] = loop;
	return r;
}

static bool
in_each_error(const struct compiler *c)
{
	size_t i;

	for (i = 0; i < c->place.n_loops; i++)
		if (c->place.loops[i].kind == OP_EACH_ERROR)
			return true;
	return false;
}

static int
steer_each(struct compiler *c, struct span argument)
{
	struct loop_scope loop = { .kind = OP_EACH_SEGMENT };
	size_t source = 0;
	bool nested;
	int r, begun;

	if (span_eq(argument, SPAN("error"))) {
		loop.kind = OP_EACH_ERROR;
		nested = in_each_error(c);
		begun = begin_each(c, loop, (struct op){ .kind = OP_EACH_ERROR }, argument.p);
		if (begun == 0 && nested)
			return complain(c, argument.p, "{each error} cannot stand in another one");
		if (begun == 0 && c->t->kind != TEMPLATE_ACKNOWLEDGEMENT)
			return complain(c, argument.p,
				"{each error} is known in acknowledgement templates only");
		return begun;
	}
	r = parse_each(c->t, &c->place, argument, c->problems, &source);
	if (r < 0)
		return r;
	if (r == 0)
		loop.address = c->t->sources.items[source].address;
	if (loop.address.field)
		loop.kind = OP_EACH_REPETITION;
	/* a broken one is opened as well: its {end} is not an error of its own */
	begun = begin_each(c, loop, (struct op){ .kind = loop.kind, .index = source }, argument.p);
	return keep_first(r, begun);
}

/* Closes the branch in hand: its end jumps to behind the {end}, and whoever skipped it comes here.
 */
static int
end_branch(struct compiler *c, struct block *b)
{
	struct op jump = { .kind = OP_JUMP, .index = b->exits };
	int r;

	b->exits = c->t->ops.n;
	r = add_op(c, jump);
	if (r == 0)
		c->t->ops.items[b->open_jump].target = c->t->ops.n;
	return r;
}

static struct block *
open_if(struct compiler *c)
{
	struct block *b = c->n_blocks ? &c->blocks[c->n_blocks - 1] : NULL;

	return b && !b->each && !b->has_else ? b : NULL;
}

static int
steer_elif(struct compiler *c, struct span argument)
{
	struct block *b = open_if(c);
	size_t condition = 0;
	int parsed, r;

	if (!b)
		return complain(c, argument.p, "{elif} without an {if} before it");
	parsed = parse_condition(c->t, &c->place, argument, c->problems, &condition);
	r = parsed < 0 ? parsed : end_branch(c, b);
	if (r < 0)
		return r;
	b->open_jump = c->t->ops.n;
	r = add_op(c, (struct op){ .kind = OP_JUMP_UNLESS, .index = condition });
	return keep_first(parsed, r);
}

static int
steer_else(struct compiler *c, struct span argument)
{
	struct block *b = open_if(c);
	int r;

	if (!b)
		return complain(c, argument.p, "{else} without an {if} before it");
	r = end_branch(c, b);
	b->has_else = true;
	b->open_jump = NO_OP;
	return r;
}

static int
steer_end(struct compiler *c, struct span argument)
{
	struct block *b;
	struct op *ops;
	size_t exit, next;

	if (c->n_blocks == 0)
		return complain(c, argument.p, "{end} without an {if} or {each} before it");
	b = &c->blocks[--c->n_blocks];
	if (b->each)
		c->place.n_loops--;
	if (b->each && add_op(c, (struct op){ .kind = OP_NEXT, .target = b->begin + 1 }))
		return -ENOMEM;
	ops = c->t->ops.items;
	if (b->open_jump != NO_OP)
		ops[b->open_jump].target = c->t->ops.n;
	for (exit = b->exits; exit != NO_OP; exit = next) {
		next = ops[exit].index;
		ops[exit].target = c->t->ops.n;
	}
	return 0;
}

static int
steer_when(struct compiler *c, struct span argument)
{
	if (c->t->has_when)
		return complain(
			c, argument.p, "a template has one {when}; join conditions with \"and\"");
	c->t->has_when = true;
	c->t->when_text = argument;
	return parse_condition(c->t, &c->place, argument, c->problems, &c->t->when);
}

static int
steer_delimiters(struct compiler *c, struct span argument)
{
	if (!span_eq(argument, SPAN("source")))
		return complain(c, argument.p, "\"source\" is expected: {delimiters source}");
	c->t->source_delimiters = true;
	return 0;
}

static bool
is_destination_char(uint8_t ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
	       ch == '-' || ch == '_';
}

static int
add_destination(struct compiler *c, struct span name)
{
	size_t i;

	for (i = 0; i < name.n; i++)
		if (!is_destination_char(name.p[i]))
			return complain(c, name.p + i,
				"a destination's name has letters, digits, - and _ only");
	if (name.n > TEMPLATE_DESTINATION_CHARS)
		return complain(c, name.p, "a destination's name has at most 64 characters");
	for (i = 0; i < c->t->n_destinations; i++)
		if (span_eq(c->t->destinations[i], name))
			return complain(c, name.p, "this destination is named twice");
	if (c->t->n_destinations == TEMPLATE_DESTINATIONS_MAX)
		return complain(c, name.p, "a template has at most 32 destinations");
	c->t->destinations[c->t->n_destinations++] = name;
	return 0;
}

static int
steer_to(struct compiler *c, struct span argument)
{
	struct span rest = argument, name;
	int r = 0;

	if (c->t->kind != TEMPLATE_CONVERSION)
		return complain(
			c, argument.p, "an acknowledgement goes back to the sender: no {to}");
	while (r >= 0 && span_cut(&rest, ' ', &name))
		if (name.n > 0)
			r = keep_first(r, add_destination(c, name));
	return r;
}

/* The name ends at " or \"substitute\"", if that follows. */
static size_t
charset_name_bytes(struct span argument)
{
	const uint8_t *p = memmem(argument.p, argument.n, " or ", 4);

	return p ? (size_t)(p - argument.p) : argument.n;
}

/* What every set has, and no message has as a delimiter in earnest: it is written as it stands. */
static bool
is_harmless(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
			    (s.p[i] >= '0' && s.p[i] <= '9') || memchr(" ?*.-_#+=", s.p[i], 9)))
			return false;
	return true;
}

static int
steer_charset(struct compiler *c, struct span argument)
{
	struct span name = span_first(argument, charset_name_bytes(argument));
	struct span rest = span_from(argument, name.n + strlen(" or ")), quoted;
	int r;

	if (c->t->charset)
		return complain(c, argument.p, "a template has one {charset}");
	c->t->charset = charset_find(name);
	if (!c->t->charset)
		return complain(c, name.p,
			"unknown character set; usual are UTF-8, 8859/1, windows-1252, GB "
			"18030-2000");
	if (name.n == argument.n)
		return 0;
	c->t->has_substitute = true;
	quoted = rest;
	r = parse_quoted(c->t, &c->place, rest, c->problems, &c->t->substitute, &rest);
	if (r == 0 && !is_harmless(c->t->substitute))
		return complain(c, quoted.p,
			"the substitute has letters, digits, blanks and ?*.-_#+= only");
	return r || rest.n == 0 ? r : complain(c, rest.p, "nothing may follow the substitute");
}

static const struct steer {
	const char *name;
	bool argument; /* wants one */
	int (*compile)(struct compiler *c, struct span argument);
	bool whole; /* is about the whole template: not inside of {if} and {each} */
} steers[] = {
	{ "when", true, steer_when, true },
	{ "to", true, steer_to, true },
	{ "delimiters", true, steer_delimiters, true },
	{ "charset", true, steer_charset, true },
	{ "if", true, steer_if, false },
	{ "elif", true, steer_elif, false },
	{ "else", false, steer_else, false },
	{ "each", true, steer_each, false },
	{ "end", false, steer_end, false },
};

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct span
trim(struct span s)
{
	while (s.n && is_blank(s.p[0]))
		s = span_from(s, 1);
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* What is between the braces of a line that is one pair of them; false for other lines. */
static bool
only_braces(struct span line, struct span *ret_inside)
{
	struct span s = trim(line), behind;

	if (s.n < 2 || s.p[0] != '{' || s.p[1] == '{')
		return false;
	behind = span_from(s, 1);
	if (hole_end(behind) + 1 != behind.n)
		return false;
	*ret_inside = trim(span_first(behind, behind.n - 1));
	return true;
}

static size_t
word_bytes(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= 'a' && s.p[n] <= 'z')
		n++;
	return n;
}

static const struct steer *
find_steer(struct span inside)
{
	struct span word = span_first(inside, word_bytes(inside));
	size_t i;

	for (i = 0; i < sizeof(steers) / sizeof(steers[0]); i++)
		if (span_eq(word, span_str(steers[i].name)))
			return &steers[i];
	return NULL;
}

/* "{iff PID-8}": a word that steers nothing, with something behind it, is no hole either. */
static bool
complain_of_word(struct compiler *c, struct span inside)
{
	static const char *const names[] = { "when", "to", "delimiters", "charset", "if", "elif",
		"else", "each", "end" };
	struct span word = span_first(inside, word_bytes(inside));
	struct span behind = trim(span_from(inside, word.n));
	const char *near = suggest_word(word, names, sizeof(names) / sizeof(names[0]));
	char text[80];

	if (!near || behind.n == 0 || span_starts(behind, SPAN("or ")) || behind.p[0] == ':' ||
		behind.p[0] == '.')
		return false;
	(void)snprintf(text, sizeof(text), "unknown word; did you mean {%s …}?", near);
	(void)complain(c, word.p, text);
	return true;
}

static int
compile_steer(struct compiler *c, const struct steer *steer, struct span inside)
{
	struct span argument = trim(span_from(inside, strlen(steer->name)));

	if (steer->argument && argument.n == 0)
		return complain(c, argument.p, "something is expected behind this word");
	if (!steer->argument && argument.n > 0)
		return complain(c, argument.p, "nothing may follow this word");
	if (steer->whole && c->n_blocks > 0)
		return complain(c, inside.p,
			"{when}, {to}, {delimiters} and {charset} stand outside of {if} and "
			"{each}");
	return steer->compile(c, argument);
}

static struct span
without_indent(struct span line)
{
	while (line.n && is_blank(line.p[0]))
		line = span_from(line, 1);
	return line;
}

/* How many bytes the UTF-8 character has that begins with this byte; 0 when none does. */
static size_t
utf8_bytes(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xC2 || first > 0xF4)
		return 0;
	return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The first byte that is no UTF-8; the span's length when all of it is. */
static size_t
find_bad_utf8(struct span s)
{
	size_t i = 0, n, k;

	while (i < s.n) {
		n = utf8_bytes(s.p[i]);
		k = 1;
		while (k < n && i + k < s.n && (s.p[i + k] & 0xC0) == 0x80)
			k++;
		if (n == 0 || k < n)
			return i;
		i += n;
	}
	return s.n;
}

static int
compile_line(struct compiler *c, struct span line)
{
	const struct steer *steer;
	struct span inside, text = without_indent(line);

	/* an indented comment is one as well: no segment's name begins with # */
	if (find_bad_utf8(line) < line.n)
		return complain(c, line.p + find_bad_utf8(line), "this is not UTF-8");
	if (trim(line).n == 0 || span_starts(text, SPAN("#")))
		return 0;
	if (!only_braces(line, &inside))
		return compile_segment(c, text);
	if (span_eq(inside, SPAN("message")))
		return compile_message(c);
	steer = find_steer(inside);
	if (steer)
		return compile_steer(c, steer, inside);
	return complain_of_word(c, inside) ? TEMPLATE_E_INVALID : compile_segment(c, trim(line));
}

/* --- the whole ------------------------------------------------------------------------------- */

static int
finish(struct compiler *c)
{
	struct place *place = &c->place;

	if (c->n_blocks > 0)
		problem_add(c->problems, c->blocks[c->n_blocks - 1].line, 1, false,
			"this {if} or {each} has no {end}");
	place->line_text.n = 0;
	if (c->has_message && c->n_segments > 1)
		return complain(c, place->line_text.p, "{message} stands alone in a template");
	if (c->n_segments == 0)
		return complain(c, place->line_text.p, "the template writes no segment");
	return 0;
}

static int
compile(struct compiler *c)
{
	struct span rest = span_of(c->t->source, c->t->source_n), line;
	int r = 0;

	if (span_starts(rest, SPAN("\xEF\xBB\xBF")))
		rest = span_from(rest, 3); /* editors add it */
	while (r >= 0 && span_cut(&rest, '\n', &line)) {
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		c->place.line_text = line;
		c->place.line++;
		r = compile_line(c, line);
	}
	return r < 0 ? r : finish(c);
}

static struct template *
template_new(struct span source)
{
	struct template *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->delimiters = delimiters_standard;
	t->source = malloc(source.n + 1);
	t->source_n = source.n;
	if (!t->source) {
		free(t);
		return NULL;
	}
	if (source.n)
		memcpy(t->source, source.p, source.n);
	return t;
}

int
template_compile(struct span source, enum template_kind kind, const struct table_set *tables,
	struct template **ret, struct problems *problems)
{
	struct compiler c = { .problems = problems, .place = { .tables = tables } };
	size_t errors_before = problems->n_errors;
	int r;

	if (source.n > TEMPLATE_SOURCE_BYTES_MAX) {
		problem_add(problems, 1, 1, false, "a template has at most %zu bytes",
			TEMPLATE_SOURCE_BYTES_MAX);
		return TEMPLATE_E_INVALID;
	}
	c.t = template_new(source);
	if (!c.t)
		return -ENOMEM;
	c.t->kind = kind;
	r = compile(&c);
	if (r >= 0)
		r = problems->n_errors > errors_before ? TEMPLATE_E_INVALID : 0;
	if (r)
		template_free(c.t);
	else
		*ret = c.t;
	return r;
}

void
template_free(struct template *t)
{
	size_t i;

	if (!t)
		return;
	for (i = 0; i < t->texts.n; i++)
		free(t->texts.items[i]);
	free(t->texts.items);
	free(t->slots.items);
	free(t->filters.items);
	free(t->ops.items);
	free(t->holes.items);
	free(t->sources.items);
	free(t->conditions.items);
	free(t->source);
	free(t);
}
