/* SPDX-License-Identifier: MIT */
#include "net/notify.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* A name that begins with @ stands for one in the abstract name space, which begins with a NUL and
 * has no other. */
static int
connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(name);
	int fd;

	if ((*name != '/' && *name != '@') || n < 2 || n >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, name, n);
	if (*name == '@')
		address.sun_path[0] = 0;
	else
		n++; /* its NUL */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

int
notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int fd = name ? connect_to(name) : -1;

	(void)unsetenv("NOTIFY_SOCKET");
	return fd;
}

void
notify_status(int fd, const char *text)
{
	static const char key[] = "STATUS=";
	struct iovec parts[] = {
		{ (void *)(uintptr_t)key, sizeof(key) - 1 },
		{ (void *)(uintptr_t)text, strlen(text) },
	};
	const struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };

	if (fd >= 0)
		(void)!sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}
