/* SPDX-License-Identifier: MIT */

/* hl7-forward: delivers one destination's queue. */

#include "base/cleanup.h"
#include "cli/options.h"
#include "forward/drain.h"
#include "net/dial.h"
#include "net/notify.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Names may be asked for over TCP. */
#define PORT_OF_DNS 53

/* Connections, the queue's files, the files of the name services. */
#define DESCRIPTORS 64

/* sysexits.h: another forwarder of this destination runs. */
#define EXIT_TEMPORARY 75

/* How long one waits for the other to end: it may be about to. */
#define OTHER_WAIT_USEC (2 * USEC_PER_SEC)
#define OTHER_PAUSE_MS  20

/* SIGTERM and SIGINT stay blocked, so that the message on its way is brought to its end; they are
 * looked for between two messages, and end every pause. */
static int
set_signals(struct drain *d)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t stop;

	/* whatever was inherited: commands are waited for */
	(void)sigaction(SIGCHLD, &action, NULL);
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &action, NULL);
	(void)sigaction(SIGXFSZ, &action, NULL);
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	d->signals = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signals < 0 ? -errno : 0;
}

static int
complain(const struct drain *d, const char *what, int error, int exit_status)
{
	report_error(&d->reporter, what, error);
	return exit_status;
}

static int
lock_destination(struct drain *d)
{
	usec_t deadline = deadline_in(OTHER_WAIT_USEC);
	int r;

	do {
		r = state_open(d->queue.root, d->options->name, &d->state_fd, &d->state);
		if (r == STATE_E_LOCKED)
			(void)usleep(OTHER_PAUSE_MS * 1000);
	} while (r == STATE_E_LOCKED && deadline_left(deadline) > 0);
	return r;
}

/* Before the first look at the queue, so that nothing that comes later is missed. */
static int
watch_queue(struct drain *d)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

	d->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (d->watch < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", d->queue.waiting);
	return inotify_add_watch(d->watch, path, IN_CREATE | IN_MOVE | IN_DELETE) < 0 ? -errno : 0;
}

/* Before the first byte of the destination is read. What a command does is nobody's business here,
 * and it would be behind the same walls. Returns 0 or the exit status. */
static int
confine(struct drain *d)
{
	const struct options *o = d->options;
	const unsigned all =
		SANDBOX_READ | SANDBOX_LIST | SANDBOX_ADD | SANDBOX_FOLDER | SANDBOX_MOVE;
	/* the folders by themselves too: they may be links to elsewhere */
	const struct sandbox_folder folders[] = {
		{ d->queue.root, all },
		{ d->queue.received, all },
		{ d->queue.waiting, all },
		{ d->queue.failed, all },
	};
	const uint16_t ports[] = { o->host ? dial_port(o->host) : 0, PORT_OF_DNS };
	const struct sandbox_needs needs = {
		.form = SANDBOX_CLIENT,
		.folders = folders,
		.n_folders = sizeof(folders) / sizeof(folders[0]),
		.ports = ports,
		.n_ports = 2,
		.n_descriptors = DESCRIPTORS,
	};
	bool required = o->sandbox == SANDBOX_REQUIRE;
	struct sandbox_walls walls;

	if (required && (o->command || o->via))
		return complain(
			d, "--sandbox=require: no command can run there", 0, EXIT_CONFIGURATION);
	if (o->sandbox == SANDBOX_OFF || o->command || o->via)
		return 0;
	sandbox_enter(&needs, &walls);
	report_sandbox(&d->reporter, &walls, required);
	return required && !sandbox_holds(&walls) ? EXIT_OS : 0;
}

static int
forward(struct drain *d)
{
	const struct options *o = d->options;
	int r = set_signals(d);

	if (r < 0)
		return complain(d, "signals cannot be waited for", r, EXIT_OS);
	r = queue_open(&d->queue, o->store, o->name, true);
	if (r < 0)
		return complain(d, "the queue cannot be opened", r, EXIT_OS);
	r = lock_destination(d);
	if (r == STATE_E_LOCKED)
		return complain(d, "another forwarder of this destination runs", 0, EXIT_TEMPORARY);
	if (r == 0)
		r = watch_queue(d);
	if (r < 0)
		return complain(d, "the queue cannot be watched", r, EXIT_OS);
	r = confine(d);
	if (r)
		return r;
	return drain_run(d);
}

static void
init_backoff(struct backoff *b, const struct options *o)
{
	b->min_usec = o->retry_min_usec;
	b->max_usec = o->retry_max_usec;
	if (getrandom(&b->random, sizeof(b->random), GRND_NONBLOCK) < 0)
		b->random = clock_monotonic_usec();
	b->random |= 1;
}

static int
run(const struct options *o)
{
	struct drain d = {
		.options = o,
		.queue = QUEUE_NULL,
		.reporter = { journal_choose(o->log, true), o->name, o->host },
		.state_fd = -1,
		.watch = -1,
		.signals = -1,
		.notify = notify_open(),
		.message = BUFFER_INIT(o->max_message_bytes),
	};
	int status;

	init_backoff(&d.backoff, o);
	peer_init(&d.peer, o);
	status = forward(&d);
	peer_deinit(&d.peer);
	buffer_deinit(&d.message);
	keys_deinit(&d.keys);
	cleanup_close(&d.watch);
	cleanup_close(&d.signals);
	cleanup_close(&d.state_fd);
	cleanup_close(&d.notify);
	queue_close(&d.queue);
	return status;
}

int
main(int argc, char **argv)
{
	struct options o;
	int r = options_parse(&o, argc, argv), status;

	if (r == OPTIONS_E_DONE)
		status = EXIT_OK;
	else if (r)
		status = r == OPTIONS_E_CONFIG ? EXIT_CONFIGURATION : EXIT_USAGE;
	else
		status = run(&o);
	options_deinit(&o);
	return status;
}
