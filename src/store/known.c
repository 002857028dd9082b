/* SPDX-License-Identifier: MIT */
#include "store/known.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ANSWER_ATTRIBUTE "user.hl7.ack"
#define NAME_ATTRIBUTE   "user.hl7.name"

/* Other messages with the same hash: with 128 bits none, unless somebody made them. */
#define SAME_HASH_MAX 4

/* The names of one message and one hash change this often at most while it is claimed. */
#define CLAIM_ROUNDS_MAX 1000

/* Why a name could not be had; internal to this file. */
enum {
	HOLDER_GONE = 100, /* the name is free again */
	HOLDER_OTHER,      /* other bytes with the same hash */
};

void
known_key(struct known_key *ret, struct span bytes, struct span application, struct span facility,
	struct span control_id)
{
	char hex[HASH_HEX_BYTES];
	struct hash h;

	hash_init(&h);
	hash_add(&h, bytes);
	hash_end_hex(&h, hex);
	(void)snprintf(ret->content, KNOWN_KEY_BYTES, ".k%s", hex);
	hash_init(&h);
	hash_add_piece(&h, application);
	hash_add_piece(&h, facility);
	hash_add_piece(&h, control_id);
	hash_end_hex(&h, hex);
	(void)snprintf(ret->identity, KNOWN_KEY_BYTES, ".i%s", hex);
}

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
parse_hash(const char *hex, uint8_t ret[16])
{
	int high, low;
	size_t i;

	for (i = 0; i < 16; i++) {
		high = digit_of(hex[2 * i]);
		low = high < 0 ? -1 : digit_of(hex[2 * i + 1]);
		if (low < 0)
			return false;
		ret[i] = (uint8_t)(16 * high + low);
	}
	return true;
}

/* In the order of the enum. */
static const char kinds[] = "kai";

bool
known_name_parse(const char *name, struct known_name *ret)
{
	const char *kind = name[0] == '.' && name[1] ? strchr(kinds, name[1]) : NULL;
	const char *rest;

	if (!kind || !parse_hash(name + 2, ret->hash))
		return false;
	ret->kind = (enum known_kind)(kind - kinds);
	ret->number = 0;
	rest = name + KNOWN_KEY_BYTES - 1;
	if (ret->kind != KNOWN_IDENTITY && rest[0] == '.' && rest[1] > '0' &&
		rest[1] < '0' + SAME_HASH_MAX) {
		ret->number = (uint32_t)(rest[1] - '0');
		rest += 2;
	}
	return *rest == 0;
}

void
known_name_format(const struct known_name *name, char ret[KNOWN_NAME_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	ret[0] = '.';
	ret[1] = kinds[name->kind];
	for (i = 0; i < 16; i++) {
		ret[2 + 2 * i] = digits[name->hash[i] >> 4];
		ret[3 + 2 * i] = digits[name->hash[i] & 15];
	}
	ret[KNOWN_KEY_BYTES - 1] = 0;
	if (name->number > 0)
		(void)snprintf(ret + KNOWN_KEY_BYTES - 1, KNOWN_NAME_BYTES - KNOWN_KEY_BYTES + 1,
			".%u", name->number);
}

int
known_hash_file(int fd, uint8_t ret[16])
{
	uint8_t chunk[64 * 1024];
	struct hash h;
	off_t at = 0;
	ssize_t n;

	hash_init(&h);
	while ((n = pread(fd, chunk, sizeof(chunk), at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		hash_add(&h, span_of(chunk, (size_t)n));
		at += n;
	}
	hash_end(&h, ret);
	return 0;
}

static void
numbered_name(const struct known_key *key, unsigned n, char ret[KNOWN_NAME_BYTES])
{
	if (n == 0)
		(void)snprintf(ret, KNOWN_NAME_BYTES, "%s", key->content);
	else
		(void)snprintf(ret, KNOWN_NAME_BYTES, "%s.%u", key->content, n);
}

static int
open_name(int received, const char *name, int *ret_fd)
{
	int fd = openat(received, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOENT ? HOLDER_GONE : -errno;
	*ret_fd = fd;
	return 0;
}

/* Opens what has the name if it has these bytes: 0, a HOLDER condition or a negative errno. */
static int
open_holder(int received, const char *name, struct span bytes, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r = open_name(received, name, &fd);

	if (r == 0)
		r = disk_compare(fd, bytes);
	if (r < 0 || r == HOLDER_GONE)
		return r;
	if (r == 0)
		return HOLDER_OTHER;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int
known_read_name(int fd, char ret[STORE_NAME_BYTES])
{
	ssize_t n = fgetxattr(fd, NAME_ATTRIBUTE, ret, STORE_NAME_BYTES - 1);

	if (n < 0) /* one that is too long is none of ours */
		return errno == ENOTSUP || errno == ERANGE ? -ENODATA : -errno;
	ret[n] = 0;
	return 0;
}

/* Whether the file of a .k is that of a message: 1, 0 or a negative errno. */
static int
is_committed(int received, int fd)
{
	char name[STORE_NAME_BYTES];
	struct store_stem stem;
	struct stat ours, there;
	int r = known_read_name(fd, name);

	if (fstat(fd, &ours) < 0)
		return -errno;
	if (r == -ENODATA)
		return ours.st_nlink > 1;
	if (r < 0 || !store_name_parse(name, "hl7", &stem)) /* what no program of ours wrote */
		return r;
	if (fstatat(received, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* Removes the name if it still is that of this file. */
static int
remove_if_same(int received, const char *name, int fd)
{
	struct stat ours, there;

	if (fstat(fd, &ours) < 0)
		return -errno;
	if (fstatat(received, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
		return 0;
	return unlinkat(received, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Who has the name, once his commit is over: KNOWN_E_DUPLICATE, a HOLDER condition or a negative
 * errno. */
static int
judge_holder(int received, const char *name, struct span bytes, usec_t deadline, int *ret_twin)
{
	_cleanup_close_ int fd = -1;
	int r = open_holder(received, name, bytes, &fd);

	if (r == 0)
		r = disk_lock(fd, LOCK_EX, deadline);
	if (r)
		return r;
	r = is_committed(received, fd);
	if (r == 1) {
		*ret_twin = steal_fd(&fd);
		return KNOWN_E_DUPLICATE;
	}
	if (r == 0)
		r = remove_if_same(received, name, fd);
	return r < 0 ? r : HOLDER_GONE;
}

int
known_find(int received, const struct known_key *key, struct span bytes,
	char ret_name[KNOWN_NAME_BYTES], int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r = HOLDER_OTHER;
	unsigned n;

	for (n = 0; n < SAME_HASH_MAX && r == HOLDER_OTHER; n++) {
		numbered_name(key, n, ret_name);
		r = open_holder(received, ret_name, bytes, &fd);
	}
	if (r > 0)
		return 0;
	if (r == 0)
		r = disk_lock(fd, LOCK_SH, 0);
	if (r == -ETIMEDOUT)
		return 0; /* in the middle of its commit: known_claim() waits */
	if (r == 0)
		r = is_committed(received, fd);
	if (r <= 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return KNOWN_E_DUPLICATE;
}

/* One try at one name. */
static int
claim_name(
	int received, int fd, const char *name, struct span bytes, usec_t deadline, int *ret_twin)
{
	int r = disk_link(fd, received, name);

	return r == -EEXIST ? judge_holder(received, name, bytes, deadline, ret_twin) : r;
}

int
known_claim(int received, int fd, const struct known_key *key, struct span bytes, usec_t deadline,
	char ret_name[KNOWN_NAME_BYTES], int *ret_twin)
{
	unsigned n = 0, round;
	int r = HOLDER_GONE;

	for (round = 0; round < CLAIM_ROUNDS_MAX && n < SAME_HASH_MAX; round++) {
		numbered_name(key, n, ret_name);
		r = claim_name(received, fd, ret_name, bytes, deadline, ret_twin);
		if (r != HOLDER_GONE && r != HOLDER_OTHER)
			return r;
		n += r == HOLDER_OTHER;
	}
	ret_name[0] = 0;
	return r == HOLDER_OTHER ? 0 : -EBUSY;
}

static void
answer_name(const char *name, char ret[KNOWN_NAME_BYTES])
{
	(void)snprintf(ret, KNOWN_NAME_BYTES, "%s", name);
	ret[1] = 'a';
}

int
known_keep_name(int fd, const char *name)
{
	if (fsetxattr(fd, NAME_ATTRIBUTE, name, strlen(name), 0) == 0)
		return 0;
	return errno == ENOTSUP || errno == EPERM ? 0 : -errno;
}

int
known_keep_answer(int fd, struct span answer)
{
	if (fsetxattr(fd, ANSWER_ATTRIBUTE, answer.n ? (const void *)answer.p : "", answer.n, 0) ==
		0)
		return 0;
	switch (errno) {
	case ENOTSUP: /* no attributes here, none of this size, none for us */
	case E2BIG:
	case ENOSPC:
	case ERANGE:
	case EPERM: return KNOWN_E_NO_ATTRIBUTES;
	default: return -errno;
	}
}

int
known_keep_answer_file(int received, const char *name, struct span answer)
{
	_cleanup_close_ int fd = -1;
	char file[KNOWN_NAME_BYTES];
	int r = disk_write_synced(received, answer, &fd);

	if (r < 0)
		return r;
	answer_name(name, file);
	/* of a commit that was not finished */
	if (unlinkat(received, file, 0) < 0 && errno != ENOENT)
		return -errno;
	return disk_link(fd, received, file);
}

static int
read_attribute(int fd, struct buffer *ret)
{
	ssize_t n = fgetxattr(fd, ANSWER_ATTRIBUTE, NULL, 0);
	int r;

	if (n < 0)
		return errno == ENOTSUP ? -ENODATA : -errno;
	r = buffer_reserve(ret, (size_t)n + 1); /* not 0, which would ask for the size again */
	if (r)
		return r < 0 ? r : -EFBIG;
	n = fgetxattr(fd, ANSWER_ATTRIBUTE, ret->p, (size_t)n + 1);
	if (n < 0)
		return -errno;
	ret->n = (size_t)n;
	return 0;
}

static int
read_file(int fd, struct buffer *ret)
{
	ssize_t n;
	int r;

	do {
		r = buffer_reserve(ret, 4096);
		if (r)
			return r < 0 ? r : -EFBIG;
		n = read(fd, ret->p + ret->n, ret->allocated - ret->n);
		if (n < 0 && errno != EINTR)
			return -errno;
		ret->n += n > 0 ? (size_t)n : 0;
	} while (n != 0);
	return 0;
}

int
known_read_answer(int received, int fd, const char *name, struct buffer *ret)
{
	_cleanup_close_ int file = -1;
	char path[KNOWN_NAME_BYTES];
	int r = read_attribute(fd, ret);

	if (r != -ENODATA)
		return r;
	answer_name(name, path);
	r = open_name(received, path, &file);
	if (r == HOLDER_GONE)
		return -ENODATA;
	return r < 0 ? r : read_file(file, ret);
}

int
known_first(int received, const struct known_key *key, char ret_name[STORE_NAME_BYTES])
{
	ssize_t n = readlinkat(received, key->identity, ret_name, STORE_NAME_BYTES - 1);

	if (n < 0)
		return -errno;
	ret_name[n] = 0;
	return 0;
}

int
known_note_first(int received, const struct known_key *key, const char *name)
{
	return symlinkat(name, received, key->identity) < 0 ? -errno : 0;
}

int
known_take_first_back(int received, const struct known_key *key, const char *name)
{
	char first[STORE_NAME_BYTES];
	int r = known_first(received, key, first);

	if (r < 0)
		return r;
	if (strcmp(first, name) != 0)
		return -ENOENT;
	return unlinkat(received, key->identity, 0) < 0 ? -errno : 0;
}

/* Whether the note's message is gone; 1, 0 or a negative errno. */
static int
is_stale(int received, const char *identity)
{
	char first[STORE_NAME_BYTES];
	ssize_t n = readlinkat(received, identity, first, sizeof(first) - 1);

	if (n < 0)
		return errno == ENOENT ? 0 : -errno;
	first[n] = 0;
	if (faccessat(received, first, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return errno == ENOENT ? 1 : -errno;
}

int
known_forget_first(int received, const char *identity, bool dry_run, bool *ret_gone)
{
	_cleanup_close_ int lock = -1;
	int r = is_stale(received, identity);

	*ret_gone = r == 1 && dry_run;
	if (r <= 0 || dry_run)
		return r < 0 ? r : 0;
	/* an open file of its own: what forked processes share is one holder to flock() */
	lock = openat(received, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return -errno;
	r = disk_lock(lock, LOCK_EX, deadline_in(DISK_LOCK_WAIT_USEC));
	if (r == 0)
		r = is_stale(received, identity); /* nobody replaces it from here on */
	if (r == 1 && unlinkat(received, identity, 0) < 0)
		r = errno == ENOENT ? 0 : -errno;
	*ret_gone = r == 1;
	return r < 0 ? r : 0;
}

/* The claim of the open file is dropped if nothing came of it. */
static int
forget_claim(int received, const char *name, int fd, bool dry_run, bool *ret_gone)
{
	int r = disk_lock(fd, LOCK_EX, 0);

	if (r == 0)
		r = is_committed(received, fd);
	if (r < 0)
		return r == -ETIMEDOUT ? 0 : r; /* in the middle of its commit */
	*ret_gone = r == 0;
	return r == 0 && !dry_run ? remove_if_same(received, name, fd) : 0;
}

int
known_forget_claim(int received, const char *name, bool dry_run, bool *ret_gone)
{
	_cleanup_close_ int fd = -1;
	int r = open_name(received, name, &fd);

	*ret_gone = false;
	if (r)
		return r == HOLDER_GONE ? 0 : r;
	return forget_claim(received, name, fd, dry_run, ret_gone);
}
