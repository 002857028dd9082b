/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * MLLP release 1 frames: VT (0x0B) payload FS (0x1C) CR (0x0D).
 *
 * Pure: bytes go in, payloads or named conditions come out; no descriptor, no clock. The decoder
 * keeps its place, so no byte is looked at twice, however the frame is cut up on its way.
 *
 * A frame is complete at its FS: the CR behind it is not waited for. What is seen behind an FS
 * decides: CR                        a clean frame end of input, LF, NUL, VT accepted, counted as
 * FRAME_DEVIATION_NO_CR any other byte            the FS stood inside the data: FRAME_E_FS_INSIDE
 *   nothing yet               accepted; what comes later is judged with the next call
 * A VT inside a frame starts a new frame; what was before it is discarded and counted.
 * NUL is data like any other byte. Source: HL7 v2 implementation guide, appendix C.
 *
 * Not for: MLLP release 2's commit bytes, nor for other framings.
 */

#include "base/buffer.h"

enum {
	FRAME_VT = 0x0B,
	FRAME_FS = 0x1C,
	FRAME_CR = 0x0D,
};

/* What a frame has beside its payload. */
#define FRAME_BYTES ((size_t)3)

enum {
	FRAME_E_SUCCESS,
	FRAME_E_PARTIAL,   /* more bytes are needed */
	FRAME_E_END,       /* end of input between two frames */
	FRAME_E_TRUNCATED, /* end of input inside a frame; its head is given */
	FRAME_E_TOO_LARGE, /* the payload passes the maximum; its head is given, the rest skipped */
	FRAME_E_FS_INSIDE, /* an FS inside the data; the payload up to it is given */
};

enum {
	FRAME_DEVIATION_NO_CR = 1 << 0, /* this frame's FS was not followed by a CR */
	FRAME_DEVIATION_VT_INSIDE = 1
				    << 1, /* a VT restarted the frame; bytes before it were lost */
	FRAME_DEVIATION_NOISE = 1 << 2,   /* bytes other than CR, LF, NUL stood before the VT */
};

/* Offsets count from the first byte of the connection, from 0. */
struct frame {
	struct span payload;      /* valid until the decoder is called again */
	uint64_t offset;          /* of the frame's VT */
	uint64_t fault_offset;    /* with a condition: the byte at which it showed */
	uint64_t noise_bytes;     /* skipped before the VT, since the frame before */
	uint64_t noise_offset;    /* of the first of them that is not CR, LF or NUL */
	uint64_t discarded_bytes; /* payload lost to a VT inside */
	unsigned deviations;      /* FRAME_DEVIATION_* */
};

enum frame_state {
	FRAME_OUTSIDE,  /* looking for a VT */
	FRAME_INSIDE,   /* looking for the FS */
	FRAME_SKIPPING, /* inside a frame that is too large, looking for its FS */
	FRAME_AFTER_FS, /* a payload was given out; the byte behind its FS was not seen yet */
};

struct frame_decoder {
	struct buffer buffer;
	size_t start;     /* where in the buffer the current payload begins */
	size_t scanned;   /* bytes of the buffer already looked at */
	size_t max_bytes; /* of a payload */
	uint64_t offset;  /* in the connection, of the buffer's first byte */
	enum frame_state state;
	bool eof;
	struct frame current; /* what is known of the frame in hand */
};

/* `max_bytes` of payload are accepted, not one more. Nothing is allocated yet. */
void frame_decoder_init(struct frame_decoder *d, size_t max_bytes);
void frame_decoder_deinit(struct frame_decoder *d);

/* Room to read into: at least one byte, or -ENOMEM. Only when frame_next() has asked for more with
 * FRAME_E_PARTIAL, or when frame_awaits_cr(). The room is valid until the next call. The bytes of
 * the last payload stay, but may have moved: frame_recheck() finds them again. */
int frame_decoder_space(struct frame_decoder *d, uint8_t **ret_p, size_t *ret_n);

/* `n` bytes were read into that room. */
void frame_decoder_filled(struct frame_decoder *d, size_t n);

/* No byte will follow. */
void frame_decoder_eof(struct frame_decoder *d);

/* The next frame: 0 or a FRAME_E condition. `*ret_frame` is written unless FRAME_E_PARTIAL or
 * FRAME_E_END. After FRAME_E_FS_INSIDE and FRAME_E_TOO_LARGE decoding goes on behind that frame. */
int frame_next(struct frame_decoder *d, struct frame *ret_frame);

/* Whether the byte behind the last frame's FS was not seen yet. */
bool frame_awaits_cr(const struct frame_decoder *d);

/* Judges the frame just returned once more, after further bytes came: FRAME_E_FS_INSIDE when they
 * show that its FS stood inside the data, else 0. Sets `frame->payload` anew. */
int frame_recheck(struct frame_decoder *d, struct frame *frame);

/* Whether a frame has begun (its VT was seen) and is not complete. */
bool frame_begun(const struct frame_decoder *d);

/* What is known of the frame in hand, complete or not, with the head of its payload: for an answer
 * to one that will never be complete, and for the noise behind the last frame. */
struct frame frame_head(const struct frame_decoder *d);

/* Bytes of further frames that were filled in and not asked for. */
size_t frame_unread_frames_bytes(const struct frame_decoder *d);

/* Appends VT payload FS CR: 0, BUFFER_E_FULL, -ENOMEM, or -EBADMSG when the payload holds a VT or
 * FS, which no frame can carry. */
int frame_encode(struct buffer *out, struct span payload);

/* Makes the payload that is all of the buffer a frame, where it is: the buffer's maximum grows by
 * FRAME_BYTES, and its memory is needed once. 0, -ENOMEM or -EBADMSG, as above; then nothing was
 * changed. */
int frame_enclose(struct buffer *payload);
