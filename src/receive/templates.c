/* SPDX-License-Identifier: MIT */
#include "receive/templates.h"

/* Times of files have the resolution of the kernel's tick, and of some file systems a second or
 * two: two changes may have the same. */
#define SETTLED_USEC (3 * USEC_PER_SEC)

/* What loading tells its problems to. */
struct loading {
	struct templates *templates;
	struct reporter reporter;
};

static void
report_problems(void *userdata, const char *directory, const char *name, struct span source,
	const struct problems *problems)
{
	struct loading *l = userdata;
	size_t i;

	(void)source; /* the journal gets places and texts; hl7-convert --check shows the lines */
	for (i = 0; i < problems->n; i++)
		report_template(&l->reporter, directory, name, &problems->items[i]);
	l->templates->broken |= problems->n_errors > 0;
}

static void
note_unreadable(struct loading *l, const char *what, int r)
{
	if (r >= 0)
		return;
	l->templates->broken = true;
	report_error(&l->reporter, what, r);
}

/* A result that goes nowhere is most likely a forgotten line. */
static void
warn_of_destinations(struct loading *l, const char *directory)
{
	static const struct problem problem = {
		.line = 1,
		.column = 1,
		.warning = true,
		.text = "the template has no {to}: what it makes goes nowhere",
	};
	const struct template_set *set = &l->templates->convert;
	const struct span *destinations;
	const struct template *t;
	size_t i;

	for (i = 0; i < set->n; i++) {
		t = set->files[i].template;
		if (t && template_destinations(t, &destinations) == 0)
			report_template(&l->reporter, directory, set->files[i].name, &problem);
	}
}

/* The stamp of the folders as they are; whether what changes them from now on changes it. */
static bool
make_stamp(const struct options *o, uint8_t ret[16])
{
	const char *const folders[] = { o->tables, o->ack_templates, o->convert_templates };
	uint64_t newest = 0;
	bool complete = true;
	struct hash h;
	size_t i;

	hash_init(&h);
	for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (load_stamp(folders[i], &h, &newest) < 0)
			complete = false;
	hash_end(&h, ret);
	return complete && newest / 1000 + SETTLED_USEC < clock_realtime_usec();
}

static bool
has_charset(const struct template_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (set->files[i].template && template_has_charset(set->files[i].template))
			return true;
	return false;
}

int
templates_load(struct templates *t, const struct options *o)
{
	struct loading l = { .templates = t, .reporter = { .held = &t->problems } };
	const struct template_reporter reporter = { report_problems, &l };
	struct problems problems = { 0 };
	int r;

	*t = (struct templates){ 0 };
	r = template_compile(
		template_shipped_ack(), TEMPLATE_ACKNOWLEDGEMENT, NULL, &t->shipped, &problems);
	if (r)
		return r;
	note_unreadable(
		&l, "the tables cannot be read", table_load(&t->tables, o->tables, &reporter));
	note_unreadable(&l, "the acknowledgement templates cannot be read",
		template_load(&t->ack, o->ack_templates, TEMPLATE_ACKNOWLEDGEMENT, &t->tables,
			&reporter));
	note_unreadable(&l, "the conversion templates cannot be read",
		template_load(&t->convert, o->convert_templates, TEMPLATE_CONVERSION, &t->tables,
			&reporter));
	warn_of_destinations(&l, o->convert_templates);
	if (has_charset(&t->ack) || has_charset(&t->convert))
		charset_load(&t->charsets); /* which set a message has is known too late */
	return 0;
}

int
templates_refresh(struct templates *t, const struct options *o)
{
	uint8_t stamp[16];
	/* before they are read: what changes meanwhile has another the next time */
	bool settled = make_stamp(o, stamp);
	int r;

	if (settled && t->settled && memcmp(stamp, t->stamp, sizeof(stamp)) == 0)
		return 0;
	templates_deinit(t);
	r = templates_load(t, o);
	memcpy(t->stamp, stamp, sizeof(stamp));
	t->settled = settled;
	return r;
}

void
templates_deinit(struct templates *t)
{
	template_set_deinit(&t->ack);
	template_set_deinit(&t->convert);
	table_set_deinit(&t->tables);
	held_reports_deinit(&t->problems);
	charset_unload(&t->charsets);
	template_free(t->shipped);
	t->shipped = NULL;
}
