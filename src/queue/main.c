/* SPDX-License-Identifier: MIT */

/* hl7-queue: what waits, what failed and why. */

#include "cli/options.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/report.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct command_call {
	int (*call)(const struct options *o);
	bool changes; /* the store */
};

static const struct command_call commands[COMMAND_N] = {
	[COMMAND_STATUS] = { command_status, false },
	[COMMAND_LIST] = { command_list, false },
	[COMMAND_SHOW] = { command_show, false },
	[COMMAND_WHY] = { command_why, false },
	[COMMAND_RETRY] = { command_retry, true },
	[COMMAND_DROP] = { command_drop, true },
	[COMMAND_EXPORT] = { command_export, false },
	[COMMAND_TRACE] = { command_trace, false },
	[COMMAND_METRICS] = { command_metrics, false },
	[COMMAND_CHECK] = { command_check, false },
	[COMMAND_EXPIRE] = { command_expire, true },
};

/* Folders and files that root makes in the store would be in the way of the programs that work
 * there: root becomes the store's owner first. */
static int
become_owner(const char *store)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (stat(store, &st) < 0)
		return -errno;
	if (st.st_uid == 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
		setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
		return -errno;
	return 0;
}

static int
finish_output(int status)
{
	if (fflush(stdout) != EOF && !ferror(stdout))
		return status;
	(void)fprintf(stderr, "hl7-queue: standard output: %s\n", strerrordesc_np(errno));
	return EXIT_IO;
}

int
main(int argc, char **argv)
{
	struct options o;
	int r = options_parse(&o, argc, argv);

	if (r)
		return r == OPTIONS_E_DONE ? EXIT_OK : EXIT_USAGE;
	(void)umask(027);
	o.operator= report_find_operator();
	r = commands[o.command].changes ? become_owner(o.store) : 0;
	if (r < 0)
		return entries_complain(o.store, r);
	return finish_output(commands[o.command].call(&o));
}
