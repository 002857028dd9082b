/* SPDX-License-Identifier: MIT */
#include "ack/outcome.h"

#include <assert.h>

/* One MESSAGE_ID for each kind of event, not for each outcome: what an operator does about them
 * differs. */
#define ID_ACCEPTED        "c2a8a466b77b469fb5164c0c86b8dadc"
#define ID_DUPLICATE       "15f4069b9ebd4f5f9dc493be7a2c7701"
#define ID_CONTENT_REFUSED "79eaa9f12c994ade8edd3378c5813106"
#define ID_FRAME_FAULT     "483fce4bb4de4073aab545884bd72139"
#define ID_TEMPLATE_FAILED "e798290bd84445deafc5ab43d02a29e2"
#define ID_STORAGE_FAILED  "4044c682773c4c43a1f6e5ca639fa88a"
#define ID_RESOURCES       "30e1694a85574a9ab1bf4dbcb0b5bd2e"

#define ERR_SEQUENCE  "100^Segment sequence error^HL70357"
#define ERR_REQUIRED  "101^Required field missing^HL70357"
#define ERR_DATA_TYPE "102^Data type error^HL70357"
#define ERR_DUPLICATE "205^Duplicate key identifier^HL70357"
#define ERR_INTERNAL  "207^Application internal error^HL70357"

static const struct outcome_info table[OUTCOME_N] = {
	[OUTCOME_STORED] = {
		.name = "stored",
		.class = ACK_ACCEPT,
		.priority = PRIORITY_INFO,
		.message_id = ID_ACCEPTED,
	},
	[OUTCOME_DUPLICATE] = {
		.name = "duplicate",
		.class = ACK_ACCEPT,
		.priority = PRIORITY_NOTICE,
		.message_id = ID_DUPLICATE,
	},
	[OUTCOME_ACKNOWLEDGEMENT] = {
		.name = "acknowledgement-received",
		.class = ACK_NONE,
		.text = "an acknowledgement is never acknowledged",
		.priority = PRIORITY_INFO,
		.message_id = ID_ACCEPTED,
	},
	[OUTCOME_NO_CONTROL_ID] = {
		.name = "no-control-id",
		.class = ACK_ERROR,
		.kept = true,
		.code = ERR_REQUIRED,
		.location = "MSH^1^10",
		.text = "MSH-10 (message control id) is empty",
		.priority = PRIORITY_WARNING,
		.message_id = ID_CONTENT_REFUSED,
	},
	[OUTCOME_SEVERAL_MESSAGES] = {
		.name = "several-messages",
		.class = ACK_ERROR,
		.kept = true,
		.code = ERR_SEQUENCE,
		.location = "MSH^2",
		.text = "more than one MSH in a frame: send each message in a frame of its own",
		.priority = PRIORITY_WARNING,
		.message_id = ID_CONTENT_REFUSED,
	},
	[OUTCOME_BATCH] = {
		.name = "batch",
		.class = ACK_ERROR,
		.kept = true,
		.code = ERR_SEQUENCE,
		.location = "MSH^1",
		.text = "batches are not taken: send each message in a frame of its own",
		.priority = PRIORITY_WARNING,
		.message_id = ID_CONTENT_REFUSED,
	},
	[OUTCOME_HEADER_NOT_FIRST] = {
		.name = "header-not-first",
		.class = ACK_ERROR,
		.kept = true,
		.code = ERR_SEQUENCE,
		.location = "MSH^1",
		.text = "a segment stands before the MSH",
		.priority = PRIORITY_WARNING,
		.message_id = ID_CONTENT_REFUSED,
	},
	[OUTCOME_REUSED_ID] = {
		.name = "reused-id",
		.class = ACK_ERROR,
		.kept = true,
		.code = ERR_DUPLICATE,
		.location = "MSH^1^10",
		.text = "this control id was used for another message",
		.priority = PRIORITY_WARNING,
		.message_id = ID_CONTENT_REFUSED,
	},
	[OUTCOME_FS_INSIDE] = {
		.name = "fs-inside-data",
		.class = ACK_ERROR,
		.code = ERR_DATA_TYPE,
		.location = "",
		.text = "the frame's end byte 0x1C stands inside the data",
		.priority = PRIORITY_WARNING,
		.message_id = ID_FRAME_FAULT,
	},
	[OUTCOME_TOO_LARGE] = {
		.name = "too-large",
		.class = ACK_REJECT,
		.code = ERR_INTERNAL,
		.location = "",
		.text = "the message is larger than this receiver takes",
		.priority = PRIORITY_WARNING,
		.message_id = ID_FRAME_FAULT,
	},
	[OUTCOME_TOO_MANY_SEGMENTS] = {
		.name = "too-many-segments",
		.class = ACK_REJECT,
		.code = ERR_INTERNAL,
		.location = "",
		.text = "the message has more segments than this receiver takes",
		.priority = PRIORITY_WARNING,
		.message_id = ID_FRAME_FAULT,
	},
	[OUTCOME_FRAME_TIMEOUT] = {
		.name = "frame-timeout",
		.class = ACK_REJECT,
		.code = ERR_INTERNAL,
		.location = "",
		.text = "the frame was not complete in time",
		.priority = PRIORITY_WARNING,
		.message_id = ID_FRAME_FAULT,
	},
	[OUTCOME_VALUE_REFUSED] = {
		.name = "value-refused",
		.class = ACK_ERROR,
		.kept = true,
		.code = ERR_REQUIRED,
		.location = "",
		.text = "this receiver's template refuses a value",
		.priority = PRIORITY_WARNING,
		.message_id = ID_CONTENT_REFUSED,
	},
	[OUTCOME_UNMATCHED] = {
		.name = "unmatched",
		.class = ACK_REJECT,
		.kept = true,
		.code = "200^Unsupported message type^HL70357",
		.location = "MSH^1^9",
		.text = "messages of this kind are not taken here",
		.priority = PRIORITY_WARNING,
		.message_id = ID_CONTENT_REFUSED,
	},
	[OUTCOME_RESULT_TOO_LARGE] = {
		.name = "result-too-large",
		.class = ACK_REJECT,
		.kept = true,
		.code = ERR_INTERNAL,
		.location = "",
		.text = "what this message becomes is larger than this receiver takes",
		.priority = PRIORITY_WARNING,
		.message_id = ID_CONTENT_REFUSED,
	},
	[OUTCOME_TEMPLATE_BROKEN] = {
		.name = "template-broken",
		.class = ACK_REJECT,
		.code = ERR_INTERNAL,
		.location = "",
		.text = "a template of this receiver does not work; its administrator was told",
		.priority = PRIORITY_ERROR,
		.message_id = ID_TEMPLATE_FAILED,
		.exit_status = OUTCOME_EXIT_CONFIG,
	},
	[OUTCOME_STORAGE_FAILED] = {
		.name = "storage-failed",
		.class = ACK_REJECT,
		.code = ERR_INTERNAL,
		.location = "",
		.text = "the message could not be stored",
		.priority = PRIORITY_ERROR,
		.message_id = ID_STORAGE_FAILED,
		.exit_status = OUTCOME_EXIT_IOERR,
	},
	[OUTCOME_STORE_FULL] = {
		.name = "store-full",
		.class = ACK_REJECT,
		.code = ERR_INTERNAL,
		.location = "",
		.text = "there is not enough room to store the message",
		.priority = PRIORITY_ERROR,
		.message_id = ID_STORAGE_FAILED,
		.exit_status = OUTCOME_EXIT_IOERR,
	},
	[OUTCOME_NO_MEMORY] = {
		.name = "no-memory",
		.class = ACK_REJECT,
		.code = ERR_INTERNAL,
		.location = "",
		.text = "not enough memory for this message now",
		.priority = PRIORITY_ERROR,
		.message_id = ID_RESOURCES,
		.exit_status = OUTCOME_EXIT_OSERR,
	},
	[OUTCOME_NO_HEADER] = {
		.name = "no-header",
		.class = ACK_NONE,
		.text = "no readable MSH: nobody to answer",
		.priority = PRIORITY_WARNING,
		.message_id = ID_FRAME_FAULT,
	},
	[OUTCOME_FRAME_LOST] = {
		.name = "frame-lost",
		.class = ACK_NONE,
		.text = "the connection ended inside a frame",
		.priority = PRIORITY_WARNING,
		.message_id = ID_FRAME_FAULT,
	},
};

const struct outcome_info *
outcome_info(enum outcome outcome)
{
	assert(outcome < OUTCOME_N);
	return &table[outcome];
}
