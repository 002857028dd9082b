/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a process gives up before it reads the first byte of a peer: files, the network, other
 * processes, memory without end. By system calls alone, no library.
 *
 * Each wall stands for itself: where the kernel lacks one, the others stand all the same, and
 * struct sandbox_walls says which, and why not. There is no way back. What was opened before stays
 * usable, so all that is needed is opened before: folders, the templates' files, character sets.
 *
 * Not for users, mount points and namespaces: these are systemd's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the walls leave to a process. */
enum sandbox_form {
	/* It serves a connection that it has, and each system call that it makes is known. */
	SANDBOX_CONNECTION,
	/* It connects and looks up names. That is done by modules of the C library, which may be
	 * anybody's, so it reads files where it can and loads code, and only what none of them has
	 * a reason to do is refused. */
	SANDBOX_CLIENT,
	/* It accepts connections and forks what serves them, which then takes SANDBOX_CONNECTION on
	 * top: so it may do with files what these may, whichever folders they open. */
	SANDBOX_LISTENER,
};

/* What may be done beneath a folder. */
enum {
	SANDBOX_READ = 1 << 0,   /* open files to read */
	SANDBOX_LIST = 1 << 1,   /* open folders */
	SANDBOX_ADD = 1 << 2,    /* write files, give them names and remove them */
	SANDBOX_FOLDER = 1 << 3, /* make folders */
	SANDBOX_MOVE = 1 << 4,   /* rename from one folder to another */
};

/* What --sandbox asks for, in every program that has one. */
enum sandbox_mode {
	SANDBOX_AUTO,    /* the walls that this kernel has */
	SANDBOX_REQUIRE, /* no service without those of sandbox_holds() */
	SANDBOX_OFF,
};

/* "auto", "require" or "off"; false for another word. */
bool sandbox_mode_parse(const char *text, enum sandbox_mode *ret);

struct sandbox_folder {
	int fd; /* -1 where it could not be opened */
	unsigned may;
};

struct sandbox_needs {
	enum sandbox_form form;
	const struct sandbox_folder *folders;
	size_t n_folders;
	const uint16_t *ports; /* of TCP, that a client connects to */
	size_t n_ports;        /* 0: to any */
	bool syslog; /* log entries go to syslog(3), which makes a socket and connects it */
	/* Limits; 0 leaves what there is. They are lowered only. */
	unsigned n_descriptors; /* that it opens at most, beside those that are open */
	uint64_t file_bytes;    /* of the largest file that it writes */
	uint64_t memory_bytes;  /* of its data, beside what it has */
};

enum sandbox_wall {
	SANDBOX_FILES,      /* Landlock: files, and what is executed */
	SANDBOX_TCP,        /* Landlock: no other connection; Linux 6.7 */
	SANDBOX_SCOPE,      /* Landlock: no signals and abstract sockets of others; Linux 6.12 */
	SANDBOX_CALLS,      /* seccomp */
	SANDBOX_PRIVILEGES, /* no new ones */
	SANDBOX_DUMPS,      /* no core file, and no look into its memory */
	SANDBOX_LIMITS,     /* processes, descriptors, sizes */
	SANDBOX_N_WALLS,
};

struct sandbox_walls {
	int errors[SANDBOX_N_WALLS]; /* 0: it stands; else the negative errno why not */
	int landlock_abi;            /* of the kernel, 0 for none */
};

/* -EOPNOTSUPP: the kernel is too old for this wall, or does not have it. */
void sandbox_enter(const struct sandbox_needs *needs, struct sandbox_walls *ret);

/* Whether the two stand that keep a taken over process in: files and system calls. */
bool sandbox_holds(const struct sandbox_walls *walls);

/* "files", "tcp" and so on. */
const char *sandbox_wall_name(enum sandbox_wall wall);

/* The text of a log entry about them; `required`: by --sandbox=require. */
const char *sandbox_text(const struct sandbox_walls *walls, bool required);

/* The names of the walls that stand, with a blank between; of the others with why they do not,
 * "tcp: Operation not supported, scope: ...". */
#define SANDBOX_TEXT_BYTES 512
void sandbox_describe(const struct sandbox_walls *walls, char standing[SANDBOX_TEXT_BYTES],
	char missing[SANDBOX_TEXT_BYTES]);

/* The sanitizers read files, trace, fork and execute to report what they find, and map more memory
 * than there is. A build with one leaves room for that: SANDBOX_CONNECTION reads files as
 * SANDBOX_CLIENT does, has the list of refused calls in place of the one of allowed calls, and no
 * limits on memory and processes. It is for tests. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
	__has_feature(thread_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif
