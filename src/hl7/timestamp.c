/* SPDX-License-Identifier: MIT */
#include "hl7/timestamp.h"

#include <stdlib.h>
#include <time.h>

/* Two digits of what has no more. */
static void
write_pair(int n, char *ret)
{
	ret[0] = (char)('0' + n / 10);
	ret[1] = (char)('0' + n % 10);
}

void
timestamp_format(int64_t seconds, int offset_seconds, char ret[TIMESTAMP_BYTES])
{
	time_t local = (time_t)(seconds + offset_seconds);
	int minutes = abs(offset_seconds) / 60 % (24 * 60);
	int year;
	struct tm tm = { 0 };

	/* the zone is already in `local`: reading no zone file keeps this pure */
	(void)gmtime_r(&local, &tm);
	year = tm.tm_year + 1900;
	year = year < 0 ? 0 : year > 9999 ? 9999 : year;
	write_pair(year / 100, ret);
	write_pair(year % 100, ret + 2);
	write_pair(tm.tm_mon + 1, ret + 4);
	write_pair(tm.tm_mday, ret + 6);
	write_pair(tm.tm_hour, ret + 8);
	write_pair(tm.tm_min, ret + 10);
	write_pair(tm.tm_sec, ret + 12);
	ret[14] = offset_seconds < 0 ? '-' : '+';
	write_pair(minutes / 60, ret + 15);
	write_pair(minutes % 60, ret + 17);
	ret[19] = 0;
}

/* The value of `n` digits, or -1. */
static int
digits(struct span s, size_t n)
{
	int value = 0;
	size_t i;

	if (s.n < n)
		return -1;
	for (i = 0; i < n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		value = value * 10 + (s.p[i] - '0');
	}
	return value;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Takes a fraction of up to 4 digits off the front. */
static bool
cut_fraction(struct span *s, char ret[5])
{
	size_t n = 0;

	if (s->n == 0 || s->p[0] != '.')
		return true;
	*s = span_from(*s, 1);
	while (n < 4 && n < s->n && s->p[n] >= '0' && s->p[n] <= '9') {
		ret[n] = (char)s->p[n];
		n++;
	}
	*s = span_from(*s, n);
	return n > 0;
}

static bool
read_zone(struct span s, char ret[6])
{
	if (s.n == 0)
		return true;
	if (s.n != 5 || (s.p[0] != '+' && s.p[0] != '-') || digits(span_from(s, 1), 4) < 0)
		return false;
	memcpy(ret, s.p, 5);
	return digits(span_from(s, 3), 2) < 60;
}

int
timestamp_parse(struct span text, struct timestamp *ret)
{
	struct timestamp t = { .month = 1, .day = 1 };
	int *const parts[] = { &t.month, &t.day, &t.hour, &t.minute, &t.second };
	static const int most[] = { 12, 31, 23, 59, 59 };
	size_t i;

	t.year = digits(text, 4);
	text = span_from(text, 4);
	for (i = 0; i < 5 && digits(text, 2) >= 0; i++) {
		*parts[i] = digits(text, 2);
		if (*parts[i] > most[i] || (i < 2 && *parts[i] == 0))
			return TIMESTAMP_E_INVALID;
		text = span_from(text, 2);
	}
	if (t.year < 0 || (i == 5 && !cut_fraction(&text, t.fraction)) ||
		!read_zone(text, t.zone) || t.day > days_in_month(t.year, t.month))
		return TIMESTAMP_E_INVALID;
	*ret = t;
	return 0;
}
