/* SPDX-License-Identifier: MIT */
#include "amqp/password.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CREDENTIAL "amqp-password"

static int
take(const char *bytes, size_t n, char ret[PASSWORD_BYTES])
{
	if (n > 0 && bytes[n - 1] == '\n')
		n--;
	if (n > 0 && bytes[n - 1] == '\r')
		n--;
	if (n >= PASSWORD_BYTES || memchr(bytes, 0, n) || memchr(bytes, '\n', n))
		return -EBADMSG;
	memcpy(ret, bytes, n);
	ret[n] = 0;
	return 0;
}

static int
read_file(const char *path, char ret[PASSWORD_BYTES])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char bytes[PASSWORD_BYTES + 2];
	size_t n = 0;
	ssize_t got = 1;

	if (fd < 0)
		return -errno;
	while (got > 0 && n < sizeof(bytes)) {
		got = read(fd, bytes + n, sizeof(bytes) - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			return -errno;
		else
			n += (size_t)got;
	}
	return take(bytes, n, ret);
}

static int
read_credential(char ret[PASSWORD_BYTES])
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	char path[PATH_MAX];

	if (!directory)
		return -ENOENT;
	if ((size_t)snprintf(path, sizeof(path), "%s/" CREDENTIAL, directory) >= sizeof(path))
		return -ENAMETOOLONG;
	return read_file(path, ret);
}

int
password_read(const char *path, char ret[PASSWORD_BYTES])
{
	const char *variable;
	int r;

	if (path)
		return read_file(path, ret);
	r = read_credential(ret);
	if (r != -ENOENT)
		return r;
	variable = getenv("HL7_AMQP_PASSWORD");
	return variable ? take(variable, strlen(variable), ret) : -ENOKEY;
}
