/* SPDX-License-Identifier: MIT */
#pragma once

/* A folder of its own for each test of the store, and what all of those tests look at there. */

#include "store/store.h"

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

struct place {
	char root[64]; /* made, and removed with all that is in it */
	char store[96];
	char received[128];
};

/* Where files have attributes: a tmpfs has them since Linux 6.6 only. */
static inline int
make_root(struct place *p)
{
	static const char *const folders[] = { "/tmp", "/var/tmp" };
	size_t i;

	for (i = 0; i < N_OF(folders); i++) {
		(void)snprintf(p->root, sizeof(p->root), "%s/test-store-XXXXXX", folders[i]);
		if (!mkdtemp(p->root))
			return -1;
		if (setxattr(p->root, "user.test", "", 0, 0) == 0)
			return removexattr(p->root, "user.test");
		if (rmdir(p->root) < 0)
			return -1;
	}
	(void)fprintf(stderr, "neither /tmp nor /var/tmp has attributes\n");
	return -1;
}

static inline int
make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	if (make_root(p) < 0 || chmod(p->root, 0755) < 0) {
		free(p);
		return -1;
	}
	(void)snprintf(p->store, sizeof(p->store), "%s/store", p->root);
	(void)snprintf(p->received, sizeof(p->received), "%s/received", p->store);
	*state = p;
	return 0;
}

static inline int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline int
remove_place(void **state)
{
	struct place *p = *state;
	int r = nftw(p->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);

	free(p);
	return r;
}

/* The same for a test whose state is a case of a table. */
static inline struct place *
new_place(void)
{
	void *p = NULL;

	assert_int_equal(make_place(&p), 0);
	return p;
}

static inline void
drop_place(struct place *p)
{
	void *state = p;

	assert_int_equal(remove_place(&state), 0);
}

/* A test with a place. */
static inline void
add_placed(struct suite *s, const char *name, CMUnitTestFunction test)
{
	add_test(s, name, test);
	s->tests[s->n - 1].setup_func = make_place;
	s->tests[s->n - 1].teardown_func = remove_place;
}

/* The names of a folder that begin with a dot and `kind` ('k', 'a', 'i'), or without a dot (0). */
static inline size_t
names_in(const char *path, char kind)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir)))
		n += kind ? entry->d_name[0] == '.' && entry->d_name[1] == kind
			  : entry->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	return n;
}

static inline size_t
files_in(const char *path)
{
	return names_in(path, 0);
}

static inline struct buffer
read_path(const char *path)
{
	struct buffer b = BUFFER_INIT((size_t)64 * 1024 * 1024);
	FILE *f = fopen(path, "re");
	struct stat st;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	assert_int_equal(buffer_reserve(&b, (size_t)st.st_size + 1), 0);
	b.n = fread(b.p, 1, b.allocated, f);
	assert_int_equal(ferror(f), 0);
	assert_int_equal(fclose(f), 0);
	return b;
}

static inline void
assert_file(const char *folder, const char *name, struct span expected)
{
	struct buffer b;
	char path[400];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	b = read_path(path);
	assert_span_equal(buffer_span(&b), expected);
	buffer_deinit(&b);
}

/* A message of a sender, as the receiver hands it over. */
static inline struct store_message
message_of(struct span bytes, struct span control_id, struct span answer)
{
	return (struct store_message){
		.bytes = bytes,
		.application = SPAN("RIS"),
		.facility = SPAN("HOUSE"),
		.control_id = control_id,
		.answer = answer,
	};
}

#define RECEIPT ((struct store_receipt){ .answer = BUFFER_INIT((size_t)16 * 1024 * 1024) })

/* Commits bytes that nobody sent before. `ret_name` holds STORE_NAME_BYTES. */
static inline int
commit_bytes(struct store *s, struct span bytes, char *ret_name)
{
	struct store_message m = message_of(bytes, bytes, SPAN("MSA|AA"));
	struct store_receipt receipt = RECEIPT;
	int r = store_commit(s, &m, &receipt);

	memcpy(ret_name, receipt.name, STORE_NAME_BYTES);
	buffer_deinit(&receipt.answer);
	return r;
}

/* What a child process does; what it returns is its exit status. */
static inline pid_t
begin(int (*call)(const void *userdata), const void *userdata)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(call(userdata)); /* none of what the test would do at its end */
	return pid;
}

static inline int
status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
