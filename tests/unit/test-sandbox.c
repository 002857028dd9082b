/* SPDX-License-Identifier: MIT */

/*
 * Each wall, and a way through it: first without the wall, where the act must succeed, then with
 * it. And what a receiver does behind all of them.
 */

#include "place.h"
#include "sandbox/parts.h"
#include "store/order.h"
#include "template/charset.h"

#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#define NOBODY 65534

/* What an act comes to: 0, an errno, or this for a process that was killed for it. */
#define KILLED 255

/* The wall is not there: why is in the shared page. */
#define NO_WALL 254

#define MESSAGE SPAN("MSH|^~\\&|RIS|HOUSE|||||ORU^R01|1|P|2.5\rPID|1\r")

/* What the acts find: made once for all of them, and shared with the processes that try them. */
static struct scene {
	struct place place;
	struct store store;
	char received[STORE_NAME_BYTES]; /* a message in received/ */
	char outside[96];                /* a folder with the file "there" */
	int listening, abstract;         /* sockets */
	struct sockaddr_in tcp;
	struct sockaddr_un unix_stream;
	pid_t victim;                /* another process of this user */
	struct sandbox_walls *walls; /* shared */
} scene;

/* --- acts ------------------------------------------------------------------------------------ */

/* errno where a call failed. */
static int
result(long r)
{
	return r < 0 ? errno : 0;
}

static int
open_at(const char *folder, const char *name, int flags)
{
	char path[1024];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	return result(fd);
}

static int
read_outside(void)
{
	return open_at(scene.outside, "there", O_RDONLY);
}

static int
read_passwd(void)
{
	return open_at("/etc", "passwd", O_RDONLY);
}

static int
list_outside(void)
{
	return open_at(scene.outside, ".", O_RDONLY | O_DIRECTORY);
}

static int
write_outside(void)
{
	return open_at(scene.outside, "there", O_WRONLY);
}

static int
create_outside(void)
{
	return open_at(scene.outside, "new", O_WRONLY | O_CREAT);
}

static int
create_unnamed_outside(void)
{
	return open_at(scene.outside, ".", O_RDWR | O_TMPFILE);
}

static int
cut_outside(void)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/there", scene.outside);
	return result(truncate(path, 0));
}

static int
remove_outside(void)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/to-remove", scene.outside);
	return result(unlink(path));
}

static int
make_folder_outside(void)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/folder", scene.outside);
	return result(mkdir(path, 0700));
}

static int
make_pipe_outside(void)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/pipe", scene.outside);
	return result(mkfifo(path, 0600));
}

static int
read_folder(const char *folder)
{
	char path[512];
	const struct dirent *entry;
	DIR *dir;
	int r = ENOENT;

	(void)snprintf(path, sizeof(path), "%s/%s", scene.place.store, folder);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (strstr(entry->d_name, ".hl7"))
			r = open_at(path, entry->d_name, O_RDONLY);
	return dir ? r : errno;
}

static int
read_queued(void)
{
	return read_folder("queue/ris");
}

static int
read_queued_for_another(void)
{
	return read_folder("queue/pacs");
}

static int
read_refused(void)
{
	return read_folder("rejected");
}

/* Not prevented: a resend is compared with what is stored. */
static int
read_received(void)
{
	return read_folder("received");
}

static int
overwrite_received(void)
{
	return open_at(scene.place.received, scene.received, O_RDWR);
}

static int
create_in_store(void)
{
	return open_at(scene.place.received, "created", O_RDWR | O_CREAT);
}

static int
rename_in_store(void)
{
	return result(renameat(scene.store.received, "moved", scene.store.received, "moved-on"));
}

static int
forge_for_another(void)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/queue/pacs", scene.place.store);
	return open_at(path, ".", O_RDWR | O_TMPFILE);
}

static int
link_into_another_folder(void)
{
	char path[512];
	int r, folder;

	(void)snprintf(path, sizeof(path), "%s/queue/ris", scene.place.store);
	folder = open(path, O_PATH | O_CLOEXEC);
	r = linkat(scene.store.received, scene.received, folder, "linked", 0);
	return result(r);
}

static int
execute(void)
{
	(void)execl("/bin/true", "true", NULL);
	return errno;
}

static int
fork_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : status_of(pid);
}

static int
fork_by_clone3(void)
{
	const uint64_t arguments[8] = { [4] = SIGCHLD }; /* struct clone_args: exit_signal */
	long pid = syscall(SYS_clone3, arguments, sizeof(arguments));

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : status_of((pid_t)pid);
}

static int
connect_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? errno
		      : result(connect(fd, (struct sockaddr *)&scene.tcp, sizeof(scene.tcp)));
}

static int
bind_tcp(void)
{
	const struct sockaddr_in any = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? errno : result(bind(fd, (const struct sockaddr *)&any, sizeof(any)));
}

static int
send_udp(void)
{
	return result(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int
open_unix_stream(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int
open_unix_datagram(void)
{
	return result(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int
open_netlink(void)
{
	return result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

/* What accepted it may be connected anew. */
static int
listen_again(void)
{
	return result(listen(scene.listening, 8));
}

static int
connect_abstract(void)
{
	const struct sockaddr_un *a = &scene.unix_stream;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? errno : result(connect(fd, (const struct sockaddr *)a, sizeof(*a)));
}

static int
signal_another(void)
{
	return result(kill(scene.victim, SIGCONT));
}

static int
signal_another_thread(void)
{
	return result(syscall(SYS_tgkill, scene.victim, scene.victim, SIGCONT));
}

static int
trace_another(void)
{
	return result(ptrace(PTRACE_SEIZE, scene.victim, 0, 0));
}

static int
read_memory_of_another(void)
{
	char byte;
	const struct iovec here = { &byte, 1 }, there = { &scene, 1 };

	return result(process_vm_readv(scene.victim, &here, 1, &there, 1, 0));
}

static int
mount_something(void)
{
	return result(mount("none", scene.outside, "tmpfs", 0, NULL));
}

static int
new_namespace(void)
{
	return result(unshare(CLONE_NEWUTS));
}

static int
load_bpf(void)
{
	union bpf_attr attributes = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};

	return result(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)));
}

static int
map_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
make_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? 1 : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int
unlisted_call(void)
{
	return result(memfd_create("test", MFD_CLOEXEC));
}

static int
change_limit(void)
{
	const struct rlimit none = { 0, 0 };

	return result(setrlimit(RLIMIT_CORE, &none));
}

#ifdef __x86_64__
/* getpid() of the x32 interface, whose number a filter of x86-64 numbers alone would not know; a
 * kernel without x32 says ENOSYS, which is no success and no failure of the wall. */
static int
call_of_x32(void)
{
	return syscall(0x40000000 + SYS_getpid) < 0 && errno != ENOSYS ? errno : 0;
}

/* getpid() of the 32-bit interface. */
static int
call_of_i386(void)
{
	long r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
	return r == getpid() || r == -ENOSYS ? 0 : EINVAL;
}
#endif

static int
open_many(void)
{
	int i, fd = 0;

	for (i = 0; fd >= 0 && i < 200; i++)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return result(fd);
}

static int
write_large(void)
{
	char path[512];
	int fd;

	(void)signal(SIGXFSZ, SIG_IGN);
	(void)snprintf(path, sizeof(path), "%s/large", scene.outside);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? 1 : result(pwrite(fd, "x", 1, (off_t)64 * 1024 * 1024));
}

static int
take_memory(void)
{
	void *p = mmap(NULL, (size_t)512 << 20, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
take_shared_memory(void)
{
	void *p = mmap(NULL, (size_t)1 << 30, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

/* --- walls ----------------------------------------------------------------------------------- */

/* As hl7-receive has it. */
static struct sandbox_needs
needs_of(enum sandbox_form form)
{
	static struct sandbox_folder folders[3];
	static uint16_t port;

	folders[0] = (struct sandbox_folder){ scene.store.root, SANDBOX_LIST | SANDBOX_FOLDER };
	folders[1] = (struct sandbox_folder){ scene.store.received,
		SANDBOX_LIST | SANDBOX_READ | SANDBOX_ADD };
	folders[2] =
		(struct sandbox_folder){ scene.store.queues[0].fd, SANDBOX_LIST | SANDBOX_ADD };
	port = (uint16_t)(ntohs(scene.tcp.sin_port) + 1);
	return (struct sandbox_needs){
		.form = form,
		.folders = folders,
		.n_folders = N_OF(folders),
		.ports = &port,
		.n_ports = form == SANDBOX_CLIENT,
		.n_descriptors = 16,
		.file_bytes = (uint64_t)1024 * 1024,
		.memory_bytes = (uint64_t)256 * 1024 * 1024,
	};
}

/* One wall alone, so that another does not do its work. */
static void
raise_wall(enum sandbox_wall wall, enum sandbox_form form)
{
	const struct sandbox_needs needs = needs_of(form);
	struct sandbox_walls *walls = scene.walls;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (wall == SANDBOX_FILES || wall == SANDBOX_TCP || wall == SANDBOX_SCOPE)
		landlock_enter(&needs, walls);
	else if (wall == SANDBOX_CALLS)
		walls->errors[wall] = seccomp_enter(&needs);
	else
		walls->errors[wall] = limits_enter(&needs);
}

/* A way through a wall. */
struct act {
	const char *name;
	int (*call)(void);
	enum sandbox_wall wall;
	enum sandbox_form form;
	int expected; /* behind the wall */
	bool strict;  /* a build with a sanitizer has this hole */
	int abi;      /* of Landlock, that has it */
	bool as_user; /* root is not held by it */
};

static int
become_nobody(void)
{
	return setgid(NOBODY) < 0 || setuid(NOBODY) < 0 ? 1 : 0;
}

/* What is mounted is seen by nobody else, and gone with the process. */
static int
prepare(const struct act *act)
{
	if (act->call == mount_something &&
		(unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		return errno;
	return act->as_user ? become_nobody() : 0;
}

static int
try_freely(const void *userdata)
{
	const struct act *act = userdata;
	int r = prepare(act);

	return r ? r : act->call();
}

static int
try_behind_wall(const void *userdata)
{
	const struct act *act = userdata;
	int r = prepare(act);

	if (r)
		return r;
	raise_wall(act->wall, act->form);
	return scene.walls->errors[act->wall] ? NO_WALL : act->call();
}

/* The exit status, or KILLED by the filter. */
static int
outcome_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : -WTERMSIG(status);
	return WEXITSTATUS(status);
}

static void
skip_because(const char *why)
{
	/* where packaging/tally.py looks for it */
	(void)printf("%s\n", why);
	skip();
}

/* valgrind runs the program with system calls of its own. */
static bool
is_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

static void
reset_scene(void)
{
	int fd = openat(
		scene.store.root, "../outside/to-remove", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);

	(void)close(fd);
	fd = openat(scene.store.received, "moved", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	(void)close(fd);
	(void)unlinkat(scene.store.root, "../outside/folder", AT_REMOVEDIR);
	(void)unlinkat(scene.store.root, "../outside/pipe", 0);
	(void)unlinkat(scene.store.queues[0].fd, "linked", 0);
}

static void
wall_holds(void **state)
{
	const struct act *act = *state;
	int r;

	if (act->strict && SANDBOX_SANITIZED)
		skip_because("the sanitizers need this themselves");
	if (is_valgrind())
		skip_because("valgrind's own system calls do not pass the filter");
	if (act->as_user && geteuid() != 0)
		skip_because("only root can become the user that is held by it");
	reset_scene();
	r = outcome_of(begin(try_freely, act));
	if ((r == EPERM || r == EACCES) && geteuid() != 0)
		skip_because("without the wall it is not possible either for this user");
	assert_int_equal(r, 0);
	reset_scene();
	r = outcome_of(begin(try_behind_wall, act));
	if (r == NO_WALL || (act->abi && scene.walls->landlock_abi < act->abi))
		skip_because("this kernel does not have the wall");
	assert_int_equal(r, act->expected);
}

static const struct act acts[] = {
	/* Landlock */
	{ "files: read one outside", read_outside, SANDBOX_FILES, .expected = EACCES,
		.strict = true },
	{ "files: read /etc/passwd", read_passwd, SANDBOX_FILES, .expected = EACCES,
		.strict = true },
	{ "files: list a folder outside", list_outside, SANDBOX_FILES, .expected = EACCES,
		.strict = true },
	{ "files: write to one outside", write_outside, SANDBOX_FILES, .expected = EACCES },
	{ "files: create one outside", create_outside, SANDBOX_FILES, .expected = EACCES },
	{ "files: an unnamed one outside", create_unnamed_outside, SANDBOX_FILES,
		.expected = EACCES },
	{ "files: cut one outside", cut_outside, SANDBOX_FILES, .expected = EACCES, .abi = 3 },
	{ "files: remove one outside", remove_outside, SANDBOX_FILES, .expected = EACCES },
	{ "files: a folder outside", make_folder_outside, SANDBOX_FILES, .expected = EACCES },
	{ "files: execute", execute, SANDBOX_FILES, .expected = EACCES, .strict = true },
	{ "files: trace another process", trace_another, SANDBOX_FILES, .expected = EPERM },
	{ "files: mount", mount_something, SANDBOX_FILES, .expected = EPERM },
	{ "store: read what another connection queued", read_queued, SANDBOX_FILES,
		.expected = EACCES, .strict = true },
	{ "store: read what waits for another destination", read_queued_for_another, SANDBOX_FILES,
		.expected = EACCES, .strict = true },
	{ "store: read what another connection was refused", read_refused, SANDBOX_FILES,
		.expected = EACCES, .strict = true },
	{ "store: queue for another destination", forge_for_another, SANDBOX_FILES,
		.expected = EACCES },
	{ "store: link into another folder", link_into_another_folder, SANDBOX_FILES,
		.expected = EXDEV },
	/* no wall: it has to look for a message that is sent again */
	{ "store: read what was received is possible", read_received, SANDBOX_FILES,
		.expected = 0 },
	{ "tcp: connect", connect_tcp, SANDBOX_TCP, .expected = EACCES, .abi = 4 },
	{ "tcp: bind", bind_tcp, SANDBOX_TCP, .expected = EACCES, .abi = 4 },
	{ "scope: an abstract socket", connect_abstract, SANDBOX_SCOPE, .expected = EPERM,
		.abi = 6 },
	{ "scope: signal another process", signal_another, SANDBOX_SCOPE, .expected = EPERM,
		.abi = 6 },
	/* seccomp */
	{ "calls: execute", execute, SANDBOX_CALLS, .expected = KILLED, .strict = true },
	{ "calls: fork", fork_child, SANDBOX_CALLS, .expected = KILLED, .strict = true },
	{ "calls: fork by clone3", fork_by_clone3, SANDBOX_CALLS, .expected = ENOSYS },
	{ "calls: connect", connect_tcp, SANDBOX_CALLS, .expected = KILLED, .strict = true },
	{ "calls: bind", bind_tcp, SANDBOX_CALLS, .expected = KILLED, .strict = true },
	{ "calls: a socket for UDP", send_udp, SANDBOX_CALLS, .expected = KILLED, .strict = true },
	{ "calls: a local stream", open_unix_stream, SANDBOX_CALLS, .expected = EAFNOSUPPORT,
		.strict = true },
	{ "calls: local datagrams", open_unix_datagram, SANDBOX_CALLS, .expected = EAFNOSUPPORT,
		.strict = true },
	{ "calls: netlink", open_netlink, SANDBOX_CALLS, .expected = EAFNOSUPPORT, .strict = true },
	{ "calls: listen", listen_again, SANDBOX_CALLS, .expected = KILLED, .strict = true },
	{ "calls: signal another process", signal_another, SANDBOX_CALLS, .expected = KILLED,
		.strict = true },
	{ "calls: signal another's thread", signal_another_thread, SANDBOX_CALLS,
		.expected = KILLED, .strict = true },
	{ "calls: trace another process", trace_another, SANDBOX_CALLS, .expected = KILLED,
		.strict = true },
	{ "calls: read another's memory", read_memory_of_another, SANDBOX_CALLS,
		.expected = KILLED },
	{ "calls: mount", mount_something, SANDBOX_CALLS, .expected = KILLED },
	{ "calls: a namespace", new_namespace, SANDBOX_CALLS, .expected = KILLED },
	{ "calls: bpf", load_bpf, SANDBOX_CALLS, .expected = KILLED },
	{ "calls: map code", map_code, SANDBOX_CALLS, .expected = EPERM, .strict = true },
	{ "calls: make memory code", make_code, SANDBOX_CALLS, .expected = EPERM, .strict = true },
	{ "calls: one that is not listed", unlisted_call, SANDBOX_CALLS, .expected = ENOSYS,
		.strict = true },
	{ "calls: change a limit", change_limit, SANDBOX_CALLS, .expected = EPERM, .strict = true },
	{ "calls: overwrite what was received", overwrite_received, SANDBOX_CALLS,
		.expected = EACCES, .strict = true },
	{ "calls: create with a name", create_in_store, SANDBOX_CALLS, .expected = EACCES,
		.strict = true },
	{ "calls: rename", rename_in_store, SANDBOX_CALLS, .expected = ENOSYS, .strict = true },
#ifdef __x86_64__
	{ "calls: x32", call_of_x32, SANDBOX_CALLS, .expected = KILLED },
	{ "calls: i386", call_of_i386, SANDBOX_CALLS, .expected = KILLED },
#endif
	/* limits */
	{ "limits: fork", fork_child, SANDBOX_LIMITS, .expected = EAGAIN, .strict = true,
		.as_user = true },
	{ "limits: many descriptors", open_many, SANDBOX_LIMITS, .expected = EMFILE },
	{ "limits: a large file", write_large, SANDBOX_LIMITS, .expected = EFBIG },
	{ "limits: memory", take_memory, SANDBOX_LIMITS, .expected = ENOMEM, .strict = true },
	{ "limits: shared memory", take_shared_memory, SANDBOX_LIMITS, .expected = ENOMEM,
		.strict = true },
	/* who connects */
	{ "client: read outside is possible", read_outside, SANDBOX_FILES, SANDBOX_CLIENT, 0 },
	{ "client: write outside", write_outside, SANDBOX_FILES, SANDBOX_CLIENT, EACCES },
	{ "client: remove outside", remove_outside, SANDBOX_FILES, SANDBOX_CLIENT, EACCES },
	{ "client: connect to another port", connect_tcp, SANDBOX_TCP, SANDBOX_CLIENT, EACCES,
		.abi = 4 },
	{ "client: bind", bind_tcp, SANDBOX_TCP, SANDBOX_CLIENT, EACCES, .abi = 4 },
	{ "client: a call to connect is possible", connect_tcp, SANDBOX_CALLS, SANDBOX_CLIENT, 0 },
	{ "client: load code is possible", map_code, SANDBOX_CALLS, SANDBOX_CLIENT, 0 },
	{ "client: fork", fork_child, SANDBOX_CALLS, SANDBOX_CLIENT, EPERM, .strict = true },
	{ "client: execute", execute, SANDBOX_CALLS, SANDBOX_CLIENT, KILLED, .strict = true },
	{ "client: trace another process", trace_another, SANDBOX_CALLS, SANDBOX_CLIENT, KILLED,
		.strict = true },
	/* who accepts */
	{ "listener: fork is possible", fork_child, SANDBOX_CALLS, SANDBOX_LISTENER, 0 },
	{ "listener: listen is possible", listen_again, SANDBOX_CALLS, SANDBOX_LISTENER, 0 },
	{ "listener: a namespace", new_namespace, SANDBOX_CALLS, SANDBOX_LISTENER, KILLED },
	{ "listener: execute", execute, SANDBOX_CALLS, SANDBOX_LISTENER, KILLED, .strict = true },
	{ "listener: a pipe outside", make_pipe_outside, SANDBOX_FILES, SANDBOX_LISTENER, EACCES },
	{ "listener: connect", connect_tcp, SANDBOX_TCP, SANDBOX_LISTENER, EACCES, .abi = 4 },
};

/* --- dumps ----------------------------------------------------------------------------------- */

/* A process whose memory another of the same user would read; `walled` says whether it may. */
static int
lie_open(const void *userdata)
{
	const bool *walled = userdata;
	const struct sandbox_needs needs = { .form = SANDBOX_CLIENT };
	struct sandbox_walls walls;

	/* another user's process is not dumpable of itself */
	if (become_nobody() || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return 1;
	if (*walled)
		sandbox_enter(&needs, &walls);
	(void)kill(getpid(), SIGSTOP);
	return 0;
}

static int
open_memory(const void *userdata)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", *(const pid_t *)userdata);
	return become_nobody() ? 1 : result(open(path, O_RDONLY | O_CLOEXEC));
}

static int
memory_of(bool walled)
{
	pid_t pid = begin(lie_open, &walled);
	int status, r;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	r = outcome_of(begin(open_memory, &pid));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return r;
}

static void
memory_is_closed(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip_because("only root can become two processes of another user");
	if (is_valgrind())
		skip_because("valgrind's own system calls do not pass the filter");
	assert_int_equal(memory_of(false), 0);
	assert_int_equal(memory_of(true), EACCES);
}

static int
crash_and_tell(const void *userdata)
{
	const struct sandbox_needs needs = needs_of(SANDBOX_CONNECTION);
	struct sandbox_walls walls;
	struct rlimit core;

	(void)userdata;
	sandbox_enter(&needs, &walls);
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
		return 1;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1)
		return 2;
	abort();
}

/* abort() is a signal to itself, which is allowed; and leaves no core file. */
static void
crash_leaves_nothing(void **state)
{
	pid_t pid = begin(crash_and_tell, NULL);
	int status;

	(void)state;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_false(WCOREDUMP(status));
}

/* --- what is needed behind them -------------------------------------------------------------- */

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__,          \
				__LINE__, #condition, errno);                                      \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int
enter_all(struct store *s)
{
	const struct sandbox_folder folders[] = {
		{ s->root, SANDBOX_LIST | SANDBOX_FOLDER | SANDBOX_ADD },
		{ s->received, SANDBOX_LIST | SANDBOX_READ | SANDBOX_ADD },
		{ s->queues[0].fd, SANDBOX_LIST | SANDBOX_ADD },
	};
	const struct sandbox_needs needs = {
		.form = SANDBOX_CONNECTION,
		.folders = folders,
		.n_folders = N_OF(folders),
		.n_descriptors = 16,
		.file_bytes = (uint64_t)16 * 1024 * 1024,
		.memory_bytes = (uint64_t)256 * 1024 * 1024,
	};
	struct sandbox_walls walls;
	char standing[SANDBOX_TEXT_BYTES], missing[SANDBOX_TEXT_BYTES];

	CHECK(order_open(s->root, &s->order) == 0);
	sandbox_enter(&needs, &walls);
	sandbox_describe(&walls, standing, missing);
	(void)fprintf(stderr, "standing: %s; missing: %s\n", standing, missing);
	CHECK(walls.errors[SANDBOX_PRIVILEGES] == 0 && walls.errors[SANDBOX_DUMPS] == 0);
	return 0;
}

static int
commit_and_find(struct store *s)
{
	const struct store_entry entry = { SPAN("ris"), SPAN("MSH|converted\r") };
	struct store_message m = message_of(MESSAGE, SPAN("1"), SPAN("MSA|AA|1"));
	struct store_receipt first = RECEIPT, again = RECEIPT;

	m.entries = &entry;
	m.n_entries = 1;
	CHECK(store_commit(s, &m, &first) == 0);
	CHECK(store_find(s, &m, &again) == STORE_E_DUPLICATE);
	CHECK(strcmp(first.name, again.name) == 0);
	CHECK(span_eq(buffer_span(&again.answer), SPAN("MSA|AA|1")));
	buffer_deinit(&first.answer);
	buffer_deinit(&again.answer);
	return 0;
}

static int
use_store(const void *userdata)
{
	const struct place *p = userdata;
	char name[STORE_NAME_BYTES];
	struct store s;

	CHECK(geteuid() != 0 || (chown(p->root, NOBODY, NOBODY) == 0 && become_nobody() == 0));
	CHECK(store_open(&s, p->store, (struct store_reserve){ 0, 0 }) == 0);
	CHECK(store_open_queue(&s, SPAN("ris")) == 0);
	CHECK(enter_all(&s) == 0);
	CHECK(commit_and_find(&s) == 0);
	CHECK(store_reject(&s, SPAN("MSH|bad"), SPAN("why"), name) == 0); /* makes the folder */
	CHECK(store_reject(&s, SPAN("MSH|bad"), SPAN("why"), name) == 0);
	store_close(&s);
	return 0;
}

static void
store_works(void **state)
{
	if (is_valgrind())
		skip_because("valgrind's own system calls do not pass the filter");
	assert_int_equal(outcome_of(begin(use_store, *state)), 0);
}

static int
use_charsets(const void *userdata)
{
	static const char *const names[] = { "8859/1", "ISO IR87", "ISO IR159", "GB 18030-2000",
		"KS X 1001", "BIG-5", "CNS 11643-1992", "Shift_JIS", "windows-1252" };
	const struct sandbox_needs needs = { .form = SANDBOX_CONNECTION };
	struct delimiters d = { 0 };
	struct sandbox_walls walls;
	struct charset_modules modules;
	struct buffer out = BUFFER_INIT(4096);
	const struct charset *c;
	size_t i, at;

	(void)userdata;
	charset_load(&modules);
	sandbox_enter(&needs, &walls);
	for (i = 0; i < N_OF(names); i++) {
		c = charset_find(span_str(names[i]));
		CHECK(c != NULL);
		CHECK(charset_decode(c, SPAN("Muster"), &d, NULL, &out, &at) == 0);
		CHECK(charset_encode(c, SPAN("Muster"), NULL, &out, &at) == 0);
		CHECK(charset_decode(c, SPAN("Muster"), &d, NULL, &out, &at) == 0);
	}
	buffer_deinit(&out);
	charset_unload(&modules);
	return 0;
}

static void
charsets_work(void **state)
{
	(void)state;
	if (is_valgrind())
		skip_because("valgrind's own system calls do not pass the filter");
	assert_int_equal(outcome_of(begin(use_charsets, NULL)), 0);
}

/* As the journal is written to: a socket that was opened before, and an address. */
static int
send_to_log(const void *userdata)
{
	const struct sandbox_needs needs = { .form = SANDBOX_CONNECTION };
	const struct iovec bytes = { (void *)(uintptr_t) "MESSAGE=x\n", 10 };
	const struct place *p = userdata;
	struct sockaddr_un log = { .sun_family = AF_UNIX };
	const struct msghdr m = { .msg_name = &log,
		.msg_namelen = sizeof(log),
		.msg_iov = (struct iovec *)(uintptr_t)&bytes,
		.msg_iovlen = 1 };
	struct sandbox_walls walls;
	int here = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), there;

	(void)snprintf(log.sun_path, sizeof(log.sun_path), "%s/log", p->root);
	CHECK(bind(here, (const struct sockaddr *)&log, sizeof(log)) == 0);
	there = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(there >= 0);
	sandbox_enter(&needs, &walls);
	CHECK(sendmsg(there, &m, MSG_NOSIGNAL) == 10);
	return 0;
}

/* As syslog(3) does it. */
static int
connect_to_log(const void *userdata)
{
	const struct sandbox_needs needs = { .form = SANDBOX_CONNECTION, .syslog = true };
	const struct place *p = userdata;
	struct sockaddr_un log = { .sun_family = AF_UNIX };
	struct sandbox_walls walls;
	int here = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), there;

	(void)snprintf(log.sun_path, sizeof(log.sun_path), "%s/syslog", p->root);
	CHECK(bind(here, (const struct sockaddr *)&log, sizeof(log)) == 0);
	sandbox_enter(&needs, &walls);
	there = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(connect(there, (const struct sockaddr *)&log, sizeof(log)) == 0);
	CHECK(send(there, "x", 1, MSG_NOSIGNAL) == 1);
	return 0;
}

static void
log_works(void **state)
{
	if (is_valgrind())
		skip_because("valgrind's own system calls do not pass the filter");
	assert_int_equal(outcome_of(begin(send_to_log, *state)), 0);
	assert_int_equal(outcome_of(begin(connect_to_log, *state)), 0);
}

static int
tell_time(const void *userdata)
{
	const struct sandbox_needs needs = { .form = SANDBOX_CONNECTION };
	struct sandbox_walls walls;
	struct tm tm = { 0 };
	time_t summer = 1783000000; /* in July 2026 */

	(void)userdata;
	CHECK(setenv("TZ", "Europe/Berlin", 1) == 0);
	sandbox_enter(&needs, &walls);
	CHECK(localtime_r(&summer, &tm) == &tm);
	CHECK(tm.tm_gmtoff == 7200);
	return 0;
}

static void
local_time_works(void **state)
{
	(void)state;
	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0)
		skip_because("no zones are installed");
	if (is_valgrind())
		skip_because("valgrind's own system calls do not pass the filter");
	assert_int_equal(outcome_of(begin(tell_time, NULL)), 0);
}

/* A connection's process is forked by one that has walls of its own. */
static int
nest(const void *userdata)
{
	const struct sandbox_needs outer = needs_of(SANDBOX_LISTENER);
	const struct sandbox_needs inner = needs_of(SANDBOX_CONNECTION);
	struct sandbox_walls walls;
	int status;
	pid_t pid;

	(void)userdata;
	sandbox_enter(&outer, &walls);
	CHECK(walls.errors[SANDBOX_CALLS] == 0);
	pid = fork();
	if (pid == 0) {
		sandbox_enter(&inner, &walls);
		_exit(walls.errors[SANDBOX_CALLS] || read_received() ? 1 : 0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void
walls_nest(void **state)
{
	(void)state;
	if (is_valgrind())
		skip_because("valgrind's own system calls do not pass the filter");
	assert_int_equal(outcome_of(begin(nest, NULL)), 0);
}

static void
description(void **state)
{
	struct sandbox_walls walls = {
		.errors = { [SANDBOX_TCP] = -EOPNOTSUPP, [SANDBOX_SCOPE] = -EPERM }
	};
	char standing[SANDBOX_TEXT_BYTES], missing[SANDBOX_TEXT_BYTES];
	size_t i;

	(void)state;
	assert_true(sandbox_holds(&walls));
	sandbox_describe(&walls, standing, missing);
	assert_string_equal(standing, "files calls privileges dumps limits");
	assert_string_equal(
		missing, "tcp: Operation not supported, scope: Operation not permitted");
	walls.errors[SANDBOX_CALLS] = -ENOSYS;
	assert_false(sandbox_holds(&walls));
	for (i = 0; i < SANDBOX_N_WALLS; i++)
		walls.errors[i] = -EPROTONOSUPPORT; /* a long text */
	sandbox_describe(&walls, standing, missing);
	assert_string_equal(standing, "");
	assert_non_null(strstr(missing, "limits: Protocol not supported"));
}

/* --- the scene ------------------------------------------------------------------------------- */

static int
wait_for_death(const void *userdata)
{
	(void)userdata;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	do
		(void)pause();
	while (true);
	return 0;
}

static void
fill_store(void)
{
	const struct store_entry entries[] = { { SPAN("ris"), SPAN("MSH|1\r") },
		{ SPAN("pacs"), SPAN("MSH|2\r") } };
	struct store_message m = message_of(MESSAGE, SPAN("1"), SPAN("MSA|AA|1"));
	struct store_receipt receipt = RECEIPT;
	char name[STORE_NAME_BYTES];

	m.entries = entries;
	m.n_entries = N_OF(entries);
	assert_int_equal(
		store_open(&scene.store, scene.place.store, (struct store_reserve){ 0, 0 }), 0);
	assert_int_equal(store_open_queue(&scene.store, SPAN("ris")), 0);
	assert_int_equal(store_open_queue(&scene.store, SPAN("pacs")), 0);
	assert_int_equal(store_commit(&scene.store, &m, &receipt), 0);
	assert_int_equal(store_reject(&scene.store, SPAN("MSH|bad"), SPAN("why"), name), 0);
	memcpy(scene.received, receipt.name, sizeof(scene.received));
	buffer_deinit(&receipt.answer);
}

static void
open_sockets(void)
{
	struct sockaddr_un *a = &scene.unix_stream;
	socklen_t n = sizeof(scene.tcp);

	scene.tcp = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	scene.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(scene.listening, (struct sockaddr *)&scene.tcp, n), 0);
	assert_int_equal(listen(scene.listening, 64), 0);
	assert_int_equal(getsockname(scene.listening, (struct sockaddr *)&scene.tcp, &n), 0);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "test-sandbox-%d", getpid());
	scene.abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(scene.abstract, (struct sockaddr *)a, sizeof(*a)), 0);
	assert_int_equal(listen(scene.abstract, 64), 0);
}

static int
make_scene(void **state)
{
	void *place = NULL;
	char path[128];

	(void)state;
	if (make_place(&place) != 0)
		return -1;
	memcpy(&scene.place, place, sizeof(scene.place));
	free(place);
	(void)snprintf(scene.outside, sizeof(scene.outside), "%s/outside", scene.place.root);
	if (mkdir(scene.outside, 0777) < 0 || chmod(scene.outside, 0777) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/there", scene.outside);
	(void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
	fill_store();
	open_sockets();
	scene.walls = mmap(NULL, sizeof(*scene.walls), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	scene.victim = begin(wait_for_death, NULL);
	return scene.walls == MAP_FAILED ? -1 : 0;
}

static int
drop_scene(void **state)
{
	(void)state;
	(void)kill(scene.victim, SIGKILL);
	(void)waitpid(scene.victim, NULL, 0);
	store_close(&scene.store);
	(void)close(scene.listening);
	(void)close(scene.abstract);
	(void)munmap(scene.walls, sizeof(*scene.walls));
	return nftw(scene.place.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	static struct suite s;

	add_cases(&s, wall_holds, acts);
	add_test(&s, "dumps: another process of the user", memory_is_closed);
	add_test(&s, "dumps: a crash", crash_leaves_nothing);
	add_placed(&s, "behind all of them: the store", store_works);
	add_test(&s, "behind all of them: character sets", charsets_work);
	add_placed(&s, "behind all of them: the log", log_works);
	add_test(&s, "behind all of them: the local time", local_time_works);
	add_test(&s, "one sandbox in another", walls_nest);
	add_test(&s, "what is told", description);
	return _cmocka_run_group_tests("sandbox", s.tests, s.n, make_scene, drop_scene);
}
