/* SPDX-License-Identifier: MIT */
#include "amqp/report.h"

#include <stdio.h>

/* The same events as hl7-receive's: whoever looks for one finds it, whichever program was there. */
#define ID_DATA_SKIPPED "b1b9d5d329074c4f9b31e37834589e7b"
#define ID_CONNECTION   "f33a7b82412344ca86335573268d8aa1"
#define ID_SYSTEM       "09b52c086b0542718d3c0adef8290874"

static void
finish(const struct reporter *r, struct journal_entry *e)
{
	if (r->names.peer_address[0])
		journal_text(e, "HL7_PEER", r->names.peer_address);
	if (r->names.peer_port[0])
		journal_text(e, "HL7_PEER_PORT", r->names.peer_port);
	journal_send(r->target, e);
}

static void
add_error(struct journal_entry *e, int error)
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

static void
add_publishing(struct journal_entry *e, const struct message_report *m)
{
	if (m->message_id[0])
		journal_text(e, "HL7_AMQP_MESSAGE_ID", m->message_id);
	if (m->broker[0])
		journal_text(e, "HL7_AMQP_BROKER", m->broker);
	if (m->published[0])
		journal_text(e, "HL7_AMQP_RESULT", m->published);
	if (m->reason[0])
		journal_bytes(e, "HL7_AMQP_REASON", span_str(m->reason));
}

void
report_message(const struct reporter *r, const struct message_report *m)
{
	const struct outcome_info *info = outcome_info(m->outcome);
	bool undelivered = m->code[0] && !m->delivered;
	int priority = undelivered && info->priority > PRIORITY_WARNING ? PRIORITY_WARNING
									: (int)info->priority;
	const char *end = m->code[0] == 0 ? "" : m->delivered ? " sent" : " not taken by the peer";
	struct journal_entry e;
	char line[128];

	(void)snprintf(line, sizeof(line), "message %s: %s%s", info->name,
		m->code[0] ? m->code : "no answer", end);
	journal_begin(&e, priority, info->message_id, line);
	if (m->message)
		add_message(&e, m->message);
	journal_text(&e, "HL7_OUTCOME", info->name);
	if (m->code[0])
		journal_text(&e, "HL7_ACK", m->code);
	if (undelivered)
		journal_text(&e, "HL7_ACK_DELIVERED", "no");
	journal_number(&e, "HL7_BYTES", m->frame->payload.n);
	journal_number(&e, "HL7_OFFSET", m->frame->offset);
	if (m->frame->fault_offset)
		journal_number(&e, "HL7_FAULT_OFFSET", m->frame->fault_offset);
	journal_number(&e, "HL7_DURATION_USEC", m->duration_usec);
	add_publishing(&e, m);
	add_error(&e, m->error);
	finish(r, &e);
}

static void
report_skipped(
	const struct reporter *r, int priority, const char *text, uint64_t bytes, uint64_t offset)
{
	struct journal_entry e;

	journal_begin(&e, priority, ID_DATA_SKIPPED, text);
	journal_number(&e, "HL7_BYTES", bytes);
	journal_number(&e, "HL7_OFFSET", offset);
	finish(r, &e);
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
}

void
report_late_data(const struct reporter *r, uint64_t offset)
{
	report_skipped(r, PRIORITY_WARNING,
		"data followed the FS byte of a frame already answered: the message may be cut "
		"short",
		0, offset);
}

void
report_error(const struct reporter *r, const char *what, int error)
{
	struct journal_entry e;

	journal_begin(&e, PRIORITY_ERROR, ID_SYSTEM, what);
	add_error(&e, error);
	finish(r, &e);
}

void
report_idle(const struct reporter *r)
{
	struct journal_entry e;

	journal_begin(&e, PRIORITY_DEBUG, ID_CONNECTION, "no message within --idle-timeout");
	finish(r, &e);
}
