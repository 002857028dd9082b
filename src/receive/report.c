/* SPDX-License-Identifier: MIT */
#include "receive/report.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ID_TEMPLATE "bbdf392647554654b44cc30b5d3ee956"
#define ID_REFUSED  "191f600564834636b520660e559642c1"
#define ID_KILLED   "6dd96d4518944293bc32aa52e1b70d86"

void
report_message(const struct reporter *r, const struct message_report *m)
{
	struct journal_entry e;

	report_begin_message(&e, &m->facts, m->reused_id ? PRIORITY_NOTICE : PRIORITY_DEBUG);
	if (m->store_name[0])
		journal_text(&e, "HL7_STORE_NAME", m->store_name);
	if (m->reused_id)
		journal_text(&e, "HL7_REUSED_ID", "yes");
	if (m->n_queued)
		journal_number(&e, "HL7_QUEUED", m->n_queued);
	if (m->template_name)
		journal_text(&e, "HL7_TEMPLATE", m->template_name);
	report_add_error(&e, m->error);
	report_send(r, &e);
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
	report_send(r, &e);
}

void
report_empty_frames(const struct reporter *r, uint64_t n)
{
	struct journal_entry e;

	journal_begin(&e, PRIORITY_NOTICE, REPORT_ID_DATA_SKIPPED, "empty frames ignored");
	journal_number(&e, "HL7_FRAMES", n);
	report_send(r, &e);
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
	report_send(r, &e);
}

void
report_refused(const struct reporter *r, enum refused_why why, uint64_t n)
{
	static const char *const texts[REFUSED_N] = {
		[REFUSED_CONNECTIONS] = "connections refused: --max-connections is reached",
		[REFUSED_SOURCE] = "connections refused: --max-connections-per-source is reached",
		[REFUSED_ADDRESS] = "connections refused: the address is not in --allow",
		[REFUSED_NO_PROCESS] = "connections refused: the system has no process for them",
	};
	struct reporter at_once = *r;
	struct journal_entry e;

	journal_begin(&e, PRIORITY_WARNING, ID_REFUSED, texts[why]);
	journal_number(&e, "HL7_CONNECTIONS", n);
	at_once.held = NULL; /* it stays without a frame */
	report_send(&at_once, &e);
}

void
report_killed(const struct reporter *r, const struct connection_names *names, int signal)
{
	const char *name = sigabbrev_np(signal);
	struct journal_entry e;

	journal_begin(&e, PRIORITY_ERROR, ID_KILLED, "the process of a connection was killed");
	journal_text(&e, "HL7_SIGNAL", name ? name : "real-time");
	report_send(&(struct reporter){ .target = r->target, .names = names }, &e);
}
