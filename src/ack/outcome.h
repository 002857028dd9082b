/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What became of a frame, and all that follows from it: one table for the acknowledgement's class
 * and ERR segment, the journal's priority and MESSAGE_ID, and the receiver's exit status.
 */

#include "base/span.h"

enum outcome {
	OUTCOME_STORED,            /* committed: on disk, or accepted unstored as --no-store asks */
	OUTCOME_DUPLICATE,         /* the same bytes were committed before: answered as then */
	OUTCOME_ACKNOWLEDGEMENT,   /* is an acknowledgement itself: committed, never answered */
	OUTCOME_NO_CONTROL_ID,     /* MSH-10 is empty */
	OUTCOME_SEVERAL_MESSAGES,  /* more than one MSH in a frame */
	OUTCOME_BATCH,             /* a batch header before the MSH */
	OUTCOME_HEADER_NOT_FIRST,  /* another segment before the MSH */
	OUTCOME_REUSED_ID,         /* the id of another message, and --reused-id=reject */
	OUTCOME_FS_INSIDE,         /* an FS byte inside the data */
	OUTCOME_TOO_LARGE,         /* over the size limit */
	OUTCOME_TOO_MANY_SEGMENTS, /* over the limit of segments */
	OUTCOME_FRAME_TIMEOUT,     /* the frame was not complete in time */
	OUTCOME_VALUE_REFUSED, /* a template refused a value: :required, :date, :map, {charset} */
	OUTCOME_UNMATCHED,     /* no conversion template wants it, and --unmatched=reject */
	OUTCOME_RESULT_TOO_LARGE, /* what a template makes of it is over the size limit */
	OUTCOME_TEMPLATE_BROKEN,  /* a template or table cannot be used */
	OUTCOME_STORAGE_FAILED,   /* not committed */
	OUTCOME_STORE_FULL, /* not committed: too little space or too few inodes would stay free */
	OUTCOME_NO_MEMORY,
	OUTCOME_NO_HEADER,  /* no readable MSH: nobody to answer */
	OUTCOME_FRAME_LOST, /* the connection ended inside the frame */
	OUTCOME_N,
};

/* The second letter of the acknowledgement code (table 0008), or no answer. */
enum ack_class {
	ACK_ACCEPT = 'A',
	ACK_ERROR = 'E',  /* the content is wrong: sent again unchanged it will be wrong again */
	ACK_REJECT = 'R', /* for a reason that is not in the content: may be sent again unchanged */
	ACK_NONE = 0,
};

/* Of syslog(3), as the journal has them. */
enum outcome_priority {
	PRIORITY_ERROR = 3,
	PRIORITY_WARNING = 4,
	PRIORITY_NOTICE = 5,
	PRIORITY_INFO = 6,
	PRIORITY_DEBUG = 7,
};

/* Exit statuses of sysexits.h. */
enum {
	OUTCOME_EXIT_OK = 0,
	OUTCOME_EXIT_OSERR = 71,
	OUTCOME_EXIT_IOERR = 74,
	OUTCOME_EXIT_CONFIG = 78,
};

struct outcome_info {
	const char *name; /* for the journal: HL7_OUTCOME */
	enum ack_class class;
	bool kept;            /* in rejected/: a whole message, refused for what it says */
	const char *code;     /* ERR-3, with the standard's delimiters; NULL when accepted */
	const char *location; /* ERR-2 where it is always the same, else "" */
	const char *text;     /* MSA-3 and ERR-8; at most 80 characters */
	enum outcome_priority priority;
	const char *message_id; /* 128 bits in hexadecimal */
	int exit_status;
};

/* What a peer does wrong ends with exit status 0: it is told in the journal, and thousands of scans
 * leave no failed unit behind. Only what is wrong on our side fails. */
const struct outcome_info *outcome_info(enum outcome outcome);
