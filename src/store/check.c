/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "store/check-parts.h"
#include "store/disk.h"
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NSEC 50000000

/* A message that is being refused has its reason there for a moment before itself. */
#define REFUSAL_USEC (3600 * USEC_PER_SEC)

/* --- what the parts share -------------------------------------------------------------------- */

void
check_tell(struct check *c, enum check_severity severity, const char *folder, const char *name,
	const char *text)
{
	char path[CHECK_PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s%s%s", folder, *folder && *name ? "/" : "", name);
	c->counts->n_found[severity]++;
	c->o->tell(severity, path, text, c->o->userdata);
}

void
check_count(struct check *c)
{
	if (++c->n_files % 1024 == 0 && c->o->progress)
		c->o->progress(c->n_files, c->o->userdata);
}

static void
check_rights(struct check *c, const struct stat *st, const char *folder, const char *name)
{
	if (st->st_uid != c->owner)
		check_tell(c, CHECK_ERROR, folder, name,
			"belongs to another user than the store: the programs cannot work with it");
	if (st->st_mode & 07)
		check_tell(
			c, CHECK_WARNING, folder, name, "others than owner and group have rights");
	if ((st->st_mode & S_IRUSR) == 0)
		check_tell(c, CHECK_ERROR, folder, name, "its owner cannot read it");
}

int
check_file(struct check *c, int at, const char *folder, const char *name)
{
	struct stat st;

	check_count(c);
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		check_tell(c, CHECK_ERROR, folder, name, "is no regular file");
	else if (st.st_size == 0)
		check_tell(c, CHECK_ERROR, folder, name, "is empty");
	check_rights(c, &st, folder, name);
	return 0;
}

int
check_folder(struct check *c, int fd, const char *folder)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	check_rights(c, &st, folder, "");
	return 0;
}

void
check_pause(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NSEC }, NULL);
}

/* --- refused messages ------------------------------------------------------------------------ */

struct rejected {
	struct check *c;
	int folder;
	struct stems messages, reasons;
};

static int
take_rejected(const struct dirent *d, void *userdata)
{
	struct rejected *j = userdata;
	struct store_stem stem;
	int r = 0;

	if (store_name_parse(d->d_name, "hl7", &stem))
		r = stems_add(&j->messages, &stem);
	else if (store_name_parse(d->d_name, "txt", &stem))
		r = stems_add(&j->reasons, &stem);
	else {
		check_tell(j->c, CHECK_WARNING, "rejected", d->d_name, "is no file of the store");
		return 0;
	}
	if (r < 0)
		return r;
	r = check_file(j->c, j->folder, "rejected", d->d_name);
	return r == -ENOENT ? 0 : r; /* removed by expire, or by hand */
}

/* The reason is linked first and removed last: a message without one is wrong, if it is still there
 * after its reason was looked for. */
static void
judge_rejected(struct rejected *j, const struct store_stem *stem)
{
	char message[STORE_NAME_BYTES], reason[STORE_NAME_BYTES];

	store_name_format(stem, "hl7", message);
	store_name_format(stem, "txt", reason);
	if (folder_has(j->folder, reason) == 0 && folder_has(j->folder, message) == 1)
		check_tell(j->c, CHECK_ERROR, "rejected", message, "its reason is not there");
}

static void
judge_reason(struct rejected *j, const struct store_stem *stem, usec_t now)
{
	char message[STORE_NAME_BYTES], reason[STORE_NAME_BYTES];

	if (stem->stamp + REFUSAL_USEC > now)
		return;
	store_name_format(stem, "hl7", message);
	store_name_format(stem, "txt", reason);
	if (folder_has(j->folder, message) == 0 && folder_has(j->folder, reason) == 1)
		check_tell(
			j->c, CHECK_LEFTOVER, "rejected", reason, "a reason without its message");
}

static void
judge_all_rejected(struct rejected *j)
{
	usec_t now = clock_realtime_usec();
	size_t i;

	stems_sort(&j->messages);
	stems_sort(&j->reasons);
	for (i = 0; i < j->messages.n; i++)
		if (!stems_have(&j->reasons, &j->messages.items[i]))
			judge_rejected(j, &j->messages.items[i]);
	for (i = 0; i < j->reasons.n; i++)
		if (!stems_have(&j->messages, &j->reasons.items[i]))
			judge_reason(j, &j->reasons.items[i], now);
	j->c->counts->n_rejected = j->messages.n;
}

int
check_rejected(struct check *c)
{
	_cleanup_close_ int folder = -1;
	struct rejected j = { .c = c };
	int r = disk_open_existing_dir(c->root, "rejected", &folder);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	j.folder = folder;
	r = check_folder(c, folder, "rejected");
	if (r == 0)
		r = folder_read(folder, take_rejected, &j);
	if (r == 0)
		judge_all_rejected(&j);
	stems_deinit(&j.messages);
	stems_deinit(&j.reasons);
	return r;
}

/* --- the whole ------------------------------------------------------------------------------- */

static int
take_root_name(const struct dirent *d, void *userdata)
{
	static const char *const names[] = { "received", "rejected", "queue", "failed", ".order",
		".moves" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(d->d_name, names[i]) == 0)
			return 0;
	check_tell(userdata, CHECK_WARNING, "", d->d_name, "is no file of the store");
	return 0;
}

static int
check_root(struct check *c)
{
	struct stat st;

	if (fstat(c->root, &st) < 0)
		return -errno;
	c->owner = st.st_uid;
	if (st.st_mode & 07)
		check_tell(c, CHECK_WARNING, "", ".", "others than owner and group have rights");
	return folder_read(c->root, take_root_name, c);
}

int
check_run(const char *path, const struct check_options *o, struct check_counts *ret)
{
	_cleanup_close_ int root = -1;
	struct check c = { .o = o, .counts = ret, .path = path };
	int r = disk_open_existing_dir(AT_FDCWD, path, &root);

	*ret = (struct check_counts){ 0 };
	c.root = root;
	if (r == 0)
		r = check_root(&c);
	if (r == 0)
		r = check_received(&c);
	if (r == 0)
		r = check_queues(&c); /* behind the received ones, whose notes it needs */
	if (r == 0)
		r = check_rejected(&c);
	stems_deinit(&c.notes);
	return r;
}
