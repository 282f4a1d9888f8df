/*
 * pipe_echo is the floor of the overhead report: two processes, two pipes, one
 * write and one read on each side, frames of a fixed size, and nothing else.
 *
 *   pipe_echo REQUEST RESPONSE SLEEP_NS PARENT_CPU CHILD_CPU PIPE
 *
 * REQUEST and RESPONSE are whole frames in bytes. With SLEEP_NS above 0 the
 * child sleeps before it answers, with a timer slack of 1 ns, and reports how
 * long it really slept in the first 8 bytes of its answer.
 *
 * A CPU of -1 pins nothing. With PIPE above 0 both pipes are asked to hold that
 * many bytes; where the system refuses, they stay as they are. How many they hold
 * is the first u32 on stdout.
 *
 * Stdin brings the number of calls to make, a u32; stdout then gets two u64 for
 * each call: nanoseconds from before the write to after the read, and
 * nanoseconds slept. All integers are in the machine's byte order. The end of
 * stdin ends both processes.
 */
#include "bare.h"

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

/* Returns what the smaller of both pipes holds. */
static uint32_t widen(int a, int b, int bytes) {
	if (bytes > 0) {
		(void)fcntl(a, F_SETPIPE_SZ, bytes);
		(void)fcntl(b, F_SETPIPE_SZ, bytes);
	}
	int first = fcntl(a, F_GETPIPE_SZ), second = fcntl(b, F_GETPIPE_SZ);
	if (first < 0 || second < 0) {
		fail("F_GETPIPE_SZ");
	}
	return (uint32_t)(first < second ? first : second);
}

int main(int argc, char **argv) {
	if (argc != 7) {
		fprintf(stderr, "usage: pipe_echo REQUEST RESPONSE SLEEP_NS PARENT_CPU CHILD_CPU PIPE\n");
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
	uint32_t capacity = widen(to[1], from[1], atoi(argv[6]));
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
	write_all(STDOUT_FILENO, &capacity, sizeof capacity);

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
