/* SPDX-License-Identifier: MIT */

/*
 * The filter of system calls, put together here: a list of calls with what is done about each, and
 * one answer for all others.
 *
 * A connection has a list of what it may call. What is not on it fails with ENOSYS, and does not
 * kill: the next C library may try a call that this list does not know yet, and take an older one
 * when it hears that. A hospital's listener must not die of an upgrade. Death is for what no
 * library does behind the back of its program, and somebody who has taken over the process tries
 * first: executing, forking, tracing, signals to others, connections.
 *
 * The other forms run code that nobody here knows, of the name services, and have a list of what
 * they may not call.
 */

#include "sandbox/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Arguments are looked at by their lower half, which is the first one on these. */
#if defined(__x86_64__) && defined(__LP64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__LP64__) && !defined(__AARCH64EB__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif

#ifdef ARCHITECTURE

/* A call of the x32 interface has this bit in its number. */
#define X32_BIT UINT32_C(0x40000000)

/* A tracer's number for a call that is skipped. */
#define NR_SKIPPED UINT32_MAX

/* The bit that makes O_TMPFILE of O_DIRECTORY. */
#define UNNAMED ((uint32_t)(O_TMPFILE & ~O_DIRECTORY))

#define WRITING ((uint32_t)(O_ACCMODE | O_CREAT | O_TRUNC))

#define NEW_NAMESPACES                                                                             \
	((uint32_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |  \
		    CLONE_NEWPID | CLONE_NEWNET))

#define PASS         SECCOMP_RET_ALLOW
#define DIE          SECCOMP_RET_KILL_PROCESS
#define FAIL_WITH(e) (SECCOMP_RET_ERRNO | (e))

/* On what a call's answer depends. */
enum test {
	TEST_NOTHING,
	TEST_CLEAR,    /* none of these bits of an argument are set */
	TEST_SET,      /* one of them is */
	TEST_EQUAL,    /* an argument is this value */
	TEST_NULL,     /* an argument, a pointer, is null */
	TEST_READING,  /* openat(): nothing with a name is written */
	TEST_DATAGRAM, /* socket(): of datagrams, on this machine */
};

struct call {
	int nr;
	enum test test;
	uint32_t argument, value;
	uint32_t yes, no; /* answers */
};

/* clang-format off */
#define ALLOW(name)            { .nr = __NR_##name, .yes = PASS }
#define KILL(name)             { .nr = __NR_##name, .yes = DIE }
#define FAIL(name, error)      { .nr = __NR_##name, .yes = FAIL_WITH(error) }
#define ALLOW_IF(name, test, argument, value, else)                                                \
	{ __NR_##name, (test), (argument), (value), PASS, (else) }
/* clang-format on */

/* Of who has taken over a process, in every form. */
static const struct call attacks[] = {
#if !SANDBOX_SANITIZED
	KILL(execve),
	KILL(execveat),
	KILL(ptrace),
#endif
	KILL(process_vm_readv),
	KILL(process_vm_writev),
	KILL(bpf),
	KILL(mount),
	KILL(umount2),
	KILL(pivot_root),
	KILL(chroot),
	KILL(unshare),
	KILL(setns),
	KILL(init_module),
	KILL(finit_module),
	KILL(delete_module),
	KILL(kexec_load),
#ifdef __NR_kexec_file_load
	KILL(kexec_file_load),
#endif
	KILL(reboot),
	KILL(swapon),
	KILL(swapoff),
};

/* What the connection's list does not have, and the others do not need. */
static const struct call refused[] = {
	FAIL(add_key, EPERM),
	FAIL(request_key, EPERM),
	FAIL(keyctl, EPERM),
	FAIL(perf_event_open, EPERM),
	FAIL(userfaultfd, EPERM),
	FAIL(open_by_handle_at, EPERM),
	FAIL(personality, EPERM),
	FAIL(kcmp, EPERM),
	FAIL(quotactl, EPERM),
	FAIL(acct, EPERM),
	FAIL(settimeofday, EPERM),
	FAIL(clock_settime, EPERM),
	FAIL(sethostname, EPERM),
	FAIL(setdomainname, EPERM),
	FAIL(syslog, EPERM),
#ifdef __NR_io_uring_setup
	FAIL(io_uring_setup, ENOSYS),
	FAIL(io_uring_enter, ENOSYS),
	FAIL(io_uring_register, ENOSYS),
#endif
#ifdef __NR_open_tree
	FAIL(open_tree, EPERM),
	FAIL(move_mount, EPERM),
	FAIL(fsopen, EPERM),
	FAIL(fsconfig, EPERM),
	FAIL(fsmount, EPERM),
	FAIL(fspick, EPERM),
#endif
#ifdef __NR_pidfd_getfd
	FAIL(pidfd_getfd, EPERM),
#endif
#ifdef __NR_ioperm
	FAIL(ioperm, EPERM),
	FAIL(iopl, EPERM),
#endif
};

/* clone3() has its flags in memory, where they cannot be looked at: the C library then takes
 * clone(). */
static const struct call no_processes[] = {
#ifdef __NR_fork
	FAIL(fork, EPERM),
	FAIL(vfork, EPERM),
#endif
#ifdef __NR_clone3
	FAIL(clone3, ENOSYS),
#endif
	ALLOW_IF(clone, TEST_SET, 0, CLONE_THREAD, FAIL_WITH(EPERM)),
};

static const struct call no_namespaces[] = {
#ifdef __NR_clone3
	FAIL(clone3, ENOSYS),
#endif
	ALLOW_IF(clone, TEST_CLEAR, 0, NEW_NAMESPACES, DIE),
};

/* All that a connection calls, and what the C library may take in its place. */
static const struct call connection[] = {
	/* the peer */
	ALLOW(read),
	ALLOW(write),
	ALLOW(readv),
	ALLOW(writev),
	ALLOW(recvfrom),
	ALLOW(sendto),
	ALLOW(ppoll),
#ifdef __NR_poll
	ALLOW(poll),
#endif
	ALLOW(shutdown),
	ALLOW(getpeername),
	ALLOW(getsockname),
	ALLOW(close),
	/* the store: what it writes has no name, so no file that is there is opened for writing */
	ALLOW_IF(openat, TEST_READING, 2, 0, FAIL_WITH(EACCES)),
	ALLOW(pread64),
	ALLOW(lseek),
	ALLOW(getdents64),
	ALLOW(fstat),
	ALLOW(newfstatat),
#ifdef __NR_statx
	ALLOW(statx),
#endif
	ALLOW(statfs),
	ALLOW(fstatfs),
	ALLOW(faccessat),
#ifdef __NR_faccessat2
	ALLOW(faccessat2),
#endif
	ALLOW(linkat),
	ALLOW(unlinkat),
	ALLOW(mkdirat),
	ALLOW(fsync),
	ALLOW(flock),
	ALLOW(fcntl),
	ALLOW(fsetxattr),
	ALLOW(fgetxattr),
	ALLOW(utimensat),
	/* the log */
	ALLOW(sendmsg),
	ALLOW(getsockopt),
	ALLOW(setsockopt),
	/* memory: nothing in it can be executed that was not there */
	ALLOW(brk),
	ALLOW_IF(mmap, TEST_CLEAR, 2, PROT_EXEC, FAIL_WITH(EPERM)),
	ALLOW_IF(mprotect, TEST_CLEAR, 2, PROT_EXEC, FAIL_WITH(EPERM)),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
	/* time, signals, itself */
	ALLOW(clock_gettime),
	ALLOW(clock_getres),
	ALLOW(clock_nanosleep),
	ALLOW(nanosleep),
	ALLOW(gettimeofday),
#ifdef __NR_time
	ALLOW(time),
#endif
	ALLOW(restart_syscall),
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(rt_sigpending),
	ALLOW(rt_sigreturn),
	ALLOW(futex),
	ALLOW(sched_yield),
	ALLOW(getrandom),
	ALLOW(sysinfo),
	ALLOW(uname),
	ALLOW(getpid),
	ALLOW(gettid),
	ALLOW(getuid),
	ALLOW(geteuid),
	ALLOW(getgid),
	ALLOW(getegid),
	ALLOW_IF(prlimit64, TEST_NULL, 2, 0, FAIL_WITH(EPERM)),
	ALLOW(exit),
	ALLOW(exit_group),
	/* none of these */
	KILL(kill),
	KILL(tkill),
	KILL(rt_sigqueueinfo),
	KILL(rt_tgsigqueueinfo),
#ifdef __NR_pidfd_send_signal
	KILL(pidfd_send_signal),
#endif
#ifdef __NR_fork
	KILL(fork),
	KILL(vfork),
#endif
	KILL(clone),
	KILL(bind),
	KILL(listen),
	KILL(accept),
	KILL(accept4),
};

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

#define CALLS_MAX 160

struct calls {
	struct call items[CALLS_MAX];
	size_t n;
};

/* In the order of their numbers; no number comes twice. */
static void
add_call(struct calls *c, const struct call *call)
{
	size_t i;

	if (c->n == CALLS_MAX)
		return; /* a test counts them */
	for (i = c->n++; i > 0 && c->items[i - 1].nr > call->nr; i--)
		c->items[i] = c->items[i - 1];
	c->items[i] = *call;
}

static void
add_calls(struct calls *c, const struct call *calls, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		add_call(c, &calls[i]);
}

static void
add_connection(struct calls *c, const struct sandbox_needs *needs)
{
	const struct call connect = { .nr = __NR_connect, .yes = needs->syslog ? PASS : DIE };
	const struct call socket = { __NR_socket, TEST_DATAGRAM, 0, 0,
		needs->syslog ? PASS : FAIL_WITH(EAFNOSUPPORT), FAIL_WITH(EAFNOSUPPORT) };
	/* abort() is a signal to itself */
	const struct call tgkill = { __NR_tgkill, TEST_EQUAL, 0, (uint32_t)getpid(), PASS, DIE };

	add_calls(c, connection, N_OF(connection));
	add_call(c, &connect);
	add_call(c, &socket);
	add_call(c, &tgkill);
}

static void
add_others(struct calls *c, const struct sandbox_needs *needs)
{
	add_calls(c, refused, N_OF(refused));
	if (needs->form == SANDBOX_LISTENER || SANDBOX_SANITIZED)
		add_calls(c, no_namespaces, N_OF(no_namespaces));
	else
		add_calls(c, no_processes, N_OF(no_processes));
}

/* --- the program ----------------------------------------------------------------------------- */

/* What the longest list comes to is less than half of it. */
#define CODE_MAX 512

struct code {
	struct sock_filter items[CODE_MAX];
	unsigned short n;
};

static void
emit(struct code *c, unsigned operation, uint32_t k, unsigned if_true, unsigned if_false)
{
	if (c->n < CODE_MAX)
		c->items[c->n++] = (struct sock_filter){ (uint16_t)operation, (uint8_t)if_true,
			(uint8_t)if_false, k };
}

static void
emit_answer(struct code *c, uint32_t answer)
{
	emit(c, BPF_RET | BPF_K, answer, 0, 0);
}

static void
emit_load(struct code *c, size_t offset)
{
	emit(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

#define ARGUMENT(i) (offsetof(struct seccomp_data, args) + (i) * sizeof(uint64_t))

/* One answer if the comparison holds, else the other. */
static void
emit_decision(struct code *c, unsigned operation, uint32_t k, uint32_t yes, uint32_t no)
{
	emit(c, BPF_JMP | operation | BPF_K, k, 0, 1);
	emit_answer(c, yes);
	emit_answer(c, no);
}

static void
emit_datagram(struct code *c, const struct call *call)
{
	emit_load(c, ARGUMENT(0));
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 1, 0);
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1);
	emit_answer(c, DIE);
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0);
	emit_answer(c, call->no);
	emit_load(c, ARGUMENT(1));
	emit(c, BPF_ALU | BPF_AND | BPF_K, (uint32_t) ~(SOCK_CLOEXEC | SOCK_NONBLOCK), 0, 0);
	emit_decision(c, BPF_JEQ, SOCK_DGRAM, call->yes, call->no);
}

/* The two halves are zero. */
static void
emit_null(struct code *c, const struct call *call)
{
	emit_load(c, ARGUMENT(call->argument));
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
	emit_answer(c, call->no);
	emit_load(c, ARGUMENT(call->argument) + sizeof(uint32_t));
	emit_decision(c, BPF_JEQ, 0, call->yes, call->no);
}

static void
emit_reading(struct code *c, const struct call *call)
{
	emit_load(c, ARGUMENT(call->argument));
	emit(c, BPF_JMP | BPF_JSET | BPF_K, UNNAMED, 0, 1);
	emit_answer(c, call->yes);
	emit_decision(c, BPF_JSET, WRITING, call->no, call->yes);
}

static void
emit_test(struct code *c, const struct call *call)
{
	switch (call->test) {
	case TEST_NOTHING: emit_answer(c, call->yes); return;
	case TEST_CLEAR:
		emit_load(c, ARGUMENT(call->argument));
		emit_decision(c, BPF_JSET, call->value, call->no, call->yes);
		return;
	case TEST_SET:
		emit_load(c, ARGUMENT(call->argument));
		emit_decision(c, BPF_JSET, call->value, call->yes, call->no);
		return;
	case TEST_EQUAL:
		emit_load(c, ARGUMENT(call->argument));
		emit_decision(c, BPF_JEQ, call->value, call->yes, call->no);
		return;
	case TEST_NULL: emit_null(c, call); return;
	case TEST_READING: emit_reading(c, call); return;
	case TEST_DATAGRAM: emit_datagram(c, call); return;
	}
}

/* The jump at `at`, when it is not taken, comes to here. */
static void
land(struct code *c, unsigned short at)
{
	c->items[at].jf = (uint8_t)(c->n - at - 1);
}

static void
emit_call(struct code *c, const struct call *call)
{
	unsigned short jump = c->n;

	emit(c, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call->nr, 0, 0);
	emit_test(c, call);
	land(c, jump);
}

/* Neighbours stand together behind one comparison, as the kernel goes through this for each number
 * that there is when it takes the program. */
#define GROUP 8

/* Of which there are so many that they share their answers. */
static bool
is_plain(const struct call *call)
{
	return call->test == TEST_NOTHING && (call->yes == PASS || call->yes == DIE);
}

static void
emit_group(struct code *c, const struct call *calls, size_t n, uint32_t answer)
{
	unsigned short group = c->n, at[GROUP], pass, die;
	size_t i;

	emit(c, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)calls[0].nr, 0, 0);
	for (i = 0; i < n; i++) {
		at[i] = c->n;
		if (is_plain(&calls[i]))
			emit(c, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].nr, 0, 0);
		else
			emit_call(c, &calls[i]);
	}
	emit_answer(c, answer);
	pass = c->n;
	emit_answer(c, PASS);
	die = c->n;
	emit_answer(c, DIE);
	for (i = 0; i < n; i++)
		if (is_plain(&calls[i]))
			c->items[at[i]].jt =
				(uint8_t)((calls[i].yes == PASS ? pass : die) - at[i] - 1);
	land(c, group);
}

/* Another architecture has other numbers, and is a way around all of this. */
static void
emit_beginning(struct code *c)
{
	emit_load(c, offsetof(struct seccomp_data, arch));
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	emit_answer(c, DIE);
	emit_load(c, offsetof(struct seccomp_data, nr));
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, NR_SKIPPED, 0, 1);
	emit_answer(c, PASS);
	emit(c, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	emit_answer(c, DIE);
}

static void
build(struct code *c, const struct calls *calls, uint32_t answer)
{
	size_t end = calls->n, begin;

	emit_beginning(c);
	for (; end > 0; end = begin) {
		begin = end > GROUP ? end - GROUP : 0;
		emit_group(c, &calls->items[begin], end - begin, answer);
	}
	emit_answer(c, answer);
}

static int
install(struct code *c)
{
	const struct sock_fprog program = { c->n, c->items };

	/* what is refused is told to the audit log, where that is kept (Linux 4.14) */
	if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}

int
seccomp_enter(const struct sandbox_needs *needs)
{
	bool strict = sandbox_is_strict(needs);
	struct calls calls = { .n = 0 };
	struct code code = { .n = 0 };

	add_calls(&calls, attacks, N_OF(attacks));
	if (strict)
		add_connection(&calls, needs);
	else
		add_others(&calls, needs);
	build(&code, &calls, strict ? FAIL_WITH(ENOSYS) : PASS);
	if (calls.n == CALLS_MAX || code.n == CODE_MAX)
		return -E2BIG;
	return install(&code);
}

#else

int
seccomp_enter(const struct sandbox_needs *needs)
{
	(void)needs;
	return -EOPNOTSUPP; /* the numbers of this architecture are not listed */
}

#endif
