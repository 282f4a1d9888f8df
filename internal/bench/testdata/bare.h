/*
 * bare.h is what the bare C programs of the overhead report have in common. Each
 * stands alone: no library but libc, no allocation per call.
 */
#ifndef BARE_H
#define BARE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline void fail(const char *what) {
	perror(what);
	_exit(1);
}

static inline void pin(int cpu) {
	if (cpu < 0) {
		return;
	}
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0) {
		fail("sched_setaffinity");
	}
}

static inline uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Returns 0 at the end of the stream, else 1 with all n bytes read. */
static inline int read_all(int fd, void *to, size_t n) {
	char *p = to;
	while (n > 0) {
		ssize_t got = read(fd, p, n);
		if (got == 0) {
			return 0;
		}
		if (got < 0) {
			if (errno == EINTR) {
				continue;
			}
			fail("read");
		}
		p += got;
		n -= (size_t)got;
	}
	return 1;
}

static inline void write_all(int fd, const void *from, size_t n) {
	const char *p = from;
	while (n > 0) {
		ssize_t put = write(fd, p, n);
		if (put < 0) {
			if (errno == EINTR) {
				continue;
			}
			fail("write");
		}
		p += put;
		n -= (size_t)put;
	}
}

#endif
