/*
 * pipe_echo is the floor of the overhead report: two processes, two pipes, one
 * write and one read on each side, frames of a fixed size, and nothing else.
 *
 *   pipe_echo REQUEST RESPONSE SLEEP_NS PARENT_CPU CHILD_CPU
 *
 * REQUEST and RESPONSE are whole frames in bytes. With SLEEP_NS above 0 the
 * child sleeps before it answers, with a timer slack of 1 ns, and reports how
 * long it really slept in the first 8 bytes of its answer.
 *
 * A CPU of -1 pins nothing.
 *
 * Stdin brings the number of calls to make, a u32; stdout then gets two u64 for
 * each call: nanoseconds from before the write to after the read, and
 * nanoseconds slept. All integers are in the machine's byte order. The end of
 * stdin ends both processes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
	perror(what);
	_exit(1);
}

static void pin(int cpu) {
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

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Returns 0 at the end of the stream, else 1 with all n bytes read. */
static int read_all(int fd, void *to, size_t n) {
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

static void write_all(int fd, const void *from, size_t n) {
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

static uint64_t sleep_measured(long ns) {
	struct timespec left = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	uint64_t start = now();
	while (nanosleep(&left, &left) != 0 && errno == EINTR) {
	}
	return now() - start;
}

static void child(int in, int out, char *request, size_t request_size, char *response,
		  size_t response_size, long sleep_ns) {
	if (prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0) != 0) {
		fail("prctl");
	}
	while (read_all(in, request, request_size)) {
		uint64_t slept = sleep_ns > 0 ? sleep_measured(sleep_ns) : 0;
		memcpy(response, &slept, sizeof slept);
		write_all(out, response, response_size);
	}
	_exit(0);
}

int main(int argc, char **argv) {
	if (argc != 6) {
		fprintf(stderr, "usage: pipe_echo REQUEST RESPONSE SLEEP_NS PARENT_CPU CHILD_CPU\n");
		return 2;
	}
	size_t request_size = strtoul(argv[1], NULL, 10);
	size_t response_size = strtoul(argv[2], NULL, 10);
	long sleep_ns = strtol(argv[3], NULL, 10);
	if (request_size == 0 || response_size < sizeof(uint64_t)) {
		fprintf(stderr, "pipe_echo: sizes too small\n");
		return 2;
	}
	char *request = calloc(1, request_size);
	char *response = calloc(1, response_size);
	int to[2], from[2];
	if (request == NULL || response == NULL || pipe(to) != 0 || pipe(from) != 0) {
		fail("start");
	}
	pid_t pid = fork();
	if (pid < 0) {
		fail("fork");
	}
	if (pid == 0) {
		/* Else the child would keep its own stdin from ending. */
		close(to[1]);
		close(from[0]);
		pin(atoi(argv[5]));
		child(to[0], from[1], request, request_size, response, response_size, sleep_ns);
	}
	close(to[0]);
	close(from[1]);
	pin(atoi(argv[4]));

	uint32_t calls;
	while (read_all(STDIN_FILENO, &calls, sizeof calls)) {
		uint64_t *times = calloc((size_t)calls + 1, 2 * sizeof *times);
		if (times == NULL) {
			fail("calloc");
		}
		for (uint32_t i = 0; i < calls; i++) {
			uint64_t start = now();
			write_all(to[1], request, request_size);
			if (!read_all(from[0], response, response_size)) {
				fprintf(stderr, "pipe_echo: the child has ended\n");
				return 1;
			}
			times[2 * i] = now() - start;
			memcpy(&times[2 * i + 1], response, sizeof *times);
		}
		write_all(STDOUT_FILENO, times, (size_t)calls * 2 * sizeof *times);
		free(times);
	}
	/* The end of its stdin ends the child. */
	close(to[1]);
	waitpid(pid, NULL, 0);
	return 0;
}
