/* SPDX-License-Identifier: MIT */

/* Walks a template's operations once and appends what they write. */

#include "hl7/escape.h"
#include "template/program.h"

#include <errno.h>

struct renderer {
	const struct template *t;
	const struct template_input *in;
	struct buffer *out;
	struct delimiters target;
	size_t segment_start; /* in `out` */
	size_t error_round;   /* from 1 inside {each error}, else 0 */
	struct template_failures *failures;
};

/* What a source reads: bytes, and how they are encoded. */
struct value {
	struct span bytes;
	const struct delimiters *from; /* NULL: plain text */
	bool segment;                  /* field separators are structure too */
	char id[CONTROL_ID_CHARS + 1]; /* holds the bytes of {id} */
};

static int
fold(int r)
{
	return r == BUFFER_E_FULL ? TEMPLATE_E_TOO_LARGE : r;
}

/* The segment an address means: the n-th of its name. The first MSH is the header, also where something
 * that only looks like one stands before it. */
static bool
find_segment(const struct message *m, const struct address *a, size_t *ret)
{
	uint32_t wanted = a->occurrence ? a->occurrence : 1;
	size_t i = memcmp(a->segment, "MSH", 3) == 0 ? m->header : 0;

	for (; i < m->n_segments; i++) {
		if (!span_starts(message_segment(m, i), span_of(a->segment, 3)) ||
			message_segment_name(m, i).n != 3)
			continue;
		*ret = i;
		if (--wanted == 0)
			return true;
	}
	return false;
}

static void
read_address(const struct renderer *r, const struct address *a, struct value *v)
{
	const struct message *m = r->in->message;
	size_t i;

	v->from = &m->delimiters;
	v->segment = a->field == 0;
	if (!find_segment(m, a, &i))
		return;
	v->bytes = address_read(a, m, i);
	/* MSH-1 and MSH-2 are the delimiters themselves: as data they are plain text */
	if (a->field > 0 && a->field <= 2 && segment_is_header(message_segment(m, i)))
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

static void
read_variable(const struct renderer *r, enum template_variable variable, struct value *v)
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
		control_id_next(r->in->ids, r->in->now_usec, v->id);
		v->bytes = span_of(v->id, CONTROL_ID_CHARS);
		return;
	case TEMPLATE_ACK_TYPE:
		v->from = &delimiters_standard;
		break;
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
read_source(const struct renderer *r, const struct source *s, struct value *v)
{
	*v = (struct value){ 0 };
	switch (s->kind) {
	case SOURCE_TEXT:
		v->bytes = s->text;
		v->from = &r->t->delimiters;
		break;
	case SOURCE_ADDRESS: read_address(r, &s->address, v); break;
	case SOURCE_POSITION:
		v->bytes = message_position(r->in->message, s->line, s->piece);
		v->from = &r->in->message->delimiters;
		break;
	case SOURCE_VARIABLE: read_variable(r, s->variable, v); break;
	case SOURCE_MESSAGE:
		v->bytes = r->in->message->bytes;
		v->from = &r->in->message->delimiters;
		break;
	}
}

static void
read_hole(const struct renderer *r, size_t hole, struct value *v)
{
	const struct hole *h = &r->t->holes.items[hole];
	size_t i = 0;

	do {
		read_source(r, &r->t->sources.items[h->first_source + i], v);
	} while (v->bytes.n == 0 && ++i < h->n_sources);
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
append_value(struct buffer *out, const struct value *v, const struct delimiters *to)
{
	if (!v->from)
		return escape_text(out, v->bytes, to);
	if (declares_others(v, to))
		return append_header_segment(out, v, to);
	return v->segment ? escape_translate_segment(out, v->bytes, v->from, to)
			  : escape_translate(out, v->bytes, v->from, to);
}

static void
note_failure(struct renderer *r, const struct hole *h)
{
	const struct source *s = &r->t->sources.items[h->first_source];

	if (r->failures->n == TEMPLATE_FAILURES_MAX)
		return;
	r->failures->at[r->failures->n++] =
		s->kind == SOURCE_ADDRESS ? s->address : (struct address){ 0 };
}

static int
render_hole(struct renderer *r, size_t hole)
{
	const struct hole *h = &r->t->holes.items[hole];
	struct value v;

	read_hole(r, hole, &v);
	if (v.bytes.n == 0 && h->required)
		note_failure(r, h); /* all of them are told at once, so rendering goes on */
	return append_value(r->out, &v, &r->target);
}

/* Two values are equal when they read the same with the template's delimiters. */
static int
values_equal(const struct renderer *r, size_t left, size_t right, bool *ret)
{
	const size_t holes[2] = { left, right };
	struct buffer sides[2] = { BUFFER_INIT(r->out->max), BUFFER_INIT(r->out->max) };
	struct value v;
	int i, error = 0;

	for (i = 0; error == 0 && i < 2; i++) {
		read_hole(r, holes[i], &v);
		error = append_value(&sides[i], &v, &r->t->delimiters);
	}
	*ret = span_eq(buffer_span(&sides[0]), buffer_span(&sides[1]));
	buffer_deinit(&sides[0]);
	buffer_deinit(&sides[1]);
	return fold(error);
}

static int
evaluate(const struct renderer *r, size_t condition, bool *ret)
{
	const struct condition *c = &r->t->conditions.items[condition];
	struct value v;
	int error;

	switch (c->kind) {
	case CONDITION_NOT_EMPTY:
		read_hole(r, c->left, &v);
		*ret = v.bytes.n > 0;
		return 0;
	case CONDITION_NULL:
		read_hole(r, c->left, &v);
		*ret = span_eq(v.bytes, SPAN("\"\""));
		return 0;
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
	case OP_LITERAL:
		return escape_translate_segment(r->out, op->text, &r->t->delimiters, &r->target);
	case OP_HOLE: return render_hole(r, op->index);
	case OP_END_SEGMENT: return end_segment(r);
	case OP_MESSAGE: return buffer_append(r->out, r->in->message->bytes);
	case OP_JUMP: *at = op->target; return 0;
	case OP_JUMP_UNLESS:
		error = evaluate(r, op->index, &holds);
		*at = holds ? *at : op->target;
		return error;
	case OP_EACH_ERROR:
		if (r->error_round++ < r->in->n_errors)
			return 0;
		r->error_round = 0;
		*at = op->target;
		return 0;
	}
	return -EINVAL;
}

int
template_render(const struct template *t, const struct template_input *in, struct buffer *out,
	struct template_failures *failures)
{
	const struct delimiters *sender = &in->message->delimiters;
	struct renderer r = {
		.t = t,
		.in = in,
		.out = out,
		.target = t->source_delimiters && delimiters_usable(sender) ? *sender : t->delimiters,
		.segment_start = out->n,
		.failures = failures,
	};
	size_t at = 0;
	int error = 0;

	failures->n = 0;
	while (error == 0 && at < t->ops.n)
		error = render_op(&r, &t->ops.items[at], &at);
	if (error)
		return fold(error);
	return failures->n > 0 ? TEMPLATE_E_REQUIRED : 0;
}

bool
template_applies(const struct template *t, const struct template_input *in)
{
	struct buffer limit = BUFFER_INIT(in->message->bytes.n * 4 + TEMPLATE_SOURCE_BYTES_MAX);
	const struct renderer r = { .t = t, .in = in, .out = &limit };
	bool holds = true;

	if (t->has_when && evaluate(&r, t->when, &holds))
		return false;
	return holds;
}
