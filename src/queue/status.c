/* SPDX-License-Identifier: MIT */

/* hl7-queue status: a table for people, a line for Nagios and its kin, an exit status for both. */

#include "cli/options.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/facts.h"
#include "queue/figures.h"

#include <stdio.h>
#include <string.h>

static const char *const verdicts[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

static int
worse(int a, int b)
{
	return a > b ? a : b;
}

static int
judge_figure(uint64_t value, struct limits limits)
{
	if (value > limits.crit)
		return EXIT_CRITICAL;
	return value > limits.warn ? EXIT_WARNING : EXIT_OK;
}

static int
judge(const struct destination *d, const struct options *o, usec_t now)
{
	int verdict = judge_figure(figures_age(d, now), o->age);

	verdict = worse(verdict, judge_figure(d->n_waiting, o->count));
	return worse(verdict, judge_figure(d->n_failed, o->dead));
}

/* --- the table ------------------------------------------------------------------------------- */

static void
print_line(const char *name, const char *waiting, const char *oldest, const char *failed,
	const char *delivered, const char *state, const char *error)
{
	(void)printf("%-20s  %9s  %9s  %9s  %-19s  %-10s%s%s\n", name, waiting, oldest, failed,
		delivered, state, *error ? "  " : "", error);
}

static void
print_destination(const struct destination *d, usec_t now)
{
	char waiting[24], failed[24], oldest[FACT_TIME_BYTES] = "-", delivered[FACT_TIME_BYTES];
	char error[STATE_ERROR_BYTES + FACT_TIME_BYTES + 4] = "", at[FACT_TIME_BYTES];

	(void)snprintf(waiting, sizeof(waiting), "%zu", d->n_waiting);
	(void)snprintf(failed, sizeof(failed), "%zu", d->n_failed);
	if (d->n_waiting > 0)
		facts_format_span(figures_age(d, now), oldest);
	facts_format_time(d->state.last_delivery_usec, delivered);
	if (d->state.last_error[0]) {
		facts_format_time(d->state.last_error_usec, at);
		(void)snprintf(error, sizeof(error), "%s (%s)", d->state.last_error, at);
	}
	print_line(d->name, waiting, oldest, failed, delivered, figures_state(d), error);
}

static void
print_table(const struct figures *f, usec_t now)
{
	size_t i;

	print_line("DESTINATION", "WAITING", "OLDEST", "FAILED", "LAST DELIVERY", "STATE",
		"LAST ERROR");
	for (i = 0; i < f->n; i++)
		print_destination(&f->items[i], now);
}

/* --- the line -------------------------------------------------------------------------------- */

/* 'label'=value[unit];warn;crit;0 of the plugin guidelines: alarms are above a threshold. */
static void
print_figure(const char *name, const char *label, const char *unit, uint64_t value,
	struct limits limits, uint64_t divisor)
{
	(void)printf(" '%s %s'=%llu%s;", name, label, (unsigned long long)(value / divisor), unit);
	if (limits.warn != LIMIT_NONE)
		(void)printf("%llu", (unsigned long long)(limits.warn / divisor));
	(void)putchar(';');
	if (limits.crit != LIMIT_NONE)
		(void)printf("%llu", (unsigned long long)(limits.crit / divisor));
	(void)fputs(";0", stdout);
}

static void
print_performance(const struct figures *f, const struct options *o, usec_t now)
{
	size_t i;

	(void)fputs(" |", stdout);
	for (i = 0; i < f->n; i++) {
		const struct destination *d = &f->items[i];

		print_figure(d->name, "oldest", "s", figures_age(d, now), o->age, USEC_PER_SEC);
		print_figure(d->name, "waiting", "", d->n_waiting, o->count, 1);
		print_figure(d->name, "failed", "", d->n_failed, o->dead, 1);
	}
	(void)putchar('\n');
}

/* Those that are to blame, else the sums. */
static void
print_summary(const struct figures *f, const struct options *o, usec_t now, int verdict)
{
	size_t i, n_waiting = 0, n_failed = 0, n_bad = 0;
	char age[FACT_TIME_BYTES];

	(void)printf("HL7 %s -", verdicts[verdict]);
	for (i = 0; i < f->n; i++) {
		const struct destination *d = &f->items[i];

		n_waiting += d->n_waiting;
		n_failed += d->n_failed;
		if (verdict == EXIT_OK || judge(d, o, now) != verdict)
			continue;
		facts_format_span(figures_age(d, now), age);
		(void)printf("%s %s: %zu waiting, oldest %s, %zu failed, %s", n_bad++ ? ";" : "",
			d->name, d->n_waiting, d->n_waiting ? age : "none", d->n_failed,
			figures_state(d));
	}
	if (n_bad == 0)
		(void)printf(
			" %zu destinations, %zu waiting, %zu failed", f->n, n_waiting, n_failed);
}

static int
complain(const struct options *o, int r)
{
	const char *what = o->destination ? o->destination : o->store;

	if (!o->nagios && !o->judge)
		return entries_complain(what, r);
	/* a plugin says it on standard output, with the status that means so */
	(void)printf("HL7 %s - %s: %s\n", verdicts[EXIT_UNKNOWN], what, strerrordesc_np(-r));
	return EXIT_UNKNOWN;
}

int
command_status(const struct options *o)
{
	usec_t now = clock_realtime_usec();
	struct figures f;
	int r = figures_read(o, &f), verdict = EXIT_OK;
	size_t i;

	for (i = 0; i < f.n; i++)
		verdict = worse(verdict, judge(&f.items[i], o, now));
	if (r < 0) {
		verdict = complain(o, r);
	} else {
		if (o->nagios) {
			print_summary(&f, o, now, verdict);
			print_performance(&f, o, now);
		}
		if (!o->nagios || f.n > 0)
			print_table(&f, now);
	}
	figures_deinit(&f);
	return verdict;
}
