/* SPDX-License-Identifier: MIT */
#include "cli/options.h"
#include "forward/options.h"

#include "unit.h"

#include <getopt.h>
#include <unistd.h>

struct conf_case {
	const char *name;
	const char *file; /* ris.conf; NULL: there is none */
	const char *line; /* one more option, or NULL */
	int result;
	const char *to, *via;
};

static const struct conf_case confs[] = {
	{ "to a host", "To=mllp://h:2575\n", NULL, 0, "mllp://h:2575", NULL },
	{ "without a last line end", "To=mllp://h", NULL, 0, "mllp://h", NULL },
	{ "blanks", "  To \t= mllp://h \r\n\n", NULL, 0, "mllp://h", NULL },
	{ "quotes", "To='mllp://h'\n", NULL, 0, "mllp://h", NULL },
	{ "double quotes", "To=\"exec:a 'b' c\"\n", NULL, 0, "exec:a 'b' c", NULL },
	{ "quotes inside", "Via=\"a b\" \"c d\"\n", NULL, 0, NULL, "\"a b\" \"c d\"" },
	{ "one quote", "Via=\"\n", NULL, 0, NULL, "\"" },
	{ "an equals sign in the value", "Via=a=b\n", NULL, 0, NULL, "a=b" },
	{ "comments", "# To=x\n;To=x\n #\nTo=mllp://h\n", NULL, 0, "mllp://h", NULL },
	{ "the last one counts", "To=mllp://g\nTo=mllp://h\n", NULL, 0, "mllp://h", NULL },
	{ "via taken back", "Via=x\nVia=\nTo=mllp://h\n", NULL, 0, "mllp://h", NULL },
	{ "the command line first", "To=mllp://g\n", "--to=mllp://h", 0, "mllp://h", NULL },
	{ "via in place of to", "To=mllp://g\n", "--via=x", 0, NULL, "x" },
	{ "to in place of via", "Via=x\n", "--to=mllp://h", 0, "mllp://h", NULL },
	{ "no file", NULL, "--to=mllp://h", 0, "mllp://h", NULL },
	{ "no file, nothing else", NULL, NULL, OPTIONS_E_CONFIG, NULL, NULL },
	{ "both", "To=mllp://h\nVia=x\n", NULL, OPTIONS_E_CONFIG, NULL, NULL },
	{ "both, and the command line", "To=mllp://h\nVia=x\n", "--to=mllp://g", OPTIONS_E_CONFIG,
		NULL, NULL },
	{ "neither", "Linger=1s\n", NULL, OPTIONS_E_CONFIG, NULL, NULL },
	{ "unknown", "To=mllp://h\nWhat=1\n", NULL, OPTIONS_E_CONFIG, NULL, NULL },
	{ "small letters", "to=mllp://h\n", NULL, OPTIONS_E_CONFIG, NULL, NULL },
	{ "hyphens", "To=mllp://h\nAck-Timeout=1s\n", NULL, OPTIONS_E_CONFIG, NULL, NULL },
	{ "no value", "To\n", NULL, OPTIONS_E_CONFIG, NULL, NULL },
	{ "no name", "=x\n", NULL, OPTIONS_E_CONFIG, NULL, NULL },
	{ "of the command line only", "To=mllp://h\nStore=/x\n", NULL, OPTIONS_E_CONFIG, NULL,
		NULL },
	{ "pauses the wrong way round", "To=mllp://h\nRetryMin=5m\n", NULL, OPTIONS_E_CONFIG, NULL,
		NULL },
	{ "wrong on the command line", "To=mllp://h\n", "--linger=x", OPTIONS_E_USAGE, NULL, NULL },
};

static char folder[] = "/tmp/hl7-test-XXXXXX";

static void
write_conf(const char *text)
{
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/ris.conf", folder);
	(void)unlink(path);
	if (!text)
		return;
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int
parse(struct options *o, const char *more)
{
	char where[64], line[64], program[] = "hl7-forward", store[] = "--store=/s", name[] = "ris";
	char *arguments[] = { program, store, where, name, NULL, NULL };
	int argc = 4;

	(void)snprintf(where, sizeof(where), "--destinations=%s", folder);
	(void)snprintf(line, sizeof(line), "%s", more ? more : "");
	if (more)
		arguments[argc++] = line;
	optind = 0;
	return options_parse(o, argc, arguments);
}

static void
conf(void **state)
{
	const struct conf_case *c = *state;
	struct options o;

	write_conf(c->file);
	assert_int_equal(parse(&o, c->line), c->result);
	if (c->result == 0) {
		/* what comes from the command line is gone with it; the rest is the file's */
		assert_int_equal(!!o.to, !!c->to);
		assert_int_equal(!!o.via, !!c->via);
		if (!c->line && c->to)
			assert_string_equal(o.to, c->to);
		if (!c->line && c->via)
			assert_string_equal(o.via, c->via);
	}
	options_deinit(&o);
	write_conf(NULL);
}

static void
every_setting(void **state)
{
	struct options o;

	(void)state;
	write_conf("To=mllp://h\nKey=PID-3.1\nOnError=retry\nOnReject=fail:7\nConnectTimeout=1s\n"
		   "AckTimeout=2s\nRetryMin=3s\nRetryMax=4s\nGiveUpAfter=5s\nLinger=6s\n"
		   "MaxMessage=7K\nMaxAck=8K\nPerConnection=9\nLog=stderr\n");
	assert_int_equal(parse(&o, NULL), 0);
	assert_string_equal(o.host, "h");
	assert_true(o.keyed);
	assert_string_equal(o.key.segment, "PID");
	assert_int_equal(o.key.field, 3);
	assert_int_equal(o.on_error.action, POLICY_RETRY);
	assert_int_equal(o.on_reject.action, POLICY_FAIL);
	assert_int_equal(o.on_reject.tries, 7);
	assert_int_equal(o.connect_timeout_usec, 1 * USEC_PER_SEC);
	assert_int_equal(o.ack_timeout_usec, 2 * USEC_PER_SEC);
	assert_int_equal(o.retry_min_usec, 3 * USEC_PER_SEC);
	assert_int_equal(o.retry_max_usec, 4 * USEC_PER_SEC);
	assert_int_equal(o.give_up_after_usec, 5 * USEC_PER_SEC);
	assert_int_equal(o.linger_usec, 6 * USEC_PER_SEC);
	assert_int_equal(o.max_message_bytes, 7 * 1024);
	assert_int_equal(o.max_ack_bytes, 8 * 1024);
	assert_int_equal(o.per_connection, 9);
	assert_int_equal(o.log, LOG_TARGET_STDERR);
	options_deinit(&o);
	write_conf(NULL);
}

static void
defaults(void **state)
{
	struct options o;

	(void)state;
	write_conf("To=mllp://h\n");
	assert_int_equal(parse(&o, NULL), 0);
	assert_false(o.keyed);
	assert_int_equal(o.on_error.action, POLICY_FAIL);
	assert_int_equal(o.on_error.tries, 3);
	assert_int_equal(o.on_reject.action, POLICY_RETRY);
	options_deinit(&o);
	write_conf(NULL);
}

int
main(void)
{
	static struct suite s;
	int r;

	if (!mkdtemp(folder))
		return 1;
	add_cases(&s, conf, confs);
	add_test(&s, "every setting", every_setting);
	add_test(&s, "defaults", defaults);
	r = run_suite("forward-options", &s);
	(void)rmdir(folder);
	return r;
}
