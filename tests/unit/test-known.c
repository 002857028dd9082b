/* SPDX-License-Identifier: MIT */

/* The hidden names by which a message is found again, and who may have them. */

#include "base/cleanup.h"
#include "store/disk.h"
#include "store/known.h"

#include "place.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/xattr.h>

#define NAME "20260102T030405.000000Z-1-1.hl7"

#define A SPAN("MSH|^~\\&|RIS|HOUSE|||||ADT^A01|1\rPID|1\r")
#define B SPAN("MSH|^~\\&|RIS|HOUSE|||||ADT^A01|1\rPID|2\r")

/* What a resend of 50 ms of waiting finds. */
#define SOON deadline_in(50 * USEC_PER_MSEC)

static int
open_folder(const struct place *p)
{
	int fd = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct known_key
key_of(struct span bytes)
{
	struct known_key key;

	known_key(&key, bytes, SPAN("RIS"), SPAN("HOUSE"), SPAN("1"));
	return key;
}

/* A message's file, locked, without a name; as long as it is open the commit is not over. */
static int
write_locked(int folder, struct span bytes)
{
	int fd = -1;

	assert_int_equal(disk_write(folder, bytes, &fd), 0);
	assert_int_equal(disk_lock(fd, LOCK_EX, 0), 0);
	assert_int_equal(known_keep_receipt(fd, NAME, SPAN("answer")), 0);
	return fd;
}

/* What a committed message leaves: its .k name, and `name`. */
static void
put(int folder, struct span bytes, const char *name)
{
	const struct known_key key = key_of(bytes);
	_cleanup_close_ int fd = write_locked(folder, bytes), twin = -1;
	char claim[KNOWN_NAME_BYTES];

	assert_int_equal(known_claim(folder, fd, &key, bytes, SOON, claim, &twin), 0);
	assert_int_equal(disk_link(fd, folder, name), 0);
}

static int
find(int folder, struct span bytes)
{
	const struct known_key key = key_of(bytes);
	_cleanup_close_ int fd = -1;
	char name[KNOWN_NAME_BYTES];
	int r = known_find(folder, &key, bytes, name, &fd);

	if (r == KNOWN_E_DUPLICATE)
		assert_int_equal(disk_compare(fd, bytes), 1);
	else
		assert_int_equal(fd, -1);
	return r;
}

/* A second message of the same bytes. */
static int
claim(int folder, struct span bytes, char *ret_name)
{
	const struct known_key key = key_of(bytes);
	_cleanup_close_ int fd = write_locked(folder, bytes), twin = -1;
	int r = known_claim(folder, fd, &key, bytes, SOON, ret_name, &twin);

	assert_int_equal(r == KNOWN_E_DUPLICATE, twin >= 0);
	return r;
}

static void
assert_keys(const struct known_key *a, const struct known_key *b, bool content, bool identity)
{
	assert_int_equal(strcmp(a->content, b->content) == 0, content);
	assert_int_equal(strcmp(a->identity, b->identity) == 0, identity);
}

static void
keys(void **state)
{
	struct known_key one, other;

	(void)state;
	known_key(&one, A, SPAN("RIS"), SPAN("HOUSE"), SPAN("1"));
	assert_int_equal(strlen(one.content), 34);
	assert_int_equal(strlen(one.identity), 34);
	assert_int_equal(strncmp(one.content, ".k", 2), 0);
	assert_int_equal(strncmp(one.identity, ".i", 2), 0);
	assert_int_equal(strspn(one.content + 2, "0123456789abcdef"), 32);
	known_key(&other, A, SPAN("RIS"), SPAN("HOUSE"), SPAN("1"));
	assert_keys(&one, &other, true, true);
	known_key(&other, B, SPAN("RIS"), SPAN("HOUSE"), SPAN("1"));
	assert_keys(&one, &other, false, true);
	known_key(&other, A, SPAN("RI"), SPAN("SHOUSE"), SPAN("1"));
	assert_keys(&one, &other, true, false);
	known_key(&other, A, SPAN("RIS"), SPAN("HOUSE1"), SPAN(""));
	assert_keys(&one, &other, true, false);
	known_key(&other, SPAN(""), SPAN_NULL, SPAN_NULL, SPAN_NULL);
	assert_keys(&one, &other, false, false);
}

/* Not before its commit, from then on always. */
static void
found_after_the_commit(void **state)
{
	_cleanup_close_ int folder = open_folder(*state), fd = write_locked(folder, A), twin = -1;
	const struct known_key key = key_of(A);
	char name[KNOWN_NAME_BYTES];

	assert_int_equal(find(folder, A), 0);
	assert_int_equal(known_claim(folder, fd, &key, A, SOON, name, &twin), 0);
	assert_string_equal(name, key.content);
	assert_int_equal(find(folder, A), 0);
	assert_int_equal(disk_link(fd, folder, NAME), 0);
	assert_int_equal(find(folder, A), 0); /* linked, but perhaps not on disk yet */
	assert_int_equal(claim(folder, A, name), -ETIMEDOUT);
	cleanup_close(&fd);
	fd = -1;
	assert_int_equal(find(folder, A), KNOWN_E_DUPLICATE);
	assert_int_equal(claim(folder, A, name), KNOWN_E_DUPLICATE);
	assert_string_equal(name, key.content);
	assert_int_equal(find(folder, B), 0);
}

/* Those who look do not hold each other back. */
static void
many_look(void **state)
{
	_cleanup_close_ int folder = open_folder(*state), first = -1, second = -1;
	const struct known_key key = key_of(A);
	char name[KNOWN_NAME_BYTES];

	put(folder, A, NAME);
	assert_int_equal(known_find(folder, &key, A, name, &first), KNOWN_E_DUPLICATE);
	assert_int_equal(known_find(folder, &key, A, name, &second), KNOWN_E_DUPLICATE);
	assert_string_equal(name, key.content);
}

static void
removed_by_hand(void **state)
{
	_cleanup_close_ int folder = open_folder(*state);
	const struct place *p = *state;
	char name[KNOWN_NAME_BYTES];

	put(folder, A, NAME);
	assert_int_equal(unlinkat(folder, NAME, 0), 0);
	assert_int_equal(find(folder, A), 0);
	assert_int_equal(claim(folder, A, name), 0);
	assert_int_equal(names_in(p->root, 'k'), 1);
}

struct holder {
	const char *root;
	int after; /* written to when the name is held */
	int until; /* read from: c, commit; r, remove the name; d, die; else end */
};

static int
hold(const void *userdata)
{
	const struct holder *h = userdata;
	const struct known_key key = key_of(A);
	char name[KNOWN_NAME_BYTES], what = 0;
	int folder = open(h->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1, twin = -1;

	if (disk_write(folder, A, &fd) != 0 || disk_lock(fd, LOCK_EX, 0) != 0 ||
		known_claim(folder, fd, &key, A, SOON, name, &twin) != 0)
		return 1;
	if (write(h->after, "x", 1) != 1 || read(h->until, &what, 1) != 1)
		return 2;
	if (what == 'd')
		(void)raise(SIGKILL);
	if (what == 'c' && disk_link(fd, folder, NAME) != 0)
		return 3;
	if (what == 'r' && unlinkat(folder, name, 0) != 0)
		return 4;
	return 0; /* with which the lock is free */
}

/* A process that claimed the name and lives; *ret_command tells it what to do. */
static pid_t
begin_holder(const struct place *p, struct holder *h, int *ret_command)
{
	int after[2], until[2];
	pid_t pid;
	char x;

	assert_int_equal(pipe2(after, O_CLOEXEC), 0);
	assert_int_equal(pipe2(until, O_CLOEXEC), 0);
	*h = (struct holder){ .root = p->root, .after = after[1], .until = until[0] };
	pid = begin(hold, h);
	assert_int_equal(read(after[0], &x, 1), 1);
	assert_int_equal(close(after[0]) + close(after[1]) + close(until[0]), 0);
	*ret_command = until[1];
	return pid;
}

struct end_case {
	const char *name;
	char command;
	int status;
	int found; /* by who waited */
	size_t n_names;
};

static const struct end_case ends[] = {
	{ "who held the name committed", 'c', 0, KNOWN_E_DUPLICATE, 1 },
	{ "who held the name gave up", 'r', 0, 0, 1 },
	{ "who held the name died", 'd', -1, 0, 1 },
	{ "who held the name ended without a commit", 'e', 0, 0, 1 },
};

static int
send_later(const void *userdata)
{
	const int *command = userdata;
	const char what = (char)command[1];

	(void)usleep(20000);
	return write(command[0], &what, 1) == 1 ? 0 : 1;
}

/* Another process is in the middle of its commit of the same bytes: who waits learns its end. */
static void
held_by_another(void **state)
{
	const struct end_case *c = *state;
	const struct known_key key = key_of(A);
	struct place *p = new_place();
	int folder = open_folder(p), fd = write_locked(folder, A), twin = -1, command[2];
	char name[KNOWN_NAME_BYTES];
	struct holder h;
	pid_t holder, sender;

	holder = begin_holder(p, &h, &command[0]);
	assert_int_equal(find(folder, A), 0);
	assert_int_equal(claim(folder, A, name), -ETIMEDOUT); /* it lives */
	command[1] = c->command;
	sender = begin(send_later, command);
	assert_int_equal(
		known_claim(folder, fd, &key, A, deadline_in(10 * USEC_PER_SEC), name, &twin),
		c->found);
	assert_int_equal(status_of(sender), 0);
	assert_int_equal(status_of(holder), c->status);
	assert_string_equal(name, key.content);
	assert_int_equal(twin >= 0, c->found == KNOWN_E_DUPLICATE);
	assert_int_equal(names_in(p->root, 'k'), c->n_names);
	cleanup_close(&twin);
	cleanup_close(&fd);
	assert_int_equal(close(command[0]), 0);
	assert_int_equal(close(folder), 0);
	drop_place(p);
}

/* Bytes with the hash of others, as somebody may make who knows the key: here another file has the
 * name. */
static void
forge(int folder, const char *name, struct span bytes, const char *second_name)
{
	_cleanup_close_ int fd = -1;

	assert_int_equal(disk_write(folder, bytes, &fd), 0);
	assert_int_equal(disk_link(fd, folder, name), 0);
	assert_int_equal(disk_link(fd, folder, second_name), 0);
}

static void
same_hash_other_bytes(void **state)
{
	_cleanup_close_ int folder = open_folder(*state);
	const struct known_key key = key_of(A);
	const struct place *p = *state;
	char name[KNOWN_NAME_BYTES], wanted[KNOWN_NAME_BYTES];

	forge(folder, key.content, B, "b.hl7");
	assert_int_equal(find(folder, A), 0);
	put(folder, A, NAME);
	(void)snprintf(wanted, sizeof(wanted), "%s.1", key.content);
	assert_int_equal(find(folder, A), KNOWN_E_DUPLICATE);
	assert_int_equal(claim(folder, A, name), KNOWN_E_DUPLICATE);
	assert_string_equal(name, wanted);
	assert_int_equal(names_in(p->root, 'k'), 2);
	assert_file(p->root, key.content, B);
	assert_file(p->root, wanted, A);
}

/* Of one length, so that every byte has to be looked at. */
static void
same_hash_last_byte_differs(void **state)
{
	static uint8_t bytes[200000], other[200000];
	_cleanup_close_ int folder = open_folder(*state);
	const struct known_key key = key_of(span_of(bytes, sizeof(bytes)));

	other[sizeof(other) - 1] = 1;
	forge(folder, key.content, span_of(other, sizeof(other)), "b.hl7");
	assert_int_equal(find(folder, span_of(bytes, sizeof(bytes))), 0);
	put(folder, span_of(bytes, sizeof(bytes)), NAME);
	assert_int_equal(find(folder, span_of(bytes, sizeof(bytes))), KNOWN_E_DUPLICATE);
}

/* All names of a hash are taken: the message has none, and is stored each time it comes. */
static void
no_name_left(void **state)
{
	_cleanup_close_ int folder = open_folder(*state);
	const struct known_key key = key_of(A);
	char name[KNOWN_NAME_BYTES], link[16];
	unsigned i;

	for (i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), i ? "%s.%u" : "%s", key.content, i);
		(void)snprintf(link, sizeof(link), "%u.hl7", i);
		forge(folder, name, B, link);
	}
	assert_int_equal(find(folder, A), 0);
	assert_int_equal(claim(folder, A, name), 0);
	assert_string_equal(name, "");
}

struct foreign_case {
	const char *name;
	mode_t type; /* what is in the place of .k */
	int claimed;
};

static const struct foreign_case foreigners[] = {
	{ "a folder in the name's place", S_IFDIR, 0 },
	{ "a link in the name's place", S_IFLNK, -ELOOP },
	{ "a pipe in the name's place", S_IFIFO, 0 },
};

/* What nobody of us put there is neither followed nor removed, and holds nobody up. */
static void
foreign_file(void **state)
{
	const struct foreign_case *c = *state;
	const struct known_key key = key_of(A);
	struct place *p = new_place();
	int folder = open_folder(p);
	char name[KNOWN_NAME_BYTES];
	struct stat st;

	if (c->type == S_IFDIR)
		assert_int_equal(mkdirat(folder, key.content, 0700), 0);
	else if (c->type == S_IFIFO)
		assert_int_equal(mkfifoat(folder, key.content, 0600), 0);
	else
		assert_int_equal(symlinkat("/etc/passwd", folder, key.content), 0);
	assert_int_equal(claim(folder, A, name), c->claimed);
	assert_int_equal(fstatat(folder, key.content, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & S_IFMT, c->type);
	assert_int_equal(close(folder), 0);
	drop_place(p);
}

/* --- answers --------------------------------------------------------------------------------- */

static void
assert_answer(int folder, int fd, const char *name, struct span expected)
{
	struct buffer b = BUFFER_INIT((size_t)1024 * 1024);
	char own[STORE_NAME_BYTES];

	assert_int_equal(known_read_receipt(folder, fd, name, own, &b), 0);
	assert_string_equal(own, NAME);
	assert_span_equal(buffer_span(&b), expected);
	buffer_deinit(&b);
}

struct answer_case {
	const char *name;
	struct span answer;
};

static uint8_t large[200000];

static const struct answer_case answers[] = {
	{ "an answer", BYTES("MSH|^~\\&|\rMSA|AA|1\r") },
	{ "an answer with all bytes", BYTES("\0\n\r\x0B\x1C\xFF") },
	{ "no answer", BYTES("") },
	{ "an answer of a page", { large, 4096 } },
	{ "an answer larger than any attribute", { large, sizeof(large) } },
	{ "an answer that ends with a buffer", { large, 65536 + 4096 } },
};

/* As an attribute, or where it does not fit, as a file of its own. */
static void
answer_kept(void **state)
{
	const struct answer_case *c = *state;
	struct place *p = new_place();
	int folder = open_folder(p), fd = write_locked(folder, A), r;

	memset(large, 'x', sizeof(large));
	r = known_keep_receipt(fd, NAME, c->answer);
	assert_true(r == 0 || r == KNOWN_E_NO_ATTRIBUTES);
	/* what is between is for the file system to say */
	if (c->answer.n < 1024)
		assert_int_equal(r, 0);
	if (c->answer.n > 65536)
		assert_int_equal(r, KNOWN_E_NO_ATTRIBUTES);
	if (r == KNOWN_E_NO_ATTRIBUTES)
		assert_int_equal(fremovexattr(fd, "user.hl7.receipt"), 0);
	if (r == KNOWN_E_NO_ATTRIBUTES)
		assert_int_equal(known_keep_receipt_file(folder, ".kx", NAME, c->answer), 0);
	assert_int_equal(names_in(p->root, 'a'), r == KNOWN_E_NO_ATTRIBUTES);
	assert_answer(folder, fd, ".kx", c->answer);
	cleanup_close(&fd);
	assert_int_equal(close(folder), 0);
	drop_place(p);
}

static void
no_answer_kept(void **state)
{
	_cleanup_close_ int folder = open_folder(*state), fd = write_locked(folder, A);
	struct buffer b = BUFFER_INIT(1024);
	char name[STORE_NAME_BYTES];

	assert_int_equal(fremovexattr(fd, "user.hl7.receipt"), 0);
	assert_int_equal(known_read_receipt(folder, fd, ".kx", name, &b), -ENODATA);
	assert_string_equal(name, "");
	buffer_deinit(&b);
}

/* One of a commit that was not finished makes way. */
static void
answer_file_left_behind(void **state)
{
	_cleanup_close_ int folder = open_folder(*state), fd = write_locked(folder, A);

	assert_int_equal(fremovexattr(fd, "user.hl7.receipt"), 0);
	assert_int_equal(known_keep_receipt_file(folder, ".kx", NAME, SPAN("one before")), 0);
	assert_int_equal(known_keep_receipt_file(folder, ".kx", NAME, SPAN("ours")), 0);
	assert_answer(folder, fd, ".kx", SPAN("ours"));
}

/* Each message of the same hash has its own. */
static void
answer_files_of_one_hash(void **state)
{
	_cleanup_close_ int folder = open_folder(*state), fd = write_locked(folder, A);

	assert_int_equal(fremovexattr(fd, "user.hl7.receipt"), 0);
	assert_int_equal(known_keep_receipt_file(folder, ".kx", NAME, SPAN("of one")), 0);
	assert_int_equal(known_keep_receipt_file(folder, ".kx.1", NAME, SPAN("of another")), 0);
	assert_answer(folder, fd, ".kx", SPAN("of one"));
	assert_answer(folder, fd, ".kx.1", SPAN("of another"));
}

static void
answer_beyond_the_maximum(void **state)
{
	_cleanup_close_ int folder = open_folder(*state), fd = write_locked(folder, A);
	struct buffer b = BUFFER_INIT(8);
	char name[STORE_NAME_BYTES];

	assert_int_equal(fremovexattr(fd, "user.hl7.receipt"), 0);
	assert_int_equal(known_keep_receipt_file(folder, ".kx", NAME, SPAN("0123456789")), 0);
	assert_int_equal(known_read_receipt(folder, fd, ".kx", name, &b), -EFBIG);
	assert_int_equal(fsetxattr(fd, "user.hl7.receipt", "0123456789", 10, 0), 0);
	assert_int_equal(known_read_receipt(folder, fd, ".kx", name, &b), -EFBIG);
	buffer_deinit(&b);
}

/* --- control ids ----------------------------------------------------------------------------- */

/* A committed message, with its receipt and its note; its descriptor. */
static int
put_noted(int folder, struct span bytes, const char *name)
{
	const struct known_key key = key_of(bytes);
	int fd = write_locked(folder, bytes);

	assert_int_equal(known_keep_receipt(fd, name, SPAN("answer")), 0);
	assert_int_equal(disk_link(fd, folder, name), 0);
	assert_int_equal(known_note_first(folder, fd, &key), 0);
	return fd;
}

static void
first_of_an_id(void **state)
{
	_cleanup_close_ int folder = open_folder(*state), fd = -1, other = -1;
	const struct known_key key = key_of(A);
	char name[STORE_NAME_BYTES];

	assert_int_equal(known_has_first(folder, &key), 0);
	assert_int_equal(known_read_note(folder, key.identity, name), -ENOENT);
	fd = put_noted(folder, A, NAME);
	assert_int_equal(known_read_note(folder, key.identity, name), 0);
	assert_string_equal(name, NAME);
	assert_int_equal(known_has_first(folder, &key), 1);
	other = write_locked(folder, B);
	assert_int_equal(known_note_first(folder, other, &key), -EEXIST);
	assert_false(known_take_first_back(folder, other, &key));
	assert_true(known_take_first_back(folder, fd, &key));
	assert_int_equal(known_has_first(folder, &key), 0);
}

/* A name that is not its own. */
static int
disk_link_again(int folder)
{
	return linkat(folder, NAME, folder, "another", 0);
}

/* The note of a message that is gone is none, and makes way. */
static void
first_is_gone(void **state)
{
	_cleanup_close_ int folder = open_folder(*state), fd = put_noted(folder, A, NAME);
	const struct known_key key = key_of(A);
	bool gone = false;

	assert_int_equal(disk_link_again(folder), 0);
	assert_int_equal(unlinkat(folder, NAME, 0), 0);
	assert_int_equal(known_forget_first(folder, key.identity, true, &gone), 0);
	assert_true(gone);
	assert_int_equal(known_has_first(folder, &key), 0);
	assert_int_equal(known_note_first(folder, fd, &key), 0);
}

/* A hard link elsewhere, of a backup perhaps, does not make a commit of a claim whose owner died.
 */
static void
dead_claim_with_another_name(void **state)
{
	const struct place *p = *state;
	const struct known_key key = key_of(A);
	_cleanup_close_ int folder = open_folder(p), twin = -1;
	char claimed[KNOWN_NAME_BYTES];
	int fd = write_locked(folder, A);

	assert_int_equal(known_claim(folder, fd, &key, A, SOON, claimed, &twin), 0);
	assert_int_equal(disk_link(fd, folder, "backup"), 0);
	(void)close(fd);
	assert_int_equal(find(folder, A), 0);
	assert_int_equal(claim(folder, A, claimed), 0);
}

static void
committed_by_its_own_name(void **state)
{
	const struct place *p = *state;
	const struct known_key key = key_of(A);
	_cleanup_close_ int folder = open_folder(p), twin = -1;
	char claimed[KNOWN_NAME_BYTES];
	int fd = write_locked(folder, A);

	assert_int_equal(known_claim(folder, fd, &key, A, SOON, claimed, &twin), 0);
	assert_int_equal(disk_link(fd, folder, NAME), 0);
	(void)close(fd);
	assert_int_equal(find(folder, A), KNOWN_E_DUPLICATE);
	assert_int_equal(disk_link_again(folder), 0);
	assert_int_equal(unlinkat(folder, NAME, 0), 0);
	assert_int_equal(find(folder, A), 0);
}

int
main(void)
{
	static struct suite s;

	add_test(&s, "keys of content and of sender", keys);
	add_placed(&s, "found after the commit, not before", found_after_the_commit);
	add_placed(&s, "many look at once", many_look);
	add_placed(&s, "a message removed by hand", removed_by_hand);
	add_placed(&s, "a claim whose owner died, linked elsewhere", dead_claim_with_another_name);
	add_placed(&s, "committed by the name that its file tells", committed_by_its_own_name);
	add_cases(&s, held_by_another, ends);
	add_placed(&s, "the same hash, other bytes", same_hash_other_bytes);
	add_placed(&s, "the same hash, another last byte", same_hash_last_byte_differs);
	add_placed(&s, "all names of a hash are taken", no_name_left);
	add_cases(&s, foreign_file, foreigners);
	add_cases(&s, answer_kept, answers);
	add_placed(&s, "no answer was kept", no_answer_kept);
	add_placed(&s, "an answer's file was left behind", answer_file_left_behind);
	add_placed(&s, "answers of two messages with one hash", answer_files_of_one_hash);
	add_placed(&s, "an answer beyond the maximum", answer_beyond_the_maximum);
	add_placed(&s, "the first message of a control id", first_of_an_id);
	add_placed(&s, "the first message of a control id is gone", first_is_gone);
	return run_suite("known", &s);
}
