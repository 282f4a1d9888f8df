#define _GNU_SOURCE
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>
#include <sys/syscall.h>

/*
 * PR_SET_PDEATHSIG would be shorter, but it follows the thread that forked, not
 * the process: a Go parent's threads come and go. A thread in C, because a task
 * that never returns may keep any Go code from running.
 */

enum {
	WATCH_STACK = 64 * 1024,
	/* How often to look where there is no pidfd. */
	LOOK_MS = 20,
	/* Out of the way of code that closes or reuses the first few descriptors. */
	PRIVATE_FD = 100,
};

struct watch {
	pid_t parent;
	int pidfd; /* -1: compare getppid instead */
};
static struct watch watched;

/* With the process goes its group, which holds what tasks have forked, if the
 * group is its own. */
static void end_process(void)
{
	pid_t self = getpid();

	if (getpgrp() == self)
		kill(-self, SIGKILL);
	kill(self, SIGKILL);
}

static void *watch(void *arg)
{
	struct watch *w = arg;

	for (;;) {
		struct pollfd fd = { .fd = w->pidfd, .events = POLLIN };
		int n = poll(&fd, 1, w->pidfd < 0 ? LOOK_MS : -1);

		if (getppid() != w->parent)
			end_process();
		if (n > 0) /* a task closed the descriptor, or put its own there */
			w->pidfd = -1;
	}
	return NULL;
}

int spider_watch_parent(void)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int err;

	watched.parent = getppid();
	if (watched.parent == 0)
		return 0;
	watched.pidfd = (int)syscall(SYS_pidfd_open, watched.parent, 0);
	if (watched.pidfd >= 0) {
		int moved = fcntl(watched.pidfd, F_DUPFD_CLOEXEC, PRIVATE_FD);

		if (moved >= 0) {
			close(watched.pidfd);
			watched.pidfd = moved;
		}
	}
	if (getppid() != watched.parent) /* it ended meanwhile, and the pidfd may be a stranger's */
		end_process();

	err = pthread_attr_init(&attr);
	if (err != 0)
		return err;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, WATCH_STACK < PTHREAD_STACK_MIN ? PTHREAD_STACK_MIN : WATCH_STACK);
	/* No signal is ever handled on this thread: no Go runtime knows it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attr, watch, &watched);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return err;
}
