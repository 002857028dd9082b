/* SPDX-License-Identifier: MIT */
#pragma once

/* A received message through the conversion templates: what is to be queued for which destination.
 */

#include "ack/outcome.h"
#include "base/vector.h"
#include "store/store.h"
#include "template/load.h"

/* Of one message: templates times destinations; and the messages that these write. */
#define CONVERSION_RESULTS_MAX 256
#define CONVERSION_ENTRIES_MAX 1000

struct conversion {
	VECTOR(struct store_entry) entries; /* their messages lie in the results */
	VECTOR(struct buffer) results;
	bool wanted;                       /* by at least one template */
	struct template_failures failures; /* with OUTCOME_VALUE_REFUSED */
	const char *template_name;         /* that failed, or NULL */
};

/* Renders every template that wants the message, once for each of its destinations. OUTCOME_STORED
 * when all is well, else what stands against it. Give it to conversion_deinit() whatever the
 * outcome. */
enum outcome conversion_run(struct conversion *c, const struct template_set *templates,
	const struct template_input *in, size_t max_result_bytes);
void conversion_deinit(struct conversion *c);
