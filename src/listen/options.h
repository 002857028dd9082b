/* SPDX-License-Identifier: MIT */
#pragma once

/* The options of every program that a sender talks to. */

#include "ack/ack.h"
#include "base/clock.h"
#include "journal/journal.h"
#include "sandbox/sandbox.h"

struct listen_options {
	enum ack_mode ack_mode;
	size_t messages; /* of one connection; 0: until the peer closes */
	size_t max_message_bytes;
	usec_t idle_timeout_usec, frame_timeout_usec, write_timeout_usec; /* 0: for ever */
	usec_t drain_timeout_usec;
	bool proxy_protocol; /* a header is demanded */
	usec_t proxy_timeout_usec;
	enum sandbox_mode sandbox;
	enum log_target log;
	int log_level; /* least priority of an entry, of syslog(3) */
};

/* MSH|^~\& and some fields: below this no message could be answered. */
#define LISTEN_MESSAGE_BYTES_LEAST ((size_t)256)
#define LISTEN_MESSAGE_BYTES_MOST  ((size_t)2048 * 1024 * 1024)

/* Beside a program's own, which begin with 256. */
enum listen_option {
	LISTEN_OPTION_ACK_MODE = 1024,
	LISTEN_OPTION_MESSAGES,
	LISTEN_OPTION_MAX_MESSAGE,
	LISTEN_OPTION_IDLE_TIMEOUT,
	LISTEN_OPTION_FRAME_TIMEOUT,
	LISTEN_OPTION_WRITE_TIMEOUT,
	LISTEN_OPTION_DRAIN_TIMEOUT,
	LISTEN_OPTION_PROXY_PROTOCOL,
	LISTEN_OPTION_PROXY_TIMEOUT,
	LISTEN_OPTION_SANDBOX,
	LISTEN_OPTION_LOG_LEVEL,
	LISTEN_OPTION_LOG,
};

/* Rows of a table for getopt_long(3). */
#define LISTEN_OPTIONS                                                                             \
	{ "ack-mode", required_argument, NULL, LISTEN_OPTION_ACK_MODE },                           \
		{ "messages", required_argument, NULL, LISTEN_OPTION_MESSAGES },                   \
		{ "max-message", required_argument, NULL, LISTEN_OPTION_MAX_MESSAGE },             \
		{ "idle-timeout", required_argument, NULL, LISTEN_OPTION_IDLE_TIMEOUT },           \
		{ "frame-timeout", required_argument, NULL, LISTEN_OPTION_FRAME_TIMEOUT },         \
		{ "write-timeout", required_argument, NULL, LISTEN_OPTION_WRITE_TIMEOUT },         \
		{ "drain-timeout", required_argument, NULL, LISTEN_OPTION_DRAIN_TIMEOUT },         \
		{ "proxy-protocol", no_argument, NULL, LISTEN_OPTION_PROXY_PROTOCOL },             \
		{ "proxy-timeout", required_argument, NULL, LISTEN_OPTION_PROXY_TIMEOUT },         \
		{ "sandbox", required_argument, NULL, LISTEN_OPTION_SANDBOX },                     \
		{ "log-level", required_argument, NULL, LISTEN_OPTION_LOG_LEVEL },                 \
	{                                                                                          \
		"log", required_argument, NULL, LISTEN_OPTION_LOG                                  \
	}

/* Their lines of --help, but for those whose defaults the programs choose. */
#define LISTEN_HELP                                                                                \
	"  --max-message=SIZE       largest message in bytes, K, M or G (default: 32M)\n"          \
	"  --idle-timeout=TIME      wait for a frame's first byte (default: 60s; 0: for ever)\n"   \
	"  --frame-timeout=TIME     wait for the whole frame (default: 60s; 0: for ever)\n"        \
	"  --write-timeout=TIME     wait for the peer to take the answer (default: 30s; 0: for "   \
	"ever)\n"                                                                                  \
	"  --drain-timeout=TIME     wait for the peer to close after the last answer (default: "   \
	"2s)\n"                                                                                    \
	"  --proxy-protocol         a proxy says who the peer is: each connection begins with "    \
	"the\n"                                                                                    \
	"                           PROXY header, version 1 or 2\n"                                \
	"  --proxy-timeout=TIME     wait for that header (default: 5s)\n"                          \
	"  --sandbox=HOW            auto, require or off (default: auto)\n"                        \
	"  --log=WHERE              auto, journal or stderr (default: auto)\n"                     \
	"  --log-level=LEVEL        least that is told: err, warning, notice, info or debug "      \
	"(default)\n"

/* The defaults, but for the two that a program chooses. */
struct listen_options listen_defaults(enum ack_mode ack_mode, size_t messages);

/* Whether `option` is one of these, and then in *ret whether its argument is of its kind. */
bool listen_set_option(struct listen_options *o, int option, const char *argument, bool *ret);
