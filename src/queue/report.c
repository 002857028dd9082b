/* SPDX-License-Identifier: MIT */
#include "queue/report.h"
#include "base/cleanup.h"
#include "queue/facts.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#define ID_RETRIED "e865ee8e0dca4fbebd551e2667a346eb"
#define ID_DROPPED "be3d8f81be8b4eea935f3b70f42730b4"
#define ID_DELETED "48e0a74ff9b34225a61111aacd2f7620"
#define ID_EXPIRED "9dde72013c204dd4b50e9a83e151c56a"

/* What the kernel has for a process that nobody's login started. */
#define NO_LOGIN ((uid_t)-1)

uid_t
report_find_operator(void)
{
	_cleanup_close_ int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
	char digits[16];
	ssize_t n = fd < 0 ? -1 : read(fd, digits, sizeof(digits) - 1);
	uid_t uid;

	if (n <= 0)
		return getuid();
	digits[n] = 0;
	uid = (uid_t)strtoul(digits, NULL, 10);
	return uid == NO_LOGIN ? getuid() : uid;
}

void
reporter_init(struct reporter *r, uid_t operator)
{
	const struct passwd *user = getpwuid(operator);

	r->target = journal_choose(LOG_TARGET_JOURNAL, false);
	if (user)
		(void)snprintf(r->operator, sizeof(r->operator), "%s", user->pw_name);
	else
		(void)snprintf(r->operator, sizeof(r->operator), "%u", (unsigned)operator);
}

void
reporter_deinit(struct reporter *r)
{
	cleanup_close(&r->target.fd);
}

static void
add_entry(struct journal_entry *e, const struct entry *entry, int fd)
{
	uint8_t head[FACT_HEAD_BYTES];
	struct fact_names names;
	char name[STORE_NAME_BYTES];

	journal_text(e, "HL7_DESTINATION", entry->queue->name);
	facts_read_names(fd, head, &names);
	journal_bytes(e, "HL7_CONTROL_ID", names.control_id);
	journal_bytes(e, "HL7_MESSAGE_TYPE", names.type);
	/* the same as the receiver's and the forwarder's entries have: it finds the whole way */
	store_name_format(&entry->name.stem, "hl7", name);
	journal_text(e, "HL7_STORE_NAME", name);
	store_entry_format(&entry->name, "hl7", name);
	journal_text(e, "HL7_QUEUE_NAME", name);
}

void
report_change(const struct reporter *r, enum report_kind kind, const struct entry *entry, int fd)
{
	static const struct {
		const char *id, *text;
	} kinds[REPORT_N] = {
		[REPORT_RETRIED] = { ID_RETRIED, "message put back by an operator" },
		[REPORT_DROPPED] = { ID_DROPPED, "message dropped by an operator" },
		[REPORT_DELETED] = { ID_DELETED, "failed message deleted by an operator" },
	};
	struct journal_entry e;

	journal_begin(&e, LOG_NOTICE, kinds[kind].id, kinds[kind].text);
	add_entry(&e, entry, fd);
	journal_text(&e, "HL7_OPERATOR", r->operator);
	journal_send(r->target, &e);
}

void
report_expired(const struct reporter *r, const struct expire_result *n)
{
	struct journal_entry e;

	journal_begin(&e, LOG_NOTICE, ID_EXPIRED, "old messages removed");
	journal_number(&e, "HL7_RECEIVED", n->n_received);
	journal_number(&e, "HL7_REJECTED", n->n_rejected);
	journal_number(&e, "HL7_FAILED", n->n_failed);
	journal_number(&e, "HL7_BYTES", n->bytes);
	journal_text(&e, "HL7_OPERATOR", r->operator);
	journal_send(r->target, &e);
}
