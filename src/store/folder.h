/* SPDX-License-Identifier: MIT */
#pragma once

/* Reading a folder once, with memory for nothing but what the caller keeps. */

#include <dirent.h>

/* Calls for each name but "." and ".."; a return other than 0 ends it. 0, what the call returned,
 * or a negative errno. Files that come and go meanwhile may be among them or not. */
int folder_read(int folder, int (*call)(const struct dirent *d, void *userdata), void *userdata);

/* Whether a name is there: 1, 0 or a negative errno. */
int folder_has(int folder, const char *name);
