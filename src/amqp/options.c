/* SPDX-License-Identifier: MIT */
#include "amqp/options.h"
#include "cli/options.h"

#include <getopt.h>

#define PROGRAM "hl7-amqp"

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
	LISTEN_OPTIONS,
	{ 0 },
};

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
	"closes)\n" LISTEN_HELP "  -h, --help               this text\n"
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

static bool
set_declare(const char *text, bool *ret)
{
	int i = parse_word(text, no_yes, sizeof(no_yes) / sizeof(no_yes[0]));

	if (i >= 0)
		*ret = i == 1;
	return i >= 0;
}

/* One option with its argument; false when the argument is not of its kind. */
static bool
set_option(void *userdata, int option, const char *argument)
{
	struct options *o = userdata;
	struct publisher_settings *p = &o->publisher;
	struct broker_settings *b = &p->broker;
	bool valid = false;

	if (listen_set_option(&o->listen, option, argument, &valid))
		return valid;
	switch ((enum option_id)option) {
	case OPTION_URL: return add_endpoint(o, argument);
	case OPTION_PASSWORD_FILE: o->password_file = argument; return *argument != 0;
	case OPTION_QUEUE: return set_name(argument, &b->queue);
	case OPTION_EXCHANGE: return set_name(argument, &b->exchange);
	case OPTION_ROUTING_KEY: return set_name(argument, &b->routing_key);
	case OPTION_DECLARE: return set_declare(argument, &b->declare);
	case OPTION_CONNECT_TIMEOUT:
		return set_bounded(argument, DEADLINE_NEVER, &b->connect_timeout_usec);
	case OPTION_CONFIRM_TIMEOUT:
		return set_bounded(argument, DEADLINE_NEVER, &p->confirm_timeout_usec);
	case OPTION_HEARTBEAT: return set_heartbeat(argument, &b->heartbeat_usec);
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
		/* a connection to the broker costs more than a message */
		.listen = listen_defaults(ACK_ENHANCED, 0),
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
