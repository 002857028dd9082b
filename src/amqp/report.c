/* SPDX-License-Identifier: MIT */
#include "amqp/report.h"

void
report_message(const struct reporter *r, const struct message_report *m)
{
	struct journal_entry e;

	report_begin_message(&e, &m->facts, PRIORITY_DEBUG);
	if (m->message_id[0])
		journal_text(&e, "HL7_AMQP_MESSAGE_ID", m->message_id);
	if (m->broker[0])
		journal_text(&e, "HL7_AMQP_BROKER", m->broker);
	if (m->published[0])
		journal_text(&e, "HL7_AMQP_RESULT", m->published);
	if (m->reason[0])
		journal_bytes(&e, "HL7_AMQP_REASON", span_str(m->reason));
	report_add_error(&e, m->error);
	report_send(r, &e);
}
