/* SPDX-License-Identifier: MIT */
#include "amqp/endpoint.h"

#include <stdio.h>
#include <string.h>

#define SCHEME     "amqp://"
#define SCHEME_TLS "amqps://"

/* What is behind the scheme: "USER:PASSWORD@HOST…" */
static int
check_authority(const char *rest)
{
	size_t user = strcspn(rest, "@/");
	const char *host = rest[user] == '@' ? rest + user + 1 : rest;

	if (rest[user] == '@' && memchr(rest, ':', user))
		return ENDPOINT_E_PASSWORD;
	return strchr("/:?", *host) ? ENDPOINT_E_INVALID : 0; /* the end of the string, too */
}

int
endpoint_parse(const char *url, struct endpoint *ret)
{
	static char root[] = "/";
	size_t n = strlen(url);
	int r;

	if (strncmp(url, SCHEME_TLS, strlen(SCHEME_TLS)) == 0)
		return ENDPOINT_E_TLS;
	if (strncmp(url, SCHEME, strlen(SCHEME)) != 0 || n >= sizeof(ret->text))
		return ENDPOINT_E_INVALID;
	r = check_authority(url + strlen(SCHEME));
	if (r)
		return r;
	memcpy(ret->text, url, n + 1);
	if (amqp_parse_url(ret->text, &ret->info) != AMQP_STATUS_OK)
		return ENDPOINT_E_INVALID;
	/* a slash at the end is a habit; an empty name of a vhost is nobody's wish */
	if (!ret->info.vhost[0])
		ret->info.vhost = root;
	(void)snprintf(ret->name, sizeof(ret->name), "%s:%d", ret->info.host, ret->info.port);
	return 0;
}
