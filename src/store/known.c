/* SPDX-License-Identifier: MIT */
#include "store/known.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "store/disk.h"
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define RECEIPT_ATTRIBUTE "user.hl7.receipt"

/* A receipt beside its answer. */
#define RECEIPT_HEAD_BYTES ((size_t)STORE_NAME_BYTES + 1)

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
		rest[1] <= '0' + KNOWN_NUMBER_MAX) {
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

/* --- receipts -------------------------------------------------------------------------------- */

static void
receipt_name(const char *key_name, char ret[KNOWN_NAME_BYTES])
{
	(void)snprintf(ret, KNOWN_NAME_BYTES, "%s", key_name);
	ret[1] = 'a';
}

static int
write_receipt(const char *name, struct span answer, struct buffer *out)
{
	int r = buffer_append(out, span_str(name));

	if (r == 0)
		r = buffer_append_byte(out, '\n');
	if (r == 0)
		r = buffer_append(out, answer);
	return r;
}

static int
set_attribute(int fd, struct span receipt)
{
	if (fsetxattr(fd, RECEIPT_ATTRIBUTE, receipt.p, receipt.n, 0) == 0)
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
known_keep_receipt(int fd, const char *name, struct span answer)
{
	struct buffer receipt = BUFFER_INIT(RECEIPT_HEAD_BYTES + answer.n);
	int r;

	/* the kernel would say the same to a copy */
	if (answer.n > XATTR_SIZE_MAX)
		return KNOWN_E_NO_ATTRIBUTES;
	r = write_receipt(name, answer, &receipt);
	if (r == 0)
		r = set_attribute(fd, buffer_span(&receipt));
	buffer_deinit(&receipt);
	return r;
}

/* The same in a file, synced. */
static int
write_receipt_file(int received, const char *name, struct span answer, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	int r = disk_write(received, span_str(name), &fd);

	if (r == 0)
		r = disk_write_more(fd, SPAN("\n"));
	if (r == 0)
		r = disk_write_more(fd, answer); /* not a copy: it may be large */
	if (r == 0)
		r = disk_sync(fd);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

int
known_keep_receipt_file(int received, const char *key_name, const char *name, struct span answer)
{
	_cleanup_close_ int fd = -1;
	char receipt[KNOWN_NAME_BYTES];
	int r = write_receipt_file(received, name, answer, &fd);

	if (r < 0)
		return r;
	receipt_name(key_name, receipt);
	/* of a commit that was not finished */
	if (unlinkat(received, receipt, 0) < 0 && errno != ENOENT)
		return -errno;
	return disk_link(fd, received, receipt);
}

static int
read_attribute(int fd, struct buffer *ret)
{
	ssize_t n = fgetxattr(fd, RECEIPT_ATTRIBUTE, NULL, 0);
	int r;

	if (n < 0)
		return errno == ENOTSUP ? -ENODATA : -errno;
	r = buffer_reserve(ret, (size_t)n + 1); /* not 0, which would ask for the size again */
	if (r)
		return r < 0 ? r : -EFBIG;
	n = fgetxattr(fd, RECEIPT_ATTRIBUTE, ret->p, (size_t)n + 1);
	if (n < 0)
		return -errno;
	ret->n = (size_t)n;
	return 0;
}

static int
read_file(int received, const char *key_name, struct buffer *ret)
{
	_cleanup_close_ int fd = -1;
	char name[KNOWN_NAME_BYTES];
	ssize_t n;
	int r;

	receipt_name(key_name, name);
	fd = openat(received, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? -ENODATA : -errno;
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
known_read_receipt(int received, int fd, const char *key_name, char ret_name[STORE_NAME_BYTES],
	struct buffer *ret_answer)
{
	size_t n;
	int r = read_attribute(fd, ret_answer);

	ret_name[0] = 0;
	if (r == -ENODATA && key_name)
		r = read_file(received, key_name, ret_answer);
	if (r < 0)
		return r;
	n = span_find(buffer_span(ret_answer), '\n');
	if (n == ret_answer->n || n >= STORE_NAME_BYTES)
		return -ENODATA; /* no program of ours wrote it */
	memcpy(ret_name, ret_answer->p, n);
	ret_name[n] = 0;
	buffer_drop_front(ret_answer, n + 1);
	return 0;
}

/* The name alone. */
static int
read_own_name(int received, int fd, const char *key_name, char ret_name[STORE_NAME_BYTES])
{
	struct buffer answer = BUFFER_INIT(SIZE_MAX / 2);
	int r = known_read_receipt(received, fd, key_name, ret_name, &answer);

	buffer_deinit(&answer);
	return r;
}

static int
is_message_of(const struct dirent *d, void *userdata)
{
	const ino_t *inode = userdata;
	struct store_stem stem;

	return d->d_ino == *inode && store_name_parse(d->d_name, "hl7", &stem);
}

/* Looks through the whole folder: 1, 0 or a negative errno. Only where there is no receipt, as in a
 * backup that left attributes out. */
static int
has_message_name(int received, ino_t inode)
{
	return folder_read(received, is_message_of, &inode);
}

/* Whether a file of a message, that of the .k name `key_name` or any, is committed: 1, 0 or a
 * negative errno. */
static int
is_committed(int received, int fd, const char *key_name)
{
	char name[STORE_NAME_BYTES];
	struct store_stem stem;
	struct stat ours, there;
	int r = read_own_name(received, fd, key_name, name);

	if (r < 0 && r != -ENODATA)
		return r;
	if (fstat(fd, &ours) < 0)
		return -errno;
	if (r == -ENODATA || !store_name_parse(name, "hl7", &stem))
		return has_message_name(received, ours.st_ino);
	if (fstatat(received, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* --- claims ---------------------------------------------------------------------------------- */

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
	r = is_committed(received, fd, name);
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

	for (n = 0; n <= KNOWN_NUMBER_MAX && r == HOLDER_OTHER; n++) {
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
		r = is_committed(received, fd, ret_name);
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

	for (round = 0; round < CLAIM_ROUNDS_MAX && n <= KNOWN_NUMBER_MAX; round++) {
		numbered_name(key, n, ret_name);
		r = claim_name(received, fd, ret_name, bytes, deadline, ret_twin);
		if (r != HOLDER_GONE && r != HOLDER_OTHER)
			return r;
		n += r == HOLDER_OTHER;
	}
	ret_name[0] = 0;
	return r == HOLDER_OTHER ? 0 : -EBUSY;
}

/* --- notes of control ids -------------------------------------------------------------------- */

int
known_read_note(int received, const char *identity, char ret_name[STORE_NAME_BYTES])
{
	_cleanup_close_ int fd = -1;
	int r = open_name(received, identity, &fd);

	if (r)
		return r == HOLDER_GONE ? -ENOENT : r;
	return read_own_name(received, fd, NULL, ret_name);
}

int
known_note_first(int received, int fd, const struct known_key *key)
{
	return disk_link(fd, received, key->identity);
}

bool
known_take_first_back(int received, int fd, const struct known_key *key)
{
	struct stat ours, there;

	if (fstat(fd, &ours) < 0 ||
		fstatat(received, key->identity, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return ours.st_ino == there.st_ino && unlinkat(received, key->identity, 0) == 0;
}

/* Whether the note's message is gone; 1, 0 or a negative errno. */
static int
is_stale(int received, const char *identity)
{
	_cleanup_close_ int fd = -1;
	int r = open_name(received, identity, &fd);

	if (r == 0)
		r = is_committed(received, fd, NULL);
	else if (r == HOLDER_GONE)
		return 0;
	return r < 0 ? r : r == 0;
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

int
known_has_first(int received, const struct known_key *key)
{
	bool gone = false;
	int r;

	if (faccessat(received, key->identity, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	r = known_forget_first(received, key->identity, false, &gone);
	return r < 0 ? r : !gone;
}

/* The claim of the open file is dropped if nothing came of it. */
static int
forget_claim(int received, const char *name, int fd, bool dry_run, bool *ret_gone)
{
	int r = disk_lock(fd, LOCK_EX, 0);

	if (r == 0)
		r = is_committed(received, fd, name);
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
