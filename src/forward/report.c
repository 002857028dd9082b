/* SPDX-License-Identifier: MIT */
#include "forward/report.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>

#define ID_DELIVERED "108743012c9a416bbcbb2faa6bcec509"
#define ID_FAILED    "acd94ac8c54743b08c3d8715ff3c2dbe"
#define ID_HELD_BACK "d929428ebc274b8d8d24ecfb3c3b2c35"
#define ID_FULL      "c8659cb6b4e4449c9594dccd32f10bcb"
#define ID_DOWN      "4039871389bc45b5baf6d25b7a5424e1"
#define ID_UP        "5e4d9ba4804f424c9c0a9c8125c5bd8c"
#define ID_SWEPT     "fb9e78f244244360b6394b9a6133afb7"
#define ID_SYSTEM    "09b52c086b0542718d3c0adef8290874" /* as in hl7-receive */
#define ID_SANDBOX   "a216cf541cc0453881a5c8a71170b1a7" /* the same */

static void
begin(const struct reporter *r, struct journal_entry *e, int priority, const char *id,
	const char *text)
{
	journal_begin(e, priority, id, text);
	journal_text(e, "HL7_DESTINATION", r->destination);
}

static void
add_message(struct journal_entry *e, const struct forward_report *m)
{
	char name[STORE_NAME_BYTES];

	if (m->control_id.n)
		journal_bytes(e, "HL7_CONTROL_ID", m->control_id);
	if (m->message_type.n)
		journal_bytes(e, "HL7_MESSAGE_TYPE", m->message_type);
	if (m->code[0])
		journal_text(e, "HL7_ACK", m->code);
	journal_number(e, "HL7_TRIES", m->n_tries);
	journal_number(e, "HL7_BYTES", m->bytes);
	journal_number(e, "HL7_DURATION_USEC", m->duration_usec);
	/* the same as the receiver's entry has: one match finds a message's whole way */
	store_name_format(&m->entry->stem, "hl7", name);
	journal_text(e, "HL7_STORE_NAME", name);
	store_entry_format(m->entry, "hl7", name);
	journal_text(e, "HL7_QUEUE_NAME", name);
	if (m->error[0])
		journal_text(e, "HL7_ERROR", m->error);
}

static void
report_message(const struct reporter *r, const struct forward_report *m, int priority,
	const char *id, const char *text)
{
	struct journal_entry e;

	begin(r, &e, priority, id, text);
	add_message(&e, m);
	journal_send(r->target, &e);
}

void
report_delivered(const struct reporter *r, const struct forward_report *m)
{
	report_message(r, m, LOG_INFO, ID_DELIVERED, "message delivered");
}

void
report_failed(const struct reporter *r, const struct forward_report *m)
{
	report_message(r, m, LOG_WARNING, ID_FAILED, "message failed");
}

void
report_held_back(const struct reporter *r, const struct forward_report *m)
{
	report_message(r, m, LOG_WARNING, ID_HELD_BACK, "message held back");
}

void
report_full(const struct reporter *r, size_t n)
{
	struct journal_entry e;

	begin(r, &e, LOG_WARNING, ID_FULL, "too many messages held back: all others wait");
	journal_number(&e, "HL7_HELD_BACK", n);
	journal_send(r->target, &e);
}

void
report_down(const struct reporter *r, const char *error)
{
	struct journal_entry e;

	begin(r, &e, LOG_WARNING, ID_DOWN, "destination down");
	if (r->peer)
		journal_text(&e, "HL7_PEER", r->peer);
	journal_text(&e, "HL7_ERROR", error);
	journal_send(r->target, &e);
}

void
report_up(const struct reporter *r, uint64_t n_tries, usec_t down_usec)
{
	struct journal_entry e;

	begin(r, &e, LOG_NOTICE, ID_UP, "destination back");
	if (r->peer)
		journal_text(&e, "HL7_PEER", r->peer);
	journal_number(&e, "HL7_TRIES", n_tries);
	journal_number(&e, "HL7_DURATION_USEC", down_usec);
	journal_send(r->target, &e);
}

void
report_swept(const struct reporter *r, size_t n)
{
	struct journal_entry e;

	begin(r, &e, LOG_NOTICE, ID_SWEPT, "entries of unfinished commits removed");
	journal_number(&e, "HL7_QUEUED", n);
	journal_send(r->target, &e);
}

void
report_foreign(const struct reporter *r, size_t n)
{
	struct journal_entry e;

	begin(r, &e, LOG_WARNING, ID_SYSTEM, "files in the queue's folder are not ours");
	journal_number(&e, "HL7_FILES", n);
	journal_send(r->target, &e);
}

void
report_error(const struct reporter *r, const char *what, int error)
{
	struct journal_entry e;

	begin(r, &e, LOG_ERR, ID_SYSTEM, what);
	if (error < 0) {
		journal_number(&e, "ERRNO", (uint64_t)-error);
		journal_text(&e, "HL7_ERROR", strerrordesc_np(-error));
	}
	journal_send(r->target, &e);
}

void
report_sandbox(const struct reporter *r, const struct sandbox_walls *walls, bool required)
{
	char standing[SANDBOX_TEXT_BYTES], missing[SANDBOX_TEXT_BYTES];
	bool holds = sandbox_holds(walls);
	struct journal_entry e;

	sandbox_describe(walls, standing, missing);
	begin(r, &e,
		holds      ? LOG_DEBUG
		: required ? LOG_ERR
			   : LOG_INFO,
		ID_SANDBOX, sandbox_text(walls, required));
	journal_text(&e, "HL7_SANDBOX", standing);
	journal_number(&e, "HL7_LANDLOCK_ABI", (uint64_t)walls->landlock_abi);
	if (missing[0])
		journal_text(&e, "HL7_SANDBOX_MISSING", missing);
	journal_send(r->target, &e);
}
