/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Frames from a connection, one after another, each with what its framing says about it.
 *
 * Two absolute deadlines: for a frame's first byte, and for the whole frame. While waiting, the
 * caller is asked to look after what else it has.
 */

#include "ack/outcome.h"
#include "mllp/frame.h"
#include "net/connection.h"

enum {
	INTAKE_E_SUCCESS,
	INTAKE_E_ENDS, /* the peer left, or a signal came */
	INTAKE_E_IDLE, /* no frame began in time */
};

struct intake {
	const struct connection *connection;
	usec_t idle_timeout_usec, frame_timeout_usec; /* 0: for ever */
	sigset_t idle_mask; /* lets SIGTERM through: used only while no frame is in hand */
	/* what else there is to look after, or NULL; and how long waiting may go on without it */
	void (*serve)(void *userdata);
	usec_t (*pause_usec)(void *userdata);
	void *userdata;

	/* of the frame in hand */
	struct frame_decoder decoder;
	usec_t idle_deadline;
	usec_t frame_deadline; /* 0 while no frame has begun */
	usec_t started_usec;
	struct frame last;     /* answered; payload empty: none */
	uint64_t late_offset;  /* of data behind the FS of a frame that was answered, or 0; the
				  caller  tells it and sets it to 0 */
	uint64_t empty_frames; /* ignored so far */
	int error;             /* negative errno of the connection, or 0 */
};

/* The members before the decoder are the caller's. */
void intake_init(struct intake *in, size_t max_bytes);
void intake_deinit(struct intake *in);

/* Bytes that were read before, by whoever looked what the connection begins with: they are the
 * first of the first frame. At most INTAKE_GIVEN_MAX, before anything else is asked. 0 or -ENOMEM.
 */
#define INTAKE_GIVEN_MAX 4096
int intake_give(struct intake *in, struct span bytes);

/* The next frame with a payload, and OUTCOME_STORED where nothing is against it so far; 0 or a
 * condition. The payload is valid until the next call. */
int intake_next(struct intake *in, struct frame *ret, enum outcome *ret_outcome);

/* Before the frame is taken, a look without waiting at what stands behind its FS: OUTCOME_FS_INSIDE
 * when data there shows that it was no end. */
enum outcome intake_look_behind(struct intake *in, struct frame *f, enum outcome outcome);

/* Reads and throws away what the peer still sends: closing with bytes unread would reset the
 * connection, and the kernel would throw the last answer away with it. */
void intake_drain(struct intake *in, usec_t timeout_usec);
