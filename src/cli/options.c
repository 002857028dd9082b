/* SPDX-License-Identifier: MIT */
#include "cli/options.h"
#include "cli/build_id.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_USEC     (USEC_PER_SEC * 24 * 3600)
#define DURATION_MAX (36500 * DAY_USEC)

/* A decimal number of up to 15 digits, so that no product below overflows; what is behind it in
 * *ret_rest. */
static bool
read_number(const char *text, unsigned long long *ret, const char **ret_rest)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 15)
		return false;
	*ret = strtoull(text, NULL, 10);
	*ret_rest = text + digits;
	return true;
}

struct unit {
	const char *name;
	unsigned long long factor;
};

static bool
read_with_unit(const char *text, const struct unit *units, size_t n_units, unsigned long long max,
	unsigned long long *ret)
{
	unsigned long long number;
	const char *unit;
	size_t i;

	if (!read_number(text, &number, &unit))
		return false;
	for (i = 0; i < n_units; i++)
		if (strcmp(unit, units[i].name) == 0 && number <= max / units[i].factor) {
			*ret = number * units[i].factor;
			return true;
		}
	return false;
}

bool
parse_duration(const char *text, usec_t *ret)
{
	static const struct unit units[] = {
		{ "", USEC_PER_SEC },
		{ "ms", USEC_PER_MSEC },
		{ "s", USEC_PER_SEC },
		{ "m", 60 * USEC_PER_SEC },
		{ "min", 60 * USEC_PER_SEC },
		{ "h", 3600 * USEC_PER_SEC },
		{ "d", DAY_USEC },
	};
	unsigned long long value;

	if (!read_with_unit(text, units, sizeof(units) / sizeof(units[0]), DURATION_MAX, &value))
		return false;
	*ret = value;
	return true;
}

bool
parse_size(const char *text, size_t min, size_t max, size_t *ret)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "K", 1024 },
		{ "M", 1024ULL * 1024 },
		{ "G", 1024ULL * 1024 * 1024 },
	};
	unsigned long long value;

	if (!read_with_unit(text, units, sizeof(units) / sizeof(units[0]), max, &value) ||
		value < min)
		return false;
	*ret = value;
	return true;
}

bool
parse_count(const char *text, size_t min, size_t max, size_t *ret)
{
	unsigned long long value;
	const char *rest;

	if (!read_number(text, &value, &rest) || *rest || value < min || value > max)
		return false;
	*ret = value;
	return true;
}

int
parse_word(const char *text, const char *const *words, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return (int)i;
	return -1;
}

int
usage_error(const char *program, const char *text, const char *value)
{
	(void)fprintf(stderr, "%s: %s%s%s%s\nTry '%s --help'.\n", program, text, value ? " '" : "",
		value ? value : "", value ? "'" : "", program);
	return EXIT_USAGE;
}

void
print_version(const char *program)
{
	char id[BUILD_ID_BYTES];

	build_id_own(id);
	(void)printf("%s (hl7-inetd) %s\nbuild id %s\nlicence MIT\n", program, HL7_INETD_VERSION,
		*id ? id : "none");
}

static int
refuse(const struct command_line *c, const char *text, const char *value)
{
	(void)usage_error(c->program, text, value);
	return OPTIONS_E_USAGE;
}

/* An option by its long name, which all of them have, or NULL. */
static const char *
name_of(const struct command_line *c, int option)
{
	const struct option *o;

	for (o = c->long_options; o->name; o++)
		if (o->val == option)
			return o->name;
	return NULL;
}

static int
refuse_value(const struct command_line *c, int option, const char *value)
{
	const char *name = name_of(c, option);
	char text[80];

	(void)snprintf(text, sizeof(text), "not a valid value for --%s", name ? name : "");
	return refuse(c, text, value);
}

/* One option of getopt_long(3). */
static int
take_option(const struct command_line *c, int option)
{
	switch (option) {
	case OPTION_HELP: (void)fputs(c->help, stdout); return OPTIONS_E_DONE;
	case OPTION_VERSION: print_version(c->program); return OPTIONS_E_DONE;
	case '?': return refuse(c, "unknown or incomplete option", NULL);
	default: break;
	}
	if (c->set(c->userdata, option, optarg))
		return 0;
	return optarg ? refuse_value(c, option, optarg)
		      : refuse(c, "options that exclude each other", NULL);
}

int
options_read(const struct command_line *c, int argc, char **argv)
{
	int option, r = 0;

	while (r == 0) {
		option = getopt_long(argc, argv, c->short_options, c->long_options, NULL);
		if (option == -1)
			break;
		r = take_option(c, option);
	}
	return r;
}
