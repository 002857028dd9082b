/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where a broker is: amqp://[USER@]HOST[:PORT][/VHOST].
 *
 * Not for passwords: whoever may see the processes sees their command lines.
 */

#include "amqp/library.h"

#include <stdbool.h>

#define ENDPOINT_BYTES      512 /* of an URL, with its NUL */
#define ENDPOINT_NAME_BYTES 80

enum {
	ENDPOINT_E_SUCCESS,
	ENDPOINT_E_INVALID,  /* not of that form, or longer */
	ENDPOINT_E_PASSWORD, /* there is a password in it */
	ENDPOINT_E_TLS,      /* amqps */
};

/* The parts point into `text`: an endpoint is not to be copied. */
struct endpoint {
	char text[ENDPOINT_BYTES];
	struct amqp_connection_info info;
	char name[ENDPOINT_NAME_BYTES]; /* "HOST:PORT", for the log */
};

/* Reads an URL. Without a user it is "guest", without a port 5672, without a vhost "/". 0 or a
 * condition. */
int endpoint_parse(const char *url, struct endpoint *ret);
