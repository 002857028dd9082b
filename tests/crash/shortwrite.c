/* SPDX-License-Identifier: MIT */

/*
 * Preloaded: write(), pwrite() and send() take SHORT_BYTES bytes at most, in the calls from
 * SHORT_FROM to SHORT_TO of a process (counted over all three, from 1). What is said to be written
 * is, unlike with a return value that strace makes up.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t
number_of(const char *name, size_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static size_t
limited(size_t n)
{
	static size_t calls;
	size_t most = number_of("SHORT_BYTES", 5);

	calls++;
	if (calls < number_of("SHORT_FROM", 1) || calls > number_of("SHORT_TO", (size_t)-1))
		return n;
	return n < most ? n : most;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");

	return next(fd, p, limited(n));
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t (*next)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");

	return next(fd, p, limited(n), at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");

	return next(fd, p, limited(n), at);
}

ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	ssize_t (*next)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");

	return next(fd, p, limited(n), flags);
}
