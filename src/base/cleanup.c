/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"

#include <unistd.h>

void
cleanup_close(const int *fd)
{
	int saved = errno; /* a failing call's errno survives the way out */

	if (*fd >= 0)
		(void)close(*fd);
	errno = saved;
}
