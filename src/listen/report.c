/* SPDX-License-Identifier: MIT */
#include "listen/report.h"

#include <stdio.h>
#include <stdlib.h>

/* The name of a certificate only where the proxy found it good: of others anybody can be named. */
static void
add_proxy(struct journal_entry *e, const struct proxy_header *h)
{
	const struct proxy_tls *tls = &h->tls;

	if (tls->used && tls->version.p)
		journal_bytes(e, "HL7_TLS_VERSION", tls->version);
	if (tls->certificate && tls->verify_result == 0 && tls->client.p)
		journal_bytes(e, "HL7_TLS_CLIENT", tls->client);
	if (tls->certificate && tls->verify_result != 0)
		journal_number(e, "HL7_TLS_VERIFY_RESULT", tls->verify_result);
	if (h->unique_id.p)
		journal_bytes(e, "HL7_PROXY_ID", h->unique_id);
}

static void
send_entry(const struct reporter *r, struct journal_entry *e)
{
	if (r->names->peer_address[0])
		journal_text(e, "HL7_PEER", r->names->peer_address);
	if (r->names->peer_port[0])
		journal_text(e, "HL7_PEER_PORT", r->names->peer_port);
	if (r->proxy)
		add_proxy(e, r->proxy);
	journal_send(r->target, e);
}

static void
hold(struct held_reports *held, const struct journal_entry *e)
{
	struct journal_entry *copy = NULL;

	if (held->n < REPORTS_HELD_MAX)
		copy = malloc(sizeof(*copy));
	if (!copy)
		return;
	*copy = *e;
	held->entries[held->n++] = copy;
}

void
report_send(const struct reporter *r, struct journal_entry *e)
{
	if (r->held)
		hold(r->held, e);
	else
		send_entry(r, e);
}

void
held_reports_deinit(struct held_reports *held)
{
	while (held->n > 0)
		free(held->entries[--held->n]);
}

void
report_held(struct reporter *r)
{
	size_t i;

	for (i = 0; r->held && i < r->held->n; i++)
		send_entry(r, r->held->entries[i]);
	r->held = NULL;
}

void
report_add_error(struct journal_entry *e, int error)
{
	if (error >= 0)
		return;
	journal_number(e, "ERRNO", (uint64_t)-error);
	journal_text(e, "HL7_ERROR", strerrordesc_np(-error));
}

/* What names a message, and nothing else of it. */
static void
add_message(struct journal_entry *e, const struct message *m)
{
	journal_bytes(e, "HL7_CONTROL_ID", message_header_field(m, 10));
	journal_bytes(e, "HL7_MESSAGE_TYPE", message_header_field(m, 9));
	journal_bytes(e, "HL7_SENDING_APPLICATION", message_header_field(m, 3));
}

#define LINE_BYTES 128

/* Not by printf, which costs more than all else that is done for an entry. */
static const char *
human_line(const struct message_facts *m, char line[LINE_BYTES])
{
	const char *const parts[] = {
		"message ",
		outcome_info(m->outcome)->name,
		": ",
		m->code[0] ? m->code : "no answer",
		m->code[0] == 0 ? ""
		: m->delivered  ? " sent"
				: " not taken by the peer",
	};
	size_t i, n = 0;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct span part = span_first(span_str(parts[i]), LINE_BYTES - 1 - n);

		if (part.n > 0)
			memcpy(line + n, part.p, part.n);
		n += part.n;
	}
	line[n] = 0;
	return line;
}

/* The smaller number is the more urgent. */
static int
more_urgent(enum outcome_priority a, enum outcome_priority b)
{
	return (int)(a < b ? a : b);
}

void
report_begin_message(
	struct journal_entry *e, const struct message_facts *m, enum outcome_priority least)
{
	const struct outcome_info *info = outcome_info(m->outcome);
	bool undelivered = m->code[0] && !m->delivered;
	char line[LINE_BYTES];

	journal_begin(e, more_urgent(info->priority, undelivered ? PRIORITY_WARNING : least),
		info->message_id, human_line(m, line));
	if (m->message)
		add_message(e, m->message);
	journal_text(e, "HL7_OUTCOME", info->name);
	if (m->code[0])
		journal_text(e, "HL7_ACK", m->code);
	if (undelivered)
		journal_text(e, "HL7_ACK_DELIVERED", "no");
	journal_number(e, "HL7_BYTES", m->frame->payload.n);
	journal_number(e, "HL7_OFFSET", m->frame->offset);
	if (m->frame->fault_offset)
		journal_number(e, "HL7_FAULT_OFFSET", m->frame->fault_offset);
	journal_number(e, "HL7_DURATION_USEC", m->duration_usec);
}

void
report_skipped(const struct reporter *r, enum outcome_priority priority, const char *text,
	uint64_t bytes, uint64_t offset)
{
	struct journal_entry e;

	journal_begin(&e, (int)priority, REPORT_ID_DATA_SKIPPED, text);
	journal_number(&e, "HL7_BYTES", bytes);
	journal_number(&e, "HL7_OFFSET", offset);
	report_send(r, &e);
}

void
report_deviations(const struct reporter *r, const struct frame *f)
{
	if (f->deviations & FRAME_DEVIATION_NOISE)
		report_skipped(r, PRIORITY_NOTICE, "bytes outside of a frame skipped",
			f->noise_bytes, f->noise_offset);
	if (f->deviations & FRAME_DEVIATION_VT_INSIDE && f->discarded_bytes > 0)
		report_skipped(r, PRIORITY_WARNING,
			"a frame's beginning discarded: a VT byte inside began another",
			f->discarded_bytes, f->offset);
	if (f->deviations & FRAME_DEVIATION_NO_CR)
		report_skipped(r, PRIORITY_DEBUG, "a frame's FS byte was not followed by CR",
			f->payload.n, f->offset);
}

void
report_late_data(const struct reporter *r, uint64_t *offset)
{
	if (*offset == 0)
		return;
	report_skipped(r, PRIORITY_WARNING,
		"data followed the FS byte of a frame already answered: the message may be cut "
		"short",
		0, *offset);
	*offset = 0;
}

void
report_error(const struct reporter *r, const char *what, int error)
{
	struct journal_entry e;

	journal_begin(&e, PRIORITY_ERROR, REPORT_ID_SYSTEM, what);
	report_add_error(&e, error);
	report_send(r, &e);
}

void
report_refused_header(const struct reporter *r, const char *what, uint64_t bytes,
	uint64_t fault_offset, int error)
{
	struct reporter at_once = *r;
	struct journal_entry e;
	char line[128];

	at_once.held = NULL; /* it stays without a frame */
	(void)snprintf(line, sizeof(line), "connection refused: %s", what);
	journal_begin(&e, PRIORITY_WARNING, REPORT_ID_PROXY, line);
	journal_number(&e, "HL7_BYTES", bytes);
	journal_number(&e, "HL7_FAULT_OFFSET", fault_offset);
	report_add_error(&e, error);
	report_send(&at_once, &e);
}

void
report_idle(const struct reporter *r)
{
	struct reporter at_once = *r;
	struct journal_entry e;

	journal_begin(&e, PRIORITY_DEBUG, REPORT_ID_CONNECTION, "no message within --idle-timeout");
	at_once.held = NULL;
	report_send(&at_once, &e);
}

void
report_sandbox(const struct reporter *r, const struct sandbox_walls *walls, bool required)
{
	char standing[SANDBOX_TEXT_BYTES], missing[SANDBOX_TEXT_BYTES];
	bool holds = sandbox_holds(walls);
	struct reporter at_once = *r;
	struct journal_entry e;

	sandbox_describe(walls, standing, missing);
	journal_begin(&e,
		holds      ? PRIORITY_DEBUG
		: required ? PRIORITY_ERROR
			   : PRIORITY_INFO,
		REPORT_ID_SANDBOX, sandbox_text(walls, required));
	journal_text(&e, "HL7_SANDBOX", standing);
	journal_number(&e, "HL7_LANDLOCK_ABI", (uint64_t)walls->landlock_abi);
	if (missing[0])
		journal_text(&e, "HL7_SANDBOX_MISSING", missing);
	if (required && !holds)
		at_once.held = NULL; /* no frame will be read */
	report_send(&at_once, &e);
}
