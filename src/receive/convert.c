/* SPDX-License-Identifier: MIT */
#include "receive/convert.h"

#include <errno.h>
#include <stdlib.h>

static enum outcome
outcome_of(int r)
{
	switch (r) {
	case 0: return OUTCOME_STORED;
	case TEMPLATE_E_REFUSED: return OUTCOME_VALUE_REFUSED;
	case TEMPLATE_E_TOO_LARGE: return OUTCOME_RESULT_TOO_LARGE;
	default: return r == -ENOMEM ? OUTCOME_NO_MEMORY : OUTCOME_TEMPLATE_BROKEN;
	}
}

/* Each message of a result is an entry of its own; a result without a segment is nothing to send.
 */
static enum outcome
add_entries(struct conversion *c, struct span destination, struct span result)
{
	struct span message;

	while (template_cut_message(&result, &message)) {
		if (c->entries.n == CONVERSION_ENTRIES_MAX)
			return OUTCOME_RESULT_TOO_LARGE;
		if (!VECTOR_APPEND(&c->entries, ((struct store_entry){ destination, message })))
			return OUTCOME_NO_MEMORY;
	}
	return OUTCOME_STORED;
}

static enum outcome
render_for(struct conversion *c, const struct template *t, const struct template_input *in,
	struct span destination, size_t max_result_bytes)
{
	struct buffer *result;
	int r;

	if (c->results.n == CONVERSION_RESULTS_MAX)
		return OUTCOME_RESULT_TOO_LARGE;
	if (!VECTOR_APPEND(&c->results, BUFFER_INIT(max_result_bytes)))
		return OUTCOME_NO_MEMORY;
	result = &c->results.items[c->results.n - 1];
	r = template_render(t, in, result, &c->failures);
	return r ? outcome_of(r) : add_entries(c, destination, buffer_span(result));
}

/* A template without {to} is rendered all the same: it may refuse the message. */
static enum outcome
run_template(struct conversion *c, const struct template *t, const struct template_input *in,
	size_t max_result_bytes)
{
	const struct span *destinations;
	size_t i, n = template_destinations(t, &destinations), n_before = c->entries.n;
	enum outcome outcome = OUTCOME_STORED;

	if (n == 0) {
		outcome = render_for(c, t, in, SPAN_NULL, max_result_bytes);
		c->entries.n = n_before;
	}
	for (i = 0; outcome == OUTCOME_STORED && i < n; i++)
		outcome = render_for(c, t, in, destinations[i], max_result_bytes);
	return outcome;
}

enum outcome
conversion_run(struct conversion *c, const struct template_set *templates,
	const struct template_input *in, size_t max_result_bytes)
{
	enum outcome outcome = OUTCOME_STORED;
	const struct template *t;
	bool holds;
	size_t i;

	*c = (struct conversion){ 0 };
	for (i = 0; outcome == OUTCOME_STORED && i < templates->n; i++) {
		t = templates->files[i].template;
		holds = false;
		outcome = t ? outcome_of(template_decide(t, in, &holds)) : OUTCOME_STORED;
		if (outcome == OUTCOME_STORED && !holds)
			continue;
		c->wanted = true;
		if (outcome == OUTCOME_STORED)
			outcome = run_template(c, t, in, max_result_bytes);
		if (outcome != OUTCOME_STORED)
			c->template_name = templates->files[i].name;
	}
	return outcome;
}

void
conversion_deinit(struct conversion *c)
{
	while (c->results.n > 0)
		buffer_deinit(&c->results.items[--c->results.n]);
	free(c->results.items);
	free(c->entries.items);
}
