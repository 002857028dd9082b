/* SPDX-License-Identifier: MIT */
#include "hl7/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void
timestamp_format(int64_t seconds, int offset_seconds, char ret[TIMESTAMP_BYTES])
{
	time_t local = (time_t)(seconds + offset_seconds);
	int minutes = abs(offset_seconds) / 60 % (24 * 60);
	char text[128];
	int year;
	struct tm tm = { 0 };

	/* the zone is already in `local`: reading no zone file keeps this pure */
	(void)gmtime_r(&local, &tm);
	year = tm.tm_year + 1900;
	year = year < 0 ? 0 : year > 9999 ? 9999 : year;
	/* wide enough for any int, which is what the compiler must assume */
	(void)snprintf(text, sizeof(text), "%04d%02d%02d%02d%02d%02d%c%02d%02d", year, tm.tm_mon + 1,
		tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, offset_seconds < 0 ? '-' : '+',
		minutes / 60, minutes % 60);
	memcpy(ret, text, TIMESTAMP_BYTES - 1);
	ret[TIMESTAMP_BYTES - 1] = 0;
}
