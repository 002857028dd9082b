/* SPDX-License-Identifier: MIT */

/* The side of who takes messages out of a store, with messages that the other side put in. */

#include "base/cleanup.h"
#include "store/queue.h"

#include "place.h"

#include <signal.h>
#include <sys/file.h>

#define MESSAGES 3

struct scene {
	struct place *p;
	struct store store;
	struct queue q;
	char waiting[160], failed[160];
	struct queue_list list;
};

/* Commits a message with two entries for "ris" and one for "archive". */
static void
commit_one(struct store *s, unsigned n)
{
	char bytes[32], first[32], second[32];
	const struct store_entry entries[] = { { SPAN("ris"), { (uint8_t *)first, 7 } },
		{ SPAN("archive"), SPAN("archived") }, { SPAN("ris"), { (uint8_t *)second, 8 } } };
	struct store_message m;
	struct store_receipt receipt = RECEIPT;

	(void)snprintf(bytes, sizeof(bytes), "MSH|%u", n);
	(void)snprintf(first, sizeof(first), "first %u", n);
	(void)snprintf(second, sizeof(second), "second %u", n);
	m = message_of(span_str(bytes), span_str(bytes), SPAN("AA"));
	m.entries = entries;
	m.n_entries = N_OF(entries);
	assert_int_equal(store_commit(s, &m, &receipt), 0);
	buffer_deinit(&receipt.answer);
}

static int
make_scene(void **state)
{
	struct scene *c = calloc(1, sizeof(*c));
	unsigned n;

	if (!c)
		return -1;
	c->p = new_place();
	(void)snprintf(c->waiting, sizeof(c->waiting), "%s/queue/ris", c->p->store);
	(void)snprintf(c->failed, sizeof(c->failed), "%s/failed/ris", c->p->store);
	assert_int_equal(store_open(&c->store, c->p->store, (struct store_reserve){ 0 }), 0);
	assert_int_equal(store_open_queue(&c->store, SPAN("ris")), 0);
	assert_int_equal(store_open_queue(&c->store, SPAN("archive")), 0);
	for (n = 0; n < MESSAGES; n++)
		commit_one(&c->store, n);
	assert_int_equal(queue_open(&c->q, c->p->store, "ris", false), 0);
	assert_int_equal(queue_list_waiting(&c->q, &c->list), 0);
	assert_int_equal(c->list.n, 2 * MESSAGES);
	*state = c;
	return 0;
}

static int
remove_scene(void **state)
{
	struct scene *c = *state;

	queue_list_deinit(&c->list);
	queue_close(&c->q);
	store_close(&c->store);
	drop_place(c->p);
	free(c);
	return 0;
}

static void
assert_content(int fd, const char *expected)
{
	struct buffer b = BUFFER_INIT(4096);

	assert_int_equal(queue_read(fd, &b), 0);
	assert_span_equal(buffer_span(&b), span_str(expected));
	buffer_deinit(&b);
}

static int
take(struct scene *c, size_t i)
{
	int fd = -1;

	assert_int_equal(queue_take(&c->q, &c->list.items[i], &fd), 0);
	return fd;
}

/* Fails the entry i. */
static void
fail_one(struct scene *c, size_t i, struct span reason)
{
	int fd = take(c, i);

	assert_int_equal(queue_fail(&c->q, &c->list.items[i], reason), 0);
	assert_int_equal(close(fd), 0);
}

static void
in_order(void **state)
{
	static const char *const expected[] = { "first 0", "second 0", "first 1", "second 1",
		"first 2", "second 2" };
	struct scene *c = *state;
	size_t i;

	for (i = 0; i < c->list.n; i++) {
		_cleanup_close_ int fd = take(c, i);

		assert_content(fd, expected[i]);
		assert_int_equal(queue_done(&c->q, &c->list.items[i]), 0);
	}
	assert_int_equal(files_in(c->waiting), 0);
	assert_int_equal(files_in(c->p->received), MESSAGES); /* stays */
}

/* A listing with less room has the first ones, in order, and counts the others. */
static void
first_ones(void **state)
{
	struct scene *c = *state;
	struct queue_list list;
	size_t i;

	c->q.list_max = MESSAGES;
	assert_int_equal(queue_list_waiting(&c->q, &list), 0);
	assert_in_range(list.n, 1, MESSAGES);
	assert_int_equal(list.n + list.n_later, 2 * MESSAGES);
	for (i = 0; i < list.n; i++)
		assert_int_equal(store_entry_compare(&list.items[i], &c->list.items[i]), 0);
	queue_list_deinit(&list);
}

static int
open_in(const char *folder, const char *name)
{
	char path[400];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

/* Names that are not ours are no entries, and are left alone. */
static void
foreign_names(void **state)
{
	struct scene *c = *state;
	struct queue_list list;
	size_t n;

	assert_int_equal(close(open_in(c->waiting, "README")), 0);
	assert_int_equal(close(open_in(c->waiting, ".hidden.hl7")), 0);
	assert_int_equal(queue_list_waiting(&c->q, &list), 0);
	assert_int_equal(list.n, 2 * MESSAGES);
	queue_list_deinit(&list);
	assert_int_equal(queue_sweep(&c->q, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(files_in(c->waiting), 2 * MESSAGES + 1);
}

/* --- entries that do not count --------------------------------------------------------------- */

/* As a process leaves it that was killed before its commit. */
static struct store_entry_name
leave_uncommitted(struct scene *c)
{
	const struct store_entry_name entry = { { clock_realtime_usec(), 4711, (uint32_t)getpid() },
		0 };
	char name[STORE_NAME_BYTES];

	store_entry_format(&entry, "hl7", name);
	assert_int_equal(close(open_in(c->waiting, name)), 0);
	return entry;
}

static void
uncommitted(void **state)
{
	struct scene *c = *state;
	const struct store_entry_name entry = leave_uncommitted(c);
	struct queue_list list;
	size_t n = 99;
	int fd = -1;

	assert_int_equal(queue_counts(&c->q, &entry), QUEUE_E_UNCOMMITTED);
	assert_int_equal(queue_take(&c->q, &entry, &fd), QUEUE_E_UNCOMMITTED);
	assert_int_equal(fd, -1);
	assert_int_equal(queue_list_waiting(&c->q, &list), 0);
	assert_int_equal(list.n, 2 * MESSAGES + 1); /* listed all the same */
	queue_list_deinit(&list);
	assert_int_equal(queue_sweep(&c->q, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(files_in(c->waiting), 2 * MESSAGES);
	assert_int_equal(queue_sweep(&c->q, &n), 0);
	assert_int_equal(n, 0);
}

/* While a commit to the queue is in the middle, what does not count yet may still come to. */
static void
sweep_beside_a_commit(void **state)
{
	struct scene *c = *state;
	int committing = open(c->waiting, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 99;

	(void)leave_uncommitted(c);
	assert_int_equal(flock(committing, LOCK_SH), 0);
	assert_int_equal(queue_sweep(&c->q, &n), QUEUE_E_BUSY);
	assert_int_equal(n, 0);
	assert_int_equal(files_in(c->waiting), 2 * MESSAGES + 1);
	assert_int_equal(close(committing), 0);
	assert_int_equal(queue_sweep(&c->q, &n), 0);
	assert_int_equal(n, 1);
}

/* What a sweep holds ends with it: the next commit is not held up. */
static void
commit_after_a_sweep(void **state)
{
	struct scene *c = *state;
	usec_t before = clock_monotonic_usec();
	size_t n;

	assert_int_equal(queue_sweep(&c->q, &n), 0);
	commit_one(&c->store, 77);
	assert_true(clock_monotonic_usec() - before < 5 * USEC_PER_SEC);
	assert_int_equal(files_in(c->waiting), 2 * MESSAGES + 2);
}

/* Its message was deleted from received/ by hand, or by age: it does not count any more. */
static void
message_deleted(void **state)
{
	struct scene *c = *state;
	char name[STORE_NAME_BYTES], path[300];

	store_name_format(&c->list.items[0].stem, "hl7", name);
	(void)snprintf(path, sizeof(path), "%s/%s", c->p->received, name);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(queue_counts(&c->q, &c->list.items[0]), QUEUE_E_UNCOMMITTED);
	assert_int_equal(queue_counts(&c->q, &c->list.items[2]), 0);
}

/* --- taking ---------------------------------------------------------------------------------- */

struct taking {
	struct scene *c;
	size_t i;
};

static int
try_take(const void *userdata)
{
	const struct taking *t = userdata;
	struct queue q;
	int fd = -1, r = queue_open(&q, t->c->p->store, "ris", false);

	return r ? 100 : queue_take(&q, &t->c->list.items[t->i], &fd);
}

static void
two_takers(void **state)
{
	struct taking t = { *state, 0 };
	int fd = take(t.c, 0), other = -1;

	assert_int_equal(status_of(begin(try_take, &t)), QUEUE_E_BUSY);
	assert_int_equal(queue_take(&t.c->q, &t.c->list.items[0], &other), QUEUE_E_BUSY);
	t.i = 1; /* the next one is free */
	assert_int_equal(status_of(begin(try_take, &t)), 0);
	t.i = 0;
	assert_int_equal(close(fd), 0); /* who took it let it be, or died */
	assert_int_equal(status_of(begin(try_take, &t)), 0);
	fd = take(t.c, 0);
	assert_int_equal(queue_done(&t.c->q, &t.c->list.items[0]), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(status_of(begin(try_take, &t)), QUEUE_E_GONE);
}

/* Each entry is delivered once, however many take at once. */
#define TAKERS 4

static int
drain(const void *userdata)
{
	const struct taking *t = userdata;
	struct queue q;
	int fd, r, n = 0;
	size_t i;

	if (queue_open(&q, t->c->p->store, "ris", false) != 0)
		return 100;
	for (i = 0; i < t->c->list.n; i++) {
		r = queue_take(&q, &t->c->list.items[i], &fd);
		if (r == QUEUE_E_GONE || r == QUEUE_E_BUSY)
			continue;
		if (r != 0 || queue_done(&q, &t->c->list.items[i]) != 0)
			return 101;
		n++;
		(void)close(fd);
	}
	return n;
}

static void
many_takers(void **state)
{
	struct taking t = { *state, 0 };
	pid_t pids[TAKERS];
	int sum = 0;
	size_t i;

	for (i = 0; i < TAKERS; i++)
		pids[i] = begin(drain, &t);
	for (i = 0; i < TAKERS; i++)
		sum += status_of(pids[i]);
	assert_int_equal(sum, 2 * MESSAGES);
	assert_int_equal(files_in(t.c->waiting), 0);
}

/* What is in an entry's place is no message: neither followed nor waited for. */
static void
no_regular_file(void **state)
{
	struct scene *c = *state;
	char name[STORE_NAME_BYTES], path[300];
	int fd = -1;

	store_entry_format(&c->list.items[0], "hl7", name);
	(void)snprintf(path, sizeof(path), "%s/%s", c->waiting, name);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(queue_take(&c->q, &c->list.items[0], &fd), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(queue_take(&c->q, &c->list.items[0], &fd) < 0);
	assert_int_equal(fd, -1);
}

/* --- dead letters ---------------------------------------------------------------------------- */

static void
failed_and_back(void **state)
{
	struct scene *c = *state;
	struct buffer reason = BUFFER_INIT(4096);
	struct queue_list list;
	int fd = -1;

	assert_int_equal(queue_list_failed(&c->q, &list), 0);
	assert_int_equal(list.n, 0);
	fail_one(c, 0, SPAN("answered AR"));
	assert_int_equal(files_in(c->waiting), 2 * MESSAGES - 1);
	assert_int_equal(files_in(c->failed), 2);
	assert_int_equal(queue_list_failed(&c->q, &list), 0);
	assert_int_equal(list.n, 1);
	assert_int_equal(store_entry_compare(&list.items[0], &c->list.items[0]), 0);
	assert_int_equal(queue_read_reason(&c->q, &list.items[0], &reason), 0);
	assert_span_equal(buffer_span(&reason), SPAN("answered AR"));
	buffer_deinit(&reason);
	assert_int_equal(queue_take(&c->q, &list.items[0], &fd), QUEUE_E_GONE);
	assert_int_equal(queue_take_failed(&c->q, &list.items[0], &fd), 0);
	assert_content(fd, "first 0");
	assert_int_equal(queue_retry(&c->q, &list.items[0]), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(files_in(c->failed), 0);
	queue_list_deinit(&list);
	assert_int_equal(queue_list_waiting(&c->q, &list), 0);
	assert_int_equal(list.n, 2 * MESSAGES); /* at the place that it had */
	assert_int_equal(store_entry_compare(&list.items[0], &c->list.items[0]), 0);
	queue_list_deinit(&list);
}

/* The last reason is told. */
static void
failed_twice(void **state)
{
	struct scene *c = *state;
	struct buffer reason = BUFFER_INIT(4096);
	char path[400], name[STORE_NAME_BYTES];

	fail_one(c, 1, SPAN("one"));
	assert_int_equal(queue_retry(&c->q, &c->list.items[1]), 0);
	/* of a move that was cut short */
	store_entry_format(&c->list.items[1], "txt", name);
	(void)snprintf(path, sizeof(path), "%s/%s", c->failed, name);
	assert_int_equal(close(open_in(c->failed, name)), 0);
	fail_one(c, 1, SPAN("another"));
	assert_int_equal(queue_read_reason(&c->q, &c->list.items[1], &reason), 0);
	assert_span_equal(buffer_span(&reason), SPAN("another"));
	buffer_deinit(&reason);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(queue_read_reason(&c->q, &c->list.items[1], &reason), -ENOENT);
	assert_int_equal(queue_delete_failed(&c->q, &c->list.items[1]), 0);
}

static void
deleted(void **state)
{
	struct scene *c = *state;
	int fd = -1;

	fail_one(c, 2, SPAN("why"));
	assert_int_equal(queue_take_failed(&c->q, &c->list.items[2], &fd), 0);
	assert_int_equal(queue_delete_failed(&c->q, &c->list.items[2]), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(files_in(c->failed), 0);
	assert_int_equal(queue_take_failed(&c->q, &c->list.items[2], &fd), QUEUE_E_GONE);
	assert_int_equal(queue_delete_failed(&c->q, &c->list.items[2]), -ENOENT);
}

/* The queue's folder went when it was empty: what failed finds its way back. */
static void
retry_without_a_queue(void **state)
{
	struct scene *c = *state;
	struct queue_list list;
	struct queue q;
	size_t i, n = 99;
	int fd = -1;

	fail_one(c, 0, SPAN("why"));
	for (i = 1; i < c->list.n; i++)
		assert_int_equal(queue_done(&c->q, &c->list.items[i]), 0);
	assert_int_equal(rmdir(c->waiting), 0);
	assert_int_equal(queue_open(&q, c->p->store, "ris", false), 0);
	assert_int_equal(queue_list_waiting(&q, &list), 0);
	assert_int_equal(list.n, 0);
	assert_int_equal(queue_sweep(&q, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(queue_take(&q, &c->list.items[1], &fd), QUEUE_E_GONE);
	assert_int_equal(queue_retry(&q, &c->list.items[0]), 0);
	assert_int_equal(queue_take(&q, &c->list.items[0], &fd), 0);
	assert_content(fd, "first 0");
	assert_int_equal(close(fd), 0);
	queue_close(&q);
}

/* --- reading --------------------------------------------------------------------------------- */

struct size_case {
	const char *name;
	size_t bytes, max;
	int wanted;
};

static const struct size_case sizes[] = {
	{ "an empty file", 0, 100, 0 },
	{ "a small one", 50, 100, 0 },
	{ "just the maximum", 100, 100, 0 },
	{ "a byte more", 101, 100, BUFFER_E_FULL },
	{ "a pageful, just", 16384, 16384, 0 },
	{ "a large one, just", 1000000, 1000000, 0 },
	{ "a large one, a byte more", 1000001, 1000000, BUFFER_E_FULL },
	{ "an empty file, no room", 0, 0, 0 },
	{ "a byte, no room", 1, 0, BUFFER_E_FULL },
};

static void
reading(void **state)
{
	const struct size_case *c = *state;
	struct buffer b = BUFFER_INIT(c->max);
	FILE *f = tmpfile();

	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), (off_t)c->bytes), 0);
	assert_int_equal(queue_read(fileno(f), &b), c->wanted);
	if (c->wanted == 0)
		assert_int_equal(b.n, c->bytes);
	buffer_deinit(&b);
	assert_int_equal(fclose(f), 0);
}

/* --- destinations ---------------------------------------------------------------------------- */

static void
destinations(void **state)
{
	struct scene *c = *state;
	struct queue_names names;
	char path[400];

	fail_one(c, 0, SPAN("why"));
	(void)snprintf(path, sizeof(path), "%s/failed/only-failed", c->p->store);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/queue/not.a.destination", c->p->store);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/queue", c->p->store);
	assert_int_equal(close(open_in(path, "file")), 0);
	assert_int_equal(close(open_in(path, ".ris")), 0);
	assert_int_equal(queue_names_read(c->p->store, &names), 0);
	assert_int_equal(names.n, 3);
	assert_string_equal(names.items[0], "archive");
	assert_string_equal(names.items[1], "only-failed");
	assert_string_equal(names.items[2], "ris");
	queue_names_deinit(&names);
}

static void
many_destinations(void **state)
{
	struct scene *c = *state;
	struct queue_names names;
	char path[400];
	unsigned i;

	for (i = 0; i < 100; i++) {
		(void)snprintf(path, sizeof(path), "%s/queue/d%02u", c->p->store, i);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_int_equal(queue_names_read(c->p->store, &names), 0);
	assert_int_equal(names.n, 102);
	assert_string_equal(names.items[1], "d00");
	assert_string_equal(names.items[100], "d99");
	queue_names_deinit(&names);
}

static void
what_is_not_there(void **state)
{
	const struct place *p = *state;
	struct queue_names names;
	struct queue q;

	assert_int_equal(queue_open(&q, p->store, "ris", false), -ENOENT);
	assert_int_equal(queue_open(&q, p->root, "ris", false), -ENOENT);
	assert_int_equal(queue_open(&q, p->root, "../ris", true), -EINVAL);
	assert_int_equal(queue_open(&q, p->root, "", true), -EINVAL);
	assert_int_equal(q.root, -1);
	assert_int_equal(queue_names_read(p->store, &names), -ENOENT);
	assert_int_equal(queue_names_read(p->root, &names), 0);
	assert_int_equal(names.n, 0);
	queue_names_deinit(&names);
	assert_int_equal(queue_open(&q, p->root, "ris", true), 0); /* made */
	queue_close(&q);
	assert_int_equal(queue_open(&q, p->root, "ris", false), 0);
	queue_close(&q);
	queue_close(&q);
}

static void
descriptors(void **state)
{
	struct scene *c = *state;
	size_t before = files_in("/proc/self/fd"), n;
	struct queue_names names;
	struct queue_list list;
	struct queue q;

	fail_one(c, 0, SPAN("why"));
	assert_int_equal(queue_retry(&c->q, &c->list.items[0]), 0);
	assert_int_equal(queue_list_failed(&c->q, &list), 0);
	queue_list_deinit(&list);
	assert_int_equal(queue_sweep(&c->q, &n), 0);
	assert_int_equal(queue_names_read(c->p->store, &names), 0);
	queue_names_deinit(&names);
	assert_int_equal(queue_open(&q, c->p->store, "ris", true), 0);
	queue_close(&q);
	queue_close(&c->q);
	assert_int_equal(queue_open(&c->q, c->p->store, "ris", true), 0);
	/* one is open more: failed/ris, which was not there before */
	assert_int_equal(files_in("/proc/self/fd"), before + 1);
}

static void
add(struct suite *s, const char *name, CMUnitTestFunction test)
{
	add_test(s, name, test);
	s->tests[s->n - 1].setup_func = make_scene;
	s->tests[s->n - 1].teardown_func = remove_scene;
}

int
main(void)
{
	static struct suite s;

	add(&s, "in the order of the commits", in_order);
	add(&s, "the first ones, where there is not room for all", first_ones);
	add(&s, "names that are not ours", foreign_names);
	add(&s, "an entry whose commit was not finished", uncommitted);
	add(&s, "a commit is in the middle", sweep_beside_a_commit);
	add(&s, "a commit after a sweep", commit_after_a_sweep);
	add(&s, "the received message was deleted", message_deleted);
	add(&s, "two take the same", two_takers);
	add(&s, "many take at once", many_takers);
	add(&s, "something else in an entry's place", no_regular_file);
	add(&s, "failed, and back again", failed_and_back);
	add(&s, "failed twice", failed_twice);
	add(&s, "a failed one deleted", deleted);
	add(&s, "back again where the queue is gone", retry_without_a_queue);
	add_cases(&s, reading, sizes);
	add(&s, "names of destinations", destinations);
	add(&s, "a hundred destinations", many_destinations);
	add_placed(&s, "a store, a destination that is not there", what_is_not_there);
	add(&s, "no descriptor is left open", descriptors);
	return run_suite("queue", &s);
}
