/* SPDX-License-Identifier: MIT */

/* Walks a template's operations once and appends what they write. */

#include "hl7/escape.h"
#include "template/program.h"

#include <errno.h>
#include <stdlib.h>

/* A loop that is running. */
struct loop {
	enum op_kind kind;
	uint32_t round; /* from 1 */
	/* of {each SEGMENT}: the view, segments first to last - 1 */
	size_t first, last;
	size_t outer_last; /* where the view around it ends */
	size_t head_first; /* the part of that view before the first round: head_first to head_last
			      - 1 */
	size_t head_last;
	/* of {each FIELD} */
	size_t segment; /* that has the field */
	struct span repetition, rest;
	const struct address *address; /* what it goes through */
};

/* Where a slot was found. Heads do not change while their loop runs, so what was looked for once is
 * known: a loop of n rounds does not go through the same lines n times. */
enum {
	FOUND_UNKNOWN, /* not looked for yet */
	FOUND_NONE,    /* no segment of that name */
	FOUND_FEWER,   /* some, but not so many */
	FOUND_AT,      /* and behind it: the segment's index */
};

/* Which hole wrote which bytes of the result. */
struct writing {
	size_t begin, end;
	const struct hole *hole;
	const struct source *source;
	bool from_segment;
	size_t segment; /* of the message */
};

struct writings {
	struct writing *items;
	size_t n, allocated;
};

struct renderer {
	const struct template *t;
	const struct template_input *in;
	const struct message *message; /* the input's, or its copy in UTF-8 */
	struct buffer *out;
	struct delimiters target;
	size_t segment_start; /* in `out` */
	struct template_failures *failures;
	uint64_t steps;
	struct loop loops[TEMPLATE_NESTING_MAX];
	size_t n_loops;
	size_t error_round; /* from 1 inside {each error}, else 0 */
	/* a row for the whole message, then one for the head of each loop; n_slots each */
	size_t *found;
	struct buffer filtered[2], scratch[2], compared[2];
	struct segment_fields fields;    /* of segment `fields_of`, the last one that was read */
	size_t fields_of;                /* SIZE_MAX: of none yet */
	struct writings *writings;       /* kept for {charset}, else NULL */
	char made[CONTROL_ID_CHARS + 1]; /* holds the bytes of the {id} or {n} read last */
};

/* What a source reads: bytes, and how they are encoded. */
struct value {
	struct span bytes;
	const struct delimiters *from; /* NULL: plain text */
	bool segment;                  /* field separators are structure too */
	const struct source *source;   /* that gave it */
	bool from_segment;             /* an address that was found: `at` */
	size_t at;
};

static int
fold(int r)
{
	return r == BUFFER_E_FULL ? TEMPLATE_E_TOO_LARGE : r;
}

/* --- what is in scope ------------------------------------------------------------------------ */

static bool
is_named(const struct message *m, size_t i, const char *name)
{
	struct span s = message_segment(m, i);

	return s.n >= 3 && memcmp(s.p, name, 3) == 0 && (s.n == 3 || s.p[3] == m->delimiters.field);
}

/* The n-th segment of a name among first to last - 1: FOUND_AT + its index, FOUND_FEWER or
 * FOUND_NONE. */
static size_t
find_among(const struct message *m, size_t first, size_t last, const struct slot *slot)
{
	uint32_t wanted = slot->occurrence;
	size_t i = first;

	/* the first MSH is the header, also where something that only looks like one stands before
	 * it */
	if (memcmp(slot->segment, "MSH", 3) == 0 && i < m->header)
		i = m->header;
	for (; i < last; i++)
		if (is_named(m, i, slot->segment) && --wanted == 0)
			return FOUND_AT + i;
	return wanted < slot->occurrence ? FOUND_FEWER : FOUND_NONE;
}

/* The same, remembered in row `row` of the table. */
static size_t
find_remembered(const struct renderer *r, size_t row, size_t first, size_t last, size_t slot)
{
	size_t *found = &r->found[row * r->t->slots.n + slot];

	if (*found == FOUND_UNKNOWN)
		*found = find_among(r->message, first, last, &r->t->slots.items[slot]);
	return *found;
}

/* From the innermost view outwards; of a view around, only what stands before the loop's first
 * round: a result must not show what belongs to another group. */
static bool
find_segment(const struct renderer *r, size_t slot, size_t *ret)
{
	const struct loop *l;
	size_t i, found = FOUND_NONE;
	bool innermost = true;

	for (i = r->n_loops; i > 0 && found == FOUND_NONE; i--) {
		l = &r->loops[i - 1];
		if (l->kind != OP_EACH_SEGMENT)
			continue;
		if (innermost)
			found = find_among(r->message, l->first, l->last, &r->t->slots.items[slot]);
		if (found == FOUND_NONE)
			found = find_remembered(r, i, l->head_first, l->head_last, slot);
		innermost = false;
	}
	if (innermost)
		found = find_remembered(r, 0, 0, r->message->n_segments, slot);
	if (found < FOUND_AT)
		return false;
	*ret = found - FOUND_AT;
	return true;
}

/* --- reading --------------------------------------------------------------------------------- */

/* The loop through the repetitions of the very field that an address means, or NULL. */
static const struct loop *
loop_over(const struct renderer *r, const struct address *a, size_t segment)
{
	const struct loop *l;
	size_t i;

	for (i = r->n_loops; i > 0 && a->repetition == 0; i--) {
		l = &r->loops[i - 1];
		if (l->kind == OP_EACH_REPETITION && l->segment == segment &&
			l->address->field == a->field)
			return l;
	}
	return NULL;
}

static struct span
read_repetition(const struct address *a, const struct delimiters *d, struct span repetition)
{
	if (a->component)
		repetition = repetition_component(repetition, d, a->component);
	return a->subcomponent ? component_subcomponent(repetition, d, a->subcomponent)
			       : repetition;
}

/* Holes of one line mostly read one segment: it is cut once for all of them. */
static struct span
cut_field(struct renderer *r, size_t at, size_t field)
{
	if (field > MESSAGE_FIELDS_CUT)
		return message_field(r->message, at, field);
	if (r->fields_of != at) {
		message_cut_fields(r->message, at, &r->fields);
		r->fields_of = at;
	}
	return field <= r->fields.n ? r->fields.fields[field - 1] : SPAN_NULL;
}

static struct span
read_part(struct renderer *r, const struct address *a, size_t at)
{
	const struct delimiters *d = &r->message->delimiters;
	const struct loop *loop = loop_over(r, a, at);
	struct span field;

	if (loop)
		return read_repetition(a, d, loop->repetition);
	if (a->field <= 2)
		return address_read(a, r->message, at);
	field = cut_field(r, at, a->field);
	r->steps += a->repetition > 1 ? field.n / 64 : 0; /* repetitions are counted each time */
	return address_read_field(a, d, field);
}

/* [*] and a component: the whole field, to be joined when it is written; nothing when all of them
 * are empty. */
static struct span
read_all(const struct renderer *r, const struct address *a, size_t at)
{
	const struct delimiters *d = &r->message->delimiters;
	struct span field = message_field(r->message, at, a->field), rest = field, repetition;

	while (span_cut(&rest, d->repetition, &repetition))
		if (read_repetition(a, d, repetition).n > 0)
			return field;
	return SPAN_NULL;
}

/* Whether an address reads a component of each repetition. */
static bool
joins_repetitions(const struct address *a, const struct delimiters *d)
{
	return a->repetition == ADDRESS_ALL && a->component && d->repetition;
}

static void
read_address(struct renderer *r, const struct source *s, struct value *v)
{
	const struct address *a = &s->address;
	const struct message *m = r->message;

	v->from = &m->delimiters;
	v->segment = a->field == 0;
	v->from_segment = find_segment(r, s->slot, &v->at);
	if (!v->from_segment)
		return;
	v->bytes = joins_repetitions(a, v->from) ? read_all(r, a, v->at) : read_part(r, a, v->at);
	/* MSH-1 and MSH-2 are the delimiters themselves: as data they are plain text */
	if (a->field > 0 && a->field <= 2 && segment_is_header(message_segment(m, v->at)))
		v->from = NULL;
}

static void
read_error(const struct renderer *r, enum template_variable variable, struct value *v)
{
	const struct template_error *e = &r->in->errors[r->error_round - 1];

	v->from = &delimiters_standard;
	if (variable == TEMPLATE_ERROR_LOCATION)
		v->bytes = e->location;
	if (variable == TEMPLATE_ERROR_ELD)
		v->bytes = e->eld;
	if (variable == TEMPLATE_ERROR_CODE)
		v->bytes = e->code;
	if (variable == TEMPLATE_ERROR_SEVERITY)
		v->bytes = e->severity;
	if (variable == TEMPLATE_ERROR_TEXT) {
		v->bytes = e->text;
		v->from = NULL;
	}
}

/* The number of the innermost loop's round. */
static void
read_round(struct renderer *r, struct value *v)
{
	uint32_t n = r->n_loops ? r->loops[r->n_loops - 1].round : 0;
	size_t at = CONTROL_ID_CHARS;

	do {
		r->made[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	v->bytes = span_of(r->made + at, CONTROL_ID_CHARS - at);
}

static void
read_variable(struct renderer *r, enum template_variable variable, struct value *v)
{
	switch (variable) {
	case TEMPLATE_ERROR_LOCATION:
	case TEMPLATE_ERROR_ELD:
	case TEMPLATE_ERROR_CODE:
	case TEMPLATE_ERROR_SEVERITY:
	case TEMPLATE_ERROR_TEXT:
		if (r->error_round > 0)
			read_error(r, variable, v);
		return;
	case TEMPLATE_ID:
		control_id_next(r->in->ids, r->in->now_usec, r->made);
		v->bytes = span_of(r->made, CONTROL_ID_CHARS);
		return;
	case TEMPLATE_ROUND: read_round(r, v); return;
	case TEMPLATE_ACK_TYPE: v->from = &delimiters_standard; break;
	case TEMPLATE_NOW:
	case TEMPLATE_ACK_CODE:
	case TEMPLATE_ACK_TEXT:
	case TEMPLATE_PEER_ADDRESS:
	case TEMPLATE_LOCAL_PORT:
	case TEMPLATE_HOST:
	case TEMPLATE_N_VARIABLES: break;
	}
	v->bytes = r->in->variables[variable];
}

static void
read_source(struct renderer *r, const struct source *s, struct value *v)
{
	*v = (struct value){ .source = s };
	switch (s->kind) {
	case SOURCE_TEXT:
		v->bytes = s->text;
		v->from = &r->t->delimiters;
		break;
	case SOURCE_ADDRESS: read_address(r, s, v); break;
	case SOURCE_POSITION:
		v->bytes = message_position(r->message, s->line, s->piece);
		/* lines are counted from the beginning each time */
		r->steps += (v->bytes.p ? (size_t)(v->bytes.p - r->message->bytes.p)
					: r->message->bytes.n) /
			    64;
		v->from = &r->message->delimiters;
		break;
	case SOURCE_VARIABLE: read_variable(r, s->variable, v); break;
	case SOURCE_MESSAGE:
		v->bytes = r->message->bytes;
		v->from = &r->message->delimiters;
		break;
	}
}

/* --- writing values -------------------------------------------------------------------------- */

/* [*] and a component: that of each repetition, joined by the target's repetition separator. */
static int
append_of_all(const struct renderer *r, const struct address *a, size_t at, struct buffer *out,
	const struct delimiters *to)
{
	const struct delimiters *from = &r->message->delimiters;
	struct span rest = message_field(r->message, at, a->field), repetition;
	bool first = true;
	int error = 0;

	while (error == 0 && span_cut(&rest, from->repetition, &repetition)) {
		if (!first)
			error = buffer_append_byte(out, to->repetition ? to->repetition : ' ');
		first = false;
		if (error == 0)
			error = escape_translate(
				out, read_repetition(a, from, repetition), from, to);
	}
	return error;
}

static int
append_header(struct buffer *out, struct span name, const struct delimiters *d)
{
	uint8_t chars[5];
	size_t n = delimiters_encoding_characters(d, chars);
	int error = buffer_append(out, name);

	if (error == 0)
		error = buffer_append_byte(out, d->field);
	return error ? error : buffer_append(out, span_of(chars, n));
}

/* A whole header segment: what it declares is what it is written with. */
static int
append_header_segment(struct buffer *out, const struct value *v, const struct delimiters *to)
{
	struct span rest = span_from(v->bytes, 4);
	int error = append_header(out, span_first(v->bytes, 3), to);

	rest = span_from(rest, span_find(rest, v->from->field));
	return error ? error : escape_translate_segment(out, rest, v->from, to);
}

static bool
declares_others(const struct value *v, const struct delimiters *to)
{
	return v->segment && segment_is_header(v->bytes) && v->bytes.n > 3 &&
	       v->bytes.p[3] == v->from->field && !delimiters_equal(v->from, to);
}

static int
append_value(const struct renderer *r, struct buffer *out, const struct value *v,
	const struct delimiters *to)
{
	const struct address *a = &v->source->address;

	if (!v->from)
		return escape_text(out, v->bytes, to);
	if (declares_others(v, to))
		return append_header_segment(out, v, to);
	if (v->from_segment && v->bytes.n > 0 && joins_repetitions(a, v->from))
		return append_of_all(r, a, v->at, out, to);
	return v->segment ? escape_translate_segment(out, v->bytes, v->from, to)
			  : escape_translate(out, v->bytes, v->from, to);
}

/* The segment's number among those of its name in the whole message, for an address that others can
 * use. */
static uint32_t
occurrence_of(const struct message *m, size_t at)
{
	struct span name = message_segment_name(m, at);
	uint32_t n = 0;
	size_t i;

	for (i = 0; i <= at; i++)
		n += span_eq(message_segment_name(m, i), name);
	return n;
}

/* What is absent in a round of {each OBR} is absent from that OBR's group: the first of its name,
 * in another group, must not be blamed. */
static void
point_at_round(const struct renderer *r, struct address *at)
{
	const struct loop *l;
	size_t i;

	for (i = r->n_loops; i > 0; i--) {
		l = &r->loops[i - 1];
		if (l->kind != OP_EACH_SEGMENT)
			continue;
		*at = (struct address){ .occurrence = occurrence_of(r->message, l->first) };
		memcpy(at->segment, l->address->segment, sizeof(at->segment));
		return;
	}
}

static void
note_failure(struct renderer *r, const struct hole *h, enum template_refusal refusal,
	const struct value *v)
{
	struct template_failure f = { .refusal = refusal, .line = h->line };

	if (r->failures->n++ >= TEMPLATE_FAILURES_MAX)
		return;
	if (v->source->kind == SOURCE_ADDRESS)
		f.at = v->source->address;
	if (v->from_segment)
		f.at.occurrence = occurrence_of(r->message, v->at);
	else if (v->source->kind == SOURCE_ADDRESS)
		point_at_round(r, &f.at);
	r->failures->items[r->failures->n - 1] = f;
}

/* Reads a hole's first source that is not empty; without one, an absence is told of the first,
 * which is the one that was wanted. */
static void
read_sources(struct renderer *r, const struct hole *h, struct value *v)
{
	const struct source *sources = &r->t->sources.items[h->first_source];
	size_t i = 1;

	read_source(r, sources, v);
	while (v->bytes.n == 0 && i < h->n_sources)
		read_source(r, &sources[i++], v);
	if (v->bytes.n == 0 && h->n_sources > 1)
		read_source(r, sources, v);
}

/* Runs the filters; the value is theirs then, in the template's delimiters. A refused one becomes
 * empty: all refusals of a message are told at once, so rendering goes on. */
static int
filter_value(struct renderer *r, const struct hole *h, struct value *v)
{
	const struct delimiters *d = &r->t->delimiters;
	struct span value;
	size_t i;
	int error;

	buffer_clear(&r->filtered[0]);
	error = append_value(r, &r->filtered[0], v, d);
	value = buffer_span(&r->filtered[0]);
	for (i = 0; error == 0 && i < h->n_filters; i++) {
		error = filter_apply(&r->t->filters.items[h->first_filter + i], value, d,
			&r->filtered[(i + 1) % 2], r->scratch);
		value = buffer_span(&r->filtered[(i + 1) % 2]);
	}
	if (error >= FILTER_E_REFUSED_BASE) {
		note_failure(r, h, (enum template_refusal)(error - FILTER_E_REFUSED_BASE), v);
		value = SPAN_NULL;
		error = 0;
	}
	v->bytes = value;
	v->from = d;
	v->from_segment = false;
	r->steps += value.n / 8; /* what filters make costs time as well */
	return error;
}

static void
trace_hole(const struct renderer *r, const struct hole *h, const struct value *v, struct span value)
{
	const struct template_trace trace = {
		.line = h->line,
		.column = h->column,
		.hole = h->spelling,
		.source = v->bytes.n ? v->source->spelling : SPAN_NULL,
		.from_segment = v->from_segment,
		.segment = v->at,
		.value = value,
	};

	r->in->trace(r->in->trace_userdata, &trace);
}

static int
filter_hole(struct renderer *r, const struct hole *h, struct value *v)
{
	return h->n_filters ? filter_value(r, h, v) : 0;
}

/* For a condition: what is written counts, not where. */
static int
read_hole(struct renderer *r, const struct hole *h, struct value *v)
{
	struct value read;
	int error;

	read_sources(r, h, v);
	read = *v;
	error = filter_hole(r, h, v);
	if (error == 0 && r->in->trace && read.source->kind != SOURCE_TEXT)
		trace_hole(r, h, &read, v->bytes);
	return error;
}

static int
note_writing(struct renderer *r, const struct hole *h, const struct value *read, size_t begin)
{
	const struct writing w = { begin, r->out->n, h, read->source, read->from_segment,
		read->at };

	return VECTOR_APPEND(r->writings, w) ? 0 : -ENOMEM;
}

static int
render_hole(struct renderer *r, size_t hole)
{
	const struct hole *h = &r->t->holes.items[hole];
	size_t written = r->out->n;
	struct value v, read;
	int error;

	read_sources(r, h, &v);
	if (r->in->trace || r->writings)
		read = v;
	error = filter_hole(r, h, &v);
	if (error == 0)
		error = append_value(r, r->out, &v, &r->target);
	if (error == 0 && r->in->trace)
		trace_hole(r, h, &read, span_from(buffer_span(r->out), written));
	if (error == 0 && r->writings)
		error = note_writing(r, h, &read, written);
	return error;
}

/* --- conditions ------------------------------------------------------------------------------ */

/* Two values are equal when they read the same with the template's delimiters. */
static int
values_equal(struct renderer *r, size_t left, size_t right, bool *ret)
{
	const size_t holes[2] = { left, right };
	struct value v;
	int i, error = 0;

	for (i = 0; error == 0 && i < 2; i++) {
		buffer_clear(&r->compared[i]);
		error = read_hole(r, &r->t->holes.items[holes[i]], &v);
		if (error == 0)
			error = append_value(r, &r->compared[i], &v, &r->t->delimiters);
	}
	*ret = span_eq(buffer_span(&r->compared[0]), buffer_span(&r->compared[1]));
	return error;
}

static int
evaluate(struct renderer *r, size_t condition, bool *ret)
{
	const struct condition *c = &r->t->conditions.items[condition];
	struct value v;
	int error;

	switch (c->kind) {
	case CONDITION_NOT_EMPTY:
		error = read_hole(r, &r->t->holes.items[c->left], &v);
		*ret = v.bytes.n > 0;
		return error;
	case CONDITION_NULL:
		error = read_hole(r, &r->t->holes.items[c->left], &v);
		*ret = span_eq(v.bytes, SPAN("\"\""));
		return error;
	case CONDITION_EQUAL: return values_equal(r, c->left, c->right, ret);
	case CONDITION_NOT:
		error = evaluate(r, c->left, ret);
		*ret = !*ret;
		return error;
	case CONDITION_AND:
		error = evaluate(r, c->left, ret);
		return error || !*ret ? error : evaluate(r, c->right, ret);
	case CONDITION_OR:
		error = evaluate(r, c->left, ret);
		return error || *ret ? error : evaluate(r, c->right, ret);
	}
	return -EINVAL;
}

/* --- loops ----------------------------------------------------------------------------------- */

/* The next segment of the loop's name, from `from` on, or where its view's surroundings end. */
static size_t
next_named(const struct renderer *r, const struct loop *l, size_t from)
{
	while (from < l->outer_last && !is_named(r->message, from, l->address->segment))
		from++;
	return from;
}

static bool
begin_segments(struct renderer *r, struct loop *l)
{
	size_t i = r->n_loops, begin = 0, end = r->message->n_segments;

	while (i > 0 && r->loops[i - 1].kind != OP_EACH_SEGMENT)
		i--;
	if (i > 0) {
		begin = r->loops[i - 1].first;
		end = r->loops[i - 1].last;
	}
	l->outer_last = end;
	l->head_first = begin;
	l->head_last = l->first = next_named(r, l, begin);
	if (l->first == end)
		return false;
	l->last = next_named(r, l, l->first + 1);
	return true;
}

static bool
begin_repetitions(struct renderer *r, struct loop *l, size_t slot)
{
	if (!find_segment(r, slot, &l->segment))
		return false;
	l->rest = message_field(r->message, l->segment, l->address->field);
	if (l->rest.n == 0)
		return false;
	if (r->message->delimiters.repetition)
		return span_cut(&l->rest, r->message->delimiters.repetition, &l->repetition);
	l->repetition = l->rest;
	l->rest = SPAN_NULL;
	return true;
}

/* The loop's first round; false when there is none. */
static bool
begin_rounds(struct renderer *r, const struct op *op, struct loop *l)
{
	const struct source *s;

	if (op->kind == OP_EACH_ERROR) {
		r->error_round = r->in->n_errors > 0;
		return r->error_round > 0;
	}
	s = &r->t->sources.items[op->index];
	l->address = &s->address;
	return op->kind == OP_EACH_SEGMENT ? begin_segments(r, l)
					   : begin_repetitions(r, l, s->slot);
}

/* Begins a loop; false when it has no round. */
static bool
begin_loop(struct renderer *r, const struct op *op)
{
	struct loop l = { .kind = op->kind, .round = 1 };
	size_t n_slots = r->t->slots.n;

	if (!begin_rounds(r, op, &l))
		return false;
	r->loops[r->n_loops++] = l;
	if (n_slots)
		memset(&r->found[r->n_loops * n_slots], 0, n_slots * sizeof(*r->found));
	return true;
}

/* The innermost loop's next round; false when it is over. */
static bool
next_round(struct renderer *r)
{
	struct loop *l = &r->loops[r->n_loops - 1];

	l->round++;
	if (l->kind == OP_EACH_ERROR) {
		r->error_round = l->round <= r->in->n_errors ? l->round : 0;
		return r->error_round > 0;
	}
	if (l->kind == OP_EACH_REPETITION)
		return span_cut(&l->rest, r->message->delimiters.repetition, &l->repetition);
	l->first = l->last;
	if (l->first == l->outer_last)
		return false;
	l->last = next_named(r, l, l->first + 1);
	return true;
}

/* --- operations ------------------------------------------------------------------------------ */

/* The template's own text: nothing in it needs escaping, but its delimiters may be others than the
 * target's. */
static int
render_literal(struct renderer *r, struct span text)
{
	if (!r->t->source_delimiters)
		return buffer_append(r->out, text);
	return escape_translate_segment(r->out, text, &r->t->delimiters, &r->target);
}

/* A line whose holes were all empty writes no segment. */
static int
end_segment(struct renderer *r)
{
	int error = r->out->n > r->segment_start ? buffer_append_byte(r->out, '\r') : 0;

	r->segment_start = r->out->n;
	return error;
}

/* One operation; `*at` is where to go on. */
static int
render_op(struct renderer *r, const struct op *op, size_t *at)
{
	bool holds = false;
	int error;

	(*at)++;
	switch (op->kind) {
	case OP_HEADER: return append_header(r->out, op->text, &r->target);
	case OP_LITERAL: return render_literal(r, op->text);
	case OP_HOLE: return render_hole(r, op->index);
	case OP_END_SEGMENT: return end_segment(r);
	case OP_MESSAGE: return buffer_append(r->out, r->message->bytes);
	case OP_JUMP: *at = op->target; return 0;
	case OP_JUMP_UNLESS:
		error = evaluate(r, op->index, &holds);
		*at = holds ? *at : op->target;
		return error;
	case OP_EACH_ERROR:
	case OP_EACH_SEGMENT:
	case OP_EACH_REPETITION:
		/* the op before the target is the loop's OP_NEXT, which it must not reach */
		*at = begin_loop(r, op) ? *at : op->target;
		return 0;
	case OP_NEXT:
		if (next_round(r))
			*at = op->target;
		else
			r->n_loops--;
		return 0;
	}
	return -EINVAL;
}

static int
run(struct renderer *r)
{
	const struct template *t = r->t;
	size_t at = 0;
	int error = 0;

	while (error == 0 && at < t->ops.n) {
		if (++r->steps > TEMPLATE_STEPS_MAX)
			return TEMPLATE_E_TOO_LARGE;
		error = render_op(r, &t->ops.items[at], &at);
	}
	if (error)
		return fold(error);
	return r->failures->n > 0 ? TEMPLATE_E_REFUSED : 0;
}

static int
renderer_init(struct renderer *r, const struct message *message)
{
	const struct delimiters *sender = &message->delimiters;
	size_t rows = TEMPLATE_NESTING_MAX + 1, i;

	r->message = message;
	r->fields_of = SIZE_MAX;
	r->target =
		r->t->source_delimiters && delimiters_usable(sender) ? *sender : r->t->delimiters;
	for (i = 0; i < 2; i++) {
		r->filtered[i] = BUFFER_INIT(r->out->max);
		r->scratch[i] = BUFFER_INIT(r->out->max);
		r->compared[i] = BUFFER_INIT(r->out->max);
	}
	if (r->t->slots.n == 0)
		return 0;
	r->found = calloc(rows * r->t->slots.n, sizeof(*r->found));
	return r->found ? 0 : -ENOMEM;
}

static void
renderer_deinit(struct renderer *r)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		buffer_deinit(&r->filtered[i]);
		buffer_deinit(&r->scratch[i]);
		buffer_deinit(&r->compared[i]);
	}
	free(r->found);
}

static int
render(const struct template *t, const struct template_input *in, const struct message *message,
	struct buffer *out, struct writings *writings, struct template_failures *failures)
{
	struct renderer r = {
		.writings = writings,
		.t = t,
		.in = in,
		.out = out,
		.segment_start = out->n,
		.failures = failures,
	};
	int error = renderer_init(&r, message);

	failures->n = 0;
	if (error == 0)
		error = run(&r);
	renderer_deinit(&r);
	return error;
}

/* --- {charset} ------------------------------------------------------------------------------- */

/* The field of a message that holds the byte at `offset`. */
static struct address
address_at(const struct message *m, size_t offset)
{
	struct address a = { 0 };
	struct span segment, name;
	size_t i = 0, begin;

	while (i + 1 < m->n_segments && m->segments[i + 1].offset <= offset)
		i++;
	if (m->n_segments == 0)
		return a;
	segment = message_segment(m, i);
	name = message_segment_name(m, i);
	memcpy(a.segment, name.p, name.n < 3 ? name.n : 3);
	a.occurrence = occurrence_of(m, i);
	begin = m->segments[i].offset;
	a.field = segment_is_header(segment) ? 1 : 0;
	for (i = 0; i < segment.n && begin + i < offset; i++)
		a.field += segment.p[i] == m->delimiters.field;
	return a;
}

static int
refuse_character(const struct message *m, size_t offset, struct template_failures *failures)
{
	failures->n = 1;
	failures->items[0] = (struct template_failure){
		.refusal = TEMPLATE_REFUSAL_CHARACTER,
		.at = address_at(m, offset),
	};
	return TEMPLATE_E_REFUSED;
}

/* Refused as a whole: MSH-18 names what is not known here. */
static int
refuse_charset(struct template_failures *failures)
{
	failures->n = 1;
	failures->items[0] = (struct template_failure){
		.refusal = TEMPLATE_REFUSAL_CHARACTER,
		.at = { .segment = "MSH", .occurrence = 1, .field = 18 },
	};
	return TEMPLATE_E_REFUSED;
}

/* A buffer full, reported by charset.c as -EFBIG. */
static int
fold_charset(int r)
{
	return r == -EFBIG ? TEMPLATE_E_TOO_LARGE : r;
}

static int
decode(const struct template *t, const struct message *m, struct buffer *out,
	struct template_failures *failures)
{
	const struct charset *source;
	size_t at = 0;
	int r = charset_of_message(message_header_field(m, 18), &m->delimiters, &source);

	if (r)
		return refuse_charset(failures);
	r = charset_decode(source, m->bytes, &m->delimiters,
		t->has_substitute ? &t->substitute : NULL, out, &at);
	if (r == CHARSET_E_CHARACTER)
		return refuse_character(m, at, failures);
	return r > 0 ? refuse_charset(failures) : fold_charset(r);
}

/* The target lacks what stands at `at` of the result: the input's field that it came from is to
 * blame, or the template's line. */
static int
refuse_written(const struct message *m, const struct writings *writings, size_t at,
	struct template_failures *failures)
{
	struct template_failure f = { .refusal = TEMPLATE_REFUSAL_CHARACTER };
	const struct writing *w;
	size_t i;

	for (i = 0; i < writings->n; i++) {
		w = &writings->items[i];
		if (at < w->begin || at >= w->end)
			continue;
		f.line = w->hole->line;
		if (w->source->kind == SOURCE_ADDRESS)
			f.at = w->source->address;
		if (w->from_segment)
			f.at.occurrence = occurrence_of(m, w->segment);
	}
	failures->n = 1;
	failures->items[0] = f;
	return TEMPLATE_E_REFUSED;
}

static int
encode(const struct template *t, const struct message *m, const struct writings *writings,
	struct span text, struct buffer *out, struct template_failures *failures)
{
	size_t at = 0, start = out->n;
	int r = charset_encode(
		t->charset, text, t->has_substitute ? &t->substitute : NULL, out, &at);

	if (r <= 0)
		return fold_charset(r);
	out->n = start;
	return r == CHARSET_E_CHARACTER ? refuse_written(m, writings, at, failures)
					: refuse_charset(failures);
}

static int
render_decoded(const struct template *t, const struct template_input *in, struct span text,
	struct buffer *out, struct template_failures *failures)
{
	struct buffer rendered = BUFFER_INIT(out->max);
	struct writings writings = { 0 };
	struct message decoded;
	int r = message_parse(&decoded, text);

	if (r == 0)
		r = render(t, in, &decoded, &rendered, &writings, failures);
	else if (r > 0)
		r = refuse_charset(failures);
	if (r == 0)
		r = encode(t, &decoded, &writings, buffer_span(&rendered), out, failures);
	free(writings.items);
	message_deinit(&decoded);
	buffer_deinit(&rendered);
	return r;
}

int
template_render(const struct template *t, const struct template_input *in, struct buffer *out,
	struct template_failures *failures)
{
	struct buffer text = BUFFER_INIT(out->max);
	int r;

	if (!t->charset)
		return render(t, in, in->message, out, NULL, failures);
	r = decode(t, in->message, &text, failures);
	if (r == 0)
		r = render_decoded(t, in, buffer_span(&text), out, failures);
	buffer_deinit(&text);
	return r;
}

/* --- what was written ------------------------------------------------------------------------ */

/* Whether a header of the result stands there. It has the result's own field separator behind its
 * name, which no value can write: a value that looks like a header is a line of text. */
static bool
begins_message(struct span line, uint8_t separator)
{
	return span_starts(line, SPAN("MSH")) && line.n > 3 && line.p[3] == separator;
}

bool
template_cut_message(struct span *rest, struct span *ret_message)
{
	struct span s = *rest;
	uint8_t separator = segment_is_header(s) ? s.p[3] : 0;
	size_t end = 0;

	if (s.n == 0)
		return false;
	do {
		end += span_find(span_from(s, end), '\r') + 1;
	} while (end < s.n && !begins_message(span_from(s, end), separator));
	*ret_message = span_first(s, end);
	*rest = span_from(s, end);
	return true;
}

/* --- what a template says of itself ---------------------------------------------------------- */

int
template_decide(const struct template *t, const struct template_input *in, bool *ret)
{
	struct buffer limit = BUFFER_INIT(in->message->bytes.n * 4 + TEMPLATE_SOURCE_BYTES_MAX);
	struct template_failures failures = { .n = 0 };
	struct renderer r = { .t = t, .in = in, .out = &limit, .failures = &failures };
	bool holds = true;
	int error = 0;

	if (t->has_when) {
		error = renderer_init(&r, in->message);
		if (error == 0)
			error = fold(evaluate(&r, t->when, &holds));
		renderer_deinit(&r);
	}
	if (error == 0)
		*ret = holds && failures.n == 0;
	return error;
}

bool
template_applies(const struct template *t, const struct template_input *in)
{
	bool holds = false;

	return template_decide(t, in, &holds) == 0 && holds;
}

bool
template_has_charset(const struct template *t)
{
	return t->charset != NULL;
}

size_t
template_destinations(const struct template *t, const struct span **ret)
{
	*ret = t->destinations;
	return t->n_destinations;
}

bool
template_when(const struct template *t, struct span *ret_text)
{
	*ret_text = t->when_text;
	return t->has_when;
}

const char *
template_refusal_code(enum template_refusal refusal)
{
	switch (refusal) {
	case TEMPLATE_REFUSAL_ABSENT: return "101^Required field missing^HL70357";
	case TEMPLATE_REFUSAL_NO_TIME: return "102^Data type error^HL70357";
	case TEMPLATE_REFUSAL_NO_ROW: return "103^Table value not found^HL70357";
	case TEMPLATE_REFUSAL_CHARACTER: return "102^Data type error^HL70357";
	}
	return "199^Other HL7 error^HL70357";
}

const char *
template_refusal_text(enum template_refusal refusal)
{
	switch (refusal) {
	case TEMPLATE_REFUSAL_ABSENT: return "a value that is required here is absent";
	case TEMPLATE_REFUSAL_NO_TIME: return "a value that must be a time is none";
	case TEMPLATE_REFUSAL_NO_ROW: return "a value is not in the table that translates it";
	case TEMPLATE_REFUSAL_CHARACTER:
		return "a character cannot be converted between character sets";
	}
	return "";
}
