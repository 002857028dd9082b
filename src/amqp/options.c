/* SPDX-License-Identifier: MIT */
#include "amqp/options.h"
#include "cli/options.h"

#include <getopt.h>

#define PROGRAM "hl7-amqp"

#define MIB ((size_t)1024 * 1024)

/* MSH|^~\& and some fields: below this no message could be answered. */
#define MAX_MESSAGE_LEAST ((size_t)256)
#define MAX_MESSAGE_MOST  (2048 * MIB)

/* AMQP has 16 bits for it. */
#define HEARTBEAT_MOST_USEC (65535 * USEC_PER_SEC)

enum option_id {
	OPTION_URL = 256,
	OPTION_PASSWORD_FILE,
	OPTION_QUEUE,
	OPTION_EXCHANGE,
	OPTION_ROUTING_KEY,
	OPTION_DECLARE,
	OPTION_CONNECT_TIMEOUT,
	OPTION_CONFIRM_TIMEOUT,
	OPTION_HEARTBEAT,
	OPTION_ACK_MODE,
	OPTION_MESSAGES,
	OPTION_MAX_MESSAGE,
	OPTION_IDLE_TIMEOUT,
	OPTION_FRAME_TIMEOUT,
	OPTION_WRITE_TIMEOUT,
	OPTION_DRAIN_TIMEOUT,
	OPTION_LOG,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "url", required_argument, NULL, OPTION_URL },
	{ "password-file", required_argument, NULL, OPTION_PASSWORD_FILE },
	{ "queue", required_argument, NULL, OPTION_QUEUE },
	{ "exchange", required_argument, NULL, OPTION_EXCHANGE },
	{ "routing-key", required_argument, NULL, OPTION_ROUTING_KEY },
	{ "declare", required_argument, NULL, OPTION_DECLARE },
	{ "connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT },
	{ "confirm-timeout", required_argument, NULL, OPTION_CONFIRM_TIMEOUT },
	{ "heartbeat", required_argument, NULL, OPTION_HEARTBEAT },
	{ "ack-mode", required_argument, NULL, OPTION_ACK_MODE },
	{ "messages", required_argument, NULL, OPTION_MESSAGES },
	{ "max-message", required_argument, NULL, OPTION_MAX_MESSAGE },
	{ "idle-timeout", required_argument, NULL, OPTION_IDLE_TIMEOUT },
	{ "frame-timeout", required_argument, NULL, OPTION_FRAME_TIMEOUT },
	{ "write-timeout", required_argument, NULL, OPTION_WRITE_TIMEOUT },
	{ "drain-timeout", required_argument, NULL, OPTION_DRAIN_TIMEOUT },
	{ "log", required_argument, NULL, OPTION_LOG },
	{ 0 },
};

/* In the order of their enums. */
static const char *const ack_modes[] = { "auto", "original", "enhanced", "strict" };
static const char *const log_targets[] = { "auto", "journal", "stderr" };
static const char *const no_yes[] = { "no", "yes" };

static const char help[] =
	"Usage: hl7-amqp --url=URL… --queue=NAME [OPTION…]\n"
	"\n"
	"Takes one HL7 v2 connection (MLLP) as standard input and output, from systemd or from an\n"
	"inetd, publishes each message to a RabbitMQ quorum queue, and answers it when the "
	"cluster\n"
	"has confirmed it. To try it:\n"
	"  systemd-socket-activate -a -l 127.0.0.1:5123 hl7-amqp \\\n"
	"      --url=amqp://localhost --queue=hl7\n"
	"\n"
	"  --url=URL                amqp://[USER@]HOST[:PORT][/VHOST]; several are tried in turn\n"
	"  --password-file=FILE     where the password is (else: the credential amqp-password, or\n"
	"                           $HL7_AMQP_PASSWORD)\n"
	"  --queue=NAME             the queue, and the routing key unless that is given\n"
	"  --exchange=NAME          publish to this exchange, which must be there\n"
	"  --routing-key=KEY        with this routing key\n"
	"  --declare=yes|no         make the queue, of type quorum, and bind it (default: yes)\n"
	"  --connect-timeout=TIME   wait for a broker to be ready (default: 5s)\n"
	"  --confirm-timeout=TIME   wait for a message's confirm (default: 20s)\n"
	"  --heartbeat=TIME         heartbeats, in whole seconds (default: 60s; 0: none)\n"
	"  --ack-mode=MODE          auto, original, enhanced or strict (default: enhanced)\n"
	"  --messages=N             messages per connection (default: 0; 0: until the peer "
	"closes)\n"
	"  --max-message=SIZE       largest message in bytes, K, M or G (default: 32M)\n"
	"  --idle-timeout=TIME      wait for a frame's first byte (default: 60s; 0: for ever)\n"
	"  --frame-timeout=TIME     wait for the whole frame (default: 60s; 0: for ever)\n"
	"  --write-timeout=TIME     wait for the peer to take the answer (default: 30s; 0: for "
	"ever)\n"
	"  --drain-timeout=TIME     wait for the peer to close after the last answer (default: "
	"2s)\n"
	"  --log=WHERE              auto, journal or stderr (default: auto)\n"
	"  -h, --help               this text\n"
	"  -V, --version            the version\n"
	"\n"
	"See hl7-amqp(8).\n";

/* What is wrong with it is told later: the value, which may have a password in it, is not shown. */
static bool
add_endpoint(struct options *o, const char *url)
{
	struct publisher_settings *p = &o->publisher;

	if (p->n_endpoints == PUBLISHER_ENDPOINTS_MAX)
		return false;
	if (o->endpoint_condition == 0)
		o->endpoint_condition = endpoint_parse(url, &p->endpoints[p->n_endpoints++]);
	return true;
}

static bool
set_name(const char *text, const char **ret)
{
	*ret = text;
	return *text != 0 && strlen(text) < BROKER_NAME_BYTES;
}

static bool
set_bounded(const char *text, usec_t max, usec_t *ret)
{
	return parse_duration(text, ret) && *ret > 0 && *ret <= max;
}

static bool
set_heartbeat(const char *text, usec_t *ret)
{
	return parse_duration(text, ret) && *ret % USEC_PER_SEC == 0 && *ret <= HEARTBEAT_MOST_USEC;
}

#define WORD_OPTION(text, words, field)                                                            \
	({                                                                                         \
		int _word = parse_word(text, words, sizeof(words) / sizeof((words)[0]));           \
		if (_word >= 0)                                                                    \
			(field) = (unsigned)_word;                                                 \
		_word >= 0;                                                                        \
	})

/* One option with its argument; false when the argument is not of its kind. */
static bool
set_option(void *userdata, int option, const char *argument)
{
	struct options *o = userdata;
	struct publisher_settings *p = &o->publisher;
	struct broker_settings *b = &p->broker;

	switch ((enum option_id)option) {
	case OPTION_URL: return add_endpoint(o, argument);
	case OPTION_PASSWORD_FILE: o->password_file = argument; return *argument != 0;
	case OPTION_QUEUE: return set_name(argument, &b->queue);
	case OPTION_EXCHANGE: return set_name(argument, &b->exchange);
	case OPTION_ROUTING_KEY: return set_name(argument, &b->routing_key);
	case OPTION_DECLARE: return WORD_OPTION(argument, no_yes, b->declare);
	case OPTION_CONNECT_TIMEOUT:
		return set_bounded(argument, DEADLINE_NEVER, &b->connect_timeout_usec);
	case OPTION_CONFIRM_TIMEOUT:
		return set_bounded(argument, DEADLINE_NEVER, &p->confirm_timeout_usec);
	case OPTION_HEARTBEAT: return set_heartbeat(argument, &b->heartbeat_usec);
	case OPTION_ACK_MODE: return WORD_OPTION(argument, ack_modes, o->ack_mode);
	case OPTION_MESSAGES: return parse_count(argument, 0, SIZE_MAX / 2, &o->messages);
	case OPTION_MAX_MESSAGE:
		return parse_size(
			argument, MAX_MESSAGE_LEAST, MAX_MESSAGE_MOST, &o->max_message_bytes);
	case OPTION_IDLE_TIMEOUT: return parse_duration(argument, &o->idle_timeout_usec);
	case OPTION_FRAME_TIMEOUT: return parse_duration(argument, &o->frame_timeout_usec);
	case OPTION_WRITE_TIMEOUT: return parse_duration(argument, &o->write_timeout_usec);
	case OPTION_DRAIN_TIMEOUT:
		return set_bounded(argument, DEADLINE_NEVER, &o->drain_timeout_usec);
	case OPTION_LOG: return WORD_OPTION(argument, log_targets, o->log);
	}
	return false;
}

static void
set_defaults(struct options *o)
{
	*o = (struct options){
		.publisher = {
			.broker = {
				.queue = "",
				.exchange = "",
				.routing_key = "",
				.declare = true,
				.connect_timeout_usec = 5 * USEC_PER_SEC,
				.heartbeat_usec = 60 * USEC_PER_SEC,
			},
			/* with the wait for the broker less than the 30 s that a sender waits */
			.confirm_timeout_usec = 20 * USEC_PER_SEC,
		},
		.max_message_bytes = 32 * MIB,
		.messages = 0, /* a connection to the broker costs more than a message */
		.idle_timeout_usec = 60 * USEC_PER_SEC,
		.frame_timeout_usec = 60 * USEC_PER_SEC,
		.write_timeout_usec = 30 * USEC_PER_SEC,
		.drain_timeout_usec = 2 * USEC_PER_SEC,
		.ack_mode = ACK_ENHANCED,
	};
}

static int
complain(const char *text, const char *value)
{
	(void)usage_error(PROGRAM, text, value);
	return OPTIONS_E_USAGE;
}

static int
check_endpoints(const struct options *o)
{
	static const char *const texts[] = {
		[ENDPOINT_E_INVALID] = "--url=amqp://[USER@]HOST[:PORT][/VHOST] is expected",
		[ENDPOINT_E_PASSWORD] = "a password in --url is seen by all; use --password-file",
		[ENDPOINT_E_TLS] = "amqps is not done here: let stunnel do it",
	};

	if (o->endpoint_condition)
		return complain(texts[o->endpoint_condition], NULL);
	return o->publisher.n_endpoints ? 0 : complain("--url=amqp://HOST is needed", NULL);
}

static int
check_target(struct broker_settings *b)
{
	if (!b->queue[0] && !b->exchange[0])
		return complain("--queue=NAME is needed (or --exchange=NAME)", NULL);
	/* the default exchange knows queues by their names, and nothing else */
	if (b->routing_key[0] && !b->exchange[0])
		return complain("--routing-key goes with --exchange only", NULL);
	if (!b->routing_key[0])
		b->routing_key = b->queue;
	return 0;
}

int
options_parse(struct options *o, int argc, char **argv)
{
	const struct command_line line = { PROGRAM, help, "hV", options, set_option, o };
	int r;

	set_defaults(o);
	r = options_read(&line, argc, argv);
	if (r)
		return r;
	if (optind < argc)
		return complain("no arguments are taken, but got", argv[optind]);
	r = check_endpoints(o);
	return r ? r : check_target(&o->publisher.broker);
}
