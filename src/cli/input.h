/* SPDX-License-Identifier: MIT */
#pragma once

/* Input files of the programs: named ones, directories (their files in order of name), standard
 * input. */

#include "base/buffer.h"

/* What a program reads of one file at most, and of all together where it keeps them. */
#define INPUT_BYTES_MAX ((size_t)1024 * 1024 * 1024)

#define INPUT_FILES_MAX ((size_t)1000000)

struct input_path {
	char *path;          /* "-" is standard input */
	bool from_directory; /* not named itself: it may be something else than a message */
};

struct input_list {
	struct input_path *items;
	size_t n;
};

/* Lists the arguments, directories replaced by the files in them (hidden ones and directories
 * inside left out). Without arguments the list is "-". 0 or a negative errno, with the path it is
 * about in *ret_path, which points into `arguments`. */
int input_list(struct input_list *list, char *const *arguments, size_t n, const char **ret_path);
void input_list_deinit(struct input_list *list);

/* A file's bytes: mapped where it can be, else read. */
struct input {
	struct span bytes;
	void *mapping; /* NULL when read into `buffer` */
	struct buffer buffer;
};

/* 0 or a negative errno; -EFBIG beyond INPUT_BYTES_MAX. */
int input_open(struct input *in, const char *path);
void input_close(struct input *in);
