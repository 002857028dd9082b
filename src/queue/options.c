/* SPDX-License-Identifier: MIT */
#include "queue/options.h"
#include "cli/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "hl7-queue"

enum option_id {
	OPTION_STORE = 256,
	OPTION_FAILED,
	OPTION_WAITING,
	OPTION_ALL,
	OPTION_DESTINATION,
	OPTION_LIMIT,
	OPTION_YES,
	OPTION_NAGIOS,
	OPTION_WARN_AGE,
	OPTION_CRIT_AGE,
	OPTION_WARN_COUNT,
	OPTION_CRIT_COUNT,
	OPTION_WARN_FAILED,
	OPTION_CRIT_FAILED,
	OPTION_OUTPUT,
	OPTION_SINCE,
	OPTION_JOURNAL_FILE,
	OPTION_NO_JOURNAL,
	OPTION_DEEP,
	OPTION_KEEP_RECEIVED,
	OPTION_KEEP_REJECTED,
	OPTION_KEEP_FAILED,
	OPTION_MAX_RECEIVED,
	OPTION_MAX_REJECTED,
	OPTION_DRY_RUN,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "store", required_argument, NULL, OPTION_STORE },
	{ "failed", no_argument, NULL, OPTION_FAILED },
	{ "waiting", no_argument, NULL, OPTION_WAITING },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "destination", required_argument, NULL, OPTION_DESTINATION },
	{ "limit", required_argument, NULL, OPTION_LIMIT },
	{ "yes", no_argument, NULL, OPTION_YES },
	{ "nagios", no_argument, NULL, OPTION_NAGIOS },
	{ "warn-age", required_argument, NULL, OPTION_WARN_AGE },
	{ "crit-age", required_argument, NULL, OPTION_CRIT_AGE },
	{ "warn-count", required_argument, NULL, OPTION_WARN_COUNT },
	{ "crit-count", required_argument, NULL, OPTION_CRIT_COUNT },
	{ "warn-failed", required_argument, NULL, OPTION_WARN_FAILED },
	{ "crit-failed", required_argument, NULL, OPTION_CRIT_FAILED },
	{ "output", required_argument, NULL, OPTION_OUTPUT },
	{ "since", required_argument, NULL, OPTION_SINCE },
	{ "journal-file", required_argument, NULL, OPTION_JOURNAL_FILE },
	{ "no-journal", no_argument, NULL, OPTION_NO_JOURNAL },
	{ "deep", no_argument, NULL, OPTION_DEEP },
	{ "keep-received", required_argument, NULL, OPTION_KEEP_RECEIVED },
	{ "keep-rejected", required_argument, NULL, OPTION_KEEP_REJECTED },
	{ "keep-failed", required_argument, NULL, OPTION_KEEP_FAILED },
	{ "max-received", required_argument, NULL, OPTION_MAX_RECEIVED },
	{ "max-rejected", required_argument, NULL, OPTION_MAX_REJECTED },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ 0 },
};

/* A set of options: those from OPTION_STORE on, one bit each. */
#define BIT(option) (1U << ((option)-OPTION_STORE))

struct command_info {
	const char *name;
	unsigned options;
	size_t arguments_min, arguments_max;
};

static const struct command_info commands[COMMAND_N] = {
	[COMMAND_STATUS] = { "status",
		BIT(OPTION_DESTINATION) | BIT(OPTION_NAGIOS) | BIT(OPTION_WARN_AGE) |
			BIT(OPTION_CRIT_AGE) | BIT(OPTION_WARN_COUNT) | BIT(OPTION_CRIT_COUNT) |
			BIT(OPTION_WARN_FAILED) | BIT(OPTION_CRIT_FAILED),
		0, 0 },
	[COMMAND_LIST] = { "list",
		BIT(OPTION_FAILED) | BIT(OPTION_WAITING) | BIT(OPTION_DESTINATION) |
			BIT(OPTION_LIMIT),
		0, 0 },
	[COMMAND_SHOW] = { "show", 0, 1, SIZE_MAX },
	[COMMAND_WHY] = { "why", 0, 1, SIZE_MAX },
	[COMMAND_RETRY] = { "retry", BIT(OPTION_ALL) | BIT(OPTION_DESTINATION), 0, SIZE_MAX },
	[COMMAND_DROP] = { "drop",
		BIT(OPTION_ALL) | BIT(OPTION_DESTINATION) | BIT(OPTION_FAILED) |
			BIT(OPTION_WAITING) | BIT(OPTION_YES),
		0, SIZE_MAX },
	[COMMAND_EXPORT] = { "export",
		BIT(OPTION_ALL) | BIT(OPTION_DESTINATION) | BIT(OPTION_FAILED) |
			BIT(OPTION_WAITING),
		1, SIZE_MAX },
	[COMMAND_TRACE] = { "trace",
		BIT(OPTION_SINCE) | BIT(OPTION_JOURNAL_FILE) | BIT(OPTION_NO_JOURNAL), 1, 1 },
	[COMMAND_METRICS] = { "metrics", BIT(OPTION_OUTPUT), 0, 0 },
	[COMMAND_CHECK] = { "check", BIT(OPTION_DEEP), 0, 0 },
	[COMMAND_EXPIRE] = { "expire",
		BIT(OPTION_KEEP_RECEIVED) | BIT(OPTION_KEEP_REJECTED) | BIT(OPTION_KEEP_FAILED) |
			BIT(OPTION_MAX_RECEIVED) | BIT(OPTION_MAX_REJECTED) | BIT(OPTION_DRY_RUN),
		0, 0 },
};

static const char help[] =
	"Usage: hl7-queue [--store=DIR] COMMAND [OPTION…] [ARGUMENT…]\n"
	"\n"
	"What waits, what failed and why; to be used while messages flow. An ID is what list\n"
	"prints: DESTINATION/NAME.\n"
	"\n"
	"  status              a line for each destination; --nagios for a monitoring system\n"
	"  list                the messages that wait or failed\n"
	"  show ID…            print messages\n"
	"  why ID|CONTROL-ID…  why a message is where it is\n"
	"  retry ID…           put failed messages back into their queues; or --all\n"
	"  drop ID…            move waiting messages to the failed ones; with --yes delete failed\n"
	"                      ones for good; or --all\n"
	"  export ID… DIR      copy messages into a folder; or --all\n"
	"  trace ID|CONTROL-ID  a message's whole way, from the store and the journal\n"
	"  metrics             figures in the OpenMetrics text format\n"
	"  check               say what is wrong with the store\n"
	"  expire              remove old messages that nobody waits for any more\n"
	"\n"
	"All:\n"
	"      --store=DIR            the store (default: $STATE_DIRECTORY; else\n"
	"                             " HL7_INETD_STATEDIR ")\n"
	"  -h, --help                 this text\n"
	"  -V, --version              the version\n"
	"status, list, retry, drop, export:\n"
	"      --destination=NAME     of this destination only\n"
	"list, drop, export:\n"
	"      --failed               failed messages only\n"
	"      --waiting              waiting messages only\n"
	"retry, drop, export:\n"
	"      --all                  all messages in place of ID…\n"
	"list:\n"
	"      --limit=N              the first N messages\n"
	"drop:\n"
	"      --yes                  delete failed messages for good\n"
	"status:\n"
	"      --nagios               one line with performance data first\n"
	"      --warn-age=TIME        exit status 1 when a message waits longer\n"
	"      --crit-age=TIME        exit status 2 when a message waits longer\n"
	"      --warn-count=N         exit status 1 when more messages wait for one destination\n"
	"      --crit-count=N         exit status 2 when more messages wait for one destination\n"
	"      --warn-failed=N        exit status 1 when more of one destination failed\n"
	"      --crit-failed=N        exit status 2 when more of one destination failed\n"
	"trace:\n"
	"      --since=TIME           only what is younger\n"
	"      --journal-file=FILE    this journal file in place of the system's journal\n"
	"      --no-journal           the store only\n"
	"metrics:\n"
	"      --output=FILE          write the file, at once and as a whole\n"
	"check:\n"
	"      --deep                 read every message\n"
	"expire:\n"
	"      --keep-received=TIME   remove received messages that are older (default: 0; never)\n"
	"      --keep-rejected=TIME   remove rejected messages that are older (default: 0; never)\n"
	"      --keep-failed=TIME     remove messages that failed earlier (default: 0; never)\n"
	"      --max-received=SIZE    remove the oldest beyond this size (default: 0; any size)\n"
	"      --max-rejected=SIZE    remove the oldest beyond this size (default: 0; any size)\n"
	"      --dry-run              only say how many it would be\n"
	"\n"
	"Exit status: 0, 1 a warning or not all was done, 2 critical, 3 unknown, 64 usage, 66 the\n"
	"store cannot be read, 71 system error, 74 output cannot be written.\n"
	"\n"
	"See hl7-queue(8) and hl7-store(5).\n";

/* What the options are taken into, and which were. */
struct parsing {
	struct options *o;
	unsigned given;
};

static bool
set_limit(struct options *o, const char *argument, uint64_t *ret)
{
	size_t n;

	if (!parse_count(argument, 0, SIZE_MAX / 2, &n))
		return false;
	*ret = n;
	o->judge = true;
	return true;
}

static bool
set_age(struct options *o, const char *argument, uint64_t *ret)
{
	usec_t age;

	if (!parse_duration(argument, &age))
		return false;
	*ret = age;
	o->judge = true;
	return true;
}

static bool
set_option(void *userdata, int option, const char *argument)
{
	struct parsing *p = userdata;
	struct options *o = p->o;

	p->given |= BIT(option);
	switch ((enum option_id)option) {
	case OPTION_STORE: o->store = argument; return *argument != 0;
	case OPTION_FAILED: o->failed = true; return !o->waiting;
	case OPTION_WAITING: o->waiting = true; return !o->failed;
	case OPTION_ALL: o->all = true; return true;
	case OPTION_DESTINATION: o->destination = argument; return *argument != 0;
	case OPTION_LIMIT: return parse_count(argument, 1, SIZE_MAX / 2, &o->limit);
	case OPTION_YES: o->yes = true; return true;
	case OPTION_NAGIOS: o->nagios = true; return true;
	case OPTION_WARN_AGE: return set_age(o, argument, &o->age.warn);
	case OPTION_CRIT_AGE: return set_age(o, argument, &o->age.crit);
	case OPTION_WARN_COUNT: return set_limit(o, argument, &o->count.warn);
	case OPTION_CRIT_COUNT: return set_limit(o, argument, &o->count.crit);
	case OPTION_WARN_FAILED: return set_limit(o, argument, &o->dead.warn);
	case OPTION_CRIT_FAILED: return set_limit(o, argument, &o->dead.crit);
	case OPTION_OUTPUT: o->output = argument; return *argument != 0;
	case OPTION_SINCE: return parse_duration(argument, &o->since_usec);
	case OPTION_JOURNAL_FILE: o->journal_file = argument; return !o->no_journal;
	case OPTION_NO_JOURNAL: o->no_journal = true; return !o->journal_file;
	case OPTION_DEEP: o->deep = true; return true;
	case OPTION_KEEP_RECEIVED: return parse_duration(argument, &o->keep_received_usec);
	case OPTION_KEEP_REJECTED: return parse_duration(argument, &o->keep_rejected_usec);
	case OPTION_KEEP_FAILED: return parse_duration(argument, &o->keep_failed_usec);
	case OPTION_MAX_RECEIVED: return parse_size(argument, 0, SIZE_MAX, &o->max_received_bytes);
	case OPTION_MAX_REJECTED: return parse_size(argument, 0, SIZE_MAX, &o->max_rejected_bytes);
	case OPTION_DRY_RUN: o->dry_run = true; return true;
	}
	return false;
}

static int
complain(const char *text, const char *value)
{
	(void)usage_error(PROGRAM, text, value);
	return OPTIONS_E_USAGE;
}

static bool
find_command(const char *name, enum command *ret)
{
	int i;

	for (i = 0; i < COMMAND_N; i++)
		if (strcmp(commands[i].name, name) == 0) {
			*ret = (enum command)i;
			return true;
		}
	return false;
}

/* The name of an option that is not this command's, or NULL. */
static const char *
foreign_option(const struct command_info *c, unsigned given)
{
	size_t i;

	for (i = 0; options[i].name; i++)
		if (options[i].val > OPTION_STORE && given & ~c->options & BIT(options[i].val))
			return options[i].name;
	return NULL;
}

/* IDs or --all, and not both. */
static int
check_selection(const struct options *o)
{
	size_t n_ids = o->n_arguments - (o->command == COMMAND_EXPORT);
	bool selective = o->command == COMMAND_RETRY || o->command == COMMAND_DROP ||
			 o->command == COMMAND_EXPORT;

	if (!selective)
		return 0;
	if (o->all && n_ids > 0)
		return complain("--all and IDs exclude each other", NULL);
	if (!o->all && n_ids == 0)
		return complain("IDs are missing, or --all", NULL);
	if (!o->all && (o->destination || o->failed || o->waiting))
		return complain("--destination, --failed and --waiting go with --all", NULL);
	if (o->command == COMMAND_DROP && o->failed && !o->yes)
		return complain("--failed goes with --yes: what failed can only be deleted", NULL);
	return 0;
}

static int
take_command(struct parsing *p, int argc, char **argv)
{
	struct options *o = p->o;
	const struct command_info *c;
	const char *foreign;

	if (optind == argc)
		return complain("a command is missing", NULL);
	if (!find_command(argv[optind], &o->command))
		return complain("unknown command", argv[optind]);
	c = &commands[o->command];
	o->arguments = argv + optind + 1;
	o->n_arguments = (size_t)(argc - optind - 1);
	foreign = foreign_option(c, p->given);
	if (foreign)
		return complain("this command has no such option", foreign);
	if (o->n_arguments < c->arguments_min)
		return complain("an argument is missing behind", c->name);
	if (o->n_arguments > c->arguments_max)
		return complain("one argument too many", o->arguments[c->arguments_max]);
	return check_selection(o);
}

int
options_parse(struct options *o, int argc, char **argv)
{
	struct parsing p = { .o = o };
	const struct command_line line = { PROGRAM, help, "hV", options, set_option, &p };
	const char *state = getenv("STATE_DIRECTORY"); /* of StateDirectory=, systemd.exec(5) */
	int r;

	*o = (struct options){
		.store = state && *state ? state : HL7_INETD_STATEDIR,
		.age = { LIMIT_NONE, LIMIT_NONE },
		.count = { LIMIT_NONE, LIMIT_NONE },
		.dead = { LIMIT_NONE, LIMIT_NONE },
	};
	r = options_read(&line, argc, argv);
	return r ? r : take_command(&p, argc, argv);
}
