/* SPDX-License-Identifier: MIT */
#include "sandbox/parts.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As linux/landlock.h of Linux 6.12 has them: those of the machine that compiles this may be older
 * than the kernel that runs it. */
#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule       445
#define __NR_landlock_restrict_self  446
#endif

#define CREATE_RULESET_VERSION 1U

enum {
	RULE_PATH_BENEATH = 1,
	RULE_NET_PORT = 2,
};

#define FS_EXECUTE     (UINT64_C(1) << 0)
#define FS_WRITE_FILE  (UINT64_C(1) << 1)
#define FS_READ_FILE   (UINT64_C(1) << 2)
#define FS_READ_DIR    (UINT64_C(1) << 3)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_DIR    (UINT64_C(1) << 7)
#define FS_MAKE_REG    (UINT64_C(1) << 8)
#define FS_REFER       (UINT64_C(1) << 13)

#define NET_BIND_TCP    (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)

#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL               (UINT64_C(1) << 1)

/* The number of rights of files that each version of the interface knows: 2 has REFER, 3 TRUNCATE,
 * 5 IOCTL_DEV. */
static const unsigned n_file_rights[] = { 0, 13, 14, 15, 15, 16 };

#define ABI_TCP   4 /* Linux 6.7 */
#define ABI_SCOPE 6 /* Linux 6.12 */

struct ruleset_attributes {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

struct path_beneath {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

struct net_port {
	uint64_t allowed_access;
	uint64_t port;
};

static int
create_ruleset(const struct ruleset_attributes *attributes, size_t n, uint32_t flags)
{
	long r = syscall(__NR_landlock_create_ruleset, attributes, n, flags);

	return r < 0 ? -errno : (int)r;
}

static int
add_rule(int ruleset, int type, const void *rule)
{
	return syscall(__NR_landlock_add_rule, ruleset, type, rule, 0) < 0 ? -errno : 0;
}

/* All that the kernel knows, but for what the form needs anywhere. */
static uint64_t
handled_files(const struct sandbox_needs *needs, int abi)
{
	const uint64_t reading = FS_READ_FILE | FS_READ_DIR;
	const uint64_t writing = FS_WRITE_FILE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE;
	const int n = (int)(sizeof(n_file_rights) / sizeof(n_file_rights[0]));
	uint64_t all = (UINT64_C(1) << n_file_rights[abi < n ? abi : n - 1]) - 1;

	if (SANDBOX_SANITIZED)
		all &= ~FS_EXECUTE; /* what names the lines of a report */
	if (sandbox_is_strict(needs))
		return all;
	return needs->form == SANDBOX_LISTENER ? all & ~(reading | writing) : all & ~reading;
}

static uint64_t
handled_net(const struct sandbox_needs *needs, int abi)
{
	if (abi < ABI_TCP)
		return 0;
	if (needs->form == SANDBOX_CLIENT && needs->n_ports == 0)
		return NET_BIND_TCP;
	return NET_BIND_TCP | NET_CONNECT_TCP;
}

static uint64_t
allowed_beneath(unsigned may)
{
	static const uint64_t rights[] = {
		FS_READ_FILE, /* SANDBOX_READ */
		FS_READ_DIR,
		FS_WRITE_FILE | FS_MAKE_REG | FS_REMOVE_FILE,
		FS_MAKE_DIR,
		FS_REFER,
	};
	uint64_t allowed = 0;
	size_t i;

	for (i = 0; i < sizeof(rights) / sizeof(rights[0]); i++)
		if (may & (1U << i))
			allowed |= rights[i];
	return allowed;
}

static int
allow_folders(int ruleset, const struct sandbox_needs *needs, uint64_t handled)
{
	struct path_beneath rule;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < needs->n_folders; i++) {
		rule.allowed_access = allowed_beneath(needs->folders[i].may) & handled;
		rule.parent_fd = needs->folders[i].fd;
		if (rule.parent_fd >= 0 && rule.allowed_access) /* ENOMSG: a rule of nothing */
			r = add_rule(ruleset, RULE_PATH_BENEATH, &rule);
	}
	return r;
}

static int
allow_ports(int ruleset, const struct sandbox_needs *needs, uint64_t handled)
{
	struct net_port rule = { .allowed_access = NET_CONNECT_TCP };
	size_t i;
	int r = 0;

	if (needs->form != SANDBOX_CLIENT || !(handled & NET_CONNECT_TCP))
		return 0;
	for (i = 0; r == 0 && i < needs->n_ports; i++) {
		rule.port = needs->ports[i];
		r = add_rule(ruleset, RULE_NET_PORT, &rule);
	}
	return r;
}

/* Without this right to grant, any set of rules refuses to move files between folders. */
static bool
can_move(const struct sandbox_needs *needs, uint64_t handled)
{
	size_t i;

	for (i = 0; i < needs->n_folders; i++)
		if (needs->folders[i].may & SANDBOX_MOVE && !(handled & FS_REFER))
			return false;
	return true;
}

static int
restrict_self(const struct sandbox_needs *needs, const struct ruleset_attributes *attributes)
{
	int ruleset = create_ruleset(attributes, sizeof(*attributes), 0), r;

	if (ruleset < 0)
		return ruleset;
	r = allow_folders(ruleset, needs, attributes->handled_access_fs);
	if (r == 0)
		r = allow_ports(ruleset, needs, attributes->handled_access_net);
	if (r == 0 && syscall(__NR_landlock_restrict_self, ruleset, 0) < 0)
		r = -errno;
	(void)close(ruleset);
	return r;
}

static int
enter(const struct sandbox_needs *needs, int abi)
{
	struct ruleset_attributes attributes = { 0 };

	attributes.handled_access_fs = handled_files(needs, abi);
	attributes.handled_access_net = handled_net(needs, abi);
	if (abi >= ABI_SCOPE)
		attributes.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	if (!can_move(needs, attributes.handled_access_fs))
		return -EOPNOTSUPP;
	return restrict_self(needs, &attributes);
}

void
landlock_enter(const struct sandbox_needs *needs, struct sandbox_walls *walls)
{
	int abi = create_ruleset(NULL, 0, CREATE_RULESET_VERSION);
	int r = abi < 0 ? abi : enter(needs, abi);

	walls->landlock_abi = abi < 0 ? 0 : abi;
	walls->errors[SANDBOX_FILES] = r;
	walls->errors[SANDBOX_TCP] = r == 0 && abi < ABI_TCP ? -EOPNOTSUPP : r;
	walls->errors[SANDBOX_SCOPE] = r == 0 && abi < ABI_SCOPE ? -EOPNOTSUPP : r;
}
