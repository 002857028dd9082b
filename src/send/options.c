/* SPDX-License-Identifier: MIT */
#include "send/options.h"
#include "cli/options.h"

#include <getopt.h>

#define PROGRAM "hl7-send"

#define CONNECTIONS_MAX 1000
#define REPEAT_MAX      ((size_t)1000000000)
#define RATE_MAX        ((size_t)1000000)
#define ACK_BYTES_LEAST ((size_t)1024)
#define ACK_BYTES_MOST  ((size_t)1024 * 1024 * 1024)

enum option_id {
	OPTION_QUIET = 'q',
	OPTION_KEEP_OPEN = 256,
	OPTION_NEW_ID,
	OPTION_SUMMARY,
	OPTION_REPEAT,
	OPTION_CONNECTIONS,
	OPTION_RATE,
	OPTION_TIMEOUT,
	OPTION_MAX_ACK,
	OPTION_VIA,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "quiet", no_argument, NULL, OPTION_QUIET },
	{ "keep-open", no_argument, NULL, OPTION_KEEP_OPEN },
	{ "new-id", no_argument, NULL, OPTION_NEW_ID },
	{ "summary", no_argument, NULL, OPTION_SUMMARY },
	{ "repeat", required_argument, NULL, OPTION_REPEAT },
	{ "connections", required_argument, NULL, OPTION_CONNECTIONS },
	{ "rate", required_argument, NULL, OPTION_RATE },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "max-ack", required_argument, NULL, OPTION_MAX_ACK },
	{ "via", required_argument, NULL, OPTION_VIA },
	{ 0 },
};

static const char help[] =
	"Usage: hl7-send [OPTION…] HOST[:PORT] [FILE…]\n"
	"       hl7-send [OPTION…] --via=COMMAND [FILE…]\n"
	"\n"
	"Sends the HL7 v2 messages of the files (a directory: of its files in order; none:\n"
	"of standard input) over MLLP, waits for each answer, checks and prints it.\n"
	"The port is 5123 unless given; an IPv6 address with a port is written [::1]:5123.\n"
	"\n"
	"      --via=COMMAND      instead of connecting to a HOST, run a shell command and talk "
	"to\n"
	"                         its standard input and output: for TLS, for a jump host\n"
	"      --keep-open        send all over one connection, not each over its own\n"
	"      --repeat=N         send everything N times (default: 1)\n"
	"      --connections=N    with so many connections at once (default: 1)\n"
	"      --rate=N           at most N messages a second in all\n"
	"      --timeout=TIME     wait for a whole answer (default: 30s; 0: for ever)\n"
	"      --max-ack=SIZE     largest answer taken (default: 1M)\n"
	"      --new-id           give each message sent a control id (MSH-10) of its own\n"
	"  -q, --quiet            do not print answers\n"
	"      --summary          print counts, rate and latencies at the end\n"
	"  -h, --help             this text\n"
	"  -V, --version          the version\n"
	"\n"
	"Exit status: 0 all accepted, 1 some AE/CE, 2 some AR/CR, 3 some without an answer of\n"
	"their own, 64 usage, 65 input is no HL7, 66 input cannot be read, 71 system error.\n"
	"\n"
	"See hl7-send(1).\n";

static bool
set_option(void *userdata, int option, const char *argument)
{
	struct options *o = userdata;

	switch ((enum option_id)option) {
	case OPTION_QUIET: o->quiet = true; return true;
	case OPTION_KEEP_OPEN: o->keep_open = true; return true;
	case OPTION_NEW_ID: o->new_id = true; return true;
	case OPTION_SUMMARY: o->summary = true; return true;
	case OPTION_REPEAT: return parse_count(argument, 1, REPEAT_MAX, &o->repeat);
	case OPTION_CONNECTIONS: return parse_count(argument, 1, CONNECTIONS_MAX, &o->connections);
	case OPTION_RATE: return parse_count(argument, 1, RATE_MAX, &o->rate);
	case OPTION_TIMEOUT: return parse_duration(argument, &o->timeout_usec);
	case OPTION_MAX_ACK:
		return parse_size(argument, ACK_BYTES_LEAST, ACK_BYTES_MOST, &o->max_ack_bytes);
	case OPTION_VIA: o->via = argument; return argument[0] != 0;
	}
	return false;
}

static int
complain(const char *text, const char *value)
{
	(void)usage_error(PROGRAM, text, value);
	return OPTIONS_E_USAGE;
}

int
options_parse(struct options *o, int argc, char **argv)
{
	const struct command_line line = { PROGRAM, help, "hVq", options, set_option, o };
	int r;

	*o = (struct options){
		.repeat = 1,
		.connections = 1,
		.timeout_usec = 30 * USEC_PER_SEC,
		.max_ack_bytes = (size_t)1024 * 1024,
	};
	r = options_read(&line, argc, argv);
	if (r)
		return r;
	if (!o->via && optind == argc)
		return complain("HOST[:PORT] is missing", NULL);
	if (!o->via)
		o->target = argv[optind++];
	o->files = argv + optind;
	o->n_files = (size_t)(argc - optind);
	return 0;
}
