/* SPDX-License-Identifier: MIT */

/* The store in a folder of its own, and what it says when the folder or the disk fails it. */

#include "base/cleanup.h"
#include "place.h"

#include <signal.h>
#include <sys/resource.h>

static const struct store_reserve none;

#define NOBODY 65534

static void
commit_and_compare(const struct place *p, struct store *s, struct span message)
{
	char name[STORE_NAME_BYTES];

	assert_int_equal(commit_bytes(s, message, name), 0);
	assert_file(p->received, name, message);
}

static void
same_bytes(void **state)
{
	const struct place *p = *state;
	struct buffer large = BUFFER_INIT((size_t)3 * 1024 * 1024);
	struct store s;
	size_t i;

	assert_int_equal(store_open(&s, p->store, none), 0);
	commit_and_compare(p, &s, SPAN("MSH|^~\\&|A\rPID|1\r"));
	commit_and_compare(p, &s, SPAN("\0\n\r\x0B\x1C\xFF"));
	commit_and_compare(p, &s, SPAN(""));
	for (i = 0; i < large.max; i++)
		assert_int_equal(buffer_append_byte(&large, (uint8_t)(i * 7 + i / 256)), 0);
	commit_and_compare(p, &s, buffer_span(&large));
	assert_int_equal(files_in(p->received), 4);
	buffer_deinit(&large);
	store_close(&s);
	assert_int_equal(s.received, -1);
}

/* Time, inode, process, and nothing of the message. */
static void
names(void **state)
{
	const struct place *p = *state;
	char first[STORE_NAME_BYTES], second[STORE_NAME_BYTES], pid[32];
	struct store s;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(commit_bytes(&s, SPAN("../../etc/MSH|x"), first), 0);
	assert_int_equal(commit_bytes(&s, SPAN("../../etc/MSH|y"), second), 0);
	assert_string_not_equal(first, second);
	assert_true(strcmp(first, second) < 0); /* in the order of time */
	assert_int_equal(files_in(p->received), 2);
	assert_int_equal(strspn(first, "0123456789TZ.-hl"), strlen(first));
	assert_int_equal(first[8], 'T');
	assert_int_equal(first[15], '.');
	assert_int_equal(first[22], 'Z');
	(void)snprintf(pid, sizeof(pid), "-%d.hl7", (int)getpid());
	assert_string_equal(first + strlen(first) - strlen(pid), pid);
	store_close(&s);
}

static void
modes(void **state)
{
	const struct place *p = *state;
	mode_t mask = umask(0022);
	char name[STORE_NAME_BYTES], path[256];
	struct store s;
	struct stat st;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(stat(p->store, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(stat(p->received, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(commit_bytes(&s, SPAN("a"), name), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", p->received, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	store_close(&s);
	(void)umask(mask);
}

static void
opened_twice(void **state)
{
	const struct place *p = *state;
	struct store a, b;

	assert_int_equal(store_open(&a, p->store, none), 0);
	assert_int_equal(store_open(&b, p->store, none), 0);
	commit_and_compare(p, &a, SPAN("a"));
	commit_and_compare(p, &b, SPAN("b"));
	assert_int_equal(files_in(p->received), 2);
	store_close(&a);
	store_close(&b);
	store_close(&b);
}

static void
folder_that_went(void **state)
{
	const struct place *p = *state;
	char name[STORE_NAME_BYTES];
	struct store s;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(rmdir(p->received), 0);
	assert_true(
		commit_bytes(&s, SPAN("a"), name) < 0); /* which errno, the file system decides */
	store_close(&s);
}

static void
never_opened(void **state)
{
	const struct place *p = *state;
	struct store s = STORE_NULL;
	char name[STORE_NAME_BYTES], path[128];

	assert_int_equal(commit_bytes(&s, SPAN("a"), name), -EBADF);
	(void)snprintf(path, sizeof(path), "%s/no/where", p->root);
	assert_int_equal(store_open(&s, path, none), -ENOENT);
	assert_int_equal(s.received, -1);
	assert_int_equal(commit_bytes(&s, SPAN("a"), name), -EBADF);
	store_close(&s);
}

static void
a_file_in_its_place(void **state)
{
	const struct place *p = *state;
	struct store s;
	int fd;

	fd = open(p->store, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(store_open(&s, p->store, none), -ENOTDIR);
	assert_int_equal(unlink(p->store), 0);
}

/* Who is root may write anywhere: such a test is run as nobody. */
static bool
become_nobody(void)
{
	if (geteuid() != 0)
		return false;
	assert_int_equal(seteuid(NOBODY), 0);
	return true;
}

static void
become_root(bool was)
{
	if (was)
		assert_int_equal(seteuid(0), 0);
}

static void
folder_that_cannot_be_written(void **state)
{
	const struct place *p = *state;
	char name[STORE_NAME_BYTES];
	struct store s;
	bool was_root;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(chmod(p->received, 0555), 0);
	was_root = become_nobody();
	assert_int_equal(commit_bytes(&s, SPAN("a"), name), -EACCES);
	become_root(was_root);
	assert_int_equal(chmod(p->received, 0755), 0);
	assert_int_equal(files_in(p->received), 0);
	commit_and_compare(p, &s, SPAN("again"));
	store_close(&s);
}

static void
folder_that_cannot_be_made(void **state)
{
	const struct place *p = *state;
	struct store s;
	bool was_root;
	int r;

	assert_int_equal(chmod(p->root, 0555), 0);
	was_root = become_nobody();
	r = store_open(&s, p->store, none);
	become_root(was_root);
	assert_int_equal(chmod(p->root, 0755), 0);
	assert_true(r == -ENOENT || r == -EACCES);
	assert_int_equal(s.received, -1);
}

/* A disk that ends in the middle of the message: an error, and no file, not even for a moment. */
static void
disk_that_is_full(void **state)
{
	static const uint8_t message[64 * 1024];
	const struct place *p = *state;
	char name[STORE_NAME_BYTES];
	struct rlimit before, small;
	struct store s;
	int r;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 5000;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = commit_bytes(&s, span_of(message, sizeof(message)), name);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(files_in(p->received), 0);
	commit_and_compare(p, &s, span_of(message, sizeof(message)));
	store_close(&s);
}

/* Neither opening, committing nor failing leaves a descriptor open. */
static void
descriptors(void **state)
{
	const struct place *p = *state;
	char name[STORE_NAME_BYTES];
	struct store s;
	int before = open("/dev/null", O_RDONLY | O_CLOEXEC), after;

	assert_int_equal(close(before), 0);
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(commit_bytes(&s, SPAN("a"), name), 0);
	assert_int_equal(nftw(p->received, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	assert_true(commit_bytes(&s, SPAN("a"), name) < 0);
	store_close(&s);
	after = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(after, before);
	assert_int_equal(close(after), 0);
}

/* An entry is named after its message's file, numbered in the order of writing. */
static void
entries(void **state)
{
	const struct place *p = *state;
	const struct store_entry both[] = { { SPAN("ris"), SPAN("first") },
		{ SPAN("archive"), SPAN("second") } };
	struct store_message m = message_of(SPAN("m"), SPAN("1"), SPAN("ack"));
	struct store_receipt receipt = RECEIPT;
	char path[400], stem[STORE_NAME_BYTES];
	struct store s;

	m.entries = both;
	m.n_entries = 2;
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_open_queue(&s, SPAN("ris")), 0);
	assert_int_equal(store_open_queue(&s, SPAN("ris")), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), -ENOENT); /* not opened */
	assert_int_equal(files_in(p->received), 0);
	assert_int_equal(store_open_queue(&s, SPAN("archive")), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	(void)snprintf(stem, sizeof(stem), "%.*s", (int)strlen(receipt.name) - 4, receipt.name);
	(void)snprintf(path, sizeof(path), "%s/queue/ris/%s.000.hl7", p->store, stem);
	assert_int_equal(access(path, R_OK), 0);
	(void)snprintf(path, sizeof(path), "%s/queue/archive/%s.001.hl7", p->store, stem);
	assert_int_equal(access(path, R_OK), 0);
	(void)snprintf(path, sizeof(path), "%s/queue/ris", p->store);
	assert_int_equal(files_in(path), 1); /* nothing is left of the one that failed */
	store_close(&s);
}

static void
rejected(void **state)
{
	const struct place *p = *state;
	char name[STORE_NAME_BYTES], path[400];
	struct store s;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_reject(&s, SPAN("bytes"), SPAN("why"), name), 0);
	(void)snprintf(path, sizeof(path), "%s/rejected/%s", p->store, name);
	assert_int_equal(access(path, R_OK), 0);
	memcpy(path + strlen(path) - 4, ".txt", 4);
	assert_int_equal(access(path, R_OK), 0);
	assert_int_equal(files_in(p->received), 0);
	store_close(&s);
}

int
main(void)
{
	static struct suite s;

	add_placed(&s, "a file holds the same bytes", same_bytes);
	add_placed(&s, "names differ, in order, and hold nothing of the message", names);
	add_placed(&s, "only the owner and the group can read", modes);
	add_placed(&s, "two processes may have it open", opened_twice);
	add_placed(&s, "the folder went away", folder_that_went);
	add_placed(&s, "no store was opened", never_opened);
	add_placed(&s, "a file where the folder should be", a_file_in_its_place);
	add_placed(&s, "the folder cannot be written", folder_that_cannot_be_written);
	add_placed(&s, "the folder cannot be made", folder_that_cannot_be_made);
	add_placed(&s, "the disk is full in the middle of the message", disk_that_is_full);
	add_placed(&s, "no descriptor is left open", descriptors);
	add_placed(&s, "entries for destinations", entries);
	add_placed(&s, "a refused message and its reason", rejected);
	return run_suite("store", &s);
}
