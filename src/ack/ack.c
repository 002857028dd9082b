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
ack_code(enum ack_mode mode, enum ack_class class, struct span accept_type, struct span application_type)
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

/* MSH-9: ACK up to 2.2 and where the version cannot be read, ACK^event in 2.3, ACK^event^ACK from 2.4 on. */
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

/* ERR-1 (ELD: segment^sequence^field^code&text), which 2.4 and older read: from an ERL and a CWE. */
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

/* No template can say what is not so: what it wrote is read again. */
static int
says_code(struct span rendered, const char *code)
{
	struct message answer = MESSAGE_NULL;
	int r = message_parse(&answer, rendered);
	bool right = r == 0 && answer.header == 0 && span_eq(code_in(&answer), span_str(code));

	message_deinit(&answer);
	return r < 0 ? r : right ? 0 : ACK_E_TEMPLATE;
}

static int
render_with(const struct template *t, const struct template_input *in, const char *code,
	struct buffer *out, struct template_failures *failures)
{
	int r;

	buffer_clear(out);
	r = template_render(t, in, out, failures);
	if (r == TEMPLATE_E_REQUIRED)
		return ACK_E_REQUIRED;
	if (r > 0)
		return ACK_E_TEMPLATE;
	return r < 0 ? r : says_code(buffer_span(out), code);
}

/* The first template that applies decides; where its result carries another code, the shipped one
 * answers. */
static int
render_by_first(const struct template_set *set, const struct template *shipped,
	const struct ack_answer *a, const struct template_input *in, struct buffer *out,
	struct template_failures *failures)
{
	size_t i = 0;
	int r = ACK_E_TEMPLATE;

	while (i < set->n && !(set->files[i].template && template_applies(set->files[i].template, in)))
		i++;
	if (i < set->n)
		r = render_with(set->files[i].template, in, a->code, out, failures);
	/* a refusal must come out, also one for the very value that is absent */
	if (r == ACK_E_REQUIRED && a->outcome != OUTCOME_STORED)
		r = ACK_E_TEMPLATE;
	return r == ACK_E_TEMPLATE ? render_with(shipped, in, a->code, out, failures) : r;
}

int
ack_render(const struct template_set *set, const struct template *shipped, const struct ack_answer *a,
	struct buffer *out, struct template_failures *failures)
{
	const struct outcome_info *info = outcome_info(a->outcome);
	uint8_t type_bytes[TYPE_BYTES_MAX];
	char eld[256] = "";
	struct buffer type = { .p = type_bytes, .allocated = TYPE_BYTES_MAX, .max = TYPE_BYTES_MAX };
	struct template_error error = {
		.location = a->location.n ? a->location : span_str(info->location),
		.code = span_str(info->code),
		.severity = SPAN("E"),
		.text = a->text.n ? a->text : span_str(info->text),
	};
	struct template_input in = a->input;
	int r = write_type(a->message, &type);

	assert(r == 0); /* each byte of the event grows to 5 at most */
	in.message = a->message;
	in.errors = &error;
	in.n_errors = info->code ? 1 : 0;
	if (in.n_errors && minor_version(a->message) >= 0 && minor_version(a->message) <= 4)
		error.eld = span_of(eld, write_eld(error.location, error.code, eld, sizeof(eld)));
	in.variables[TEMPLATE_ACK_CODE] = span_str(a->code);
	in.variables[TEMPLATE_ACK_TYPE] = buffer_span(&type);
	in.variables[TEMPLATE_ACK_TEXT] = in.n_errors ? error.text : SPAN_NULL;
	return render_by_first(set, shipped, a, &in, out, failures);
}
