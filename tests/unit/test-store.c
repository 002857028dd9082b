/* SPDX-License-Identifier: MIT */

/* The store in a folder of its own, and what it says when the folder or the disk fails it. */

#include "place.h"
#include "store/disk.h"
#include "store/known.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

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

/* --- what is known --------------------------------------------------------------------------- */

/* What a resend is told: the name and the answer of the first. */
static void
assert_known(struct store *s, const struct store_message *m, const struct store_receipt *first,
	bool by_commit)
{
	struct store_receipt again = RECEIPT;

	assert_int_equal(by_commit ? store_commit(s, m, &again) : store_find(s, m, &again),
		STORE_E_DUPLICATE);
	assert_string_equal(again.name, first->name);
	assert_true(again.answered);
	assert_span_equal(buffer_span(&again.answer), m->answer);
	buffer_deinit(&again.answer);
}

struct duplicate_case {
	const char *name;
	struct span answer;
};

static uint8_t large_answer[300000];

static const struct duplicate_case duplicates[] = {
	{ "the same bytes again", BYTES("MSH|^~\\&|\rMSA|AA|1\r") },
	{ "the same bytes again, without an answer", BYTES("") },
	{ "the same bytes again, with a large answer", { large_answer, sizeof(large_answer) } },
};

static void
duplicate(void **state)
{
	const struct duplicate_case *c = *state;
	struct store_message m = message_of(SPAN("bytes"), SPAN("1"), c->answer);
	struct store_message other = message_of(SPAN("bytes"), SPAN("1"), SPAN("another answer"));
	struct store_receipt receipt = RECEIPT;
	struct place *p = new_place();
	struct store s;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_find(&s, &m, &receipt), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	assert_false(receipt.reused);
	assert_known(&s, &m, &receipt, false);
	assert_known(&s, &m, &receipt, true);
	/* what it would be answered now does not matter */
	assert_int_equal(store_commit(&s, &other, &receipt), STORE_E_DUPLICATE);
	assert_span_equal(buffer_span(&receipt.answer), c->answer);
	buffer_deinit(&receipt.answer);
	assert_int_equal(files_in(p->received), 1);
	assert_int_equal(names_in(p->received, 'k'), 1);
	assert_int_equal(names_in(p->received, 'i'), 1);
	store_close(&s);
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_known(&s, &m, &receipt, false); /* by another process */
	store_close(&s);
	drop_place(p);
}

/* Its entries are queued once. */
static void
duplicate_with_entries(void **state)
{
	const struct store_entry entry = { SPAN("ris"), SPAN("rendered") };
	struct store_message m = message_of(SPAN("bytes"), SPAN("1"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	const struct place *p = *state;
	char path[200];
	struct store s;

	m.entries = &entry;
	m.n_entries = 1;
	(void)snprintf(path, sizeof(path), "%s/queue/ris", p->store);
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_open_queue(&s, SPAN("ris")), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), STORE_E_DUPLICATE);
	assert_int_equal(files_in(path), 1);
	buffer_deinit(&receipt.answer);
	store_close(&s);
}

static void
unlink_in(const char *folder, const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(unlink(path), 0);
}

/* Who deletes a message may be sent it again. */
static void
deleted_by_hand(void **state)
{
	struct store_message m = message_of(SPAN("bytes"), SPAN("1"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	const struct place *p = *state;
	char first[STORE_NAME_BYTES];
	struct store s;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	memcpy(first, receipt.name, sizeof(first));
	unlink_in(p->received, first);
	assert_int_equal(store_find(&s, &m, &receipt), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	assert_string_not_equal(receipt.name, first);
	assert_false(receipt.reused);
	assert_known(&s, &m, &receipt, false); /* told by its new name */
	assert_int_equal(names_in(p->received, 'k'), 1);
	store_close(&s);
}

/* A backup without attributes was put back: it is stored, but how it was answered is not known. */
static void
answer_lost(void **state)
{
	struct store_message m = message_of(SPAN("bytes"), SPAN("1"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	const struct place *p = *state;
	char path[300];
	struct store s;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", p->received, receipt.name);
	assert_int_equal(removexattr(path, "user.hl7.receipt"), 0);
	assert_int_equal(store_find(&s, &m, &receipt), STORE_E_DUPLICATE);
	assert_false(receipt.answered);
	assert_int_equal(receipt.answer.n, 0);
	store_close(&s);
}

/* Whoever died in the middle of a commit leaves a .k behind that means nothing. */
static int
claim_and_die(const void *userdata)
{
	const struct place *p = userdata;
	struct known_key key;
	char name[KNOWN_NAME_BYTES];
	struct store s;
	int fd = -1, twin = -1;

	known_key(&key, SPAN("bytes"), SPAN("RIS"), SPAN("HOUSE"), SPAN("1"));
	if (store_open(&s, p->store, none) != 0 || disk_write(s.received, SPAN("bytes"), &fd) ||
		disk_lock(fd, LOCK_EX, 0) != 0 ||
		known_claim(s.received, fd, &key, SPAN("bytes"), DEADLINE_NEVER, name, &twin) != 0)
		return 1;
	(void)raise(SIGKILL);
	return 2;
}

static void
left_by_the_dead(void **state)
{
	struct store_message m = message_of(SPAN("bytes"), SPAN("1"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	const struct place *p = *state;
	struct store s;

	assert_int_equal(status_of(begin(claim_and_die, p)), -1);
	assert_int_equal(names_in(p->received, 'k'), 1);
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_find(&s, &m, &receipt), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	assert_int_equal(files_in(p->received), 1);
	assert_int_equal(names_in(p->received, 'k'), 1);
	assert_known(&s, &m, &receipt, true);
	store_close(&s);
}

/* --- the same bytes at the same moment ------------------------------------------------------- */

#define AT_ONCE 8

struct racer {
	const struct place *p;
	int start; /* readable when all may begin */
	struct result {
		int r;
		char name[STORE_NAME_BYTES];
		char answer[32];
	} * result; /* shared */
};

static int
race(const void *userdata)
{
	const struct racer *x = userdata;
	char answer[32], byte;
	struct store_message m;
	struct store_receipt receipt = RECEIPT;
	const struct store_entry entry = { SPAN("ris"), SPAN("rendered") };
	struct store s;

	(void)snprintf(answer, sizeof(answer), "answer of %d", (int)getpid());
	m = message_of(SPAN("bytes"), SPAN("1"), span_str(answer));
	m.entries = &entry;
	m.n_entries = 1;
	if (store_open(&s, x->p->store, none) != 0 || store_open_queue(&s, SPAN("ris")) != 0)
		return 1;
	(void)!read(x->start, &byte, 1); /* the end of the pipe */
	x->result->r = store_commit(&s, &m, &receipt);
	memcpy(x->result->name, receipt.name, sizeof(receipt.name));
	(void)snprintf(x->result->answer, sizeof(x->result->answer), "%.*s",
		(int)(x->result->r ? receipt.answer.n : m.answer.n),
		(const char *)(x->result->r ? receipt.answer.p : m.answer.p));
	return 0;
}

static void
at_once(void **state)
{
	const struct place *p = *state;
	struct result *results = mmap(NULL, AT_ONCE * sizeof(*results), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct racer racers[AT_ONCE];
	pid_t pids[AT_ONCE];
	int gate[2], n_stored = 0;
	char path[200];
	size_t i;

	assert_true(results != MAP_FAILED);
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	for (i = 0; i < AT_ONCE; i++) {
		racers[i] = (struct racer){ p, gate[0], &results[i] };
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			(void)close(gate[1]);
			_exit(race(&racers[i]));
		}
	}
	assert_int_equal(close(gate[0]) + close(gate[1]), 0);
	for (i = 0; i < AT_ONCE; i++)
		assert_int_equal(status_of(pids[i]), 0);
	for (i = 0; i < AT_ONCE; i++) {
		assert_true(results[i].r == 0 || results[i].r == STORE_E_DUPLICATE);
		n_stored += results[i].r == 0;
		assert_string_equal(results[i].name, results[0].name);
		assert_string_equal(results[i].answer, results[0].answer);
	}
	assert_int_equal(n_stored, 1);
	assert_int_equal(files_in(p->received), 1);
	assert_int_equal(names_in(p->received, 'k'), 1);
	(void)snprintf(path, sizeof(path), "%s/queue/ris", p->store);
	assert_int_equal(files_in(path), 1);
	assert_int_equal(munmap(results, AT_ONCE * sizeof(*results)), 0);
}

/* --- control ids ----------------------------------------------------------------------------- */

static void
reused_id(void **state)
{
	struct store_message first = message_of(SPAN("one"), SPAN("1"), SPAN("AA"));
	struct store_message second = message_of(SPAN("two"), SPAN("1"), SPAN("AA"));
	struct store_message elsewhere = message_of(SPAN("three"), SPAN("1"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	const struct place *p = *state;
	char name[STORE_NAME_BYTES];
	struct store s;

	elsewhere.facility = SPAN("ANOTHER HOUSE");
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_commit(&s, &first, &receipt), 0);
	assert_false(receipt.reused);
	memcpy(name, receipt.name, sizeof(name));
	assert_int_equal(store_commit(&s, &elsewhere, &receipt), 0);
	assert_false(receipt.reused);
	second.refuse_reused = true;
	assert_int_equal(store_commit(&s, &second, &receipt), STORE_E_REUSED);
	assert_true(receipt.reused);
	assert_string_equal(receipt.name, "");
	assert_int_equal(files_in(p->received), 2);
	assert_int_equal(names_in(p->received, 'k'), 2); /* nothing is left of it */
	first.refuse_reused = true;                      /* a resend is none */
	memcpy(receipt.name, name, sizeof(name));
	assert_known(&s, &first, &receipt, true);
	second.refuse_reused = false;
	assert_int_equal(store_commit(&s, &second, &receipt), 0);
	assert_true(receipt.reused);
	assert_int_equal(files_in(p->received), 3);
	store_close(&s);
}

/* The first one was deleted by hand or by age: its id is free. */
static void
id_of_a_deleted_message(void **state)
{
	struct store_message first = message_of(SPAN("one"), SPAN("1"), SPAN("AA"));
	struct store_message second = message_of(SPAN("two"), SPAN("1"), SPAN("AA"));
	struct store_message third = message_of(SPAN("three"), SPAN("1"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	const struct place *p = *state;
	struct store s;

	second.refuse_reused = third.refuse_reused = true;
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_commit(&s, &first, &receipt), 0);
	unlink_in(p->received, receipt.name);
	assert_int_equal(store_commit(&s, &second, &receipt), 0);
	assert_false(receipt.reused);
	assert_int_equal(
		store_commit(&s, &third, &receipt), STORE_E_REUSED); /* now that of second */
	store_close(&s);
}

/* --- room ------------------------------------------------------------------------------------ */

/* A reserve that the disk cannot give: nothing is taken but what is there already. */
static void
reserve_of(struct store_reserve reserve, const struct place *p)
{
	struct store_message m = message_of(SPAN("bytes"), SPAN("1"), SPAN("AA"));
	struct store_message other = message_of(SPAN("other"), SPAN("2"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	char name[STORE_NAME_BYTES];
	struct store s;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	s.reserve = reserve;
	assert_known(&s, &m, &receipt, false);
	assert_int_equal(store_commit(&s, &other, &receipt), STORE_E_FULL);
	assert_string_equal(receipt.name, "");
	assert_int_equal(store_reject(&s, SPAN("bytes"), SPAN("why"), name), STORE_E_FULL);
	assert_int_equal(files_in(p->received), 1);
	assert_int_equal(names_in(p->received, 'k'), 1);
	s.reserve = none;
	assert_int_equal(store_commit(&s, &other, &receipt), 0);
	store_close(&s);
}

static void
reserve_of_bytes(void **state)
{
	reserve_of((struct store_reserve){ .bytes = UINT64_MAX / 4 }, *state);
}

/* Of inodes on a file system that does not count them, as btrfs: all is taken. */
static void
reserve_without_meaning(struct store_reserve reserve, const struct place *p)
{
	struct store_message m = message_of(SPAN("bytes"), SPAN("1"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	struct store s;

	assert_int_equal(store_open(&s, p->store, reserve), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	assert_int_equal(files_in(p->received), 1);
	store_close(&s);
}

static void
reserve_of_inodes(void **state)
{
	const struct place *p = *state;
	struct statvfs v;

	assert_int_equal(statvfs(p->root, &v), 0);
	if (v.f_files == 0)
		reserve_without_meaning((struct store_reserve){ .inodes = UINT64_MAX / 4 }, p);
	else
		reserve_of((struct store_reserve){ .inodes = UINT64_MAX / 4 }, p);
}

/* A message that would fit, but not with what is made of it. */
static void
reserve_counts_entries(void **state)
{
	static const uint8_t large[1024 * 1024];
	const struct place *p = *state;
	const struct store_entry entry = { SPAN("ris"), { large, sizeof(large) } };
	struct store_message m = message_of(SPAN("bytes"), SPAN("1"), SPAN("AA"));
	struct store_receipt receipt = RECEIPT;
	struct statvfs v;
	struct store s;

	assert_int_equal(statvfs(p->root, &v), 0);
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_open_queue(&s, SPAN("ris")), 0);
	/* others write to this disk too: 100 MiB more or less are free in a moment */
	s.reserve.bytes = v.f_bavail * v.f_frsize + (uint64_t)100 * 1024 * 1024;
	m.entries = &entry;
	m.n_entries = 1;
	assert_int_equal(store_commit(&s, &m, &receipt), STORE_E_FULL);
	s.reserve.bytes = 1;
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	store_close(&s);
}

/* --- order ----------------------------------------------------------------------------------- */

/* The last commit is ahead of the clock, which was set back: names sort in the order of the commits
 * all the same. */
static void
clock_set_back(void **state)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_sec = (time_t)(clock_realtime_usec() / USEC_PER_SEC) + 86400 } };
	char first[STORE_NAME_BYTES], second[STORE_NAME_BYTES], path[200];
	const struct place *p = *state;
	struct store s;

	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(commit_bytes(&s, SPAN("a"), first), 0);
	(void)snprintf(path, sizeof(path), "%s/.order", p->store);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_int_equal(commit_bytes(&s, SPAN("b"), first), 0);
	assert_int_equal(commit_bytes(&s, SPAN("c"), second), 0);
	assert_true(strcmp(first, second) < 0);
	assert_int_equal(unlink(path), 0); /* the open one still counts */
	assert_int_equal(commit_bytes(&s, SPAN("d"), first), 0);
	assert_true(strcmp(second, first) < 0);
	store_close(&s);
}

static void
large_message(void **state)
{
	const struct place *p = *state;
	struct store_message m = message_of(SPAN_NULL, SPAN("1"), SPAN("AA"));
	struct buffer large = BUFFER_INIT((size_t)40 * 1024 * 1024);
	struct store_receipt receipt = RECEIPT;
	struct store s;

	assert_int_equal(buffer_reserve(&large, large.max), 0);
	large.n = large.max;
	memset(large.p, 'x', large.n);
	m.bytes = buffer_span(&large);
	assert_int_equal(store_open(&s, p->store, none), 0);
	assert_int_equal(store_commit(&s, &m, &receipt), 0);
	assert_known(&s, &m, &receipt, false);
	large.p[large.n - 1] = 'y';
	assert_int_equal(store_find(&s, &m, &receipt), 0);
	assert_int_equal(files_in(p->received), 1);
	buffer_deinit(&large);
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
	memset(large_answer, 'x', sizeof(large_answer));
	add_cases(&s, duplicate, duplicates);
	add_placed(&s, "the entries of a resend are queued once", duplicate_with_entries);
	add_placed(&s, "a message deleted by hand", deleted_by_hand);
	add_placed(&s, "how it was answered is lost", answer_lost);
	add_placed(&s, "what a process left that was killed", left_by_the_dead);
	add_placed(&s, "the same bytes by eight processes at once", at_once);
	add_placed(&s, "a control id for other bytes", reused_id);
	add_placed(&s, "the control id of a deleted message", id_of_a_deleted_message);
	add_placed(&s, "too little room would stay free", reserve_of_bytes);
	add_placed(&s, "too few inodes would stay free", reserve_of_inodes);
	add_placed(&s, "the room for entries counts", reserve_counts_entries);
	add_placed(&s, "the clock was set back", clock_set_back);
	add_placed(&s, "a message of 40 MiB", large_message);
	return run_suite("store", &s);
}
