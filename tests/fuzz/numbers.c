/* SPDX-License-Identifier: MIT */

/*
 * The small texts of options: durations, sizes, counts and addresses of hosts. What is taken is in
 * its range, and a number means what a plain reading of its digits says.
 */

#include "cli/options.h"
#include "net/dial.h"

#include "fuzz.h"

#define DURATION_MAX ((usec_t)36500 * 24 * 3600 * USEC_PER_SEC)
#define SIZE_LEAST   ((size_t)3)
#define SIZE_MOST    ((size_t)5 * 1024 * 1024 * 1024)

/* Wide enough for all that is taken, whatever its unit. */
static unsigned __int128
digits_of(const char *text)
{
	unsigned __int128 number = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9'; i++)
		number = number * 10 + (unsigned)(text[i] - '0');
	return number;
}

static const char *
unit_of(const char *text)
{
	return text + strspn(text, "0123456789");
}

static void
check_duration(const char *text)
{
	static const struct {
		const char *name;
		uint64_t usec;
	} units[] = { { "", 1000000 }, { "ms", 1000 }, { "s", 1000000 }, { "m", 60000000 },
		{ "min", 60000000 }, { "h", 3600000000 }, { "d", 86400000000 } };
	usec_t value = 0;
	size_t i, known = 0;

	if (!parse_duration(text, &value))
		return;
	require(value <= DURATION_MAX && unit_of(text) > text);
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit_of(text), units[i].name) == 0) {
			require(digits_of(text) * units[i].usec == value);
			known++;
		}
	require(known == 1);
}

static void
check_size(const char *text)
{
	static const char letters[] = "KMG";
	const char *unit = unit_of(text);
	size_t value = 0, shift = 0;

	if (!parse_size(text, SIZE_LEAST, SIZE_MOST, &value))
		return;
	require(value >= SIZE_LEAST && value <= SIZE_MOST && unit > text);
	if (*unit) {
		require(strchr(letters, *unit) && !unit[1]);
		shift = (size_t)(strchr(letters, *unit) - letters + 1) * 10;
	}
	require((digits_of(text) << shift) == value);
}

static void
check_count(const char *text)
{
	size_t value = 0;

	if (!parse_count(text, SIZE_LEAST, SIZE_MOST, &value))
		return;
	require(value >= SIZE_LEAST && value <= SIZE_MOST);
	require(unit_of(text) > text && !*unit_of(text) && digits_of(text) == value);
}

static void
check_target(const char *text)
{
	const char *colon = strrchr(text, ':');

	if (!dial_target_is_valid(text))
		return;
	require(*text);
	if (*text == '[')
		require(strchr(text, ']') > text + 1);
	/* a port, unless it is in an address in brackets, or in one of several colons without */
	if (*text == '[' ? strchr(text, ']')[1] != 0 : colon && strchr(text, ':') == colon)
		require(digits_of(colon + 1) >= 1 && digits_of(colon + 1) <= 65535 &&
			!*unit_of(colon + 1));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	require(text);
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	check_duration(text);
	check_size(text);
	check_count(text);
	check_target(text);
	free(text);
	return 0;
}
