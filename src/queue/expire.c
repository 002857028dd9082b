/* SPDX-License-Identifier: MIT */

/* hl7-queue expire: removes what need not be kept any longer. */

#include "store/expire.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/report.h"

#include <stdio.h>

static void
show_progress(uint64_t n_files, void *userdata)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%llu files", (unsigned long long)n_files);
	progress_show(userdata, text);
}

static void
print_result(const struct expire_result *n, bool dry_run)
{
	(void)printf("%s %llu received, %llu rejected and %llu failed messages (%llu bytes), %llu "
		     "leftovers\n",
		dry_run ? "would remove" : "removed", (unsigned long long)n->n_received,
		(unsigned long long)n->n_rejected, (unsigned long long)n->n_failed,
		(unsigned long long)n->bytes, (unsigned long long)n->n_leftovers);
}

static void
tell(const struct options *o, const struct expire_result *n)
{
	struct reporter r;

	if (o->dry_run || n->n_received + n->n_rejected + n->n_failed == 0)
		return;
	reporter_init(&r, o->operator);
	report_expired(&r, n);
	reporter_deinit(&r);
}

int
command_expire(const struct options *o)
{
	struct progress progress = progress_begin(false);
	const struct expire_options options = {
		.received = { o->keep_received_usec, o->max_received_bytes },
		.rejected = { o->keep_rejected_usec, o->max_rejected_bytes },
		.keep_failed_usec = o->keep_failed_usec,
		.dry_run = o->dry_run,
		.progress = show_progress,
		.userdata = &progress,
	};
	struct expire_result n;
	int r = expire_run(o->store, &options, clock_realtime_usec(), &n);

	progress_end(&progress);
	if (r == EXPIRE_E_BUSY) {
		(void)fprintf(stderr, "hl7-queue: %s: another hl7-queue expire runs\n", o->store);
		return EXIT_NOT_ALL;
	}
	print_result(&n, o->dry_run);
	tell(o, &n);
	return r < 0 ? entries_complain(o->store, r) : EXIT_OK;
}
