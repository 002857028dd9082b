/* SPDX-License-Identifier: MIT */
#pragma once

/* The broker's password, from where only those who may read it can. */

#define PASSWORD_BYTES 256 /* with its NUL */

/* Reads it from `path`; without one (NULL) from $CREDENTIALS_DIRECTORY/amqp-password
 * (systemd.exec(5), LoadCredential=) or $HL7_AMQP_PASSWORD. One line; its end is left out. 0, or a
 * negative errno: -ENOKEY where there is none of these, -EBADMSG where it is no single line. */
int password_read(const char *path, char ret[PASSWORD_BYTES]);
