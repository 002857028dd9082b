/* SPDX-License-Identifier: MIT */
#include "receive/options.h"
#include "cli/options.h"

#include <getopt.h>
#include <stdlib.h>

#define PROGRAM "hl7-receive"

#define MIB ((size_t)1024 * 1024)

/* More processes than a machine has for us. */
#define CONNECTIONS_MOST ((size_t)100000)

enum option_id {
	OPTION_STORE = 256,
	OPTION_NO_STORE,
	OPTION_ACK_TEMPLATES,
	OPTION_CONVERT_TEMPLATES,
	OPTION_TABLES,
	OPTION_UNMATCHED,
	OPTION_REUSED_ID,
	OPTION_MIN_FREE,
	OPTION_MIN_FREE_INODES,
	OPTION_MAX_RESULT,
	OPTION_ON_STORAGE_ERROR,
	OPTION_ALLOW,
	OPTION_MAX_CONNECTIONS,
	OPTION_MAX_CONNECTIONS_PER_SOURCE,
	OPTION_IDLE_EXIT,
	OPTION_STOP_TIMEOUT,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "store", required_argument, NULL, OPTION_STORE },
	{ "no-store", no_argument, NULL, OPTION_NO_STORE },
	{ "ack-templates", required_argument, NULL, OPTION_ACK_TEMPLATES },
	{ "convert-templates", required_argument, NULL, OPTION_CONVERT_TEMPLATES },
	{ "tables", required_argument, NULL, OPTION_TABLES },
	{ "unmatched", required_argument, NULL, OPTION_UNMATCHED },
	{ "reused-id", required_argument, NULL, OPTION_REUSED_ID },
	{ "min-free", required_argument, NULL, OPTION_MIN_FREE },
	{ "min-free-inodes", required_argument, NULL, OPTION_MIN_FREE_INODES },
	{ "max-result", required_argument, NULL, OPTION_MAX_RESULT },
	{ "on-storage-error", required_argument, NULL, OPTION_ON_STORAGE_ERROR },
	{ "allow", required_argument, NULL, OPTION_ALLOW },
	{ "max-connections", required_argument, NULL, OPTION_MAX_CONNECTIONS },
	{ "max-connections-per-source", required_argument, NULL,
		OPTION_MAX_CONNECTIONS_PER_SOURCE },
	{ "idle-exit", required_argument, NULL, OPTION_IDLE_EXIT },
	{ "stop-timeout", required_argument, NULL, OPTION_STOP_TIMEOUT },
	LISTEN_OPTIONS,
	{ 0 },
};

/* In the order of their enums. */
static const char *const reused_ids[] = { "accept", "reject" };
static const char *const unmatched[] = { "accept", "reject" };
static const char *const storage_errors[] = { "reject", "error", "close" };

static const char help[] =
	"Usage: hl7-receive --store=DIR | --no-store [OPTION…]\n"
	"\n"
	"Takes one HL7 v2 connection from systemd (a socket unit with Accept=yes) or an inetd,\n"
	"stores each message durably and answers it; given a socket that listens (Accept=no, or\n"
	"inetd's wait), forks such a process for each connection. Not started by hand; to try it:\n"
	"  systemd-socket-activate -a -l 127.0.0.1:5123 hl7-receive --store=/tmp/hl7\n"
	"\n"
	"  --store=DIR              where messages are stored (default: $STATE_DIRECTORY)\n"
	"  --no-store               acknowledge without storing\n"
	"  --ack-templates=DIR      acknowledgement templates (default: " HL7_INETD_SYSCONFDIR
	"/ack.d)\n"
	"  --convert-templates=DIR  conversion templates (default: " HL7_INETD_SYSCONFDIR
	"/convert.d)\n"
	"  --tables=DIR             tables of the templates (default: " HL7_INETD_SYSCONFDIR
	"/tables)\n"
	"  --unmatched=HOW          messages that no conversion template wants: accept or reject\n"
	"                           (default: accept)\n"
	"  --reused-id=HOW          another message under the same control id: accept or reject\n"
	"                           (default: accept)\n"
	"  --min-free=SIZE          room that stays free beside the store (default: 64M; 0: none)\n"
	"  --min-free-inodes=N      inodes that stay free (default: 1000; 0: none)\n"
	"  --max-result=SIZE        largest result of a conversion (default: 64M)\n"
	"  --ack-mode=MODE          auto, original, enhanced or strict (default: auto)\n"
	"  --messages=N             messages per connection, 0: until the peer closes (default: "
	"1)\n"
	"  --allow=ADDRESS[/BITS][,…]  who may connect; may be given again (default: everybody)\n"
	"  --on-storage-error=HOW   reject, error or close (default: reject)\n" LISTEN_HELP "\n"
	"With a socket that listens:\n"
	"  --max-connections=N      at the same time (default: 512)\n"
	"  --max-connections-per-source=N\n"
	"                           from one address; 0: no limit of its own (default: 64)\n"
	"  --idle-exit=TIME         end after so long without a connection (default: 10m; 0: "
	"never)\n"
	"  --stop-timeout=TIME      on SIGTERM, wait for connections so long (default: 5s)\n"
	"\n"
	"  -h, --help               this text\n"
	"  -V, --version            the version\n"
	"\n"
	"See hl7-receive(8).\n";

static bool
set_word(const char *text, const char *const *words, size_t n, int *ret)
{
	int i = parse_word(text, words, n);

	if (i >= 0)
		*ret = i;
	return i >= 0;
}

#define WORD_OPTION(text, words, field)                                                            \
	({                                                                                         \
		int _word = 0;                                                                     \
		bool _known = set_word(text, words, sizeof(words) / sizeof((words)[0]), &_word);   \
		if (_known)                                                                        \
			(field) = (unsigned)_word;                                                 \
		_known;                                                                            \
	})

static bool
add_allowed(struct allow *list, const char *text)
{
	struct span wrong;

	return allow_add(list, span_str(text), &wrong) == 0;
}

/* One option with its argument; false when the argument is not of its kind. */
static bool
set_option(void *userdata, int option, const char *argument)
{
	struct options *o = userdata;
	bool valid = false;

	if (listen_set_option(&o->listen, option, argument, &valid))
		return valid;
	switch ((enum option_id)option) {
	case OPTION_STORE:
		o->store = argument;
		o->store_given = true;
		return *argument != 0;
	case OPTION_NO_STORE:
		o->store = NULL;
		o->store_given = true;
		return true;
	case OPTION_ACK_TEMPLATES: o->ack_templates = argument; return true;
	case OPTION_CONVERT_TEMPLATES: o->convert_templates = argument; return true;
	case OPTION_TABLES: o->tables = argument; return true;
	case OPTION_UNMATCHED: return WORD_OPTION(argument, unmatched, o->reject_unmatched);
	case OPTION_REUSED_ID: return WORD_OPTION(argument, reused_ids, o->reject_reused);
	case OPTION_MIN_FREE: return parse_size(argument, 0, SIZE_MAX / 4, &o->min_free_bytes);
	case OPTION_MIN_FREE_INODES:
		return parse_count(argument, 0, SIZE_MAX / 4, &o->min_free_inodes);
	case OPTION_MAX_RESULT:
		return parse_size(argument, LISTEN_MESSAGE_BYTES_LEAST, LISTEN_MESSAGE_BYTES_MOST,
			&o->max_result_bytes);
	case OPTION_ON_STORAGE_ERROR:
		return WORD_OPTION(argument, storage_errors, o->on_storage_error);
	case OPTION_ALLOW: return add_allowed(&o->allow, argument);
	case OPTION_MAX_CONNECTIONS:
		return parse_count(argument, 1, CONNECTIONS_MOST, &o->max_connections);
	case OPTION_MAX_CONNECTIONS_PER_SOURCE:
		return parse_count(argument, 0, CONNECTIONS_MOST, &o->max_connections_per_source);
	case OPTION_IDLE_EXIT: return parse_duration(argument, &o->idle_exit_usec);
	case OPTION_STOP_TIMEOUT: /* who stops a service does not wait for ever */
		return parse_duration(argument, &o->stop_timeout_usec) && o->stop_timeout_usec > 0;
	}
	return false;
}

static void
set_defaults(struct options *o)
{
	*o = (struct options){
		.store = getenv("STATE_DIRECTORY"), /* of StateDirectory=, systemd.exec(5) */
		.ack_templates = HL7_INETD_SYSCONFDIR "/ack.d",
		.convert_templates = HL7_INETD_SYSCONFDIR "/convert.d",
		.tables = HL7_INETD_SYSCONFDIR "/tables",
		.min_free_bytes = 64 * MIB,
		.min_free_inodes = 1000,
		.max_result_bytes = 64 * MIB,
		.listen = listen_defaults(ACK_AUTO, 1),
		.max_connections = 512,
		.max_connections_per_source = 64,
		.idle_exit_usec = 600 * USEC_PER_SEC,
		.stop_timeout_usec = 5 * USEC_PER_SEC,
	};
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
	const struct command_line line = { PROGRAM, help, "hV", options, set_option, o };
	int r;

	set_defaults(o);
	r = options_read(&line, argc, argv);
	if (r)
		return r;
	if (optind < argc)
		return complain("no arguments are taken, but got", argv[optind]);
	if (!o->store_given && !o->store)
		return complain(
			"--store=DIR is needed (or --no-store, to acknowledge without storing)",
			NULL);
	return 0;
}

bool
options_allow(const struct options *o, const struct connection_names *names)
{
	return o->allow.n_ranges == 0 || allow_admits(&o->allow, span_str(names->peer_address));
}
