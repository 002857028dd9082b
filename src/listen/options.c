/* SPDX-License-Identifier: MIT */
#include "listen/options.h"
#include "cli/options.h"

struct listen_options
listen_defaults(enum ack_mode ack_mode, size_t messages)
{
	return (struct listen_options){
		.ack_mode = ack_mode,
		.messages = messages,
		.max_message_bytes = (size_t)32 * 1024 * 1024,
		.idle_timeout_usec = 60 * USEC_PER_SEC,
		.frame_timeout_usec = 60 * USEC_PER_SEC,
		.write_timeout_usec = 30 * USEC_PER_SEC,
		.drain_timeout_usec = 2 * USEC_PER_SEC,
		.proxy_timeout_usec = 5 * USEC_PER_SEC,
		.log_level = PRIORITY_DEBUG,
	};
}

static bool
set_ack_mode(struct listen_options *o, const char *text)
{
	static const char *const words[] = {
		[ACK_AUTO] = "auto",
		[ACK_ORIGINAL] = "original",
		[ACK_ENHANCED] = "enhanced",
		[ACK_STRICT] = "strict",
	};
	int i = parse_word(text, words, sizeof(words) / sizeof(words[0]));

	if (i >= 0)
		o->ack_mode = (enum ack_mode)i;
	return i >= 0;
}

static bool
set(struct listen_options *o, enum listen_option option, const char *argument)
{
	switch (option) {
	case LISTEN_OPTION_ACK_MODE: return set_ack_mode(o, argument);
	case LISTEN_OPTION_MESSAGES: return parse_count(argument, 0, SIZE_MAX / 2, &o->messages);
	case LISTEN_OPTION_MAX_MESSAGE:
		return parse_size(argument, LISTEN_MESSAGE_BYTES_LEAST, LISTEN_MESSAGE_BYTES_MOST,
			&o->max_message_bytes);
	case LISTEN_OPTION_IDLE_TIMEOUT: return parse_duration(argument, &o->idle_timeout_usec);
	case LISTEN_OPTION_FRAME_TIMEOUT: return parse_duration(argument, &o->frame_timeout_usec);
	case LISTEN_OPTION_WRITE_TIMEOUT: return parse_duration(argument, &o->write_timeout_usec);
	case LISTEN_OPTION_DRAIN_TIMEOUT: /* the peer has its answer: there is nothing to wait for
					     without end */
		return parse_duration(argument, &o->drain_timeout_usec) &&
		       o->drain_timeout_usec > 0;
	case LISTEN_OPTION_PROXY_PROTOCOL: o->proxy_protocol = true; return true;
	case LISTEN_OPTION_PROXY_TIMEOUT: /* the proxy sends it at once */
		return parse_duration(argument, &o->proxy_timeout_usec) &&
		       o->proxy_timeout_usec > 0;
	case LISTEN_OPTION_SANDBOX: return sandbox_mode_parse(argument, &o->sandbox);
	case LISTEN_OPTION_LOG_LEVEL: return log_level_parse(argument, &o->log_level);
	case LISTEN_OPTION_LOG: return log_target_parse(argument, &o->log);
	}
	return false;
}

bool
listen_set_option(struct listen_options *o, int option, const char *argument, bool *ret)
{
	if (option < LISTEN_OPTION_ACK_MODE || option > LISTEN_OPTION_LOG)
		return false;
	*ret = set(o, (enum listen_option)option, argument);
	return true;
}
