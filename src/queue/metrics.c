/* SPDX-License-Identifier: MIT */

/*
 * hl7-queue metrics: the figures in the OpenMetrics text format.
 *
 * Of its types only those that older readers of Prometheus' own format know as well,
 * node_exporter's textfile collector among them: it takes the lines UNIT and EOF for comments.
 */

#include "cli/options.h"
#include "queue/commands.h"
#include "queue/entries.h"
#include "queue/figures.h"
#include "store/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
print_family(FILE *out, const char *name, const char *type, const char *unit, const char *text)
{
	(void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, text, name, type);
	if (*unit)
		(void)fprintf(out, "# UNIT %s %s\n", name, unit);
}

/* A figure of each destination. Their names need no escaping: letters, digits, - and _. */
struct family {
	const char *name, *type, *unit, *text;
	/* false where there is none; in microseconds with unit "seconds" */
	bool (*read)(const struct destination *d, usec_t now, uint64_t *ret);
};

static bool
read_waiting(const struct destination *d, usec_t now, uint64_t *ret)
{
	(void)now;
	*ret = d->n_waiting;
	return true;
}

static bool
read_failed(const struct destination *d, usec_t now, uint64_t *ret)
{
	(void)now;
	*ret = d->n_failed;
	return true;
}

static bool
read_age(const struct destination *d, usec_t now, uint64_t *ret)
{
	*ret = figures_age(d, now);
	return true;
}

static bool
read_up(const struct destination *d, usec_t now, uint64_t *ret)
{
	(void)now;
	*ret = d->state.kind != STATE_DOWN;
	return d->known;
}

static bool
read_running(const struct destination *d, usec_t now, uint64_t *ret)
{
	(void)now;
	*ret = d->running;
	return true;
}

static bool
read_delivered_total(const struct destination *d, usec_t now, uint64_t *ret)
{
	(void)now;
	*ret = d->state.n_delivered;
	return d->known;
}

static bool
read_failed_total(const struct destination *d, usec_t now, uint64_t *ret)
{
	(void)now;
	*ret = d->state.n_failed;
	return d->known;
}

static bool
read_retries_total(const struct destination *d, usec_t now, uint64_t *ret)
{
	(void)now;
	*ret = d->state.n_retries;
	return d->known;
}

static bool
read_last_delivery(const struct destination *d, usec_t now, uint64_t *ret)
{
	(void)now;
	*ret = d->state.last_delivery_usec;
	return d->known && *ret;
}

static const struct family families[] = {
	{ "hl7_queue_messages", "gauge", "", "Messages that wait for a destination.",
		read_waiting },
	{ "hl7_queue_oldest_seconds", "gauge", "seconds",
		"How long the first of them waits; 0 when none does.", read_age },
	{ "hl7_queue_failed_messages", "gauge", "messages",
		"Messages in failed/, for an operator to retry or drop.", read_failed },
	{ "hl7_forward_up", "gauge", "",
		"0 while the destination cannot be reached or does not take messages.", read_up },
	{ "hl7_forward_running", "gauge", "", "Whether a forwarder runs just now.", read_running },
	{ "hl7_forward_delivered", "counter", "", "Messages that were delivered.",
		read_delivered_total },
	{ "hl7_forward_failed", "counter", "", "Messages that were moved to failed/.",
		read_failed_total },
	{ "hl7_forward_retries", "counter", "", "Tries that were followed by another.",
		read_retries_total },
	{ "hl7_forward_last_delivery_timestamp_seconds", "gauge", "seconds",
		"When the last message was delivered.", read_last_delivery },
};

static void
print_value(FILE *out, const struct family *family, uint64_t value)
{
	if (strcmp(family->unit, "seconds") == 0)
		(void)fprintf(out, "%" PRIu64 ".%06" PRIu64 "\n", value / USEC_PER_SEC,
			value % USEC_PER_SEC);
	else
		(void)fprintf(out, "%" PRIu64 "\n", value);
}

static void
print_destinations(FILE *out, const struct family *family, const struct figures *f, usec_t now)
{
	const char *suffix = strcmp(family->type, "counter") == 0 ? "_total" : "";
	uint64_t value;
	size_t i;

	print_family(out, family->name, family->type, family->unit, family->text);
	for (i = 0; i < f->n; i++) {
		if (!family->read(&f->items[i], now, &value))
			continue;
		(void)fprintf(
			out, "%s%s{destination=\"%s\"} ", family->name, suffix, f->items[i].name);
		print_value(out, family, value);
	}
}

static void
print_gauge(FILE *out, const char *name, const char *unit, const char *text, uint64_t value)
{
	print_family(out, name, "gauge", unit, text);
	(void)fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* Nothing where there was none. */
static void
print_timestamp(FILE *out, const char *name, const char *text, usec_t at)
{
	print_family(out, name, "gauge", "seconds", text);
	if (at)
		(void)fprintf(out, "%s %" PRIu64 ".%06" PRIu64 "\n", name, at / USEC_PER_SEC,
			at % USEC_PER_SEC);
}

static void
print_usage(FILE *out, const struct usage *u)
{
	print_gauge(out, "hl7_received_messages", "messages",
		"Messages that are kept in received/.", u->n_received);
	print_gauge(out, "hl7_rejected_messages", "messages",
		"Messages that are kept in rejected/.", u->n_rejected);
	print_timestamp(out, "hl7_received_last_timestamp_seconds",
		"When the youngest message in received/ came.", u->last_received_usec);
	print_timestamp(out, "hl7_rejected_last_timestamp_seconds",
		"When the youngest message in rejected/ came.", u->last_rejected_usec);
	print_gauge(out, "hl7_store_free_bytes", "bytes",
		"What is free on the store's file system.", u->free_bytes);
	if (u->inodes > 0)
		print_gauge(out, "hl7_store_free_inodes", "inodes",
			"Inodes that are free on the store's file system.", u->free_inodes);
	print_family(out, "hl7_build_info", "gauge", "", "The version; always 1.");
	(void)fputs("hl7_build_info{version=\"" HL7_INETD_VERSION "\"} 1\n# EOF\n", out);
}

static void
print_all(FILE *out, const struct figures *f, const struct usage *u)
{
	usec_t now = clock_realtime_usec();
	size_t i;

	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		print_destinations(out, &families[i], f, now);
	print_usage(out, u);
}

/* Closes it. */
static int
write_all(int fd, const struct figures *f, const struct usage *u)
{
	FILE *out = fdopen(fd, "w");
	int r = 0;

	if (!out) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	print_all(out, f, u);
	if (fflush(out) == EOF || ferror(out) || fchmod(fd, 0644) < 0)
		r = errno ? -errno : -EIO;
	if (fclose(out) == EOF && r == 0)
		r = -errno;
	return r;
}

/* A reader sees the file before or this one, never half of it. */
static int
write_file(const char *path, const struct figures *f, const struct usage *u)
{
	char *temporary;
	int fd, r;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(temporary, O_CLOEXEC);
	r = fd < 0 ? -errno : write_all(fd, f, u);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		(void)unlink(temporary);
	free(temporary);
	return r;
}

/* A device such as /dev/null, which a file must not take the place of. */
static bool
is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static int
write_figures(const struct options *o, const struct figures *f, const struct usage *u)
{
	int r;

	if (!o->output) {
		print_all(stdout, f, u);
		return EXIT_OK;
	}
	if (is_special(o->output)) {
		(void)fprintf(stderr, "hl7-queue: %s: is no regular file\n", o->output);
		return EXIT_IO;
	}
	r = write_file(o->output, f, u);
	if (r == 0)
		return EXIT_OK;
	(void)entries_complain(o->output, r);
	return EXIT_IO;
}

int
command_metrics(const struct options *o)
{
	struct usage usage;
	struct figures f;
	int r = figures_read(o, &f), status;

	if (r == 0)
		r = usage_read(o->store, &usage);
	status = r < 0 ? entries_complain(o->store, r) : write_figures(o, &f, &usage);
	figures_deinit(&f);
	return status;
}
