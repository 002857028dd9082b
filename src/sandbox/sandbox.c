/* SPDX-License-Identifier: MIT */
#include "sandbox/sandbox.h"
#include "sandbox/parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

/* Nothing of its memory reaches a file or another process of the same user. Also set for systems
 * whose fs.suid_dumpable hands core files of such processes to a program. */
static int
refuse_dumps(void)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

static int
refuse_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

void
sandbox_enter(const struct sandbox_needs *needs, struct sandbox_walls *ret)
{
	tzset(); /* the C library reads the zone's file when it is first asked for a local time */
	*ret = (struct sandbox_walls){ .landlock_abi = 0 };
	ret->errors[SANDBOX_PRIVILEGES] = refuse_privileges();
	ret->errors[SANDBOX_DUMPS] = refuse_dumps();
	ret->errors[SANDBOX_LIMITS] = limits_enter(needs);
	landlock_enter(needs, ret);
	ret->errors[SANDBOX_CALLS] = seccomp_enter(needs);
}

bool
sandbox_mode_parse(const char *text, enum sandbox_mode *ret)
{
	static const char *const words[] = {
		[SANDBOX_AUTO] = "auto",
		[SANDBOX_REQUIRE] = "require",
		[SANDBOX_OFF] = "off",
	};
	int i;

	for (i = SANDBOX_AUTO; i <= SANDBOX_OFF; i++)
		if (strcmp(text, words[i]) == 0) {
			*ret = (enum sandbox_mode)i;
			return true;
		}
	return false;
}

bool
sandbox_holds(const struct sandbox_walls *walls)
{
	return walls->errors[SANDBOX_FILES] == 0 && walls->errors[SANDBOX_CALLS] == 0;
}

const char *
sandbox_wall_name(enum sandbox_wall wall)
{
	static const char *const names[SANDBOX_N_WALLS] = {
		[SANDBOX_FILES] = "files",
		[SANDBOX_TCP] = "tcp",
		[SANDBOX_SCOPE] = "scope",
		[SANDBOX_CALLS] = "calls",
		[SANDBOX_PRIVILEGES] = "privileges",
		[SANDBOX_DUMPS] = "dumps",
		[SANDBOX_LIMITS] = "limits",
	};

	return names[wall];
}

const char *
sandbox_text(const struct sandbox_walls *walls, bool required)
{
	if (sandbox_holds(walls))
		return "the sandbox is closed";
	return required ? "--sandbox=require: the sandbox cannot be closed, so nothing is done"
			: "the sandbox is open: this system lacks walls";
}

/* What does not fit is left out; all of them do. */
static void
append(char text[SANDBOX_TEXT_BYTES], const char *between, const char *name, const char *why)
{
	size_t n = strlen(text);

	(void)snprintf(text + n, SANDBOX_TEXT_BYTES - n, "%s%s%s%s", n ? between : "", name,
		why ? ": " : "", why ? why : "");
}

void
sandbox_describe(const struct sandbox_walls *walls, char standing[SANDBOX_TEXT_BYTES],
	char missing[SANDBOX_TEXT_BYTES])
{
	const char *name;
	unsigned i;
	int r;

	standing[0] = missing[0] = 0;
	for (i = 0; i < SANDBOX_N_WALLS; i++) {
		name = sandbox_wall_name((enum sandbox_wall)i);
		r = walls->errors[i];
		if (r == 0)
			append(standing, " ", name, NULL);
		else
			append(missing, ", ", name, strerrordesc_np(-r));
	}
}
