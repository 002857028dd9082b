/* SPDX-License-Identifier: MIT */

/* hl7-queue check: what is wrong with the store. */

#include "store/check.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "queue/commands.h"
#include "queue/entries.h"

#include <stdio.h>

static void
tell(enum check_severity severity, const char *path, const char *text, void *userdata)
{
	static const char *const names[CHECK_N] = {
		[CHECK_ERROR] = "error",
		[CHECK_WARNING] = "warning",
		[CHECK_LEFTOVER] = "leftover",
	};

	(void)userdata;
	(void)printf("%s: ", names[severity]);
	output_bytes(stdout, span_str(path), true); /* a foreign name may be anything */
	(void)printf(": %s\n", text);
}

static void
show_progress(uint64_t n_files, void *userdata)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%llu files", (unsigned long long)n_files);
	progress_show(userdata, text);
}

int
command_check(const struct options *o)
{
	struct progress progress = progress_begin(false);
	const struct check_options options = {
		.deep = o->deep,
		.tell = tell,
		.progress = show_progress,
		.userdata = &progress,
	};
	struct check_counts n;
	int r = check_run(o->store, &options, &n);

	progress_end(&progress);
	if (r < 0)
		return entries_complain(o->store, r);
	(void)printf("%llu received, %llu rejected, %llu waiting, %llu failed: %llu errors, %llu "
		     "warnings, %llu leftovers\n",
		(unsigned long long)n.n_received, (unsigned long long)n.n_rejected,
		(unsigned long long)n.n_waiting, (unsigned long long)n.n_failed,
		(unsigned long long)n.n_found[CHECK_ERROR],
		(unsigned long long)n.n_found[CHECK_WARNING],
		(unsigned long long)n.n_found[CHECK_LEFTOVER]);
	return n.n_found[CHECK_ERROR] > 0 ? EXIT_NOT_ALL : EXIT_OK;
}
