/* SPDX-License-Identifier: MIT */
#include "ack/ack.h"
#include "hl7/escape.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* MSH-9 of an answer: "ACK^" event "^ACK". Longer events than any known one are cut. */
#define EVENT_BYTES_MAX 16
#define TYPE_BYTES_MAX  96

static struct span
trim(struct span s)
{
	while (s.n && s.p[0] == ' ')
		s = span_from(s, 1);
	while (s.n && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

/* Whether a condition of table 0155 asks for an answer of this class. */
static bool
asks(struct span condition, enum ack_class class)
{
	if (span_eq(condition, SPAN("AL")))
		return true;
	return span_eq(condition, class == ACK_ACCEPT ? SPAN("SU") : SPAN("ER"));
}

static const char *
code_of(char phase, enum ack_class class)
{
	switch (class) {
	case ACK_ACCEPT: return phase == 'C' ? "CA" : "AA";
	case ACK_ERROR: return phase == 'C' ? "CE" : "AE";
	case ACK_REJECT: return phase == 'C' ? "CR" : "AR";
	case ACK_NONE: return "";
	}
	return "";
}

const char *
ack_code(enum ack_mode mode, enum ack_class class, struct span accept_type,
	struct span application_type)
{
	struct span accept = trim(accept_type), application = trim(application_type);

	switch (mode) {
	case ACK_ORIGINAL: return code_of('A', class);
	case ACK_ENHANCED: return code_of('C', class);
	case ACK_AUTO: return code_of(asks(accept, class) ? 'C' : 'A', class);
	case ACK_STRICT:
		if (accept.n == 0 && application.n == 0)
			return code_of('A', class);
		if (asks(accept, class))
			return code_of('C', class);
		return asks(application, class) ? code_of('A', class) : "";
	}
	return "";
}

static struct span
header_component(const struct message *m, size_t field, size_t component)
{
	struct span s = message_header_field(m, field);

	s = field_repetition(s, &m->delimiters, 1);
	return repetition_component(s, &m->delimiters, component);
}

bool
ack_is_acknowledgement(const struct message *m)
{
	return span_eq(trim(header_component(m, 9, 1)), SPAN("ACK"));
}

/* The minor number of version 2.x (MSH-12.1, "2.3.1" is 3), or -1. */
static int
minor_version(const struct message *m)
{
	struct span v = trim(header_component(m, 12, 1));

	if (!span_starts(v, SPAN("2.")) || v.n < 3 || v.p[2] < '0' || v.p[2] > '9')
		return -1;
	return v.p[2] - '0';
}

/* MSH-9: ACK up to 2.2 and where the version cannot be read, ACK^event in 2.3, ACK^event^ACK
 * from 2.4 on. */
static int
write_type(const struct message *m, struct buffer *out)
{
	struct span event = span_first(header_component(m, 9, 2), EVENT_BYTES_MAX);
	int minor = minor_version(m);
	int r = buffer_append(out, SPAN("ACK"));

	if (r || minor < 3 || event.n == 0)
		return r;
	r = buffer_append_byte(out, delimiters_standard.component);
	if (r == 0)
		r = escape_translate(out, event, &m->delimiters, &delimiters_standard);
	return r || minor < 4 ? r : buffer_append(out, SPAN("^ACK"));
}

/* ERR-1 (ELD: segment^sequence^field^code&text), which 2.4 and older read: from an ERL and a CWE.
 */
static size_t
write_eld(struct span location, struct span code, char *out, size_t out_n)
{
	const struct delimiters *d = &delimiters_standard;
	struct span part[3], number, text;
	size_t i;

	for (i = 0; i < 3; i++)
		part[i] = repetition_component(location, d, i + 1);
	number = repetition_component(code, d, 1);
	text = repetition_component(code, d, 2);
	return (size_t)snprintf(out, out_n, "%.*s^%.*s^%.*s^%.*s&%.*s", (int)part[0].n, part[0].p,
		(int)part[1].n, part[1].p, (int)part[2].n, part[2].p, (int)number.n, number.p,
		(int)text.n, text.p);
}

/* The code that an answer carries: MSA-1 of its only MSA; empty when it has none or several. */
static struct span
code_in(const struct message *answer)
{
	struct span code = SPAN_NULL;
	size_t i, n = 0;

	for (i = 0; i < answer->n_segments; i++)
		if (span_eq(message_segment_name(answer, i), SPAN("MSA"))) {
			code = message_field(answer, i, 1);
			n++;
		}
	return n == 1 ? code : SPAN_NULL;
}

/* What a rendered text is, in render_with(): beside the ACK_E conditions. */
enum {
	RENDERED_OTHER_CODE = 100, /* an acknowledgement, for another outcome */
};

/* No template can say what is not so: what it wrote is read again. */
static int
says_code(struct span rendered, const char *code)
{
	struct message answer = MESSAGE_NULL;
	int r = message_parse(&answer, rendered);
	struct span said = r == 0 && answer.header == 0 ? code_in(&answer) : SPAN_NULL;

	if (r >= 0)
		r = span_eq(said, span_str(code)) ? 0
		    : said.n                      ? RENDERED_OTHER_CODE
						  : ACK_E_TEMPLATE;
	message_deinit(&answer);
	return r;
}

static int
render_with(const struct template *t, const struct template_input *in, const char *code,
	struct buffer *out, struct template_failures *failures)
{
	int r;

	buffer_clear(out);
	r = template_render(t, in, out, failures);
	if (r == TEMPLATE_E_REFUSED)
		return ACK_E_REFUSED;
	if (r > 0)
		return ACK_E_TEMPLATE;
	return r < 0 ? r : says_code(buffer_span(out), code);
}

/* The first template that applies decides; where it is for another outcome, or of no use, the
 * shipped one answers. */
static int
render_by_first(const struct template_set *set, const struct template *shipped,
	struct ack_answer *a, const struct template_input *in, struct buffer *out,
	struct template_failures *failures)
{
	size_t i = 0;
	int r = RENDERED_OTHER_CODE;

	while (i < set->n &&
		!(set->files[i].template && template_applies(set->files[i].template, in)))
		i++;
	if (i < set->n)
		r = render_with(set->files[i].template, in, a->code, out, failures);
	if (r == ACK_E_TEMPLATE)
		a->unusable = set->files[i].name;
	/* a refusal must come out, also one for the very value that is absent */
	if (r == ACK_E_TEMPLATE || (r == ACK_E_REFUSED && a->outcome != OUTCOME_STORED))
		r = RENDERED_OTHER_CODE;
	if (r != RENDERED_OTHER_CODE)
		return r;
	r = render_with(shipped, in, a->code, out, failures);
	return r == RENDERED_OTHER_CODE ? ACK_E_TEMPLATE : r;
}

size_t
ack_bytes_max(const struct message *m)
{
	/* a byte that must be escaped grows to five */
	return ACK_BYTES_MAX + 5 * message_segment(m, m->header).n;
}

/* What the ERR segments of an answer are made of, and the memory for it. */
struct error_list {
	struct template_error items[TEMPLATE_FAILURES_MAX];
	char locations[TEMPLATE_FAILURES_MAX][ADDRESS_ERL_BYTES];
	char elds[TEMPLATE_FAILURES_MAX][256];
	size_t n;
};

static void
add_error(struct error_list *list, const struct message *m, struct template_error e)
{
	int minor = minor_version(m);
	char *eld = list->elds[list->n];

	if (minor >= 0 && minor <= 4)
		e.eld = span_of(eld, write_eld(e.location, e.code, eld, sizeof(list->elds[0])));
	list->items[list->n++] = e;
}

static void
add_failure(struct error_list *list, const struct message *m, const struct template_failure *f)
{
	char *location = list->locations[list->n];
	size_t n = f->at.segment[0] ? address_format_erl(&f->at, location) : 0;

	add_error(list, m,
		(struct template_error){
			.location = span_of(location, n),
			.code = span_str(template_refusal_code(f->refusal)),
			.severity = SPAN("E"),
			.text = span_str(template_refusal_text(f->refusal)),
		});
}

static void
list_errors(struct error_list *list, const struct ack_answer *a)
{
	const struct outcome_info *info = outcome_info(a->outcome);
	size_t i;

	if (!info->code)
		return;
	for (i = 0; a->failures && i < a->failures->n && i < TEMPLATE_FAILURES_MAX; i++)
		add_failure(list, a->message, &a->failures->items[i]);
	if (list->n == 0)
		add_error(list, a->message,
			(struct template_error){
				.location = span_str(info->location),
				.code = span_str(info->code),
				.severity = SPAN("E"),
				.text = span_str(info->text),
			});
}

int
ack_render(const struct template_set *set, const struct template *shipped, struct ack_answer *a,
	struct buffer *out, struct template_failures *failures)
{
	uint8_t type_bytes[TYPE_BYTES_MAX];
	struct buffer type = {
		.p = type_bytes, .allocated = TYPE_BYTES_MAX, .max = TYPE_BYTES_MAX
	};
	struct template_input in = a->input;
	struct error_list errors;
	int r = write_type(a->message, &type);

	assert(r == 0); /* each byte of the event grows to 5 at most */
	errors.n = 0;
	a->unusable = NULL;
	list_errors(&errors, a);
	in.message = a->message;
	in.errors = errors.items;
	in.n_errors = errors.n;
	in.variables[TEMPLATE_ACK_CODE] = span_str(a->code);
	in.variables[TEMPLATE_ACK_TYPE] = buffer_span(&type);
	in.variables[TEMPLATE_ACK_TEXT] = errors.n ? errors.items[0].text : SPAN_NULL;
	return render_by_first(set, shipped, a, &in, out, failures);
}
