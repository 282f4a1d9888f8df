/*
 * shm_echo is the floor for payloads: two processes that share a mapping, and wake
 * each other by small frames over two pipes. What a payload costs is four copies:
 * the parent writes the input into the mapping, the child reads it out of there,
 * the child writes its result into the mapping, the parent reads that out.
 *
 *   shm_echo SIZE PARENT_CPU CHILD_CPU
 *
 * SIZE is that of input and result, in bytes. A CPU of -1 pins nothing. The mapping
 * is a memfd, and all memory is touched before the first call.
 *
 * Stdin and stdout are those of pipe_echo; the second u64 of a call is the
 * nanoseconds that the child's two copies took.
 */
#include "bare.h"

/* A frame is what wakes the other side. */
struct frame {
	uint64_t size;
	uint64_t copied_ns; /* in an answer */
};

static char *touched(size_t size) {
	char *p = malloc(size);
	if (p == NULL) {
		fail("malloc");
	}
	memset(p, 1, size);
	return p;
}

static void child(int in, int out, const char *input, char *result, size_t size) {
	char *own = touched(size);
	struct frame f;
	while (read_all(in, &f, sizeof f)) {
		uint64_t start = now();
		memcpy(own, input, f.size);
		memcpy(result, own, f.size);
		f.copied_ns = now() - start;
		write_all(out, &f, sizeof f);
	}
	_exit(0);
}

int main(int argc, char **argv) {
	if (argc != 4) {
		fprintf(stderr, "usage: shm_echo SIZE PARENT_CPU CHILD_CPU\n");
		return 2;
	}
	size_t size = strtoul(argv[1], NULL, 10);
	if (size < sizeof(uint64_t)) {
		fprintf(stderr, "shm_echo: size too small\n");
		return 2;
	}
	int memory = memfd_create("shm_echo", MFD_CLOEXEC);
	if (memory < 0 || ftruncate(memory, (off_t)(2 * size)) != 0) {
		fail("memfd_create");
	}
	char *input = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (input == MAP_FAILED) {
		fail("mmap");
	}
	char *result = input + size;
	memset(input, 1, 2 * size);

	int to[2], from[2];
	if (pipe(to) != 0 || pipe(from) != 0) {
		fail("pipe");
	}
	pid_t pid = fork();
	if (pid < 0) {
		fail("fork");
	}
	if (pid == 0) {
		close(to[1]);
		close(from[0]);
		pin(atoi(argv[3]));
		child(to[0], from[1], input, result, size);
	}
	close(to[0]);
	close(from[1]);
	pin(atoi(argv[2]));
	char *sent = touched(size), *received = touched(size);

	uint32_t none = 0, calls;
	write_all(STDOUT_FILENO, &none, sizeof none); /* the pipes do not matter */
	while (read_all(STDIN_FILENO, &calls, sizeof calls)) {
		uint64_t *times = calloc((size_t)calls + 1, 2 * sizeof *times);
		if (times == NULL) {
			fail("calloc");
		}
		for (uint32_t i = 0; i < calls; i++) {
			memcpy(sent, &i, sizeof i); /* no two payloads are the same */
			struct frame f = {.size = size};
			uint64_t start = now();
			memcpy(input, sent, size);
			write_all(to[1], &f, sizeof f);
			if (!read_all(from[0], &f, sizeof f)) {
				fprintf(stderr, "shm_echo: the child has ended\n");
				return 1;
			}
			memcpy(received, result, size);
			times[2 * i] = now() - start;
			times[2 * i + 1] = f.copied_ns;
			/* As often as the report checks an executor's: a check fills caches. */
			if ((i == 0 || i == calls - 1) && memcmp(sent, received, size) != 0) {
				fprintf(stderr, "shm_echo: a payload came back changed\n");
				return 1;
			}
		}
		write_all(STDOUT_FILENO, times, (size_t)calls * 2 * sizeof *times);
		free(times);
	}
	close(to[1]);
	waitpid(pid, NULL, 0);
	return 0;
}
