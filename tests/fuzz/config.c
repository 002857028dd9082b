/* SPDX-License-Identifier: MIT */

/*
 * A destination's NAME.conf: any text is taken, or refused at one of its lines; what was taken lies
 * in the text, keeps to its limits, and is the same when it is taken again.
 */

#include "cli/options.h"
#include "forward/options.h"

#include "fuzz.h"

#define TRIES_MAX 1000000

static char *
copy(struct span s)
{
	char *text = malloc(s.n + 1);

	require(text);
	if (s.n)
		memcpy(text, s.p, s.n);
	text[s.n] = 0;
	return text;
}

static void
check_text(const char *value, struct span file)
{
	if (!value)
		return;
	require(lies_in(span_str(value), file) && value >= (const char *)file.p &&
		value <= (const char *)file.p + file.n);
	require(!count_byte(span_str(value), '\n'));
}

static void
check_policy(const struct policy *policy)
{
	require(policy->action == POLICY_RETRY || policy->action == POLICY_FAIL ||
		policy->action == POLICY_DONE);
	require(policy->action != POLICY_FAIL ||
		(policy->tries >= 1 && policy->tries <= TRIES_MAX));
}

static void
check_options(const struct options *o, struct span file)
{
	check_text(o->to, file);
	check_text(o->host, file);
	check_text(o->command, file);
	check_text(o->via, file);
	require(!o->to == !(o->host || o->command) && !(o->host && o->command));
	require(!o->command || *o->command);
	require(!o->via || *o->via);
	require(!o->keyed || o->key.field > 0);
	check_policy(&o->on_error);
	check_policy(&o->on_reject);
	require(o->retry_min_usec > 0 && o->retry_max_usec > 0);
	require(o->max_message_bytes > 0 && o->max_ack_bytes > 0);
	/* the rest is for the command line alone */
	require(!o->once && !o->name && !o->file);
}

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : !a && !b;
}

static bool
same(const struct options *a, const struct options *b)
{
	return same_text(a->to, b->to) && same_text(a->host, b->host) &&
	       same_text(a->command, b->command) && same_text(a->via, b->via) &&
	       a->keyed == b->keyed && a->on_error.action == b->on_error.action &&
	       a->on_error.tries == b->on_error.tries &&
	       a->on_reject.action == b->on_reject.action &&
	       a->on_reject.tries == b->on_reject.tries &&
	       a->connect_timeout_usec == b->connect_timeout_usec &&
	       a->ack_timeout_usec == b->ack_timeout_usec &&
	       a->retry_min_usec == b->retry_min_usec && a->retry_max_usec == b->retry_max_usec &&
	       a->give_up_after_usec == b->give_up_after_usec && a->linger_usec == b->linger_usec &&
	       a->max_message_bytes == b->max_message_bytes &&
	       a->max_ack_bytes == b->max_ack_bytes && a->per_connection == b->per_connection;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* whoever reads the file refuses one with a NUL in it */
	struct span input = span_first(span_of(data, size), span_find(span_of(data, size), 0));
	char *text = copy(input), *again = copy(input);
	struct options_fault fault = { 0 };
	struct options o, second;
	int r;

	options_defaults(&o);
	r = options_take_text(&o, text, &fault);
	require(r == 0 || r == OPTIONS_E_CONFIG);
	require((r != 0) == (fault.text != NULL));
	require(r == 0 || (fault.line >= 1 && fault.line <= count_byte(input, '\n') + 1));
	if (r == 0) {
		check_options(&o, span_of(text, input.n));
		second = o;
		require(options_take_text(&second, again, &fault) == 0);
		require(same(&o, &second));
	}
	free(text);
	free(again);
	return 0;
}
