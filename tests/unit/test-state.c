/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "store/state.h"

#include "place.h"

#include <signal.h>

static int
open_root(const struct place *p)
{
	int root = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(root >= 0);
	assert_int_equal(mkdirat(root, "queue", 0750), 0);
	return root;
}

static void
assert_same(const struct state *a, const struct state *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->since_usec, b->since_usec);
	assert_int_equal(a->n_delivered, b->n_delivered);
	assert_int_equal(a->n_failed, b->n_failed);
	assert_int_equal(a->n_retries, b->n_retries);
	assert_int_equal(a->last_delivery_usec, b->last_delivery_usec);
	assert_int_equal(a->last_error_usec, b->last_error_usec);
	assert_string_equal(a->last_error, b->last_error);
}

struct state_case {
	const char *name;
	struct state state;
};

static const struct state_case states[] = {
	{ "nothing yet", { .kind = STATE_IDLE } },
	{ "delivering", { STATE_DELIVERING, 1, 2, 3, 4, 5, 6, "" } },
	{ "down, with an error", { STATE_DOWN, 7, 8, 9, 10, 11, 12, "ris: connection refused" } },
	{ "the largest figures", { STATE_DOWN, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
					 UINT64_MAX, UINT64_MAX,
					 "012345678901234567890123456789012345678901234567890123456"
					 "7890123456789012345678"
					 "901234567890123456789012345678901234567890123456789012345"
					 "6789012345678901234567"
					 "8" } },
};

static void
there_and_back(void **state)
{
	const struct state_case *c = *state;
	struct place *p;
	struct state read;
	bool running;
	int root, fd;

	p = new_place();
	root = open_root(p);
	assert_int_equal(state_open(root, "ris", &fd, &read), 0);
	assert_same(&read, &states[0].state);
	state_write(fd, &(struct state){ STATE_DOWN, 99, 99, 99, 99, 99, 99, "one before" });
	state_write(fd, &c->state);
	assert_int_equal(state_read(root, "ris", &read, &running), 0);
	assert_same(&read, &c->state);
	assert_true(running);
	assert_int_equal(close(fd), 0);
	assert_int_equal(state_read(root, "ris", &read, &running), 0);
	assert_false(running);
	assert_int_equal(state_open(root, "ris", &fd, &read), 0); /* the next forwarder goes on */
	assert_same(&read, &c->state);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(root), 0);
	drop_place(p);
}

static int
open_in_child(const void *userdata)
{
	const int *root = userdata;
	struct state read;
	int fd = -1;

	return state_open(*root, "ris", &fd, &read);
}

static void
one_forwarder(void **state)
{
	_cleanup_close_ int root = open_root(*state), fd = -1, other = -1;
	struct state read;

	assert_int_equal(state_open(root, "ris", &fd, &read), 0);
	assert_int_equal(state_open(root, "ris", &other, &read), STATE_E_LOCKED);
	assert_int_equal(other, -1);
	assert_int_equal(status_of(begin(open_in_child, &root)), STATE_E_LOCKED);
	assert_int_equal(
		state_open(root, "archive", &other, &read), 0); /* of another destination */
	cleanup_close(&fd);
	fd = -1;
	assert_int_equal(status_of(begin(open_in_child, &root)), 0);
}

static int
hold_and_die(const void *userdata)
{
	const int *root = userdata;
	struct state read;
	int fd = -1;

	if (state_open(*root, "ris", &fd, &read) != 0)
		return 1;
	state_write(fd, &(struct state){ .kind = STATE_DELIVERING, .n_delivered = 5 });
	(void)raise(SIGKILL);
	return 2;
}

static void
killed_forwarder(void **state)
{
	_cleanup_close_ int root = open_root(*state), fd = -1;
	struct state read;
	bool running = true;

	assert_int_equal(status_of(begin(hold_and_die, &root)), -1);
	assert_int_equal(state_read(root, "ris", &read, &running), 0);
	assert_false(running);
	assert_int_equal(read.kind, STATE_DELIVERING);
	assert_int_equal(read.n_delivered, 5);
	assert_int_equal(state_open(root, "ris", &fd, &read), 0);
}

/* Reading, again and again, never keeps a forwarder from starting. */
static void
readers(void **state)
{
	_cleanup_close_ int root = open_root(*state), fd = -1;
	struct state read;
	bool running;
	int i;

	assert_int_equal(state_read(root, "ris", &read, &running), -ENOENT);
	for (i = 0; i < 20; i++) {
		assert_int_equal(state_open(root, "ris", &fd, &read), 0);
		assert_int_equal(state_read(root, "ris", &read, &running), 0);
		assert_true(running);
		cleanup_close(&fd);
		fd = -1;
		assert_int_equal(state_read(root, "ris", &read, &running), 0);
		assert_false(running);
	}
}

struct text_case {
	const char *name;
	struct span text;
	struct state state;
};

static const struct text_case texts[] = {
	{ "empty", BYTES(""), { .kind = STATE_IDLE } },
	{ "garbage", BYTES("\0\xFF:::\n\n: \n"), { .kind = STATE_IDLE } },
	{ "an unknown state", BYTES("state: dancing\ndelivered: 3\n"), { .n_delivered = 3 } },
	{ "facts that are not known yet", BYTES("colour: red\nfailed: 2\n"), { .n_failed = 2 } },
	{ "no line's end", BYTES("retries: 17"), { .n_retries = 17 } },
	{ "no number", BYTES("retries: many\nsince: -1\n"), { .n_retries = 0 } },
	{ "cut in the middle", BYTES("state: down\nsince: 12\ndelive"),
		{ .kind = STATE_DOWN, .since_usec = 12 } },
};

/* A file that somebody wrote to, or that a power cut left old or short. */
static void
what_is_in_the_file(void **state)
{
	const struct text_case *c = *state;
	struct state read;
	struct place *p;
	char path[128];
	bool running;
	FILE *f;
	int root;

	p = new_place();
	root = open_root(p);
	(void)snprintf(path, sizeof(path), "%s/queue/.ris", p->root);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(c->text.p, 1, c->text.n, f), c->text.n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(state_read(root, "ris", &read, &running), 0);
	assert_same(&read, &c->state);
	assert_int_equal(close(root), 0);
	drop_place(p);
}

static void
names(void **state)
{
	(void)state;
	assert_string_equal(state_name(STATE_IDLE), "idle");
	assert_string_equal(state_name(STATE_DELIVERING), "delivering");
	assert_string_equal(state_name(STATE_DOWN), "down");
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, there_and_back, states);
	add_placed(&s, "one forwarder of a destination", one_forwarder);
	add_placed(&s, "a forwarder that was killed holds nothing back", killed_forwarder);
	add_placed(&s, "who reads holds nobody back", readers);
	add_cases(&s, what_is_in_the_file, texts);
	add_test(&s, "names of states", names);
	return run_suite("state", &s);
}
