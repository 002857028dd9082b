/* SPDX-License-Identifier: MIT */
#include "receive/report.h"

#include <stdio.h>

/* Events that are no outcome of a frame; ack/outcome.c has the others. */
#define ID_DATA_SKIPPED "b1b9d5d329074c4f9b31e37834589e7b"
#define ID_CONNECTION   "f33a7b82412344ca86335573268d8aa1"
#define ID_TEMPLATE     "bbdf392647554654b44cc30b5d3ee956"
#define ID_SYSTEM       "09b52c086b0542718d3c0adef8290874"

static void
finish(const struct reporter *r, struct journal_entry *e)
{
	if (r->names->peer_address[0])
		journal_text(e, "HL7_PEER", r->names->peer_address);
	if (r->names->peer_port[0])
		journal_text(e, "HL7_PEER_PORT", r->names->peer_port);
	if (!r->held)
		journal_send(r->target, e);
	else if (r->held->n < REPORTS_HELD_MAX)
		r->held->entries[r->held->n++] = *e;
}

void
report_held(struct reporter *r)
{
	size_t i;

	for (i = 0; r->held && i < r->held->n; i++)
		journal_send(r->target, &r->held->entries[i]);
	r->held = NULL;
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

static const char *
human_line(const struct message_report *m, char *line, size_t room)
{
	const char *end = m->code[0] == 0 ? "" : m->delivered ? " sent" : " not taken by the peer";

	(void)snprintf(line, room, "message %s: %s%s", outcome_info(m->outcome)->name,
		m->code[0] ? m->code : "no answer", end);
	return line;
}

void
report_message(const struct reporter *r, const struct message_report *m)
{
	const struct outcome_info *info = outcome_info(m->outcome);
	bool undelivered = m->code[0] && !m->delivered;
	int priority = (int)info->priority;
	struct journal_entry e;
	char line[128];

	if (m->reused_id && priority > PRIORITY_NOTICE)
		priority = PRIORITY_NOTICE;
	if (undelivered && priority > PRIORITY_WARNING)
		priority = PRIORITY_WARNING;
	journal_begin(&e, priority, info->message_id, human_line(m, line, sizeof(line)));
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
	if (m->store_name[0])
		journal_text(&e, "HL7_STORE_NAME", m->store_name);
	if (m->reused_id)
		journal_text(&e, "HL7_REUSED_ID", "yes");
	if (m->n_queued)
		journal_number(&e, "HL7_QUEUED", m->n_queued);
	if (m->template_name)
		journal_text(&e, "HL7_TEMPLATE", m->template_name);
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
	if (f->deviations & FRAME_DEVIATION_NO_CR)
		report_skipped(r, PRIORITY_DEBUG, "a frame's FS byte was not followed by CR",
			f->payload.n, f->offset);
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
report_unread(const struct reporter *r, uint64_t bytes, uint64_t offset)
{
	report_skipped(r, PRIORITY_NOTICE,
		"frames behind the connection's last message were not taken", bytes, offset);
}

void
report_unusable(const struct reporter *r, const char *directory, const char *name)
{
	struct journal_entry e;
	char line[512];

	(void)snprintf(line, sizeof(line),
		"%s/%s: what it makes is no acknowledgement; the shipped template answered",
		directory, name);
	journal_begin(&e, PRIORITY_ERROR, ID_TEMPLATE, line);
	finish(r, &e);
}

void
report_empty_frames(const struct reporter *r, uint64_t n)
{
	struct journal_entry e;

	journal_begin(&e, PRIORITY_NOTICE, ID_DATA_SKIPPED, "empty frames ignored");
	journal_number(&e, "HL7_FRAMES", n);
	finish(r, &e);
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
report_idle(const struct reporter *r, const char *what)
{
	struct journal_entry e;

	journal_begin(&e, PRIORITY_DEBUG, ID_CONNECTION, what);
	finish(&(struct reporter){ r->target, r->names, NULL }, &e);
}

void
report_template(const struct reporter *r, const char *directory, const char *name,
	const struct problem *problem)
{
	struct journal_entry e;
	char line[512];

	(void)snprintf(line, sizeof(line), "%s/%s:%u:%u: %s: %s", directory, name, problem->line,
		problem->column, problem->warning ? "warning" : "error", problem->text);
	/* a warning at every message would be noise: hl7-convert --check is where they are read */
	journal_begin(&e, problem->warning ? PRIORITY_DEBUG : PRIORITY_ERROR, ID_TEMPLATE, line);
	finish(r, &e);
}
