/* SPDX-License-Identifier: MIT */
#include "forward/options.h"
#include "base/cleanup.h"
#include "cli/options.h"
#include "net/dial.h"
#include "store/name.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "hl7-forward"

#define MIB ((size_t)1024 * 1024)

#define FILE_BYTES_MAX  ((size_t)64 * 1024)
#define TRIES_MAX       ((size_t)1000000)
#define TRIES_DEFAULT   3
#define ACK_BYTES_LEAST ((size_t)1024)

enum option_id {
	OPTION_STORE = 256,
	OPTION_DESTINATIONS,
	OPTION_TO,
	OPTION_VIA,
	OPTION_KEY,
	OPTION_ON_ERROR,
	OPTION_ON_REJECT,
	OPTION_CONNECT_TIMEOUT,
	OPTION_ACK_TIMEOUT,
	OPTION_RETRY_MIN,
	OPTION_RETRY_MAX,
	OPTION_GIVE_UP_AFTER,
	OPTION_LINGER,
	OPTION_MAX_MESSAGE,
	OPTION_MAX_ACK,
	OPTION_PER_CONNECTION,
	OPTION_ONCE,
	OPTION_LOG,
	OPTION_SANDBOX,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "store", required_argument, NULL, OPTION_STORE },
	{ "destinations", required_argument, NULL, OPTION_DESTINATIONS },
	{ "to", required_argument, NULL, OPTION_TO },
	{ "via", required_argument, NULL, OPTION_VIA },
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "on-error", required_argument, NULL, OPTION_ON_ERROR },
	{ "on-reject", required_argument, NULL, OPTION_ON_REJECT },
	{ "connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT },
	{ "ack-timeout", required_argument, NULL, OPTION_ACK_TIMEOUT },
	{ "retry-min", required_argument, NULL, OPTION_RETRY_MIN },
	{ "retry-max", required_argument, NULL, OPTION_RETRY_MAX },
	{ "give-up-after", required_argument, NULL, OPTION_GIVE_UP_AFTER },
	{ "linger", required_argument, NULL, OPTION_LINGER },
	{ "max-message", required_argument, NULL, OPTION_MAX_MESSAGE },
	{ "max-ack", required_argument, NULL, OPTION_MAX_ACK },
	{ "per-connection", required_argument, NULL, OPTION_PER_CONNECTION },
	{ "once", no_argument, NULL, OPTION_ONCE },
	{ "log", required_argument, NULL, OPTION_LOG },
	{ "sandbox", required_argument, NULL, OPTION_SANDBOX },
	{ 0 },
};

static const char help[] =
	"Usage: hl7-forward [OPTION…] NAME\n"
	"\n"
	"Delivers what waits in the queue of destination NAME, in order, and exits when nothing "
	"is\n"
	"left. systemd starts it (systemctl enable --now hl7-forward@NAME.path).\n"
	"\n"
	"  --store=DIR              the store (default: $STATE_DIRECTORY)\n"
	"  --destinations=DIR       where NAME.conf is (default: " HL7_INETD_SYSCONFDIR
	"/destinations)\n"
	"  --once                   try each message once, do not wait; exit status 75 when some "
	"still wait\n"
	"\n"
	"These are in NAME.conf as well, there written as AckTimeout=30s; here they come first:\n"
	"  --to=ADDRESS             mllp://HOST[:PORT], or exec:COMMAND that gets the message\n"
	"  --via=COMMAND            speaks MLLP on its standard input and output in place of TCP\n"
	"  --key=ADDRESS            only messages with the same value there, as PID-3.1, wait for\n"
	"                           each other\n"
	"  --on-error=ACTION        answer AE or CE: fail[:TRIES], retry or done (default: "
	"fail:3)\n"
	"  --on-reject=ACTION       answer AR or CR (default: retry)\n"
	"  --connect-timeout=TIME   wait for a connection (default: 10s; 0: for ever)\n"
	"  --ack-timeout=TIME       wait for the whole answer (default: 30s; 0: for ever)\n"
	"  --retry-min=TIME         first pause before trying again (default: 1s)\n"
	"  --retry-max=TIME         longest pause (default: 1m)\n"
	"  --give-up-after=TIME     messages that are not taken fail so long after they were "
	"stored\n"
	"                           (default: 0: never)\n"
	"  --linger=TIME            stay so long for further messages (default: 5s; 0: not at "
	"all)\n"
	"  --per-connection=N       messages per connection (default: 0: no limit)\n"
	"  --max-message=SIZE       larger messages fail (default: 256M)\n"
	"  --max-ack=SIZE           largest answer taken (default: 1M)\n"
	"  --log=WHERE              auto, journal or stderr (default: auto)\n"
	"  --sandbox=HOW            auto, require or off (default: auto)\n"
	"  -h, --help               this text\n"
	"  -V, --version            the version\n"
	"\n"
	"See hl7-forward(8).\n";

static bool
set_destination(struct options *o, const char *text)
{
	static const char mllp[] = "mllp://", exec[] = "exec:";

	o->to = text;
	o->host = o->command = NULL;
	if (strncmp(text, mllp, strlen(mllp)) == 0)
		o->host = text + strlen(mllp);
	else if (strncmp(text, exec, strlen(exec)) == 0)
		o->command = text + strlen(exec);
	return (o->host && dial_target_is_valid(o->host)) || (o->command && *o->command);
}

/* Of one segment, one field, one repetition. */
static bool
set_key(struct options *o, const char *text)
{
	struct span s = span_str(text);
	size_t at;

	if (address_parse(s, &o->key, &at) != 0 || o->key.field == 0)
		return false;
	if (o->key.occurrence == ADDRESS_ALL || o->key.repetition == ADDRESS_ALL)
		return false;
	o->keyed = true;
	return true;
}

/* "fail", "fail:5", "retry", "done" */
static bool
set_policy(struct policy *policy, const char *text)
{
	*policy = (struct policy){ POLICY_FAIL, TRIES_DEFAULT };
	if (strncmp(text, "fail:", 5) == 0)
		return parse_count(text + 5, 1, TRIES_MAX, &policy->tries);
	if (strcmp(text, "retry") == 0)
		policy->action = POLICY_RETRY;
	else if (strcmp(text, "done") == 0)
		policy->action = POLICY_DONE;
	else
		return strcmp(text, "fail") == 0;
	return true;
}

/* A pause of nothing would spin. */
static bool
set_pause(const char *text, usec_t *ret)
{
	return parse_duration(text, ret) && *ret > 0;
}

static bool
set_option(void *userdata, int option, const char *argument)
{
	struct options *o = userdata;

	switch ((enum option_id)option) {
	case OPTION_STORE: o->store = argument; return *argument != 0;
	case OPTION_DESTINATIONS: o->destinations = argument; return *argument != 0;
	case OPTION_TO: return set_destination(o, argument);
	case OPTION_VIA: o->via = *argument ? argument : NULL; return true;
	case OPTION_KEY: return set_key(o, argument);
	case OPTION_ON_ERROR: return set_policy(&o->on_error, argument);
	case OPTION_ON_REJECT: return set_policy(&o->on_reject, argument);
	case OPTION_CONNECT_TIMEOUT: return parse_duration(argument, &o->connect_timeout_usec);
	case OPTION_ACK_TIMEOUT: return parse_duration(argument, &o->ack_timeout_usec);
	case OPTION_RETRY_MIN: return set_pause(argument, &o->retry_min_usec);
	case OPTION_RETRY_MAX: return set_pause(argument, &o->retry_max_usec);
	case OPTION_GIVE_UP_AFTER: return parse_duration(argument, &o->give_up_after_usec);
	case OPTION_LINGER: return parse_duration(argument, &o->linger_usec);
	case OPTION_PER_CONNECTION:
		return parse_count(argument, 0, SIZE_MAX / 2, &o->per_connection);
	case OPTION_MAX_MESSAGE: return parse_size(argument, 1, 2048 * MIB, &o->max_message_bytes);
	case OPTION_MAX_ACK:
		return parse_size(argument, ACK_BYTES_LEAST, 1024 * MIB, &o->max_ack_bytes);
	case OPTION_ONCE: o->once = true; return true;
	case OPTION_LOG: return log_target_parse(argument, &o->log);
	case OPTION_SANDBOX: return sandbox_mode_parse(argument, &o->sandbox);
	}
	return false;
}

void
options_defaults(struct options *o)
{
	*o = (struct options){
		.store = getenv("STATE_DIRECTORY"), /* of StateDirectory=, systemd.exec(5) */
		.destinations = HL7_INETD_SYSCONFDIR "/destinations",
		.on_error = { POLICY_FAIL, TRIES_DEFAULT },
		.on_reject = { POLICY_RETRY, 0 },
		.connect_timeout_usec = 10 * USEC_PER_SEC,
		.ack_timeout_usec = 30 * USEC_PER_SEC,
		.retry_min_usec = USEC_PER_SEC,
		.retry_max_usec = 60 * USEC_PER_SEC,
		.linger_usec = 5 * USEC_PER_SEC,
		.max_message_bytes = 256 * MIB,
		.max_ack_bytes = MIB,
	};
}

/* --- the destination's file ------------------------------------------------------------------- */

/* Reads the file into o->file, with a NUL behind it. 0 or a negative errno. */
static int
read_file(struct options *o, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got = 1;

	if (fd < 0)
		return -errno;
	o->file = calloc(1, FILE_BYTES_MAX + 1);
	if (!o->file)
		return -ENOMEM;
	while (got != 0 && n < FILE_BYTES_MAX) {
		got = read(fd, o->file + n, FILE_BYTES_MAX - n);
		if (got < 0 && errno != EINTR)
			return -errno;
		n += got > 0 ? (size_t)got : 0;
	}
	if (n == FILE_BYTES_MAX)
		return -EFBIG;
	return strlen(o->file) == n ? 0 : -EILSEQ;
}

/* "AckTimeout" is the option --ack-timeout: 0 for those that a file does not have. */
static int
option_of(const char *name, size_t n)
{
	char text[64];
	size_t i, k = 0;

	if (!isupper((unsigned char)name[0]) || memchr(name, '-', n))
		return 0;
	for (i = 0; i < n && k + 2 < sizeof(text); i++) {
		if (i > 0 && isupper((unsigned char)name[i]))
			text[k++] = '-';
		text[k++] = (char)tolower((unsigned char)name[i]);
	}
	text[k] = 0;
	for (i = 0; options[i].name; i++)
		if (strcmp(options[i].name, text) == 0 && options[i].val >= OPTION_TO &&
			options[i].val != OPTION_ONCE)
			return options[i].val;
	return 0;
}

static size_t
trimmed(const char *text, size_t n)
{
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	return n;
}

static char *
trim(char *text)
{
	text[trimmed(text, strlen(text))] = 0;
	return text + strspn(text, " \t");
}

/* Quotes around the whole value do not belong to it. Those of a command, as in "a b" "c d", do. */
static char *
unquote(char *text)
{
	size_t n = strlen(text);

	if (n < 2 || (text[0] != '"' && text[0] != '\'') ||
		strchr(text + 1, text[0]) != text + n - 1)
		return text;
	text[n - 1] = 0;
	return text + 1;
}

/* One line without its end: NULL, or what is wrong with it. */
static const char *
take_line(struct options *o, char *line)
{
	char *equals;
	int option;

	line = trim(line);
	if (!*line || *line == '#' || *line == ';')
		return NULL;
	equals = strchr(line, '=');
	if (!equals)
		return "a setting is NAME=VALUE";
	option = option_of(line, trimmed(line, (size_t)(equals - line)));
	if (!option)
		return "unknown setting; hl7-forward(8) lists them";
	if (!set_option(o, option, unquote(trim(equals + 1))))
		return "not a valid value for this setting";
	return NULL;
}

int
options_take_text(struct options *o, char *text, struct options_fault *ret)
{
	struct options_fault fault = { 0 };
	char *line;

	while (!fault.text && (line = strsep(&text, "\n"))) {
		fault.line++;
		fault.text = take_line(o, line);
	}
	if (!fault.text)
		return 0;
	*ret = fault;
	return OPTIONS_E_CONFIG;
}

static int
take_file(struct options *o)
{
	struct options_fault fault;
	char path[4096];
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s.conf", o->destinations, o->name);
	r = read_file(o, path);
	if (r == -ENOENT)
		return 0; /* all may be on the command line */
	if (r < 0) {
		(void)fprintf(stderr, PROGRAM ": %s: %s\n", path, strerrordesc_np(-r));
		return OPTIONS_E_CONFIG;
	}
	r = options_take_text(o, o->file, &fault);
	if (r)
		(void)fprintf(stderr, PROGRAM ": %s:%zu: %s\n", path, fault.line, fault.text);
	return r;
}

/* --- the whole ------------------------------------------------------------------------------- */

static int
complain(const char *text, const char *value)
{
	(void)usage_error(PROGRAM, text, value);
	return OPTIONS_E_USAGE;
}

static int
complain_of_config(const struct options *o, const char *text)
{
	(void)fprintf(stderr, PROGRAM ": %s/%s.conf: %s\n", o->destinations, o->name, text);
	return OPTIONS_E_CONFIG;
}

static int
check_way(const struct options *o)
{
	if (o->via && o->to)
		return complain_of_config(
			o, "To= and Via= exclude each other: a command is the way to the host too");
	return 0;
}

static int
check(const struct options *o)
{
	int r = check_way(o);

	if (r)
		return r;
	if (!o->store)
		return complain("--store=DIR is needed", NULL);
	if (!o->to && !o->via)
		return complain_of_config(o, "To= is missing: where this destination is");
	if (o->retry_max_usec < o->retry_min_usec)
		return complain_of_config(o, "RetryMax= is less than RetryMin=");
	return 0;
}

static void
forget_way(struct options *o)
{
	o->to = o->host = o->command = o->via = NULL;
}

/* The file, and the command line once more upon it: its To= or Via= takes the place of either. */
static int
take_both(struct options *o, const struct command_line *line, int argc, char **argv)
{
	bool has_way = o->to || o->via;
	int r;

	forget_way(o);
	r = take_file(o);
	if (r == 0)
		r = check_way(o);
	if (r)
		return r;
	if (has_way)
		forget_way(o);
	optind = 0; /* begins anew, getopt(3) */
	return options_read(line, argc, argv);
}

int
options_parse(struct options *o, int argc, char **argv)
{
	const struct command_line line = { PROGRAM, help, "hV", options, set_option, o };
	int r;

	options_defaults(o);
	r = options_read(&line, argc, argv);
	if (r)
		return r;
	if (optind + 1 != argc)
		return complain(optind == argc ? "the destination's name is missing"
					       : "one destination is taken, but got",
			optind == argc ? NULL : argv[optind + 1]);
	o->name = argv[optind];
	if (!store_destination_is_valid(span_str(o->name)))
		return complain(
			"a destination's name has letters, digits, - and _ only, not", o->name);
	r = take_both(o, &line, argc, argv);
	return r ? r : check(o);
}

void
options_deinit(struct options *o)
{
	free(o->file);
}
