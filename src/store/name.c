/* SPDX-License-Identifier: MIT */
#include "store/name.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* A stem with its NUL, whatever its numbers. */
#define STEM_BYTES 64

static void
format_stem(const struct store_stem *stem, char ret[STEM_BYTES])
{
	time_t seconds = (time_t)(stem->stamp / USEC_PER_SEC);
	struct tm tm = { 0 };
	size_t n;

	(void)gmtime_r(&seconds, &tm);
	n = strftime(ret, STEM_BYTES, "%Y%m%dT%H%M%S", &tm);
	(void)snprintf(ret + n, STEM_BYTES - n, ".%06uZ-%" PRIu64 "-%" PRIu32,
		(unsigned)(stem->stamp % USEC_PER_SEC), stem->inode, stem->pid);
}

void
store_name_format(const struct store_stem *stem, const char *suffix, char ret[STORE_NAME_BYTES])
{
	char text[STEM_BYTES];

	format_stem(stem, text);
	(void)snprintf(ret, STORE_NAME_BYTES, "%s.%s", text, suffix);
}

void
store_entry_format(
	const struct store_entry_name *entry, const char *suffix, char ret[STORE_NAME_BYTES])
{
	char text[STEM_BYTES];

	format_stem(&entry->stem, text);
	/* of one width, so that the names sort in the order of the entries */
	(void)snprintf(ret, STORE_NAME_BYTES, "%s.%03" PRIu32 ".%s", text, entry->number, suffix);
}

/* A decimal number of up to `digits_max` digits that ends at one of the given character, which is
 * skipped. */
static bool
cut_number(const char **at, size_t digits_min, size_t digits_max, char end, uint64_t *ret)
{
	uint64_t number = 0;
	size_t n = 0;

	for (; (*at)[n] >= '0' && (*at)[n] <= '9' && n < digits_max; n++)
		number = number * 10 + (uint64_t)((*at)[n] - '0');
	if (n < digits_min || (*at)[n] != end)
		return false;
	*at += n + 1;
	*ret = number;
	return true;
}

/* "20261123T181147.123456Z-INODE-PID." */
static bool
cut_stem(const char **at, struct store_stem *ret)
{
	uint64_t date, clock, micros, inode, pid;
	struct tm tm = { 0 };

	if (!cut_number(at, 8, 8, 'T', &date) || !cut_number(at, 6, 6, '.', &clock) ||
		!cut_number(at, 6, 6, 'Z', &micros) || *(*at)++ != '-' ||
		!cut_number(at, 1, 19, '-', &inode) || !cut_number(at, 1, 9, '.', &pid))
		return false;
	tm.tm_year = (int)(date / 10000) - 1900;
	tm.tm_mon = (int)(date / 100 % 100) - 1;
	tm.tm_mday = (int)(date % 100);
	tm.tm_hour = (int)(clock / 10000);
	tm.tm_min = (int)(clock / 100 % 100);
	tm.tm_sec = (int)(clock % 100);
	*ret = (struct store_stem){
		.stamp = (usec_t)timegm(&tm) * USEC_PER_SEC + micros,
		.inode = inode,
		.pid = (uint32_t)pid,
	};
	return true;
}

bool
store_name_parse(const char *name, const char *suffix, struct store_stem *ret)
{
	char again[STORE_NAME_BYTES];
	const char *at = name;

	if (!cut_stem(&at, ret))
		return false;
	store_name_format(ret, suffix, again); /* dates that do not exist, leading zeros */
	return strcmp(name, again) == 0;
}

bool
store_entry_parse(const char *name, const char *suffix, struct store_entry_name *ret)
{
	char again[STORE_NAME_BYTES];
	const char *at = name;
	uint64_t number;

	if (!cut_stem(&at, &ret->stem) || !cut_number(&at, 3, 3, '.', &number))
		return false;
	ret->number = (uint32_t)number;
	store_entry_format(ret, suffix, again);
	return strcmp(name, again) == 0;
}

static int
compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int
store_stem_compare(const struct store_stem *a, const struct store_stem *b)
{
	int r = compare(a->stamp, b->stamp);

	if (r == 0)
		r = compare(a->inode, b->inode);
	return r ? r : compare(a->pid, b->pid);
}

int
store_entry_compare(const struct store_entry_name *a, const struct store_entry_name *b)
{
	int r = store_stem_compare(&a->stem, &b->stem);

	return r ? r : compare(a->number, b->number);
}

static bool
is_destination_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

bool
store_destination_is_valid(struct span name)
{
	size_t i;

	for (i = 0; i < name.n; i++)
		if (!is_destination_char(name.p[i]))
			return false;
	return name.n > 0 && name.n < STORE_DESTINATION_BYTES;
}
