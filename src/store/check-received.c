/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "base/vector.h"
#include "store/check-parts.h"
#include "store/disk.h"
#include "store/folder.h"
#include "store/known.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER "received"

/* A message, and one of its hidden names .k…: the same file, found by its inode. */
struct item {
	struct store_stem stem;
	uint64_t inode;
	uint8_t hash[16]; /* of its bytes, with --deep */
};

struct key {
	uint64_t inode;
	uint8_t hash[16];
	uint32_t number;
};

struct received {
	struct check *c;
	int folder;
	VECTOR(struct item) messages;
	VECTOR(struct key) keys;
	bool paused;
};

/* --- reading the folder ---------------------------------------------------------------------- */

static int
add_item(struct received *v, const struct dirent *d, const struct store_stem *stem)
{
	const struct item item = { .stem = *stem, .inode = d->d_ino };

	return VECTOR_APPEND(&v->messages, item) ? 0 : -ENOMEM;
}

static int
add_key(struct received *v, const struct dirent *d, const struct known_name *name)
{
	struct key key = { .inode = d->d_ino, .number = name->number };

	memcpy(key.hash, name->hash, sizeof(key.hash));
	return VECTOR_APPEND(&v->keys, key) ? 0 : -ENOMEM;
}

/* An answer's message is claimed before and given up behind it. */
static int
judge_answer(struct received *v, const char *name, const struct known_name *answer)
{
	struct known_name key = *answer;
	char content[KNOWN_NAME_BYTES];

	key.kind = KNOWN_CONTENT;
	known_name_format(&key, content);
	if (folder_has(v->folder, content) == 0 && folder_has(v->folder, name) == 1)
		check_tell(v->c, CHECK_LEFTOVER, FOLDER, name, "an answer without its message");
	return 0;
}

/* 1 with the name that a note is of, 0 where it is gone or cannot be told, or a negative errno. */
static int
read_note(struct received *v, const char *name, char ret[STORE_NAME_BYTES])
{
	int r = known_read_note(v->folder, name, ret);

	if (r == -ENOENT || r == -ENODATA)
		return 0;
	return r < 0 ? r : 1;
}

/* The note of a control id is made behind its message, and replaced when that is gone. */
static int
judge_note(struct received *v, const char *name)
{
	char first[STORE_NAME_BYTES], again[STORE_NAME_BYTES];
	struct store_stem stem;
	int r = read_note(v, name, first);

	if (r <= 0)
		return r;
	if (!store_name_parse(first, "hl7", &stem)) {
		check_tell(v->c, CHECK_ERROR, FOLDER, name, "names no message");
		return 0;
	}
	if (folder_has(v->folder, first) != 0)
		return 0;
	r = read_note(v, name, again);
	if (r <= 0 || strcmp(first, again) != 0)
		return r < 0 ? r : 0;
	check_tell(v->c, CHECK_LEFTOVER, FOLDER, name, "the note of a message that is gone");
	return stems_add(&v->c->notes, &stem);
}

static int
take_name(const struct dirent *d, void *userdata)
{
	struct received *v = userdata;
	struct store_stem stem;
	struct known_name name;

	check_count(v->c);
	if (store_name_parse(d->d_name, "hl7", &stem))
		return add_item(v, d, &stem);
	if (!known_name_parse(d->d_name, &name)) {
		check_tell(v->c, CHECK_WARNING, FOLDER, d->d_name, "is no file of the store");
		return 0;
	}
	switch (name.kind) {
	case KNOWN_CONTENT: return add_key(v, d, &name);
	case KNOWN_ANSWER: return judge_answer(v, d->d_name, &name);
	case KNOWN_IDENTITY: return judge_note(v, d->d_name);
	}
	return 0;
}

/* --- messages and their .k names ------------------------------------------------------------- */

static int
compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int
compare_items(const void *a, const void *b)
{
	return compare(((const struct item *)a)->inode, ((const struct item *)b)->inode);
}

static int
compare_keys(const void *a, const void *b)
{
	return compare(((const struct key *)a)->inode, ((const struct key *)b)->inode);
}

static void
item_name(const struct item *item, char ret[STORE_NAME_BYTES])
{
	store_name_format(&item->stem, "hl7", ret);
}

static void
key_name(const struct key *key, char ret[KNOWN_NAME_BYTES])
{
	struct known_name name = { .kind = KNOWN_CONTENT, .number = key->number };

	memcpy(name.hash, key->hash, sizeof(name.hash));
	known_name_format(&name, ret);
}

static bool
has_inode(int folder, const char *name, ino_t inode)
{
	struct stat st;

	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == inode;
}

/* Whether one of the .k names of this hash is the file's. */
static bool
has_key(int folder, const uint8_t hash[16], ino_t inode)
{
	struct known_name key = { .kind = KNOWN_CONTENT };
	char name[KNOWN_NAME_BYTES];

	memcpy(key.hash, hash, sizeof(key.hash));
	for (key.number = 0; key.number <= KNOWN_NUMBER_MAX; key.number++) {
		known_name_format(&key, name);
		if (has_inode(folder, name, inode))
			return true;
	}
	return false;
}

/* Whether a message has no .k name: 1, 0 or a negative errno. */
static int
is_keyless(struct received *v, const char *name)
{
	_cleanup_close_ int fd =
		openat(v->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	uint8_t hash[16];
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0; /* told as what it is */
	r = known_hash_file(fd, hash);
	return r < 0 ? r : !has_key(v->folder, hash, st.st_ino);
}

static int
judge_keyless(struct received *v, const struct item *item)
{
	char name[STORE_NAME_BYTES];
	int r;

	item_name(item, name);
	r = is_keyless(v, name); /* .k may have come behind the place that was read */
	if (r <= 0)
		return r;
	if (!v->paused)
		check_pause(); /* who removes a message removes its .k first */
	v->paused = true;
	r = is_keyless(v, name);
	if (r == 1)
		check_tell(v->c, CHECK_WARNING, FOLDER, name,
			"has no .k name: if it is sent again, it is stored again");
	return r < 0 ? r : 0;
}

struct search {
	uint64_t inode;
};

static int
is_wanted(const struct dirent *d, void *userdata)
{
	const struct search *s = userdata;
	struct store_stem stem;

	return d->d_ino == s->inode && store_name_parse(d->d_name, "hl7", &stem);
}

/* A .k whose message was not in the folder when that was read. */
static int
judge_key(struct received *v, const struct key *key)
{
	struct search s = { 0 };
	char name[KNOWN_NAME_BYTES];
	struct stat st;
	bool leftover;
	int r;

	key_name(key, name);
	r = known_forget_claim(v->folder, name, true, &leftover);
	if (r < 0)
		return r;
	if (leftover) {
		check_tell(v->c, CHECK_LEFTOVER, FOLDER, name, "of a commit that was not finished");
		return 0;
	}
	/* committed since, by this process or by one that took the name over from a dead one; or
	 * with a second name that is not here. Before a message's name goes its .k goes. */
	if (fstatat(v->folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink < 2)
		return 0;
	s.inode = st.st_ino;
	r = folder_read(v->folder, is_wanted, &s);
	if (r == 0 && has_inode(v->folder, name, st.st_ino))
		check_tell(v->c, CHECK_ERROR, FOLDER, name,
			"its file has another name outside of this folder: if this message is "
			"sent, it is taken for stored");
	return r < 0 ? r : 0;
}

/* Finds for each message its .k, both sorted by their inodes. */
static int
match_names(
	struct received *v, int (*call)(struct received *v, struct item *i, const struct key *k))
{
	size_t i = 0, k = 0;
	int r = 0;

	while (r == 0 && (i < v->messages.n || k < v->keys.n)) {
		struct item *item = i < v->messages.n ? &v->messages.items[i] : NULL;
		const struct key *key = k < v->keys.n ? &v->keys.items[k] : NULL;
		int order = !item ? 1 : !key ? -1 : compare(item->inode, key->inode);

		r = call(v, order <= 0 ? item : NULL, order >= 0 ? key : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	return r;
}

static int
judge_pair(struct received *v, struct item *item, const struct key *key)
{
	char name[STORE_NAME_BYTES];
	int r = 0;

	if (item && !key)
		r = judge_keyless(v, item);
	else if (key && !item)
		r = judge_key(v, key);
	if (r < 0 || !item)
		return r;
	item_name(item, name);
	r = check_file(v->c, v->folder, FOLDER, name);
	return r == -ENOENT ? 0 : r; /* expired */
}

/* --- what the messages say ------------------------------------------------------------------- */

static int
open_item(struct received *v, const struct item *item, char name[STORE_NAME_BYTES], int *ret_fd)
{
	int fd;

	item_name(item, name);
	fd = openat(v->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int
read_pair(struct received *v, struct item *item, const struct key *key)
{
	_cleanup_close_ int fd = -1;
	char name[STORE_NAME_BYTES];
	int r;

	if (!item)
		return 0;
	check_count(v->c);
	r = open_item(v, item, name, &fd);
	if (r == 0)
		r = known_hash_file(fd, item->hash);
	if (r < 0 && r != -ENOENT)
		check_tell(v->c, CHECK_ERROR, FOLDER, name, strerrordesc_np(-r));
	if (r < 0) /* the inode in its place, so that it is nobody's twin */
		memcpy(item->hash, &item->inode, sizeof(item->inode));
	else if (key && memcmp(item->hash, key->hash, sizeof(item->hash)) != 0)
		check_tell(v->c, CHECK_ERROR, FOLDER, name,
			"its bytes are not those that it was stored with");
	return 0;
}

static int
compare_hashes(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int r = memcmp(x->hash, y->hash, sizeof(x->hash));

	return r ? r : store_stem_compare(&x->stem, &y->stem);
}

/* Whether both are there and have the same bytes. */
static bool
are_same(struct received *v, const struct item *a, const struct item *b)
{
	_cleanup_close_ int x = -1, y = -1;
	char name[STORE_NAME_BYTES];

	return open_item(v, a, name, &x) == 0 && open_item(v, b, name, &y) == 0 &&
	       disk_compare_files(x, y) == 1;
}

static int
read_messages(struct received *v)
{
	char name[STORE_NAME_BYTES];
	size_t i;
	int r = match_names(v, read_pair);

	if (r == 0 && v->messages.n > 0)
		qsort(v->messages.items, v->messages.n, sizeof(*v->messages.items), compare_hashes);
	for (i = 1; r == 0 && i < v->messages.n; i++) {
		if (memcmp(v->messages.items[i].hash, v->messages.items[i - 1].hash,
			    sizeof(v->messages.items[i].hash)) != 0 ||
			!are_same(v, &v->messages.items[i - 1], &v->messages.items[i]))
			continue;
		item_name(&v->messages.items[i], name);
		check_tell(v->c, CHECK_ERROR, FOLDER, name,
			"is stored twice: the message before it has the same bytes");
	}
	return r;
}

/* --- the folder ------------------------------------------------------------------------------ */

static int
judge_all(struct received *v)
{
	int r = folder_read(v->folder, take_name, v);

	if (r < 0)
		return r;
	v->c->counts->n_received = v->messages.n;
	stems_sort(&v->c->notes);
	if (v->messages.n > 0)
		qsort(v->messages.items, v->messages.n, sizeof(*v->messages.items), compare_items);
	if (v->keys.n > 0)
		qsort(v->keys.items, v->keys.n, sizeof(*v->keys.items), compare_keys);
	r = match_names(v, judge_pair);
	return r == 0 && v->c->o->deep ? read_messages(v) : r;
}

int
check_received(struct check *c)
{
	_cleanup_close_ int folder = -1;
	struct received v = { .c = c };
	int r = disk_open_existing_dir(c->root, FOLDER, &folder);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	v.folder = folder;
	r = check_folder(c, folder, FOLDER);
	if (r == 0)
		r = judge_all(&v);
	free(v.messages.items);
	free(v.keys.items);
	return r;
}
