/* SPDX-License-Identifier: MIT */

/* hl7-convert: applies a template to files, or checks templates. */

#include "cli/options.h"
#include "convert/apply.h"

#include <stdio.h>
#include <string.h>

static int
complain(const char *what, int error)
{
	(void)fprintf(stderr, "hl7-convert: %s: %s\n", what, strerrordesc_np(-error));
	return EXIT_NO_INPUT;
}

/* What is right says nothing, as with other checkers of configuration. */
static int
check_one(const char *path, const struct options *o)
{
	struct templates t;
	int r = templates_load(&t, path, o), status = EXIT_OK;

	if (r < 0)
		status = complain(path, r);
	else
		templates_check_destinations(&t, o);
	if (t.n_errors > 0)
		status = EXIT_CONFIGURATION;
	templates_deinit(&t);
	return status;
}

static int
check_all(const struct options *o)
{
	int status = EXIT_OK, one;
	size_t i;

	for (i = 0; i < o->n_files; i++) {
		one = check_one(o->files[i], o);
		status = status == EXIT_OK ? one : status;
	}
	return status;
}

static int
convert(const struct options *o)
{
	struct templates t;
	int r = templates_load(&t, o->template, o);

	if (r < 0)
		r = complain(o->template, r);
	else if (t.n_errors > 0 && o->mode != MODE_WHEN)
		r = EXIT_CONFIGURATION;
	else if (o->mode != MODE_WHEN && t.set.n != 1)
		r = usage_error("hl7-convert",
			"one template is expected; a directory goes with --when or "
			"--check, not",
			o->template);
	else
		r = apply_all(o, &t);
	templates_deinit(&t);
	return r;
}

int
main(int argc, char **argv)
{
	struct options o;
	int r = options_parse(&o, argc, argv);

	if (r)
		return r == OPTIONS_E_DONE ? EXIT_OK : EXIT_USAGE;
	return o.mode == MODE_CHECK ? check_all(&o) : convert(&o);
}
