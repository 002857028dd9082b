/* SPDX-License-Identifier: MIT */

/*
 * What tests/bench/units, which compiles it, starts for each connection: sends one byte over
 * descriptor 3 and ends. With -DJOURNAL one journal entry as well, through libsystemd.
 */

#include <unistd.h>

#ifdef JOURNAL
#include <systemd/sd-journal.h>
#endif

int
main(void)
{
#ifdef JOURNAL
	(void)sd_journal_send("MESSAGE=a connection of the bench", "PRIORITY=6", NULL);
#endif
	return write(3, "\006", 1) == 1 ? 0 : 1;
}
